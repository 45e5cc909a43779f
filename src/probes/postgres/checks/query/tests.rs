use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::{
    model::observation::Timing,
    probes::postgres::facts::{SectionReading, fixture::observation},
};

const TIMING: Timing = Timing {
    interval: std::time::Duration::from_secs(10),
    retry_interval: std::time::Duration::from_secs(10),
    timeout: std::time::Duration::from_secs(5),
};

fn judge(mut settings: Value, rows: Value) -> Verdict {
    settings["sql"] = "select x;".into();
    let mut check: PostgresQuery = serde_json::from_value(settings).unwrap();
    check.validate(&TIMING).unwrap();
    let rows: Vec<Map<String, Value>> = serde_json::from_value(rows).unwrap();
    let result = Ok(Arc::new(QueryRows { count: rows.len(), rows }) as Arc<_>);
    let name = "query: select x".into();
    check.judge(&observation(Timestamp::UNIX_EPOCH, SectionReading { name, at: Timestamp::UNIX_EPOCH, result }))
}

#[test]
fn one_value_is_judged() {
    let limit = Outcome::Fail(Reason::Limit);
    let empty = Outcome::Unknown(Reason::Empty);
    for (settings, rows, outcome, summary) in [
        (json!({"max": 1000}), json!([{"count": 12}]), Outcome::Pass, "value is 12, within the limit of 1000"),
        (json!({"max": 10}), json!([{"count": 12}]), limit, "value is 12, above the limit of 10"),
        (json!({"max": "2h"}), json!([{"age": 9000.5}]), limit, "value is 2h30m, above the limit of 2h"),
        (json!({"min": 1}), json!([{"n": f64::MAX}]), Outcome::Pass, "value is 179769"),
        (json!({"equals": 3}), json!([{"n": 4}]), limit, "value is 4, expected 3"),
        (json!({"max": 1}), json!([{"n": "NaN"}]), empty, "value is NaN"),
        (json!({"max": 1}), json!([{"n": "Infinity"}]), limit, "value is inf, above"),
        (json!({"max": 1}), json!([]), empty, "the query returned no row; `when_empty`"),
        (json!({"max": 1, "when_empty": "pass"}), json!([]), Outcome::Pass, "the query returned no row"),
        (
            json!({"max": 1, "when_empty": "fail"}),
            json!([{"n": null}]),
            Outcome::Fail(Reason::Empty),
            "the value is NULL",
        ),
        (json!({"max": 1, "value": "n"}), json!([{"n": 0, "m": 5}]), Outcome::Pass, "value is 0"),
        (json!({"expect": "on"}), json!([{"s": "on"}]), Outcome::Pass, "the value is \"on\", as expected"),
        (
            json!({"expect": true}),
            json!([{"s": false}]),
            Outcome::Fail(Reason::Body),
            "the value is false, expected true",
        ),
        (json!({"expect": "7"}), json!([{"s": 7}]), Outcome::Fail(Reason::Body), "the value is 7, expected \"7\""),
    ] {
        let verdict = judge(settings.clone(), rows);
        assert_eq!(verdict.outcome, outcome, "{settings}: {}", verdict.summary);
        assert!(verdict.summary.starts_with(summary), "{settings}: {}", verdict.summary);
    }
}

