//! Numbers, charsets, versions and facts.

use super::*;

#[test]
fn large_integers_are_compared_exactly_and_a_byte_order_mark_is_ignored() {
    let body = "\u{feff}{\"id\": 9007199254740993, \"negative\": -9007199254740993, \"large\": 18446744073709551615}";
    for (path, expected, is_met) in [
        ("$.id", json!(9_007_199_254_740_993_u64), true),
        ("$.id", json!(9_007_199_254_740_992_u64), false),
        ("$.negative", json!(-9_007_199_254_740_993_i64), true),
        ("$.negative", json!(-9_007_199_254_740_992_i64), false),
        ("$.large", json!(u64::MAX), true),
        ("$.large", json!(u64::MAX - 1), false),
    ] {
        let verdict = judge_body(json!([{"json": path, "equals": expected}]), body, None);
        assert_eq!(verdict.outcome == Outcome::Pass, is_met, "{path} {expected}: {}", verdict.summary);
    }
}

#[test]
fn numbers_of_any_size_and_precision_are_compared_by_value() {
    let body = r#"{"large": 123456789012345678901234567890, "text": "123456789012345678901234567890", "price": 0.10,
        "long": 0.1000000000000000055, "id": 9007199254740993, "huge": 1e400, "list": [1.0, {"a": 2.50}], "code": "007"}"#;
    let cases = [
        (json!({"json": "$.large", "equals": "123456789012345678901234567890", "number": true}), true),
        (json!({"json": "$.large", "equals": "123456789012345678901234567891", "number": true}), false),
        (json!({"json": "$.text", "equals": "123456789012345678901234567890.0", "number": true}), true),
        (json!({"json": "$.text", "equals": "123456789012345678901234567890.0"}), false),
        (json!({"json": "$.large", "not_equals": "123456789012345678901234567891", "number": true}), true),
        (json!({"json": "$.large", "one_of": [1, "123456789012345678901234567890"], "number": true}), true),
        (json!({"json": "$.price", "equals": 0.1}), true),
        (json!({"json": "$.long", "equals": 0.1}), false),
        (json!({"json": "$.long", "max": 0.1}), false),
        (json!({"json": "$.price", "max": 0.1, "min": 0.1}), true),
        (json!({"json": "$.id", "max": 9_007_199_254_740_992_u64}), false),
        (json!({"json": "$.id", "min": 9_007_199_254_740_992_u64}), true),
        (json!({"json": "$.huge", "max": 1e300}), false),
        (json!({"json": "$.huge", "equals": "1e400", "number": true}), true),
        (json!({"json": "$.list", "equals": [1, {"a": 2.5}]}), true),
        (json!({"json": "$.list", "equals": [1, {"a": 2.51}]}), false),
        (json!({"json": "$.large", "matches": "^1234567890"}), true),
        (json!({"json": "$.large", "min_length": 1}), false),
        (json!({"json": "$.code", "equals": 7}), false),
        (json!({"json": "$.code", "equals": 7, "number": true}), true),
        (json!({"json": "$.code", "equals": "7", "number": true}), true),
        (json!({"header": "x-version", "equals": 2.10}), true),
        (json!({"header": "x-version", "equals": "2.10"}), false),
    ];
    for (expectation, is_met) in cases {
        let verdict = judge_body(json!([expectation]), body, None);
        assert_eq!(verdict.outcome == Outcome::Pass, is_met, "{expectation}: {}", verdict.summary);
        assert!(!verdict.summary.contains('\u{10fffd}'), "{}", verdict.summary);
    }
    let verdict = judge_body(json!([{"json": "$.id", "max": 9_007_199_254_740_992_u64}]), body, None);
    assert_eq!(verdict.summary, "$.id is 9007199254740993, above the limit of 9007199254740992");
    let verdict = judge_body(json!([{"json": "$.large", "equals": 1}]), body, None);
    assert_eq!(verdict.summary, "$.large is 123456789012345678901234567890, expected 1");
}

