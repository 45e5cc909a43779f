use hyper::{HeaderMap, body::Bytes};
use proptest::prelude::*;
use serde_json::{Value, from_value, json};

use super::{json::MAX_JSON_VALUES, *};
use crate::{
    checks::fixture::{TIMING, worked},
    model::{failure::Failure, units::Unit},
};

mod values;

const BODY: &str = r#"{"status": "ok", "queue": 40, "ratio": 1.0, "gone": null, "depth": "40", "made": "2027-01-15T07:30:00Z",
    "made_unix": 1799998200, "made_text": "1799998200", "later": 1800000600, "version": "2.1.0",
    "checks": [{"name": "db", "up": true, "ms": 3}, {"name": "mq", "up": true, "ms": 9}], "text": "a\"b"}"#;

fn judge_body(expect: Value, body: &str, failure: Option<Reason>) -> Verdict {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-version", "2.1"),
        ("vary", "a"),
        ("vary", "b"),
        ("set-cookie", "hunter2"),
        ("age", "60"),
        ("last-modified", "Fri, 15 Jan 2027 07:30:00 GMT"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    let body = Some(Bytes::copy_from_slice(body.as_bytes()));
    let size = body.as_ref().map_or(0, Bytes::len) as u64;
    let answered = HttpResponse {
        status: 200,
        version: "HTTP/1.1",
        headers,
        is_complete: true,
        received_size: size,
        body_size: size,
        body,
    };
    let facts = Some(HttpFacts { response: Some(answered), ..HttpFacts::default() });
    let run = worked(1_800_000_000, 5);
    let failure = failure.map(|reason| Failure::new(reason, "it failed"));
    let seen =
        Observation { at: run.at, duration: run.duration, timing: run.timing, phases: Vec::new(), facts, failure };
    let mut check: Response = from_value(json!({"expect": expect})).unwrap();
    check.validate(&TIMING).unwrap();
    check.judge(&seen)
}

fn judge(expectation: Value) -> Verdict {
    judge_body(json!([expectation]), BODY, None)
}

#[test]
fn each_expectation_is_met_or_says_what_it_found() {
    use Outcome::{Fail, Pass, Warn};
    let (body, limit, parse) = (Fail(Reason::Body), Fail(Reason::Limit), Fail(Reason::Parse));
    let cases = [
        (json!({"status": [200, "3xx"]}), Pass, ""),
        (json!({"status": 204}), Fail(Reason::Status), "status: the status is 200, expected 204"),
        (json!({"text": "ok"}), Pass, ""),
        (json!({"text": "nope"}), body, "text nope: the body does not contain `nope`"),
        (json!({"not_text": "nope"}), Pass, ""),
        (json!({"name": "n", "not_text": "ok"}), body, "n: the body contains `ok`"),
        (json!({"regex": r#""queue":\s*\d+"#}), Pass, ""),
        (json!({"name": "n", "regex": "^x"}), body, "n: the body does not match `^x`"),
        (json!({"header": "X-Version", "matches": r"^2\."}), Pass, ""),
        (json!({"header": "x-version", "equals": 2.1}), Pass, ""),
        (json!({"header": "x-version", "equals": "3"}), body, r#"header x-version is "2.1", expected "3""#),
        (json!({"header": "vary", "one_of": ["a", "b"]}), Pass, ""),
        (json!({"name": "n", "header": "vary", "equals": "a"}), body, r#"n: header vary is "b", expected "a""#),
        (json!({"header": "age", "max": 60}), Pass, ""),
        (json!({"name": "n", "header": "vary", "max": 60}), body, r#"n: header vary is "a", expected a number"#),
        (json!({"header": "x-none", "exists": false}), Pass, ""),
        (json!({"name": "n", "header": "x-none", "not_equals": "a"}), body, "n: header x-none is missing"),
        (json!({"name": "n", "header": "vary", "exists": false}), body, "n: header vary is there, expected none"),
        (
            json!({"name": "n", "header": "set-cookie", "equals": "a"}),
            body,
            r#"n: header set-cookie is <hidden>, expected "a""#,
        ),
        (json!({"json": "$.status", "equals": "ok"}), Pass, ""),
        (json!({"json": "$.status", "equals": "up"}), body, r#"$.status is "ok", expected "up""#),
        (
            json!({"name": "n", "json": "$.status", "not_equals": "ok"}),
            body,
            r#"n: $.status is "ok", expected anything but "ok""#,
        ),
        (json!({"json": "$.gone", "equals": null}), Pass, ""),
        (json!({"json": "$.ratio", "equals": 1}), Pass, ""),
        (json!({"json": "$.nothing", "exists": false}), Pass, ""),
        (json!({"json": "$.nothing", "not_equals": 1}), body, "$.nothing is missing"),
        (json!({"json": "$.checks[*].up", "equals": true}), Pass, ""),
        (
            json!({"name": "n", "json": "$.checks[*].name", "equals": "db"}),
            body,
            r#"n: $.checks[*].name is "mq", expected "db""#,
        ),
        (json!({"json": "$.checks", "min_length": 2, "max_length": 2}), Pass, ""),
        (
            json!({"name": "n", "json": "$.version", "max_length": 3}),
            limit,
            "n: the length of $.version is 5, above the limit of 3",
        ),
        (json!({"json": "$.queue", "min": 1, "max": {"warn": 50, "fail": 100}}), Pass, ""),
        (
            json!({"name": "n", "json": "$.queue", "max": {"warn": 30, "fail": 100}}),
            Warn,
            "n: $.queue is 40, above the limit of 30",
        ),
        (json!({"name": "n", "json": "$.queue", "max": 39}), limit, "n: $.queue is 40, above the limit of 39"),
        (
            json!({"name": "n", "json": "$.checks[*].ms", "max": 5}),
            limit,
            "n: $.checks[*].ms is 9, above the limit of 5",
        ),
        (json!({"name": "n", "json": "$.status", "min": 5}), body, r#"n: $.status is "ok", expected a number"#),
        (json!({"json": "$.status", "not_matches": "^down"}), Pass, ""),
        (
            json!({"name": "n", "json": "$.status", "not_matches": "^o"}),
            body,
            r#"n: $.status is "ok", expected no match of `^o`"#,
        ),
        (json!({"name": "n", "json": "$.nothing", "not_matches": "a"}), body, "n: $.nothing is missing"),
        (json!({"json": "$.nothing", "absent_or_not": true}), Pass, ""),
        (json!({"json": "$.status", "absent_or_not": "down"}), Pass, ""),
        (json!({"header": "x-none", "absent_or_not": "a"}), Pass, ""),
        (json!({"json": "$.gone", "absent_or_not": null}), body, "$.gone is null, expected anything but null"),
        (
            json!({"name": "n", "json": "$.checks[*].name", "absent_or_not": "mq"}),
            body,
            r#"n: $.checks[*].name is "mq", expected anything but "mq""#,
        ),
        (json!({"json": "$.depth", "number": true, "max": 40}), Pass, ""),
        (json!({"json": "$.depth", "number": true, "equals": 40}), Pass, ""),
        (
            json!({"name": "n", "json": "$.depth", "number": true, "max": 39}),
            limit,
            "n: $.depth is 40, above the limit of 39",
        ),
        (
            json!({"name": "n", "json": "$.depth", "max": 40}),
            body,
            r#"n: $.depth is "40", expected a number; `number: true` reads it from a text"#,
        ),
        (json!({"name": "n", "json": "$.queue", "max": "5s"}), limit, "n: $.queue is 40s, above the limit of 5s"),
        (
            json!({"name": "n", "json": "$.ratio", "max": 0.5, "unit": "ratio"}),
            limit,
            "n: $.ratio is 100%, above the limit of 50%",
        ),
        (json!({"json": "$.made", "max_age": "1h"}), Pass, ""),
        (json!({"json": "$.made_unix", "min_age": "29m", "max_age": "31m"}), Pass, ""),
        (json!({"json": "$.made_text", "number": true, "max_age": "31m"}), Pass, ""),
        (
            json!({"name": "n", "json": "$.made", "max_age": {"warn": "20m", "fail": "1h"}}),
            Warn,
            r#"n: the age of $.made is 30m, above the limit of 20m ("2027-01-15T07:30:00Z")"#,
        ),
        (
            json!({"name": "n", "header": "last-modified", "max_age": "20m"}),
            limit,
            r#"n: the age of header last-modified is 30m, above the limit of 20m ("Fri, 15 Jan 2027 07:30:00 GMT")"#,
        ),
        (
            json!({"name": "n", "json": "$.status", "max_age": "1h"}),
            body,
            r#"n: $.status is "ok", expected a time in RFC 3339 or in seconds since 1970"#,
        ),
        (
            json!({"name": "n", "json": "$.later", "max_age": "1h"}),
            Outcome::Unknown(Reason::Parse),
            "n: $.later: the time 2027-01-15 08:10:00 UTC is in the future",
        ),
    ];
    for (expectation, outcome, summary) in cases {
        let verdict = judge(expectation.clone());
        assert_eq!(verdict.outcome, outcome, "{expectation}: {}", verdict.summary);
        assert!(summary.is_empty() || verdict.summary == summary, "{expectation}: {}", verdict.summary);
    }
    for (text, found) in [("", "the body is empty, expected JSON"), ("<html>", "the body is not JSON")] {
        let verdict = judge_body(json!([{"json": "$.a", "exists": true}]), text, None);
        assert!(verdict.outcome == parse && verdict.summary.contains(found), "{}", verdict.summary);
    }
}

#[test]
fn the_first_that_fails_is_the_finding_and_failing_is_worse_than_warning() {
    let warns = json!({"name": "queue", "json": "$.queue", "max": {"warn": 30, "fail": 100}});
    let fails = |name: &str| json!({"name": name, "json": "$.status", "equals": "up"});
    let fine = json!({"status": 200});
    let verdict = judge_body(json!([fine, warns, fails("one"), fails("two")]), BODY, None);
    assert!(verdict.summary.starts_with("one: "), "{}", verdict.summary);
    assert_eq!((verdict.measures.len(), verdict.measures[0].subject.as_deref()), (1, Some("queue")));
    assert_eq!(judge_body(json!([fine, warns]), BODY, None).outcome, Outcome::Warn);
    assert_eq!(judge_body(json!([fine, {"text": "ok"}]), BODY, None).summary, "all 2 expectations are met");
}

#[test]
fn a_failed_run_never_passes_whatever_was_seen() {
    let verdict = judge_body(json!([{"status": 200}]), BODY, Some(Reason::Status));
    assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Status));
}

#[test]
fn a_summary_quotes_little_of_the_answer() {
    let body = json!({"a": "x".repeat(5_000)}).to_string();
    let verdict = judge_body(json!([{"json": "$.a", "equals": "y"}]), &body, None);
    assert!(verdict.summary.len() < 120, "{}", verdict.summary);
}

#[test]
fn what_expects_nothing_or_the_impossible_is_refused() {
    for bad in [
        json!([]),
        json!([{}]),
        json!([{"text": "a", "not_regex": "b"}]),
        json!([{"text": "a", "optional": true}]),
        json!([{"text": "a", "any": true}]),
        json!([{"fact": "body_size"}]),
        json!([{"json": "$.a", "exists": true, "optional": true}]),
        json!([{"json": "$.a", "absent_or_not": 1, "any": true}]),
        json!([{"json": "$.a", "equals": 0.12345678901234567}]),
        json!([{"json": "$.a", "one_of": [1, [9_007_199_254_740_993.0_f64]]}]),
        json!([{"json": "$.a", "equals": "x", "number": true}]),
        json!([{"name": "n"}]),
        json!([{"text": ""}]),
        json!([{"json": "$.a"}]),
        json!([{"header": "a"}]),
        json!([{"header": "a b", "exists": true}]),
        json!([{"text": "a", "json": "$.a", "exists": true}]),
        json!([{"text": "a", "equals": "b"}]),
        json!([{"json": "$.a", "one_of": []}]),
        json!([{"json": "$.a", "exists": false, "equals": 1}]),
        json!([{"json": "$.a", "min": 2, "max": 1}]),
        json!([{"json": "$.a", "min_length": 2, "max_length": 1}]),
        json!([{"json": "$.a", "min_length": 0}]),
        json!([{"status": 200}, {"status": 201}]),
        json!([{"json": "$.a", "absent_or_not": 1, "max": 2}]),
        json!([{"json": "$.a", "number": true, "exists": true}]),
        json!([{"json": "$.a", "unit": "bytes", "exists": true}]),
        json!([{"json": "$.a", "max": 1, "max_age": "1h"}]),
        json!([{"json": "$.a", "max": 1, "max_length": 3}]),
        json!([{"json": "$.a", "min_age": "2h", "max_age": "1h"}]),
        json!([{"json": "$.a", "max": "1s", "unit": "bytes"}]),
        json!([{"status": 200, "number": true}]),
    ] {
        let check: Response = from_value(json!({"expect": bad})).unwrap();
        assert_eq!(check.validate(&TIMING).unwrap_err().key, Some("expect"), "{bad}");
    }
    for bad in [json!({"json": "$.["}), json!({"regex": "("}), json!({"status": 20}), json!({"txt": "a"})] {
        assert!(from_value::<Response>(json!({"expect": [bad.clone()]})).is_err(), "{bad}");
    }
    let error = from_value::<Response>(json!({"expect": [{"json": "$.["}]})).unwrap_err().to_string();
    assert!(error.starts_with("`$.[` is not a JSON path (RFC 9535): at position "), "{error}");
}

#[test]
fn the_body_is_only_wanted_by_those_that_look_into_it() {
    let requests = |expect: Value| from_value::<Response>(json!({"expect": expect})).unwrap().requested_facts();
    assert_eq!(requests(json!([{"status": 200}, {"header": "a", "exists": true}])), []);
    assert_eq!(requests(json!([{"status": 200}, {"json": "$.a", "exists": true}])), [HttpFactRequest::Body]);
}

#[test]
fn settings_are_written_back_as_they_were() {
    let written = json!({"expect": [
        {"name": "n", "json": "$.a", "equals": null, "max": {"warn": 1.0, "fail": 2.0}}, {"regex": "a"}, {"status": "2xx"}
    ]});
    let read: Response = from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
}

proptest! {
    #[test]
    fn no_body_makes_the_check_panic(body in "\\PC{0,200}|(\\[|\\{\"a\":){0,300}") {
        let expect = json!([{"json": "$..a", "min": 1}, {"text": "a"}, {"regex": "a.*b"}, {"json": "$", "min_length": 1}]);
        let verdict = judge_body(expect, &body, None);
        prop_assert!(verdict.summary.len() < 300);
    }
}

#[test]
fn an_expression_that_is_too_much_for_the_body_is_unknown_and_hides_no_failure() {
    let body: String =
        (0..1 << 20).map(|n: u32| if n.wrapping_mul(2_654_435_761) >> 30 == 0 { 'a' } else { 'b' }).collect();
    let expensive = json!({"name": "n", "regex": "a[ab]{2000}c"});
    let verdict = judge_body(json!([expensive, {"text": "ab"}]), &body, None);
    assert_eq!(verdict.outcome, Outcome::Unknown(Reason::TooLarge));
    assert!(verdict.summary.starts_with("n: a body of 1048576 bytes is too long for `a[ab]{2000}c`"));
    let verdict = judge_body(json!([expensive, {"text": "c"}]), &body, None);
    assert_eq!(verdict.outcome, Outcome::Fail(Reason::Body));

    let warns = json!({"json": "$.n", "max": {"warn": 1, "fail": 9}});
    let expensive = json!({"json": "$.v[*]", "matches": "^[ab]*$|a[ab]{2000}c"});
    // One long text, or many that are long together.
    for pieces in [1, 4_096] {
        let texts: Vec<_> = body.as_bytes().chunks(body.len() / pieces).map(String::from_utf8_lossy).collect();
        let document = json!({ "v": texts, "n": 5 }).to_string();
        let start = std::time::Instant::now();
        for expect in [json!([warns, expensive]), json!([expensive, warns])] {
            let verdict = judge_body(expect, &document, None);
            assert_eq!(verdict.outcome, Outcome::Unknown(Reason::TooLarge), "{pieces}: {}", verdict.summary);
            assert!(verdict.summary.starts_with("$.v[*]: 1048576 bytes are too long for `"), "{}", verdict.summary);
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{pieces}: {:?}", start.elapsed());
        let fails = json!({"json": "$.v[*]", "matches": "a[ab]{2000}c", "max_length": 9});
        assert_eq!(judge_body(json!([fails]), &document, None).outcome, Outcome::Fail(Reason::Limit));
    }
}

#[test]
fn a_document_of_too_many_values_is_not_read() {
    let expect = json!([{"json": "$.status", "equals": "ok"}]);
    for (body, outcome) in [
        (format!("[{}0]", "[],".repeat(MAX_JSON_VALUES)), Outcome::Unknown(Reason::TooLarge)),
        (format!("{{\"status\":\"ok\",\"a\":[{}0]}}", "0,".repeat(1_000)), Outcome::Pass),
        // Commas and brackets in a text are no values, and an escaped quote does not end it.
        (format!("{{\"status\":\"ok\",\"a\":\"\\\"{}\"}}", ",[{:".repeat(MAX_JSON_VALUES)), Outcome::Pass),
    ] {
        let verdict = judge_body(expect.clone(), &body, None);
        assert_eq!(verdict.outcome, outcome, "{}", verdict.summary);
    }
}

#[test]
fn every_numeric_expectation_is_a_measure_with_its_limits_from_the_first_scrape() {
    let expect = json!([
        {"status": 200},
        {"name": "queue", "json": "$.queue", "max": {"warn": 30, "fail": 100}},
        {"name": "state", "json": "$.status", "equals": "ok"},
        {"name": "last run", "json": "$.made", "max_age": "1h"},
        {"name": "checks", "json": "$.checks", "min_length": 2},
        {"name": "memory", "json": "$.depth", "number": true, "min": "1B", "max": "1KiB"},
        {"name": "ratio", "json": "$.ratio", "equals": 1}
    ]);
    let verdict = judge_body(expect.clone(), BODY, None);
    let found: Vec<_> = verdict
        .measures
        .iter()
        .map(|m| (m.name, m.display_name().into_owned(), m.value, m.unit, m.bound.as_str(), m.warn, m.fail))
        .collect();
    let expected = [
        ("value", "queue", 40.0, Unit::Number, "max", Some(30.0), Some(100.0)),
        ("value_2", "last run", 1_800.0, Unit::Seconds, "max", None, Some(3_600.0)),
        ("value_3", "checks", 2.0, Unit::Number, "min", None, Some(2.0)),
        ("value_4", "memory", 40.0, Unit::Bytes, "min", None, Some(1.0)),
        ("value_4", "memory", 40.0, Unit::Bytes, "max", None, Some(1_024.0)),
        ("value_5", "ratio", 1.0, Unit::Number, "equals", None, Some(1.0)),
    ];
    let expected = expected.map(|(name, of, value, unit, bound, warn, fail)| {
        (name, format!("value of {of}"), value, unit, bound, warn, fail)
    });
    assert_eq!(found, expected);
    let check: Response = from_value(json!({"expect": expect})).unwrap();
    let limits: Vec<_> = check.limits().iter().map(|m| (m.name, m.unit, m.bound, m.warn, m.fail)).collect();
    assert_eq!(limits, verdict.measures.iter().map(|m| (m.name, m.unit, m.bound, m.warn, m.fail)).collect::<Vec<_>>());
    // A number that is missing has no value, and the limit stays.
    let verdict = judge_body(json!([{"json": "$.nothing", "max": 3}]), BODY, None);
    assert!(verdict.outcome == Outcome::Fail(Reason::Body) && verdict.measures.is_empty());
    // A hidden header neither.
    let hidden = judge_body(json!([{"header": "set-cookie", "matches": "2$", "min_length": 30}]), BODY, None);
    assert!(hidden.measures.is_empty() && !hidden.summary.contains("hunter"), "{}", hidden.summary);

    let many: Vec<_> = (0..9).map(|n| json!({"name": n.to_string(), "json": "$.queue", "max": 100})).collect();
    let check: Response = from_value(json!({"expect": many})).unwrap();
    assert!(check.validate(&TIMING).unwrap_err().message.contains("more than 8 numeric expectations"));
}