#[test]
fn results_that_do_not_fit_are_unknown_and_state_the_remedy() {
    let query = Outcome::Unknown(Reason::Query);
    for (settings, rows, outcome, part) in [
        (json!({"max": 1}), json!([{"n": 1}, {"n": 2}]), query, "returned 2 rows, and one is expected: aggregate"),
        (json!({"max": 1}), json!([{"n": 1, "m": 2}]), query, "the columns n, m: name the judged one with `value`"),
        (json!({"max": 1, "value": "x"}), json!([{"n": 1}]), query, "no column `x`; its columns are n"),
        (json!({"max": 1}), json!([{"n": "12"}]), Outcome::Unknown(Reason::Parse), "is \"12\", which is not a number"),
        (json!({"max": 1}), json!([{"n": "01:02:03"}]), Outcome::Unknown(Reason::Parse), "extract(epoch from"),
        (json!({"max": 1, "row_name": "q"}), json!([{"n": 1}]), query, "no column `q`"),
    ] {
        let verdict = judge(settings.clone(), rows);
        assert_eq!(verdict.outcome, outcome, "{settings}: {}", verdict.summary);
        assert!(verdict.summary.contains(part), "{settings}: {}", verdict.summary);
    }
    let cut = vec![json!({"n": 0}); MAX_ROWS + 1];
    let mut check: PostgresQuery =
        serde_json::from_value(json!({"sql": "select x", "max": 1, "row_name": "n"})).unwrap();
    let rows = QueryRows { count: MAX_ROWS + 1, rows: serde_json::from_value(cut[1..].into()).unwrap() };
    assert_eq!(check.verdict(&rows).outcome, Outcome::Unknown(Reason::TooLarge));
    assert_eq!(check.limits()[0].fail, Some(1.0));
    check.rows = serde_json::from_value(json!({"max": 1000})).unwrap();
    let verdict = check.verdict(&rows);
    assert_eq!(verdict.outcome, Outcome::Fail(Reason::Limit));
    assert_eq!(verdict.summary, "rows is 1001, above the limit of 1000 (at least); the first row: n=0");
}

#[test]
fn each_row_is_judged_and_the_worst_one_is_named() {
    let settings =
        || json!({"row_name": "queue", "required_rows": ["mail", "invoices"], "max": {"warn": 10, "fail": 100}});
    let verdict =
        judge(settings(), json!([{"queue": "mail", "n": 20}, {"queue": "invoices", "n": 200}, {"queue": "x", "n": 1}]));
    assert_eq!(verdict.outcome, Outcome::Fail(Reason::Limit));
    assert_eq!(verdict.summary, "value of invoices is 200, above the limit of 100 (3 rows)");
    assert_eq!(verdict.measures.len(), 3);
    let missing = judge(settings(), json!([{"queue": "mail", "n": 2}]));
    assert_eq!(missing.outcome, Outcome::Unknown(Reason::Empty));
    assert!(missing.summary.starts_with("the query returned no row for invoices"), "{}", missing.summary);
    let mut lenient = settings();
    lenient["when_empty"] = "pass".into();
    assert_eq!(judge(lenient.clone(), json!([{"queue": "mail", "n": 2}])).outcome, Outcome::Pass);
    assert_eq!(judge(lenient, json!([{"queue": "mail", "n": 200}])).outcome, Outcome::Fail(Reason::Limit));
    let numbered = judge(json!({"row_name": "id", "max": 1}), json!([{"id": 7, "n": 2}, {"id": null, "n": 0}]));
    assert_eq!(numbered.summary, "value of 7 is 2, above the limit of 1 (2 rows)");
    let nothing = judge(json!({"row_name": "id", "max": 1}), json!([]));
    assert_eq!(nothing.outcome, Outcome::Unknown(Reason::Empty));
}

#[test]
fn contradictory_settings_are_refused() {
    for (settings, key) in [
        (json!({"sql": " ;"}), Some("sql")),
        (json!({"sql": "select 1"}), None),
        (json!({"sql": "select 1", "max": 1, "equals": 1}), Some("equals")),
        (json!({"sql": "select 1", "max": 1, "expect": 1}), Some("expect")),
        (json!({"sql": "select 1", "max": 1, "rows": {"max": 1}}), Some("rows")),
        (json!({"sql": "select 1", "min": 2, "max": 1}), Some("min")),
        (json!({"sql": "select 1", "rows": {}}), Some("rows")),
        (json!({"sql": "select 1", "rows": {"max": 1001}}), Some("rows")),
        (json!({"sql": "select 1", "rows": {"max": 1}, "value": "n"}), Some("value")),
        (json!({"sql": "select 1", "expect": [1]}), Some("expect")),
        (json!({"sql": "select 1", "max": 1, "required_rows": ["a"]}), Some("required_rows")),
        (json!({"sql": "select 1", "min": "1s", "max": "1MiB"}), Some("max")),
    ] {
        let check: PostgresQuery = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(check.validate(&TIMING).unwrap_err().key, key, "{settings}");
    }
    for bad in [json!({"max": 1}), json!({"sql": "select 1", "maximum": 1})] {
        assert!(serde_json::from_value::<PostgresQuery>(bad.clone()).is_err(), "{bad}");
    }
}
