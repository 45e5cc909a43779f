use serde_json::{from_value, json};

use super::*;
use crate::model::words::{Outcome, Reason};
use crate::probes::metrics::fixture::{TIMING, failed, last, scrape, scrape_for, scrapes, steps};

fn check(settings: serde_json::Value) -> Value {
    from_value(settings).unwrap()
}

const FAIL: Outcome = Outcome::Fail(Reason::Limit);
const EMPTY: Outcome = Outcome::Unknown(Reason::Empty);

#[test]
fn the_table_of_the_module() {
    let limits = json!({"series": "x", "min": 1, "max": {"warn": 5, "fail": 10}});
    for (case, page, outcome) in [
        ("within", "x 3", Outcome::Pass),
        ("warns", "x 6", Outcome::Warn),
        ("fails above", "x 11", FAIL),
        ("fails below", "x 0", FAIL),
        ("NaN", "x NaN", EMPTY),
        ("infinite", "x +Inf", FAIL),
        ("missing", "y 1", EMPTY),
        ("the worst of several", "x{a=\"1\"} 3\nx{a=\"2\"} 11\nx{a=\"3\"} 6", FAIL),
        ("NaN among several", "x{a=\"1\"} 3\nx{a=\"2\"} NaN", EMPTY),
        ("NaN and a bad one", "x{a=\"1\"} 30\nx{a=\"2\"} NaN", FAIL),
    ] {
        assert_eq!(check(limits.clone()).judge(&scrape(0, page)).outcome, outcome, "{case}");
    }
    assert_eq!(check(limits).judge(&failed(0, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
    for (page, outcome) in [("x 3", Outcome::Pass), ("x 4", FAIL), ("x NaN", EMPTY), ("y 1", EMPTY)] {
        assert_eq!(check(json!({"series": "x", "equals": 3})).judge(&scrape(0, page)).outcome, outcome, "{page}");
    }
}

#[test]
fn several_series_become_one_value_where_asked() {
    let page = "x{a=\"1\"} 3\nx{a=\"2\"} 1\nx{a=\"3\"} 8";
    for (aggregate, value) in [("sum", 12.0), ("min", 1.0), ("max", 8.0), ("avg", 4.0)] {
        let mut check = check(json!({"series": "x", "max": 100, "aggregate": aggregate}));
        assert_eq!(check.judge(&scrape(0, page)).measures[0].value, value, "{aggregate}");
        assert_eq!(check.judge(&scrape(0, "y 1")).outcome, EMPTY);
    }
    let verdict = check(json!({"series": "x", "max": 5})).judge(&scrape(0, page));
    assert_eq!(verdict.summary, "value is 8, above the limit of 5 (`x{a=\"3\"}`)");
    assert_eq!(verdict.measures[0].value, 8.0);
    let verdict = check(json!({"series": "x", "max": 10})).judge(&scrape(0, page));
    assert_eq!(verdict.measures[0].value, 8.0, "the one with the least headroom speaks");
}

#[test]
fn rates_are_judged_over_the_window() {
    let settings = json!({"series": "x", "max": 2, "rate": true});
    for (pages, outcome) in [
        (&["x 0"][..], Outcome::Pending),
        (&["x 0", "x 20"], Outcome::Pass),
        (&["x 0", "x 21"], FAIL),
        (&["x 1000", "x 10"], Outcome::Pass),
        (&["y 1", "y 2"], EMPTY),
    ] {
        assert_eq!(last(&mut check(settings.clone()), scrapes(pages)).outcome, outcome, "{pages:?}");
    }
    let mut before = check(settings.clone());
    last(&mut before, scrapes(&["x 0"]));
    let mut after = check(settings);
    after.restore(&before.save().unwrap());
    assert_eq!(after.judge(&scrape(10, "x 15")).measures[0].value, 1.5);
}

#[test]
fn limits_are_exposed() {
    let limits = |settings| steps(&check(settings));
    assert_eq!(
        limits(json!({"series": "x", "min": 1, "max": {"warn": 5, "fail": 9}})),
        ["value min fail 1", "value max warn 5", "value max fail 9"]
    );
    assert_eq!(limits(json!({"series": "x", "equals": 3})), ["value equals fail 3"]);
    let rate = |bound: &str| json!({"series": "x", bound: 3, "rate": true, "window": "1m"});
    assert_eq!(limits(rate("max")), ["rate max fail 3"]);
    assert_eq!(check(rate("min")).constant_samples().len(), 1, "an outage makes a rate small");
    assert!(check(rate("max")).constant_samples().is_empty(), "and never large");
}

#[test]
fn what_can_never_be_met_is_refused() {
    let key = |settings| check(settings).validate(&TIMING).err().map(|error| error.key);
    assert_eq!(key(json!({"series": "x", "min": 1, "max": 1})), None);
    assert_eq!(key(json!({"series": "x"})), Some(None));
    assert_eq!(key(json!({"series": "x", "min": 2, "max": 1})), Some(Some("min")));
    assert_eq!(key(json!({"series": "x", "equals": 2, "max": 1})), Some(Some("equals")));
    assert_eq!(key(json!({"series": "x", "max": 1, "rate": true, "aggregate": "avg"})), Some(Some("aggregate")));
    assert_eq!(key(json!({"series": "x", "max": 1, "rate": true, "window": "1s"})), Some(Some("window")));
    for (settings, expected) in [
        (json!({"series": "x", "max": 1, "slope": true, "window": "1s"}), "window"),
        (json!({"series": "x", "max": 1, "slope": true, "rate": true}), "slope"),
        (json!({"series": "x", "max": "1s", "slope": true}), "max"),
        (json!({"series": "x", "max": 1, "rate": true, "unit": "bytes"}), "unit"),
        (json!({"series": "x", "max_age": "1h", "slope": true}), "slope"),
        (json!({"series": "x", "max_age": "1h", "max": 3}), "max_age"),
        (json!({"series": "x", "max_age": "1h", "min_age": "2h"}), "min_age"),
        (json!({"series": "x", "max_age": "1h", "aggregate": "sum"}), "aggregate"),
        (json!({"series": "x", "max_age": "1h", "unit": "seconds"}), "unit"),
        (json!({"series": "x", "absent_or_not": 1, "max": 3}), "absent_or_not"),
        (json!({"series": "x", "max": "1s", "unit": "bytes"}), "max"),
    ] {
        assert_eq!(key(settings.clone()), Some(Some(expected)), "{settings}");
    }
}

#[test]
fn a_value_is_shown_and_exported_in_its_unit() {
    for (settings, page, summary, unit) in [
        (
            json!({"series": "x", "max": 1, "unit": "seconds"}),
            "x 0.8431",
            "value is 843ms, within the limit of 1s",
            Unit::Seconds,
        ),
        (json!({"series": "x", "max": "2h"}), "x 9000", "value is 2h30m, above the limit of 2h", Unit::Seconds),
        (json!({"series": "x", "min": "1KiB"}), "x 2048", "value is 2KiB, no less than 1KiB", Unit::Bytes),
        (json!({"series": "x", "max": "5%"}), "x 0.04", "value is 4%, within the limit of 5%", Unit::Ratio),
        (
            json!({"series": "x", "max": 9, "unit": "per_second"}),
            "x 8",
            "value is 8/s, within the limit of 9/s",
            Unit::PerSecond,
        ),
        (json!({"series": "x", "max": 1}), "x 0.8431", "value is 0.843, within the limit of 1", Unit::Number),
    ] {
        let mut check = check(settings);
        let verdict = check.judge(&scrape(0, page));
        assert_eq!((&*verdict.summary, verdict.measures[0].unit), (summary, unit));
        assert_eq!(check.limits()[0].unit, unit, "the limit has the unit of the value");
    }
}

#[test]
fn a_time_is_judged_by_its_age() {
    let settings = json!({"series": "x", "max_age": {"warn": "30m", "fail": "1h"}, "min_age": "1m"});
    let now = 1_795_000_000;
    for (value, outcome, summary) in [
        ("1794999700", Outcome::Pass, "age is 5m, no less than 1m (since 2026-11-18 11:01:40 UTC)"),
        ("1794997000", Outcome::Warn, "age is 50m, above the limit of 30m (since 2026-11-18 10:16:40 UTC)"),
        ("1794990000", FAIL, "age is 2h46m, above the limit of 1h (since 2026-11-18 08:20:00 UTC)"),
        ("1794999990", FAIL, "age is 10s, below the limit of 1m (since 2026-11-18 11:06:30 UTC)"),
        ("0", FAIL, "age is 20775d11h, above the limit of 1h (since 0 (never))"),
        (
            "NaN",
            EMPTY,
            "age is NaN, which no limit can judge; `when_idle` sets the verdict on NaN, as for a summary without observations",
        ),
    ] {
        let verdict = check(settings.clone()).judge(&scrape(now, &format!("x {value}")));
        assert_eq!((verdict.outcome, &*verdict.summary), (outcome, summary));
    }
    for future in ["1795000301", "1795000000000"] {
        let verdict = check(settings.clone()).judge(&scrape(now, &format!("x {future}")));
        assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Parse), "{}", verdict.summary);
        assert!(verdict.measures.is_empty(), "no age is exported");
    }
    assert_eq!(check(settings.clone()).judge(&scrape(now, "y 1")).outcome, EMPTY);
    assert_eq!(steps(&check(settings)), ["age min fail 60", "age max warn 1800", "age max fail 3600"]);
    let pages = "x{a=\"1\"} 1794999000\nx{a=\"2\"} 1794996000";
    let newest = json!({"series": "x", "max_age": "30m", "aggregate": "max"});
    assert_eq!(check(newest).judge(&scrape(now, pages)).outcome, Outcome::Pass);
}

#[test]
fn a_value_may_be_absent_but_not_the_forbidden_one() {
    let settings = json!({"series": "x", "absent_or_not": 1});
    for (page, outcome, summary) in [
        ("y 1", Outcome::Pass, "the page has no series `x`"),
        ("x 0", Outcome::Pass, "value is 0, as expected not 1"),
        ("x 1", FAIL, "value is 1, expected any other value"),
        (
            "x NaN",
            EMPTY,
            "value is NaN, which no limit can judge; `when_idle` sets the verdict on NaN, as for a summary without observations",
        ),
    ] {
        let verdict = check(settings.clone()).judge(&scrape(0, page));
        assert_eq!((verdict.outcome, &*verdict.summary), (outcome, summary), "{page}");
    }
    assert_eq!(check(settings).judge(&failed(0, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
}

#[test]
fn the_rate_of_a_declared_gauge_is_rejected_and_its_slope_is_judged() {
    let pages = ["# TYPE x gauge\nx 100", "# TYPE x gauge\nx 80", "# TYPE x gauge\nx 60"];
    let verdict = last(&mut check(json!({"series": "x", "min": 0, "rate": true})), scrapes(&pages));
    assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Body));
    assert!(verdict.summary.contains("`slope: true`"), "{}", verdict.summary);
    for declared in ["# TYPE x counter\n", "# TYPE x untyped\n", "# TYPE y gauge\n", ""] {
        let pages = [format!("{declared}x 0"), format!("{declared}x 20")];
        assert_eq!(
            last(&mut check(json!({"series": "x", "max": 2, "rate": true})), scrapes(&pages)).outcome,
            Outcome::Pass
        );
    }
    let settings = json!({"series": "x", "min": -1, "slope": true});
    let verdict = last(&mut check(settings.clone()), scrapes(&pages));
    assert_eq!((verdict.outcome, &*verdict.summary), (FAIL, "slope is -2/s, below the limit of -1/s"));
    for (pages, outcome) in [
        (&["x 5"][..], Outcome::Pending),
        (&["x 5", "x 0"], Outcome::Pass),
        (&["x 50", "x 0"], FAIL),
        (&["x 50", "y 0"], EMPTY),
        (&["x 50", "x NaN"], Outcome::Unknown(Reason::Parse)),
        (&["x{a=\"1\"} 50\nx{a=\"2\"} 0", "x{a=\"1\"} 40\nx{a=\"2\"} 10"], Outcome::Pass),
    ] {
        assert_eq!(last(&mut check(settings.clone()), scrapes(pages)).outcome, outcome, "{pages:?}");
    }
    let mut before = check(settings.clone());
    last(&mut before, scrapes(&["x 50"]));
    let mut after = check(settings);
    after.restore(&before.save().unwrap());
    assert_eq!(after.judge(&scrape(10, "x 30")).measures[0].value, -2.0);
}

#[test]
fn the_verdict_on_an_idle_service_can_be_configured() {
    let outcome = |more: serde_json::Value, pages: &[&str]| {
        let mut settings = json!({"series": "x", "max": 5});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        last(&mut check(settings), scrapes(pages)).outcome
    };
    let mixed = "x{q=\"1\"} NaN\nx{q=\"2\"} 3";
    let mixed_high = "x{q=\"1\"} NaN\nx{q=\"2\"} 9";
    for (more, page, expected) in [
        (json!({"when_idle": "pass"}), "x NaN", Outcome::Pass),
        (json!({"when_idle": "warn"}), "x NaN", Outcome::Warn),
        (json!({"when_idle": "fail"}), "x NaN", Outcome::Fail(Reason::Empty)),
        (json!({"when_idle": "unknown"}), "x NaN", EMPTY),
        (json!({"when_idle": "pass"}), "y 1", EMPTY),
        (json!({"when_idle": "pass"}), "x 9", FAIL),
        (json!({"when_idle": "pass"}), mixed, Outcome::Pass),
        (json!({"when_idle": "pass"}), mixed_high, FAIL),
        (json!({"when_idle": "pass", "aggregate": "sum"}), mixed_high, FAIL),
        (json!({"when_idle": "pass", "aggregate": "avg"}), mixed, Outcome::Pass),
        (json!({"when_idle": "pass", "aggregate": "sum"}), "x NaN", Outcome::Pass),
        (json!({"aggregate": "sum"}), mixed, EMPTY),
    ] {
        assert_eq!(outcome(more.clone(), &[page]), expected, "{more} {page}");
    }
    let rate = |when_idle: &str| json!({"rate": true, "when_idle": when_idle});
    assert_eq!(outcome(rate("warn"), &["x 7", "x 7"]), Outcome::Warn);
    assert_eq!(outcome(rate("warn"), &["x 7", "x 8"]), Outcome::Pass);
    assert_eq!(outcome(rate("warn"), &["x 7", "x NaN"]), Outcome::Unknown(Reason::Parse));
    let slope = json!({"slope": true, "when_idle": "pass"});
    assert_eq!(outcome(slope.clone(), &["x 7", "x NaN"]), Outcome::Pass);
    assert_eq!(outcome(slope, &["x 7", "x +Inf"]), Outcome::Unknown(Reason::Parse));
}

#[test]
fn a_series_that_can_never_exist_is_not_absent() {
    let judge = |series: &str, page: &str| {
        let mut check = check(json!({"series": series, "absent_or_not": 1}));
        let seen = scrape_for(&check, 0, page);
        check.judge(&seen)
    };
    assert_eq!(judge("maintenance", "y 1").outcome, Outcome::Pass);
    assert_eq!(judge("mode{state=\"on\"}", "mode{state=\"off\"} 1").outcome, Outcome::Pass);
    let verdict = judge("mode{status=\"on\"}", "mode{state=\"on\"} 1");
    assert_eq!(verdict.outcome, EMPTY);
    assert!(verdict.summary.contains("the nearest label is `state`"), "{}", verdict.summary);
}

#[test]
fn a_sample_with_a_time_of_its_own_is_judged_by_this_time() {
    let now = 1_795_000_000_i64;
    for (line, outcome, text) in [
        (format!("x 3 {}", now * 1_000), Outcome::Pass, "value is 3"),
        (format!("x 3 {}", (now - 299) * 1_000), Outcome::Pass, "value is 3"),
        (format!("x 3 {}", (now - 300) * 1_000), EMPTY, "its own time is 5m ago"),
        (format!("x 3 {}", (now - 172_800) * 1_000), EMPTY, "its own time is 2d ago"),
        (format!("x 3 {}", (now + 600) * 1_000), Outcome::Pass, "value is 3"),
        (format!("x 3 {}", (now + 172_800) * 1_000), EMPTY, "its own time is 2d ahead"),
        (format!("x 3 {now}"), EMPTY, "its own time is in seconds, and the text format requires milliseconds"),
        (format!("x 3 {}", i64::MAX), EMPTY, "its own time is beyond the year 9999"),
        (
            format!("x{{a=\"1\"}} 3 {}\nx{{a=\"2\"}} 4", now - 9),
            Outcome::Pass,
            "left out because of their own times: 1 series",
        ),
        (format!("x 3 {}\nx 4 {}", now * 1_000 - 9, now * 1_000), Outcome::Pass, "value is 4"),
    ] {
        let mut check = check(json!({"series": "x", "max": 5}));
        let seen = scrape_for(&check, now, &(line.clone() + "\nother 1\n"));
        let verdict = check.judge(&seen);
        assert_eq!(verdict.outcome, outcome, "{line}: {}", verdict.summary);
        assert!(verdict.summary.contains(text), "{line}: {}", verdict.summary);
    }
}
