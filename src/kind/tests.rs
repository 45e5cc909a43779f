use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    checks::health::Health,
    kind::CheckKind,
    model::redaction::{SentSecrets, WAYS, encoded},
};
use crate::{
    io::context::Context,
    model::{
        observation::{Incomplete, Observation},
        verdict::Verdict,
        words::{Outcome, Reason},
    },
};
use proptest::{prelude::*, sample::Index};

/// A probe with scripted behaviour.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Acts {
    Work,
    Hang,
    Late,
    Panic,
    Echo(String),
}

#[derive(Debug, Serialize)]
struct Nothing {}

impl Facts for Nothing {
    type Request = ();
}

impl Kind for Acts {
    const NAME: &'static str = "acts";
    const PHASES: &'static [Phase] = &[Phase::Connect, Phase::Request];
    const DOC: &'static str = "";
    const CHECKS: &'static [CheckEntry<Nothing>] = &[CheckEntry::new::<Health>(), CheckEntry::new::<Rash>()];
    type Probe = Self;

    fn build(self, _requests: Vec<()>, _shared: &Arc<Resources>) -> Result<Self, Invalid> {
        Ok(self)
    }
}

impl Probe for Acts {
    type Facts = Nothing;

    async fn observe(&self, cx: &Context) -> Result<Nothing, Incomplete<Nothing>> {
        cx.phase(Phase::Connect, async {}).await;
        match self {
            Self::Work => Ok(Nothing {}),
            Self::Hang => cx.phase(Phase::Request, std::future::pending()).await,
            Self::Late => {
                cx.phase(Phase::Request, tokio::time::advance(Duration::from_secs(3))).await;
                Ok(Nothing {})
            }
            Self::Panic => panic!("of the probe"),
            Self::Echo(text) => {
                Err(Failure::new(Reason::Status, format!("the target says {text:?} ({text}), expected ok")).into())
            }
        }
    }
}

/// A check that panics when asked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Rash {}

impl CheckKind<Nothing> for Rash {
    const NAME: &'static str = "rash";
    const CATEGORY: Category = Category::Health;
    const SEVERITY: Severity = Severity::Info;
    const DOC: &'static str = "";
}

impl Check<Nothing> for Rash {
    fn judge(&mut self, _: &Observation<Nothing>) -> Verdict {
        panic!("of the check")
    }
}

async fn run(acts: Acts) -> RunReport {
    run_beside(acts, SentSecrets::default()).await
}

/// Runs a probe while another probe has registered secrets.
async fn run_beside(acts: Acts, secrets: SentSecrets) -> RunReport {
    let second = Duration::from_secs(1);
    let timing = Timing { interval: second * 10, retry_interval: second * 10, timeout: second * 2 };
    let checks: Vec<Box<dyn Check<Nothing>>> = vec![Box::new(Health {}), Box::new(Rash {}), Box::new(Health {})];
    let shared = Arc::<Resources>::default();
    let (_other, written) = (shared.registry.register(secrets), shared.registry.register(SentSecrets::default()));
    let checks = Arc::new(Mutex::new(checks));
    Runner { probe: acts, checks, configured_secrets: written, file_secrets: Mutex::default(), timing, shared }
        .run(Detail::Verdicts)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_times_out_and_says_in_which_phase() {
    let report = run(Acts::Hang).await;
    let failure = report.failure.unwrap();
    assert_eq!((failure.reason, failure.detail.as_str()), (Reason::Timeout, "not done within 2s (in phase request)"));
    assert_eq!(report.duration.as_secs(), 2);
    assert_eq!(report.phases[1].0, Phase::Request);
    assert_eq!(report.phases[1].1.as_secs(), 2, "the time that it had counts");
    assert_eq!(report.verdicts[0].outcome, Outcome::Fail(Reason::Timeout));
}

#[tokio::test(start_paused = true)]
async fn what_is_brought_back_when_time_is_up_has_timed_out() {
    let report = run(Acts::Late).await;
    assert_eq!(report.duration.as_secs(), 3);
    assert_eq!(report.failure.unwrap().detail, "not done within 2s (in phase request)");
    assert_eq!(report.verdicts[0].outcome, Outcome::Fail(Reason::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_panic_stays_in_the_probe_or_the_check_that_panicked() {
    let report = run(Acts::Work).await;
    assert!(report.failure.is_none());
    assert_eq!(report.panics, 1);
    assert_eq!(report.verdicts[0].outcome, Outcome::Pass);
    assert_eq!(report.verdicts[1].outcome, Outcome::Unknown(Reason::Internal));
    assert_eq!(report.verdicts[1].summary, "the check panicked: of the check");
    assert_eq!(report.verdicts[2].outcome, Outcome::Pass);

    let report = run(Acts::Panic).await;
    assert_eq!(report.failure.unwrap(), Failure::new(Reason::Internal, "the probe panicked: of the probe"));
    assert_eq!((report.panics, report.verdicts[0].outcome), (2, Outcome::Fail(Reason::Internal)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_of_another_probe_is_in_no_report_however_the_target_encodes_it(
        secret in "[ -~]{4,40}|[a-zA-Z0-9+/=%&\\\\ ]{8,24}|[äöüßÄé€😀a-z0-9]{4,12}",
        user in "[a-z]{0,5}",
        choices in prop::collection::vec(any::<Index>(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for way in 0..WAYS {
            let echo = encoded(&secret, &user, way, &choices);
            let mut secrets = SentSecrets::default();
            secrets.add_credential(&secret);
            let report = runtime.block_on(run_beside(Acts::Echo(echo.clone()), secrets));
            let detail = report.failure.as_ref().unwrap().detail.clone();
            prop_assert!(detail.matches("<hidden>").count() >= 2, "way {way}: {secret:?} in {detail:?}");
            // A short encoding of the secret may be part of the surrounding text.
            let shown = detail.replace("the target says", "").replace("expected ok", "");
            prop_assert!(!shown.contains(&echo), "way {way}: {secret:?} shows in {detail:?}");
        }
    }
}
