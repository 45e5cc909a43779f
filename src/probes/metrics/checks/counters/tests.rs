use proptest::prelude::*;

use super::*;
use crate::{
    model::check::{from_saved, to_saved},
    probes::metrics::fixture::scrape as scraped,
};

const WINDOW: Period = Period(Duration::from_secs(60));

fn series(id: &str, value: f64) -> Series {
    Series::new(id, Vec::new(), value).unwrap()
}

fn seen(at: i64) -> Observation<Page> {
    scraped(at, "")
}

fn scrape_page<'a>(gains: &mut Increases<f64>, at: i64, facts: &Page, page: &'a [Series]) -> ScrapeGains<'a> {
    let found = gains.scrape(&seen(at), facts, WINDOW, vec![page.iter().collect()]);
    gains.end_scrape(WINDOW, found.sum(0));
    found
}

fn scrape(gains: &mut Increases<f64>, at: i64, page: &[(&str, f64)]) {
    let page: Vec<_> = page.iter().map(|(id, value)| series(id, *value)).collect();
    scrape_page(gains, at, &Page::default(), &page);
}

fn total(gains: &Increases<f64>) -> Option<f64> {
    gains.scrape_results().map(|kept| kept.sum())
}

/// Scrapes ten seconds apart of one series `a`; NaN stands for itself, a negative number for no series at all.
fn increase(values: &[f64]) -> Option<f64> {
    let mut gains = Increases::default();
    for (at, value) in (0..).step_by(10).zip(values) {
        let page = [("a", *value)];
        scrape(&mut gains, at, if *value < 0.0 { &[] } else { &page });
    }
    total(&gains)
}

#[test]
fn the_table_of_the_module() {
    for (case, values, expected) in [
        ("one scrape", &[5.0][..], None),
        ("no series", &[-1.0, -1.0], Some(0.0)),
        ("rises", &[5.0, 7.0, 7.0, 10.0], Some(5.0)),
        ("drops", &[5.0, 7.0, 2.0, 3.0], Some(5.0)),
        ("appears", &[-1.0, 3.0, 4.0], Some(4.0)),
        ("vanishes and comes back", &[5.0, -1.0, 8.0], Some(3.0)),
        ("vanishes and comes back lower", &[5.0, -1.0, 2.0], Some(2.0)),
        ("NaN between", &[5.0, f64::NAN, 8.0], Some(3.0)),
        ("NaN at first", &[f64::NAN, 8.0, 9.0], Some(1.0)),
        ("infinite", &[5.0, f64::INFINITY, 8.0], Some(3.0)),
        ("the window moves on", &[0.0, 100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0], Some(5.0)),
    ] {
        assert_eq!(increase(values), expected, "{case}");
    }
    let mut gains = Increases::default();
    scrape(&mut gains, 100, &[("a", 5.0)]);
    scrape(&mut gains, 110, &[("a", 6.0)]);
    scrape(&mut gains, 105, &[("a", 7.0)]);
    assert_eq!(total(&gains), None, "the clock went back");
    scrape(&mut gains, 115, &[("a", 9.0)]);
    assert_eq!(total(&gains), Some(2.0));
    scrape(&mut gains, 160, &[("a", 12.0), ("b", 4.0)]);
    assert_eq!(total(&gains), Some(9.0), "a gap shorter than the window");
    scrape(&mut gains, 220, &[("a", 50.0), ("c", 4.0)]);
    assert_eq!(total(&gains), None, "a gap as long as the window");
}

#[test]
fn counting_goes_on_after_a_restart() {
    let mut before = Increases::default();
    scrape(&mut before, 0, &[("a", 0.1 + 0.2)]);
    scrape(&mut before, 10, &[("a", 1.1 + 2.2), ("b", f64::NAN)]);
    let mut after = from_saved(&to_saved(&before).unwrap());
    scrape(&mut after, 30, &[("a", 1.1 + 2.2), ("b", 7.0)]);
    assert!((total(&after).unwrap() - 3.0).abs() < 1e-9);
    for bad in ["null", "{}", r#"{"newest":0,"readings":["AA"],"scrapes":null}"#] {
        assert!(serde_json::from_str::<Increases<f64>>(bad).is_err());
    }
}

