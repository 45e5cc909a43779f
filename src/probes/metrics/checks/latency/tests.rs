use serde_json::{from_value, json};

use super::*;
use crate::{
    model::metric::LATENCY,
    probes::metrics::fixture::{TIMING, failed, last, scrape, scrape_for, scrapes},
};

fn check(more: serde_json::Value) -> Latency {
    let mut settings = json!({"histogram": "x_seconds", "p50": {"warn": "100ms", "fail": "500ms"}});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    from_value(settings).unwrap()
}

/// A page with so many observations up to 100 ms, up to 1 s and in all.
fn page(counts: [u32; 3]) -> String {
    let [a, b, c] = counts;
    format!(
        "x_seconds_bucket{{le=\"0.1\"}} {a}\nx_seconds_bucket{{le=\"1\"}} {b}\nx_seconds_bucket{{le=\"+Inf\"}} {c}\nx_seconds_count {c}\n"
    )
}

fn pages(counts: &[[u32; 3]]) -> Vec<Observation<Page>> {
    scrapes(&counts.iter().map(|counts| page(*counts)).collect::<Vec<_>>())
}

#[test]
fn the_table_of_the_module() {
    let empty = Outcome::Unknown(Reason::Empty);
    let bare = |lines: &str| vec![scrape(0, lines), scrape(10, lines)];
    let cases = [
        ("within", pages(&[[0, 0, 0], [10, 10, 10]]), Outcome::Pass),
        ("warns", pages(&[[0, 0, 0], [4, 10, 10]]), Outcome::Warn),
        ("fails", pages(&[[0, 0, 0], [0, 10, 10]]), Outcome::Fail(Reason::Limit)),
        ("beyond the last bucket and the limit", pages(&[[0, 0, 0], [0, 0, 10]]), Outcome::Fail(Reason::Limit)),
        ("old observations don't count", pages(&[[0, 900, 900], [10, 910, 910]]), Outcome::Pass),
        ("no such histogram", bare("y 1\n"), empty),
        ("no bucket +Inf", bare("x_seconds_bucket{le=\"1\"} 1\nx_seconds_bucket{le=\"2\"} 1\n"), empty),
        ("one scrape", pages(&[[1, 1, 1]]), Outcome::Pending),
        ("no observation", pages(&[[1, 1, 1], [1, 1, 1]]), empty),
        ("a reset", pages(&[[0, 900, 900], [10, 10, 10]]), Outcome::Pass),
        ("a word as a bound", bare("x_seconds_bucket{le=\"x\"} 1\n"), empty),
        (
            "a bucket that is NaN",
            bare("x_seconds_bucket{le=\"1\"} NaN\nx_seconds_bucket{le=\"+Inf\"} 1\n"),
            Outcome::Unknown(Reason::Parse),
        ),
    ];
    for (case, pages, outcome) in cases {
        assert_eq!(last(&mut check(json!({})), pages).outcome, outcome, "{case}");
    }
    assert_eq!(check(json!({})).judge(&failed(0, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
    let few = || pages(&[[0, 0, 0], [3, 3, 3]]);
    assert_eq!(last(&mut check(json!({"min_samples": 4})), few()).outcome, Outcome::Pending);
    assert_eq!(last(&mut check(json!({"min_samples": 4, "when_idle": "pass"})), few()).outcome, Outcome::Pass);
}

#[test]
fn a_quantile_beyond_the_last_bucket_is_never_within_a_limit() {
    let slow = || pages(&[[0, 0, 0], [0, 0, 10]]);
    let verdict = last(&mut check(json!({"p50": "2s"})), slow());
    assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Limit));
    assert_eq!(verdict.summary, "p50 is beyond 1s, the last bucket of the histogram, and so is its limit");
    assert_eq!(
        last(&mut check(json!({"p50": {"warn": "500ms", "fail": "2s"}})), slow()).outcome,
        Outcome::Unknown(Reason::Limit)
    );
    assert_eq!(last(&mut check(json!({"p50": {"warn": "500ms"}})), slow()).outcome, Outcome::Warn);
    assert_eq!(last(&mut check(json!({"p50": "500ms", "p99": "2s"})), slow()).outcome, Outcome::Fail(Reason::Limit));
}

#[test]
fn buckets_are_added_up_over_the_series_and_interpolated() {
    let page = |n: u32| {
        let one = |path: &str, a, b| {
            format!(
                "x_seconds_bucket{{path=\"{path}\",le=\"0.1\"}} {a}\nx_seconds_bucket{{path=\"{path}\",le=\"0.3\"}} {b}\nx_seconds_bucket{{path=\"{path}\",le=\"+Inf\"}} {b}\n"
            )
        };
        one("/a", 10 * n, 10 * n) + &one("/b", 0, 10 * n) + &one("/c", 7, 9_999 * n)
    };
    let mut check: Latency =
        from_value(json!({"histogram": "x_seconds{path!=\"/c\"}", "p90": "1s", "p50": "1s"})).unwrap();
    let verdict = last(&mut check, scrapes(&[page(0), page(1)]));
    let quantile = |quantile: &'static str, value| Sample::new(&LATENCY, [quantile.into()], value);
    assert_eq!(verdict.samples[0], quantile("p50", 0.1));
    assert!((verdict.samples[1].value - 0.26).abs() < 1e-12, "{verdict:?}");
    assert_eq!(verdict.summary, "p90 is 260ms, within the limit of 1s (20 observations in 5m)");
}

#[test]
fn what_can_never_be_judged_is_refused() {
    let key = |settings| from_value::<Latency>(settings).unwrap().validate(&TIMING).err().map(|error| error.key);
    assert_eq!(key(json!({"histogram": "x", "p95": "30s"})), None);
    assert_eq!(key(json!({"histogram": "x"})), Some(None));
    assert_eq!(key(json!({"histogram": "x", "max": "1s"})), Some(Some("max")));
    assert_eq!(key(json!({"histogram": "{a=\"b\"}", "p95": "1s"})), Some(Some("histogram")));
    assert_eq!(key(json!({"histogram": "x", "p95": "1s", "window": "15s"})), Some(Some("window")));
    assert_eq!(key(json!({"p95": "30s"})), Some(Some("p95")));
    assert_eq!(key(json!({"p95": "1s", "when_idle": "pass"})), Some(Some("when_idle")));
}

#[test]
fn counting_goes_on_after_a_restart() {
    let mut before = check(json!({}));
    last(&mut before, pages(&[[0, 0, 0], [10, 10, 10]]));
    let saved = before.save().unwrap().to_string();
    let mut after = check(json!({}));
    after.restore(serde_json::from_str(&saved).unwrap());
    let verdict = after.judge(&scrape(60, &page([10, 50, 50])));
    assert_eq!(verdict.outcome, Outcome::Warn);
    assert!(verdict.summary.ends_with("(50 observations in 5m)"), "{}", verdict.summary);
}

#[test]
fn without_a_histogram_the_scrapes_are_judged() {
    let counting = |min_samples: u32| -> Latency {
        from_value(json!({"p50": "1s", "min_samples": min_samples, "failed_runs": "count_as_timeout"})).unwrap()
    };
    let mut bare = counting(1);
    assert_eq!(bare.judge(&scrape(0, "")).samples[0].value, 0.005);
    assert_eq!(bare.judge(&failed(10, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
    let mut after = counting(3);
    after.restore(&bare.save().unwrap());
    assert_ne!(after.judge(&scrape(20, "")).outcome, Outcome::Pending);
    let sees = |check: &Latency| {
        check.constant_samples().iter().any(|limit| *limit.family == crate::model::metric::CHECK_WINDOW)
    };
    assert!(sees(&bare) && !sees(&check(json!({}))), "only scrapes go on seeing an outage");
    let mut ignoring: Latency = from_value(json!({"p50": "1s", "min_samples": 3})).unwrap();
    ignoring.restore(&bare.save().unwrap());
    assert_eq!(ignoring.judge(&scrape(20, "")).outcome, Outcome::Pending, "two scrapes have succeeded");
    assert!(sees(&ignoring), "after an outage, few scrapes are left to judge");
    let bad: Latency = from_value(json!({"histogram": "x", "p50": "1s", "failed_runs": "ignore"})).unwrap();
    assert_eq!(bad.validate(&TIMING).unwrap_err().key, Some("failed_runs"));
}

#[test]
fn a_percentile_that_is_not_finite_is_unknown() {
    let pages = |bounds: [&str; 3], counts: [u32; 3]| {
        let page = |counts: [u32; 3]| {
            let lines = bounds.iter().zip(counts).map(|(le, n)| format!("x_seconds_bucket{{le=\"{le}\"}} {n}\n"));
            lines.collect::<String>()
        };
        scrapes(&[page([0; 3]), page(counts)])
    };
    for (case, bounds, counts) in [
        ("all below -Inf", ["-Inf", "1", "+Inf"], [10, 10, 10]),
        ("between -Inf and the next bound", ["-Inf", "1", "+Inf"], [0, 10, 10]),
        ("beyond -Inf, the last bound", ["-Inf", "-inf", "+Inf"], [0, 0, 10]),
        ("NaN as a bound", ["0.1", "NaN", "+Inf"], [10, 10, 10]),
    ] {
        let verdict = last(&mut check(json!({})), pages(bounds, counts));
        assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Parse), "{case}: {}", verdict.summary);
    }
    let finite = last(&mut check(json!({})), pages(["-Inf", "0.01", "+Inf"], [0, 0, 10]));
    assert_eq!(finite.outcome, Outcome::Unknown(Reason::Limit), "{}", finite.summary);
}

#[test]
fn a_histogram_without_classic_buckets_is_named() {
    for (page, text) in [
        (
            "x_seconds_bucket{le=\"+Inf\"} 3\nx_seconds_count 3\n",
            "only the bucket `+Inf`, as a native histogram has in a text format: add classic",
        ),
        ("x_seconds_bucket{le=\"1\"} 3\nx_seconds_count 3\n", "`x_seconds` has no bucket `+Inf`"),
        ("x_seconds{quantile=\"0.5\"} 1\n", "limit its quantiles with the check `value`"),
        ("x_second_bucket{le=\"1\"} 3\n", "the nearest name is `x_second_bucket`"),
        ("y 1\n", "the page has no series `x_seconds`: no series has the name"),
    ] {
        let mut check = check(json!({}));
        let first = scrape_for(&check, 0, page);
        check.judge(&first);
        let second = scrape_for(&check, 10, page);
        let verdict = check.judge(&second);
        assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Empty));
        assert!(verdict.summary.contains(text), "{page}: {}", verdict.summary);
    }
}

#[test]
fn the_buckets_of_a_series_with_a_past_are_no_observations() {
    let page = |n: u32, second: bool| {
        let of = |path: &str, count: u32| {
            format!(
                "x_seconds_bucket{{path=\"{path}\",le=\"0.1\"}} {}\nx_seconds_bucket{{path=\"{path}\",le=\"+Inf\"}} {count}\n",
                if path == "/a" { count } else { 0 }
            )
        };
        if second { of("/a", n) + &of("/b", 9_000_000) } else { of("/a", n) }
    };
    let verdict =
        last(&mut check(json!({})), scrapes(&[page(0, false), page(50, false), page(100, true), page(150, true)]));
    assert_eq!(verdict.outcome, Outcome::Pass, "{}", verdict.summary);
}
