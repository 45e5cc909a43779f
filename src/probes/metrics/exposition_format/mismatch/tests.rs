use crate::probes::metrics::fixture::parse;

/// The reason, and whether it is permanent.
fn mismatch(selector: &str, page: &str) -> Option<(String, bool)> {
    let page = parse(page, &[selector]);
    page.mismatch(&selector.parse().unwrap()).map(|found| (found.to_string(), found.is_permanent()))
}

#[test]
fn a_selector_without_a_series_has_a_reason() {
    let requests =
        "x_requests_total{code=\"200\",method=\"GET\"} 1\nx_requests_total{code=\"404\",method=\"POST\"} 1\n";
    for (selector, page, reason, is_permanent) in [
        ("y_total", requests, "no series has the name", false),
        ("x_request_total", requests, "the nearest name is `x_requests_total`", true),
        ("x_requests", requests, "the nearest name is `x_requests_total`", true),
        ("X_Requests", requests, "the nearest name is `x_requests_total`", true),
        ("x_errors_total", requests, "no series has the name", false),
        ("queue2_errors_total", "queue1_errors_total 1\n", "the nearest name is `queue1_errors_total`", false),
        ("http_get_total", "http_put_total 1\n", "the nearest name is `http_put_total`", false),
        ("import_errors_total", "export_errors_total 1\n", "the nearest name", false),
        (
            "x_requests_total{status=~\"5..\"}",
            requests,
            "has the label `status`; their labels are `code`, `method`",
            true,
        ),
        ("x_requests_total{status=~\"4..\"}", requests, "has the label `status`; the nearest label is `code`", true),
        ("x_requests_total{codes=~\"5..\"}", requests, "has the label `codes`; the nearest label is `code`", true),
        ("x_requests_total{a=\"b\"}", "x_requests_total 1\n", "has the label `a`; they have no labels", true),
        ("x_requests_total{code=~\"5..\"}", requests, "such a value of `code`; its values are `200`, `404`", false),
        ("x_requests_total{code=\"5xx\"}", requests, "such a value of `code`; the nearest value is `404`", true),
        ("x_requests_total{code=~\"5xx|4xx\"}", requests, "the nearest value is `404`", true),
        ("x_requests_total{code=~\"5..\"}", "x_requests_total{code=\"2xx\"} 1\n", "its values are `2xx`", false),
        (
            "x_requests_total{code=~\"5\\\\d+\"}",
            "x_requests_total{code=\"2xx\"} 1\n",
            "the nearest value is `2xx`",
            true,
        ),
        ("x_requests_total{method=\"get\"}", requests, "such a value of `method`; the nearest value is `GET`", true),
        (
            "x_requests_total{method=\"GET\",code=\"404\"}",
            requests,
            "no series of that name meets all conditions",
            false,
        ),
        ("{__name__=~\"y.*\",code=\"200\"}", requests, "no series has the name", false),
    ] {
        let (text, permanent) = mismatch(selector, page).unwrap();
        assert!(text.contains(reason), "{selector}: {text} / {reason}");
        assert_eq!(permanent, is_permanent, "{selector}: {text}");
    }
    for selector in ["x_requests_total", "x_requests_total{code!=\"1\"}", "x_requests_total{nothing=\"\"}"] {
        assert_eq!(mismatch(selector, requests), None, "{selector}");
    }
}

#[test]
fn many_values_and_long_texts_are_bounded() {
    let page: String = (0..1_000).map(|n| format!("a{{l{n}=\"{n}\",x=\"{n}{}\"}} 1\n", "v".repeat(200))).collect();
    for selector in ["a{y=\"1\"}", "a{x=\"1\"}", "b"] {
        let (text, _) = mismatch(selector, &page).unwrap();
        assert!(text.len() < 1_500, "{text}");
    }
}