fn churn(gains: &mut Increases<f64>, at: i64, series: usize) -> Option<Verdict> {
    let page: Vec<_> = (0..series).map(|n| self::series(&format!("a{at}_{n}"), 1.0)).collect();
    scrape_page(gains, at, &Page::default(), &page);
    gains.problem(WINDOW)
}

#[test]
fn series_beyond_the_limit_make_the_verdict_unknown_until_a_window_is_without() {
    let mut gains = Increases::default();
    assert!(churn(&mut gains, 0, 60_000).is_none());
    for at in [10, 20, 30, 40] {
        let verdict = churn(&mut gains, at, 60_000);
        assert!(gains.sets.iter().map(HashMap::len).sum::<usize>() <= MAX_SERIES);
        if let Some(verdict) = verdict {
            assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Limit));
            assert!(verdict.summary.contains("shorten `window`"), "{}", verdict.summary);
        } else {
            panic!("not noticed at {at}");
        }
    }
    for at in [50, 60, 70] {
        assert!(churn(&mut gains, at, 1).is_some(), "{at}");
    }
    assert!(churn(&mut gains, 101, 1).is_none());
}

#[test]
fn what_is_saved_contains_no_text_of_the_target() {
    let mut gains = Increases::default();
    scrape(&mut gains, 0, &[("correct-horse-battery", 1.0)]);
    let saved = to_saved(&gains).unwrap().to_string();
    assert!(!saved.contains("horse"), "{saved}");
}

proptest! {
    #[test]
    fn gains_are_never_negative(
        pages in prop::collection::vec((-100_i64..100, prop::collection::vec(("[ab]", any::<f64>()), 0..3)), 0..30),
    ) {
        let mut gains = Increases::default();
        for (at, page) in &pages {
            let page: Vec<_> = page.iter().map(|(id, value)| (id.as_str(), *value)).collect();
            scrape(&mut gains, *at, &page);
            prop_assert!(total(&gains).is_none_or(|total| total >= 0.0));
        }
    }
}

/// The facts of a page with all series, and with the start times that belong to them.
fn facts(at: i64, text: &str) -> Page {
    scraped(at, text).facts.unwrap()
}

/// Sums of the increases over pages ten seconds apart; `None` while counting starts.
fn increases(pages: &[String]) -> Option<f64> {
    let mut gains = Increases::default();
    for (at, text) in (100..).step_by(10).zip(pages) {
        let wanted = crate::probes::metrics::fixture::parse(text, &["x_total"]);
        scrape_page(&mut gains, at, &facts(at, text), &wanted.series);
    }
    total(&gains)
}

#[test]
fn the_past_of_a_series_that_appears_is_no_increase() {
    let pages = |first: &str, second: &str, third: &str| increases(&[first, second, third].map(str::to_owned));
    let known = |n: u32| format!("x_total{{a=\"1\"}} {n}\n");
    let with = |n: u32, more: &str| known(n) + more;
    for (case, second, third, expected) in [
        ("a small value", "x_total{a=\"2\"} 10\n", "x_total{a=\"2\"} 11\n", 31.0),
        ("a large value", "x_total{a=\"2\"} 9000\n", "x_total{a=\"2\"} 9001\n", 21.0),
        ("as large as the load allows", "x_total{a=\"2\"} 20\n", "x_total{a=\"2\"} 21\n", 41.0),
        ("larger than the load allows", "x_total{a=\"2\"} 21\n", "x_total{a=\"2\"} 22\n", 21.0),
        (
            "several that are too large together",
            "x_total{a=\"2\"} 15\nx_total{a=\"3\"} 15\n",
            "x_total{a=\"2\"} 15\nx_total{a=\"3\"} 15\n",
            20.0,
        ),
        ("created since", "x_total{a=\"2\"} 900\nx_created{a=\"2\"} 101\n", "x_total{a=\"2\"} 900\n", 920.0),
        ("created before", "x_total{a=\"2\"} 5\nx_created{a=\"2\"} 99\n", "x_total{a=\"2\"} 5\n", 20.0),
        ("created for another label", "x_total{a=\"2\"} 900\nx_created{a=\"3\"} 101\n", "x_total{a=\"2\"} 900\n", 20.0),
        (
            "a process that started since",
            "x_total{a=\"2\"} 900\nprocess_start_time_seconds 103\n",
            "x_total{a=\"2\"} 900\nprocess_start_time_seconds 103\n",
            920.0,
        ),
        (
            "a process that started before",
            "x_total{a=\"2\"} 900\nprocess_start_time_seconds 50\n",
            "x_total{a=\"2\"} 900\nprocess_start_time_seconds 50\n",
            20.0,
        ),
    ] {
        assert_eq!(pages(&known(50), &with(60, second), &with(70, third)), Some(expected), "{case}");
    }
    let alone = |n: u32| format!("x_total{{a=\"9\"}} {n}\n");
    assert_eq!(pages("", &alone(9_000), ""), Some(0.0), "without a known series, counting starts");
    assert_eq!(pages("", &alone(9_000), &alone(9_003)), Some(3.0));
    assert_eq!(pages(&known(9_000), &known(8_000), &known(8_005)), Some(5.0), "a part of a sum has disappeared");
    assert_eq!(pages(&known(9_000), &known(200), &known(205)), Some(205.0), "a restart");
}

