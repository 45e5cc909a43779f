use std::sync::LazyLock;

use proptest::prelude::*;

use super::{super::selector::Selector, *};

fn limits() -> ParserLimits {
    ParserLimits { bytes: 1 << 20, samples: 1_000, line_bytes: 64 << 10, labels: 128, ..ParserLimits::default() }
}

fn wanted(selectors: &[&str]) -> Wanted {
    Wanted::from(selectors.iter().map(|text| text.parse().unwrap()).collect::<Vec<Selector>>())
}

static EVERYTHING: LazyLock<Wanted> = LazyLock::new(|| wanted(&["{__name__=~\".+\"}"]));

fn read(page: &[u8], format: Format, wanted: &Wanted, piece: usize) -> Result<Page, Failure> {
    let mut parser = Parser::new(wanted, limits(), format, None);
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
    something_weird{problem=\"division by zero\"} +Inf 3982045\n\
    rpc_duration_seconds{quantile=\"0.5\"} 4773\nrpc_duration_seconds_sum 1.7560473e+07\nnothing NaN";

const OPEN: &str = "# TYPE a counter\n# HELP a A.\n# UNIT b_seconds seconds\na_total{x=\"y\"} 1 # {t=\"1\"} 1 2.5\na_created 5.5\n# EOF\n";

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
        (b"\n\n  <html>", text, Reason::Parse, "line 3, column 1: a blank before the name"),
        (b"<html>", Format::OpenMetrics, Reason::Parse, "this looks like an HTML page"),
        (b"{\"status\":\"ok\"}", text, Reason::Parse, "this looks like JSON"),
        (b"[1, 2]", text, Reason::Parse, "this looks like JSON"),
        (b"a 1\n<html>", text, Reason::Parse, "line 2, column 1: expected the name of a metric"),
        (b"ok", text, Reason::Parse, "line 1, column 3: expected a number"),
        (b"a 1\nb{x=\"y", text, Reason::Parse, "line 2, column 6: this quote is not closed"),
        (b"a 1\r\nb 2\r\n", text, Reason::Parse, "line 1, column 3: lines end with LF alone"),
        (b"a{x=\"\xff\"} 1\n", text, Reason::Parse, "line 1, column 6: this is not UTF-8"),
        (b"# HELP a \xff\n", text, Reason::Parse, "line 1, column 10: this is not UTF-8"),
        (b"a{x=\"1\",x=\"2\"} 1\n", text, Reason::Parse, "line 1, column 9: a label is there twice"),
        (b"\x1f\x8b\x08\x00", text, Reason::Parse, "this looks like gzip without the header"),
        (b"\0\0\0\0", text, Reason::Parse, "line 1, column 1"),
        (b"\xef\xbb\xbfa 1\n", text, Reason::Parse, "the page begins with a byte order mark"),
        (b"\xff\xfea\0 \x001\0\n\0", text, Reason::Parse, "this looks like UTF-16"),
        (b"a\0 \x001\0\n\0", text, Reason::Parse, "this looks like UTF-16"),
        (
            b"# TYPE a number\na 1\n",
            text,
            Reason::Parse,
            "line 1, column 10: this is no type of a metric: it can be counter, gauge",
        ),
        (b"# TYPE a counter \na 1\n", text, Reason::Parse, "without further characters"),
        (b"# HELP 1a b\na 1\n", text, Reason::Parse, "line 1, column 8: expected the name of a metric after HELP"),
        (b"# UNIT a seconds\n# EOF\n", Format::OpenMetrics, Reason::Parse, "does not end with `_` and this unit"),
        (b"a{__name__=\"b\"} 1\n", text, Reason::Parse, "`__name__` is reserved"),
        (long.as_bytes(), text, Reason::TooLarge, "line 1, column 65537: this line is longer than 64KiB"),
        (endless.as_bytes(), text, Reason::TooLarge, "this line is longer than 64KiB"),
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
    let limits = ParserLimits { bytes: u64::MAX, samples: u64::MAX, ..ParserLimits::default() };
    let mut parser = Parser::new(&EVERYTHING, limits, Format::Text, None);
    let long = "x".repeat(60_000);
    let (mut lines, mut failure) = (0_usize, None);
    while failure.is_none() && lines < 1_000_000 {
        failure = parser.feed(format!("a{{n=\"{lines}\",l=\"{long}\"}} 1\n").as_bytes()).err();
        lines += 1;
    }
    let failure = failure.unwrap();
    assert_eq!(failure.reason, Reason::TooLarge, "{failure}");
    assert!(failure.detail.contains("take more than 64MiB of memory"), "{failure}");
    let kept = parser.kept.bytes();
    assert!((MAX_KEPT_BYTES..MAX_KEPT_BYTES + (1 << 20)).contains(&kept), "{kept}");
}

#[test]
fn a_label_value_may_contain_line_feeds_in_the_text_format() {
    let text = "a{x=\"1\n\n2\",y=\"\n\"} 1\nb{x=\"\\\\\n\\\"\n\"} 2\nc 3\n";
    for piece in [1, 2, 3, 7, 1_000] {
        let page = read(text.as_bytes(), Format::Text, &EVERYTHING, piece).unwrap();
        let expected = [("a{x=\"1\\n\\n2\",y=\"\\n\"}", 1.0), ("b{x=\"\\\\\\n\\\"\\n\"}", 2.0), ("c", 3.0)];
        assert_eq!((ids(&page), page.lines), (expected.to_vec(), 8), "{piece}");
        let failure = read(b"a{x=\"1\n2\n\"} 1\nb{x=\"1\n\",y=z} 1\n", Format::Text, &EVERYTHING, piece).unwrap_err();
        assert!(failure.detail.contains("line 5, column 5: expected a value in double quotes"), "{failure}");
        let failure = read(b"a 1\nb{x=\"1\n2\n", Format::Text, &EVERYTHING, piece).unwrap_err();
        assert!(failure.detail.contains("line 2, column 6: this quote is not closed"), "{failure}");
        let failure = read(b"a{x=\"1\n2\"} 1\n# EOF\n", Format::OpenMetrics, &EVERYTHING, piece).unwrap_err();
        assert!(failure.detail.contains("line 1, column 6: this quote is not closed"), "{failure}");
    }
    // Many lines in one value are scanned once.
    let long = format!("a{{x=\"{}\"}} 1\n", "\n\",x=\"".repeat(9_000));
    let start = std::time::Instant::now();
    assert!(read(long.as_bytes(), Format::Text, &EVERYTHING, 1_000).is_err());
    assert!(start.elapsed() < std::time::Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn limits_on_lines_and_labels_are_configurable() {
    let page = b"a{name=\"value\",b=\"2\"} 1\n";
    let read = |limits: ParserLimits| {
        let mut parser = Parser::new(&EVERYTHING, limits, Format::Text, None);
        parser.feed(page).and_then(|()| parser.finish()).map_err(|failure| (failure.reason, failure.detail))
    };
    let default = ParserLimits::default();
    assert!(read(default).is_ok());
    assert!(
        read(ParserLimits {
            labels: 2,
            label_name_bytes: Some(4),
            label_value_bytes: Some(5),
            line_bytes: 25,
            ..default
        })
        .is_ok()
    );
    for (limits, text) in [
        (ParserLimits { labels: 1, ..default }, "line 1, column 16: more than 1 labels; raise `label_limit`"),
        (ParserLimits { label_name_bytes: Some(3), ..default }, "the `label_name_length_limit`"),
        (ParserLimits { label_value_bytes: Some(4), ..default }, "the `label_value_length_limit`"),
        (ParserLimits { line_bytes: 20, ..default }, "raise `line_limit`"),
    ] {
        let (reason, detail) = read(limits).unwrap_err();
        assert_eq!(reason, Reason::TooLarge);
        assert!(detail.contains(text), "{detail} / {text}");
    }
}

#[test]
fn labels_that_occur_twice_are_refused_in_every_line() {
    let nothing = wanted(&["nothing"]);
    let many =
        |last: &str| format!("a{{{}{last}=\"1\"}} 1\n", (0..40).map(|n| format!("l{n}=\"1\",")).collect::<String>());
    for (page, is_valid) in [
        ("a{x=\"1\",x=\"2\"} 1\n".to_owned(), false),
        ("a{x=\"\",x=\"2\"} 1\n".to_owned(), true),
        ("a{x=\"1\",\"x\"=\"2\"} 1\n".to_owned(), false),
        ("a{__name__=\"\"} 1\n".to_owned(), false),
        (many("l3"), false),
        (many("l39"), false),
        (many("l40"), true),
    ] {
        assert_eq!(read(page.as_bytes(), Format::Text, &nothing, 100).is_ok(), is_valid, "{page}");
    }
}

#[test]
fn start_times_belong_to_their_counters() {
    let page = "# TYPE a counter\na_total{x=\"1\"} 5\na_created{x=\"1\"} 7.5\n# TYPE h histogram\n\
        h_bucket{le=\"+Inf\",x=\"1\"} 1\nh_created{x=\"1\"} 8\nprocess_start_time_seconds 99.5\n# EOF\n";
    let wanted = wanted(&["a_total", "h_bucket"]);
    let page = read(page.as_bytes(), Format::OpenMetrics, &wanted, 9).unwrap();
    let created: Vec<_> = page.series.iter().map(|series| (&*series.name, series.created)).collect();
    assert_eq!(created, [("a_total", Some(7.5)), ("h_bucket", Some(8.0))]);
    assert_eq!(page.process_start, Some(99.5));
    let two = b"process_start_time_seconds{a=\"1\"} 1\nprocess_start_time_seconds{a=\"2\"} 2\n";
    assert_eq!(read(two, Format::Text, &wanted, 9).unwrap().process_start, None, "no single process");
}
