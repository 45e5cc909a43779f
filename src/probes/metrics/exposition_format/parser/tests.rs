use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const LIMITS: ParserLimits = ParserLimits { bytes: 1 << 20, samples: 1_000 };

fn wanted(selectors: &[&str]) -> Wanted {
    Wanted::from(selectors.iter().map(|text| text.parse().unwrap()).collect::<Vec<Selector>>())
}

static EVERYTHING: LazyLock<Wanted> = LazyLock::new(|| wanted(&["{__name__=~\".+\"}"]));

fn read(page: &[u8], format: Format, wanted: &Wanted, piece: usize) -> Result<Page, Failure> {
    let mut parser = Parser::new(wanted, LIMITS, format);
    for piece in page.chunks(piece) {
        parser.feed(piece)?;
    }
    parser.finish()
}

fn ids(page: &Page) -> Vec<(&str, f64)> {
    page.series.iter().map(|series| (&*series.id, series.value)).collect()
}

const TEXT: &str = "# HELP http_requests_total All of them.\n# TYPE http_requests_total counter\n\
    http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\
    http_requests_total{method=\"post\",code=\"400\",empty=\"\"}    3 1395066363000\n\n# a comment\n  \t \n\
    msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9\n\
    something_weird{problem=\"division by zero\"} +Inf -3982045\n\
    rpc_duration_seconds{quantile=\"0.5\"} 4773\nrpc_duration_seconds_sum 1.7560473e+07\nnothing NaN";

const OPEN: &str =
    "# TYPE a counter\n# HELP a A.\n# UNIT b seconds\na_total{x=\"y\"} 1 # {t=\"1\"} 1 2.5\na_created 5.5\n# EOF\n";

#[test]
fn both_formats_are_read_however_the_page_is_cut() {
    for piece in [1, 2, 7, 64, 10_000] {
        let page = read(TEXT.as_bytes(), Format::Text, &EVERYTHING, piece).unwrap();
        let found = ids(&page);
        assert_eq!(
            found[..6],
            [
                ("http_requests_total{code=\"200\",method=\"post\"}", 1027.0),
                ("http_requests_total{code=\"400\",method=\"post\"}", 3.0),
                (
                    "msdos_file_access_time_seconds{error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\",path=\"C:\\\\DIR\\\\FILE.TXT\"}",
                    1.458255915e9
                ),
                ("something_weird{problem=\"division by zero\"}", f64::INFINITY),
                ("rpc_duration_seconds{quantile=\"0.5\"}", 4773.0),
                ("rpc_duration_seconds_sum", 1.7560473e7),
            ]
        );
        assert!(found[6].1.is_nan() && found.len() == 7);
        assert_eq!((page.samples, page.bytes), (7, TEXT.len() as u64));
        let page = read(OPEN.as_bytes(), Format::OpenMetrics, &EVERYTHING, piece).unwrap();
        assert_eq!(ids(&page), [("a_total{x=\"y\"}", 1.0), ("a_created", 5.5)]);
    }
}

#[test]
fn only_requested_series_are_kept() {
    let wanted = wanted(&["http_requests_total{code=~\"4..\"}", "rpc_duration_seconds_sum"]);
    let page = read(TEXT.as_bytes(), Format::Text, &wanted, 100).unwrap();
    assert_eq!(page.samples, 7);
    let found: Vec<_> = page.series.iter().map(|series| &*series.id).collect();
    assert_eq!(found, ["http_requests_total{code=\"400\",method=\"post\"}", "rpc_duration_seconds_sum"]);
}

#[test]
fn of_a_series_that_is_there_twice_the_first_counts() {
    let page = read(b"a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n", Format::Text, &EVERYTHING, 100).unwrap();
    assert_eq!((ids(&page), page.duplicates), (vec![("a{x=\"1\",y=\"2\"}", 1.0)], 1));
}