/// Verdicts on pages ten seconds apart.
fn problems(pages: &[String]) -> Vec<Option<String>> {
    let mut gains = Increases::default();
    let judge = |(at, text): (i64, &String)| {
        let page = facts(at, text);
        let series: Vec<_> = page.series.iter().filter(|series| &*series.name == "x_total").cloned().collect();
        scrape_page(&mut gains, at, &page, &series);
        gains.problem(WINDOW).map(|verdict| {
            assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Body));
            verdict.summary
        })
    };
    (1_000..).step_by(10).zip(pages).map(judge).collect()
}

#[test]
fn counters_of_several_processes_are_recognized() {
    let worker = |start: Option<u32>, value: u32| {
        start.map(|start| format!("process_start_time_seconds {start}\n")).unwrap_or_default()
            + &format!("x_total {value}\n")
    };
    let found = problems(&[7, 900, 8, 901, 9, 902, 10, 903].map(|value| worker(None, value)));
    assert!(found[..6].iter().all(Option::is_none), "{found:?}");
    let text = found[6].as_ref().unwrap();
    assert!(text.starts_with("`x_total` went back 3 times in 1m: several processes behind one port?"), "{text}");
    // The start time of the process reveals the second process before a wrong increase.
    let found = problems(&[(100, 7), (90, 900), (100, 8), (90, 901)].map(|(start, value)| worker(Some(start), value)));
    assert!(found[..2].iter().all(Option::is_none), "{found:?}");
    assert!(found[2].as_ref().unwrap().contains("changed 2 times in 1m without a restart"), "{found:?}");
    for (case, pages) in [
        ("one restart", vec![worker(None, 900), worker(None, 7), worker(None, 8)]),
        (
            "restarts",
            [(900, 7), (1_005, 1), (1_015, 2), (1_025, 1), (1_035, 0)].map(|(start, n)| worker(Some(start), n)).into(),
        ),
        ("one other process", vec![worker(Some(900), 5), worker(Some(800), 7), worker(Some(800), 8)]),
        (
            "jitter of the start time",
            (0..9).map(|n| format!("process_start_time_seconds {}.5\nx_total {n}\n", 900 + n % 2)).collect(),
        ),
    ] {
        assert!(problems(&pages).iter().all(Option::is_none), "{case}: {:?}", problems(&pages));
    }
    // Long after the last change, counting continues.
    let mut pages: Vec<_> = [7, 900, 8, 901, 9, 902, 10, 903].map(|value| worker(None, value)).into();
    pages.extend((904..914).map(|value| worker(None, value)));
    assert!(problems(&pages).last().unwrap().is_none());
}

#[test]
fn another_process_starts_counting_again() {
    let page = |start: u32, value: u32| format!("process_start_time_seconds {start}\nx_total {value}\n");
    let mut gains = Increases::default();
    for (at, start, value, expected) in [
        (1_000, 900, 5, None),
        (1_010, 900, 7, Some(2.0)),
        (1_020, 800, 900_000, None),
        (1_030, 800, 900_001, Some(1.0)),
    ] {
        let text = page(start, value);
        let wanted = crate::probes::metrics::fixture::parse(&text, &["x_total"]);
        scrape_page(&mut gains, at, &facts(at, &text), &wanted.series);
        assert_eq!(total(&gains), expected, "{at}");
    }
}
