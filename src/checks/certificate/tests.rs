use jiff::Timestamp;
use serde_json::{Value, from_value, json};

use super::*;
use crate::{
    checks::fixture::{TIMING, worked},
    io::tls::fixture::facts,
    model::failure::Failure,
};

#[derive(Debug, Serialize)]
struct Seen(Option<Certificates>);

impl Facts for Seen {
    type Request = ();
}

impl Certified for Seen {
    fn certificates(&self) -> Option<&Certificates> {
        self.0.as_ref()
    }
    fn certificates_request() {}
}

const NOW: i64 = 1_800_000_000;

fn certificate(days: i64) -> Certificate {
    let at = |days: i64| Timestamp::from_second(NOW + days * 86_400).unwrap();
    let names = ["a.example", "*.b.example"].map(str::to_owned).to_vec();
    Certificate { names, not_before: at(-90), not_after: at(days), ..facts() }
}

fn chain(leaf: i64, issuer: Option<i64>, distrust: Option<&str>) -> Option<Certificates> {
    let issuers = issuer.map(certificate).into_iter().collect();
    Some(Certificates {
        leaf: certificate(leaf),
        issuers,
        authority: None,
        unused: Vec::new(),
        distrust: distrust.map(str::to_owned),
        distrust_meaning: None,
    })
}

fn judge(settings: Value, certificates: Option<Certificates>, failure: Option<Reason>) -> Verdict {
    let run = worked(NOW, 5);
    let failure = failure.map(|reason| Failure::new(reason, "it failed"));
    let facts = Some(Seen(certificates));
    let (at, duration, timing) = (run.at, run.duration, run.timing);
    let seen = Observation { at, duration, timing, phases: Vec::new(), facts, failure };
    let mut check: CertificateCheck = from_value(settings).unwrap();
    CheckKind::<Seen>::validate(&check, &TIMING).unwrap();
    Check::<Seen>::judge(&mut check, &seen)
}

#[test]
fn each_situation_has_its_verdict() {
    use Outcome::{Fail, Pass, Unknown, Warn};
    let early = || {
        let mut early = chain(90, None, None).unwrap();
        early.leaf.not_before = Timestamp::from_second(NOW + 60).unwrap();
        Some(early)
    };
    let anchored = |authority: i64, unused: i64| {
        let mut path = chain(90, Some(900), None).unwrap();
        path.authority = Some(std::sync::Arc::new(certificate(authority)));
        path.unused = vec![certificate(unused)];
        Some(path)
    };
    let none = json!({});
    let cases = [
        ("an unused certificate has expired", none.clone(), anchored(900, -900), None, Pass),
        ("the authority ends soon", none.clone(), anchored(2, 900), None, Fail(Reason::Limit)),
        ("the authority has ended", none.clone(), anchored(-2, 900), None, Fail(Reason::Certificate)),
        ("all is well", none.clone(), chain(90, Some(900), None), None, Pass),
        ("the leaf ends soon", none.clone(), chain(20, Some(900), None), None, Warn),
        ("the leaf ends now", none.clone(), chain(6, Some(900), None), None, Fail(Reason::Limit)),
        ("an issuer ends first", none.clone(), chain(90, Some(20), None), None, Warn),
        ("no issuer was sent", none.clone(), chain(90, None, None), None, Pass),
        (
            "the leaf has ended",
            none.clone(),
            chain(-1, None, Some("old")),
            Some(Reason::Certificate),
            Fail(Reason::Certificate),
        ),
        ("an issuer has ended", none.clone(), chain(90, Some(-1), None), None, Fail(Reason::Certificate)),
        ("not valid yet", none.clone(), early(), None, Fail(Reason::Certificate)),
        (
            "not trusted",
            none.clone(),
            chain(90, None, Some("why")),
            Some(Reason::Certificate),
            Fail(Reason::Certificate),
        ),
        ("trust is not asked for", json!({"trusted": false}), chain(90, None, Some("why")), None, Pass),
        ("names are covered", json!({"names": ["x.b.example", "a.example"]}), chain(90, None, None), None, Pass),
        ("a name is not", json!({"names": ["b.example"]}), chain(90, None, None), None, Fail(Reason::Certificate)),
        ("seen, then it broke", none.clone(), chain(90, None, None), Some(Reason::Status), Pass),
        ("nothing was seen", none.clone(), None, Some(Reason::Refused), Unknown(Reason::Refused)),
        ("there is none", none.clone(), None, None, Unknown(Reason::Empty)),
        ("other limits", json!({"min_remaining": "91d"}), chain(90, None, None), None, Fail(Reason::Limit)),
    ];
    for (situation, settings, certificates, failure, outcome) in cases {
        let verdict = judge(settings, certificates, failure);
        assert_eq!(verdict.outcome, outcome, "{situation}: {}", verdict.summary);
    }
}

#[test]
fn the_summary_names_the_holder_and_the_expiry_time() {
    let verdict = judge(json!({}), chain(6, None, None), None);
    assert_eq!(verdict.summary, "remaining is 6d, below the limit of 7d (a.example, until 2027-01-21 08:00 UTC)");
    assert_eq!(verdict.measures.len(), 1);
    assert!(verdict.measures[0].headroom().unwrap() < 0.0);
    let expired = judge(json!({}), chain(-1, Some(5), None), None);
    assert_eq!(expired.summary, "the certificate of a.example expired on 2027-01-14 08:00 UTC");
    assert_eq!(expired.measures.len(), 2, "an expired certificate still has its measures");
}

#[test]
fn limits_are_there_from_the_start_and_nonsense_is_refused() {
    let check = CertificateCheck::default();
    assert_eq!(Check::<Seen>::limits(&check).len(), 2);
    for bad in
        [json!({"min_remaining": {"warn": "7d", "fail": "21d"}}), json!({"min_remaining": 7}), json!({"name": []})]
    {
        assert!(from_value::<CertificateCheck>(bad.clone()).is_err(), "{bad}");
    }
    let names: CertificateCheck = from_value(json!({"names": ["not a name"]})).unwrap();
    assert_eq!(CheckKind::<Seen>::validate(&names, &TIMING).unwrap_err().key, Some("names"));
}
