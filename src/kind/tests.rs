use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{check::CheckKind, checks::health::Health};

/// A probe that does what its settings say.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Acts {
    Work,
    Hang,
    Late,
    Panic,
}

#[derive(Debug, Serialize)]
struct Nothing {}

impl Facts for Nothing {
    type Want = ();
}

impl Kind for Acts {
    const NAME: &'static str = "acts";
    const PHASES: &'static [Phase] = &[Phase::Connect, Phase::Request];
    type Probe = Self;

    fn checks() -> Vec<Offer<Nothing>> {
        vec![Offer::of::<Health>(), Offer::of::<Rash>()]
    }

    fn acquire(self, _wants: Vec<()>, _shared: &Arc<Shared>) -> Result<Self, Invalid> {
        Ok(self)
    }
}

impl Probe for Acts {
    type Facts = Nothing;

    async fn observe(&self, cx: &Context) -> Result<Nothing, Broken<Nothing>> {
        cx.phase(Phase::Connect, async {}).await;
        match self {
            Self::Work => Ok(Nothing {}),
            Self::Hang => cx.phase(Phase::Request, std::future::pending()).await,
            Self::Late => {
                cx.phase(Phase::Request, tokio::time::advance(Duration::from_secs(3))).await;
                Ok(Nothing {})
            }
            Self::Panic => panic!("of the probe"),
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
}

impl Check<Nothing> for Rash {
    fn judge(&mut self, _: &Observation<Nothing>) -> Verdict {
        panic!("of the check")
    }
}

async fn run(acts: Acts) -> Report {
    let second = Duration::from_secs(1);
    let timing = Timing { interval: second * 10, retry_interval: second * 10, timeout: second * 2 };
    let checks: Vec<Box<dyn Check<Nothing>>> = vec![Box::new(Health {}), Box::new(Rash {}), Box::new(Health {})];
    let (written, read) = (Hidden::default(), Mutex::default());
    Watch { probe: acts, checks: Arc::new(Mutex::new(checks)), written, read, timing, shared: Arc::default() }
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