#[test]
fn hostile_and_wrong_pages_end_in_a_clear_failure() {
    let long = format!("a{{x=\"{}\"}} 1\n", "x".repeat(70_000));
    let endless = "x".repeat(70_000);
    let many = "a 1\n".repeat(1_001);
    let large = "# a comment\n".repeat(100_000);
    let text = Format::Text;
    let cases: &[(&[u8], Format, Reason, &str)] = &[
        (
            b"<!DOCTYPE html>\n<html>",
            text,
            Reason::Parse,
            "line 1, column 1: expected the name of a metric; this looks like an HTML page",
        ),
        (b"\n\n  <html>", text, Reason::Parse, "line 3, column 3"),
        (b"<html>", Format::OpenMetrics, Reason::Parse, "this looks like an HTML page"),
        (b"{\"status\":\"ok\"}", text, Reason::Parse, "this looks like JSON"),
        (b"[1, 2]", text, Reason::Parse, "this looks like JSON"),
        (b"a 1\n<html>", text, Reason::Parse, "line 2, column 1: expected the name of a metric"),
        (b"ok", text, Reason::Parse, "line 1, column 3: expected a number"),
        (b"a 1\nb{x=\"y", text, Reason::Parse, "line 2, column 6: this quote is not closed"),
        (b"a 1\r\nb 2\r\n", text, Reason::Parse, "line 1, column 3: lines end with LF alone"),
        (b"a{x=\"\xff\"} 1\n", text, Reason::Parse, "line 1, column 6: this is not UTF-8"),
        (b"# HELP a \xff\n", text, Reason::Parse, "line 1, column 10: this is not UTF-8"),
        (b"a{x=\"1\",x=\"2\"} 1\n", text, Reason::Parse, "a label is there twice"),
        (b"\x1f\x8b\x08\x00", text, Reason::Parse, "line 1"),
        (b"\0\0\0\0", text, Reason::Parse, "line 1, column 1"),
        (long.as_bytes(), text, Reason::Parse, "line 1, column 65537: this line is longer than 64KiB"),
        (endless.as_bytes(), text, Reason::Parse, "this line is longer than 64KiB"),
        (many.as_bytes(), text, Reason::TooLarge, "more than 1000 samples; raise `sample_limit`"),
        (large.as_bytes(), text, Reason::TooLarge, "larger than 1MiB decompressed; raise `body_limit`"),
        (b"", Format::OpenMetrics, Reason::Parse, "the page breaks off: OpenMetrics ends with a line `# EOF`"),
        (b"a 1\n", Format::OpenMetrics, Reason::Parse, "after line 1: the page breaks off"),
        (b"a 1\n# EOF\nb 1\n", Format::OpenMetrics, Reason::Parse, "line 3, column 1: nothing may follow"),
        (b"a 1\n\n# EOF", Format::OpenMetrics, Reason::Parse, "line 2, column 1"),
        (b"# hello\n# EOF", Format::OpenMetrics, Reason::Parse, "knows no comments but"),
    ];
    for (page, format, reason, text) in cases {
        for piece in [3, 8_192, 1 << 22] {
            let failure = read(page, *format, &EVERYTHING, piece).unwrap_err();
            assert_eq!(failure.reason, *reason, "{failure}");
            assert!(failure.detail.contains(text), "{failure} / {text}");
        }
    }
    assert_eq!(read(b"", text, &EVERYTHING, 1).unwrap().samples, 0);
}

/// A page made of valid parts.
fn page() -> impl Strategy<Value = String> {
    let value = prop_oneof![any::<f64>().prop_map(|v| v.to_string()), Just("+Inf".to_owned()), Just("NaN".to_owned())];
    let label =
        ("[a-z_][a-z0-9_]{0,5}", "[^\\x00-\\x1f\"\\\\]{0,8}").prop_map(|(name, value)| format!("{name}=\"{value}\""));
    let labels = prop::collection::btree_map("[a-z]{3}", label, 0..4);
    let labels = labels
        .prop_map(|labels| labels.into_iter().map(|(prefix, label)| prefix + &label).collect::<Vec<_>>().join(","));
    let line = ("[a-z_:][a-z0-9_:]{0,10}", labels, value)
        .prop_map(|(name, labels, value)| format!("{name}{{{labels}}} {value}\n"));
    prop::collection::vec(line, 0..20).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_bytes_upset_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
        let _ = read(&bytes, Format::Text, &EVERYTHING, piece);
        let _ = read(&bytes, Format::OpenMetrics, &EVERYTHING, piece);
    }

    #[test]
    fn no_mutation_of_a_page_upsets_the_parser(at in 0..TEXT.len(), byte: u8, cut in 0..TEXT.len(), piece in 1_usize..50) {
        let mut page = TEXT.as_bytes().to_vec();
        page[at] = byte;
        let _ = read(&page, Format::Text, &EVERYTHING, piece);
        let _ = read(&page[..cut], Format::Text, &EVERYTHING, piece);
        let _ = read(&page, Format::OpenMetrics, &EVERYTHING, piece);
    }

    #[test]
    fn every_valid_page_is_read_whole_and_the_same_in_any_pieces(text in page(), piece in 1_usize..50) {
        let lines = text.lines().count() as u64;
        let whole = read(text.as_bytes(), Format::Text, &EVERYTHING, usize::MAX).unwrap();
        let pieces = read(text.as_bytes(), Format::Text, &EVERYTHING, piece).unwrap();
        prop_assert_eq!(whole.samples, lines);
        prop_assert_eq!(whole.series.len() as u64 + whole.duplicates, lines);
        let ids = |page: &Page| page.series.iter().map(|series| (series.id.clone(), series.value.to_bits())).collect::<Vec<_>>();
        prop_assert_eq!(ids(&whole), ids(&pieces));
    }
}

#[test]
fn a_page_takes_a_bounded_amount_of_memory_whatever_the_limits_are() {
    let limits = ParserLimits { bytes: u64::MAX, samples: u64::MAX };
    let mut parser = Parser::new(&EVERYTHING, limits, Format::Text);
    let long = "x".repeat(60_000);
    let (mut lines, mut failure) = (0_usize, None);
    while failure.is_none() && lines < 1_000_000 {
        failure = parser.feed(format!("a{{n=\"{lines}\",l=\"{long}\"}} 1\n").as_bytes()).err();
        lines += 1;
    }
    let failure = failure.unwrap();
    assert_eq!(failure.reason, Reason::TooLarge, "{failure}");
    assert!(failure.detail.contains("take more than 64MiB of memory"), "{failure}");
    let kept: usize = parser.page.series.iter().map(Series::bytes).sum();
    assert!((MAX_KEPT_BYTES..MAX_KEPT_BYTES + (1 << 20)).contains(&kept), "{kept}");
}