#[test]
fn optional_values_one_of_several_values_versions_and_negative_patterns() {
    use Outcome::{Fail, Pass};
    let body = Fail(Reason::Body);
    let cases = [
        (json!({"header": "x-none", "optional": true, "matches": "^a$"}), Pass, ""),
        (
            json!({"header": "X-Version", "optional": true, "equals": "3"}),
            body,
            r#"header x-version is "2.1", expected "3""#,
        ),
        (json!({"json": "$.none", "optional": true, "max": 3}), Pass, ""),
        (json!({"header": "vary", "any": true, "equals": "b"}), Pass, ""),
        (json!({"header": "vary", "any": true, "matches": "^b$", "not_matches": "a"}), Pass, ""),
        (
            json!({"header": "vary", "any": true, "equals": "c"}),
            body,
            r#"none of the 2 values is accepted; the first: header vary is "a", expected "c""#,
        ),
        (json!({"header": "x-none", "any": true, "equals": "c"}), body, "header x-none is missing"),
        // One value must meet all comparisons.
        (json!({"name": "n", "json": "$.checks[*].name", "any": true, "matches": "^d", "equals": "mq"}), body, ""),
        (json!({"json": "$.checks[*].ms", "any": true, "max": 5}), Pass, ""),
        (json!({"json": "$.version", "version": ">=2.1, <3"}), Pass, ""),
        (json!({"json": "$.version", "version": ">=2.1.1"}), body, r#"$.version is "2.1.0", expected >=2.1.1"#),
        (json!({"header": "x-version", "version": ">=2"}), Pass, ""),
        (json!({"json": "$.status", "version": ">=2"}), body, r#"$.status is "ok", expected a version >=2"#),
        (json!({"not_regex": "error|failed"}), Pass, ""),
        (json!({"not_regex": "o[k]"}), body, "not_regex o[k]: the body matches `o[k]`"),
    ];
    for (expectation, outcome, summary) in cases {
        let verdict = judge(expectation.clone());
        assert_eq!(verdict.outcome, outcome, "{expectation}: {}", verdict.summary);
        assert!(summary.is_empty() || verdict.summary == summary, "{expectation}: {}", verdict.summary);
    }
}

/// Judges a response with this `Content-Type` and `Content-Encoding`, whose body was received over HTTP/2.
fn judge_content(expectation: Value, body: &[u8], content_type: &str) -> Verdict {
    let headers = [("content-type", content_type), ("content-encoding", "GZIP")];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let response = HttpResponse {
        status: 200,
        version: "HTTP/2",
        headers: HeaderMap::from_iter(headers),
        is_complete: true,
        received_size: 3,
        body_size: body.len() as u64,
        body: Some(Bytes::copy_from_slice(body)),
    };
    let mut facts = HttpFacts { response: Some(response), redirects: vec!["/a".to_owned()], ..HttpFacts::default() };
    facts.set_remote("[::1]:443".parse().unwrap());
    let run = worked(1_800_000_000, 5);
    let mut check: Response = from_value(json!({"expect": [expectation]})).unwrap();
    check.validate(&TIMING).unwrap();
    check.judge(&Observation {
        at: run.at,
        duration: run.duration,
        timing: run.timing,
        phases: Vec::new(),
        facts: Some(facts),
        failure: None,
    })
}

#[test]
fn facts_of_the_response_are_compared_like_headers() {
    use Outcome::{Fail, Pass};
    let (body, limit) = (Fail(Reason::Body), Fail(Reason::Limit));
    for (expectation, outcome, summary) in [
        (json!({"fact": "http_version", "equals": 2}), Pass, ""),
        (json!({"fact": "http_version", "equals": 1.1}), body, r#"http_version is "2", expected 1.1"#),
        (json!({"fact": "http_version", "min": 2}), Pass, ""),
        (json!({"fact": "body_size", "min": "1B", "max": "1KiB"}), Pass, ""),
        (json!({"fact": "body_size", "max": "4B"}), limit, "body_size is 5B, above the limit of 4B"),
        (json!({"fact": "received_size", "max": 3}), Pass, ""),
        (json!({"fact": "content_encoding", "equals": "gzip"}), Pass, ""),
        (json!({"fact": "content_encoding", "not_equals": "identity"}), Pass, ""),
        (json!({"name": "n", "fact": "content_encoding", "equals": "identity"}), body, ""),
        (json!({"fact": "tls_version", "equals": 1.3}), body, "tls_version is missing"),
        (json!({"fact": "tls_version", "exists": false}), Pass, ""),
        (json!({"fact": "redirects", "max": 0}), limit, "redirects is 1, above the limit of 0"),
        (json!({"fact": "address_family", "equals": "ip6"}), Pass, ""),
    ] {
        let verdict = judge_content(expectation.clone(), b"12345", "text/plain");
        assert_eq!(verdict.outcome, outcome, "{expectation}: {}", verdict.summary);
        assert!(summary.is_empty() || verdict.summary == summary, "{expectation}: {}", verdict.summary);
    }
    let verdict = judge_content(json!({"fact": "body_size", "max": "1KiB"}), b"12345", "text/plain");
    assert_eq!((verdict.measures[0].value, verdict.measures[0].unit), (5.0, Unit::Bytes));
}

#[test]
fn bodies_are_searched_in_their_charset() {
    use Outcome::{Fail, Pass, Unknown};
    let latin: &[u8] = b"<title>Gr\xf6\xdfe</title>";
    let declared = "text/html; charset=ISO-8859-1";
    let (body, parse) = (Fail(Reason::Body), Unknown(Reason::Parse));
    for (expectation, content_type, outcome) in [
        (json!({"text": "<title>Größe"}), declared, Pass),
        (json!({"regex": "Größe<"}), declared, Pass),
        (json!({"not_text": "Größe"}), declared, body),
        (json!({"not_regex": "Gr..e"}), declared, body),
        (json!({"text": "Größe"}), "text/html", Pass),
        (json!({"not_text": "Größe"}), "text/html", body),
        // Bytes can be matched, too.
        (json!({"regex": r"(?-u:Gr\xf6\xdfe)"}), declared, Pass),
        (json!({"text": "Größe"}), "text/plain; charset=x-martian", parse),
        (json!({"not_text": "Größe"}), "text/plain; charset=x-martian", parse),
        (json!({"not_regex": "nothing"}), "text/plain; charset=x-martian", parse),
        (json!({"text": "<title>"}), "text/plain; charset=x-martian", Pass),
        (json!({"not_text": "<title>"}), "text/plain; charset=x-martian", body),
    ] {
        let verdict = judge_content(expectation.clone(), latin, content_type);
        assert_eq!(verdict.outcome, outcome, "{expectation} {content_type}: {}", verdict.summary);
    }
    let verdict = judge_content(json!({"name": "n", "text": "Farbe"}), latin, declared);
    assert_eq!(verdict.summary, "n: the body does not contain `Farbe` (read as ISO-8859-1)");
    let verdict = judge_content(json!({"name": "n", "text": "Farbe"}), latin, "text/html");
    assert!(
        verdict.summary.ends_with("declares no charset, so that it was read as windows-1252)"),
        "{}",
        verdict.summary
    );
    let marked = "\u{feff}ready".as_bytes();
    for expectation in [json!({"regex": "^ready"}), json!({"text": "ready"})] {
        assert_eq!(judge_content(expectation, marked, "text/plain").outcome, Pass);
    }
    let json = b"{\"a\": \"\xf6\"}";
    assert_eq!(
        judge_content(json!({"json": "$.a", "equals": "ö"}), json, "application/json; charset=latin1").outcome,
        Pass
    );
    assert_eq!(
        judge_content(json!({"json": "$.a", "equals": "ö"}), json, "application/json").outcome,
        Fail(Reason::Parse)
    );
}
