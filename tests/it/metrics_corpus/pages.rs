//! The pages of the corpus: named mutations of samples, metadata, whole pages and headers, in both formats.

use std::io::Write;

use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

/// One answer of the server.
pub(super) struct CorpusPage {
    pub(super) name: String,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<&'static str>,
    pub(super) body: Vec<u8>,
}

pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Spellings of a value.
const VALUES: &[&str] = &[
    "1",
    "-1",
    "+1",
    "0",
    "-0",
    "+0",
    "00",
    "1.",
    ".5",
    "-.5",
    "+.5",
    ".",
    "1.5",
    "1.5.5",
    "1e5",
    "1E5",
    "1e+5",
    "1e-5",
    "1e",
    "e5",
    "1e400",
    "-1e400",
    "1e-400",
    "5e-324",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "9007199254740993",
    "NaN",
    "nan",
    "NAN",
    "nAn",
    "+NaN",
    "-NaN",
    "Nan1",
    "Inf",
    "inf",
    "+Inf",
    "-Inf",
    "+inf",
    "INF",
    "Infinity",
    "-infinity",
    "infinit",
    "0x10",
    "0x1p4",
    "0b1",
    "0o7",
    "1_000",
    "1,5",
    "1p4",
    "true",
    "null",
    "١",
    "\"1\"",
    "1 000",
    "1f",
    "1i",
    "--1",
    "1-",
];

/// Lines with a sample, by the name of the mutation.
const SAMPLES: &[(&str, &str)] = &[
    ("plain", "a 1"),
    ("braces empty", "a{} 1"),
    ("braces blank", "a{ } 1"),
    ("labels one", "a{x=\"1\"} 1"),
    ("labels two", "a{x=\"1\",y=\"2\"} 1"),
    ("labels unsorted", "a{y=\"2\",x=\"1\"} 1"),
    ("labels trailing comma", "a{x=\"1\",} 1"),
    ("labels two trailing commas", "a{x=\"1\",,} 1"),
    ("labels leading comma", "a{,x=\"1\"} 1"),
    ("labels only comma", "a{,} 1"),
    ("labels no comma", "a{x=\"1\"y=\"2\"} 1"),
    ("labels blank for comma", "a{x=\"1\" y=\"2\"} 1"),
    ("labels two commas", "a{x=\"1\",,y=\"2\"} 1"),
    ("labels blanks", "a { x = \"1\" , y = \"2\" } 1"),
    ("labels blank after comma", "a{x=\"1\", y=\"2\"} 1"),
    ("labels tab", "a{x=\"1\",\ty=\"2\"} 1"),
    ("label name digits", "a{x1=\"1\"} 1"),
    ("label name begins with digit", "a{1x=\"1\"} 1"),
    ("label name colon", "a{x:y=\"1\"} 1"),
    ("label name dash", "a{x-y=\"1\"} 1"),
    ("label name dot", "a{x.y=\"1\"} 1"),
    ("label name utf-8", "a{é=\"1\"} 1"),
    ("label name empty", "a{=\"1\"} 1"),
    ("label name reserved", "a{__x=\"1\"} 1"),
    ("label name quoted", "a{\"x\"=\"1\"} 1"),
    ("label name quoted with dot", "a{\"x.y\"=\"1\"} 1"),
    ("label name quoted empty", "a{\"\"=\"1\"} 1"),
    ("label name twice", "a{x=\"1\",x=\"2\"} 1"),
    ("label twice", "a{x=\"1\",x=\"1\"} 1"),
    ("label twice one empty", "a{x=\"\",x=\"2\"} 1"),
    ("label twice both empty", "a{x=\"\",x=\"\"} 1"),
    ("label twice apart", "a{x=\"1\",y=\"1\",x=\"2\"} 1"),
    ("label twice one quoted", "a{x=\"1\",\"x\"=\"2\"} 1"),
    ("label __name__", "a{__name__=\"b\"} 1"),
    ("label __name__ same", "a{__name__=\"a\"} 1"),
    ("label __name__ empty", "a{__name__=\"\"} 1"),
    ("label __name__ alone", "{__name__=\"a\"} 1"),
    ("label __name__ alone with others", "{x=\"1\",__name__=\"a\"} 1"),
    ("label value empty", "a{x=\"\"} 1"),
    ("label value utf-8", "a{x=\"é✓\"} 1"),
    ("label value braces", "a{x=\"{},=#\"} 1"),
    ("label value blanks", "a{x=\" 1 \"} 1"),
    ("label value tab", "a{x=\"\t\"} 1"),
    ("label value carriage return", "a{x=\"\r\"} 1"),
    ("label value nul", "a{x=\"\0\"} 1"),
    ("label value single quotes", "a{x='1'} 1"),
    ("label value bare", "a{x=1} 1"),
    ("label value missing", "a{x=} 1"),
    ("label value none", "a{x} 1"),
    ("label value open", "a{x=\"1} 1"),
    ("label value open at end", "a{x=\"1"),
    ("label value double equals", "a{x==\"1\"} 1"),
    ("label value not equal", "a{x!=\"1\"} 1"),
    ("escape backslash", "a{x=\"\\\\\"} 1"),
    ("escape quote", "a{x=\"\\\"\"} 1"),
    ("escape line feed", "a{x=\"\\n\"} 1"),
    ("escape unknown", "a{x=\"\\x\\t\"} 1"),
    ("escape at end", "a{x=\"1\\\"} 1"),
    ("escape several", "a{x=\"\\\\n\\\\\\\"\\n\"} 1"),
    ("line feed in label value", "a{x=\"1\n2\"} 1"),
    ("line feeds in label values", "a{x=\"1\n\n2\",y=\"\n\"} 1\nb 2"),
    ("line feed after escape", "a{x=\"1\\\n2\"} 1"),
    ("line feed and hash in label value", "a{x=\"1\n# 2\"} 1"),
    ("line feed between labels", "a{x=\"1\",\ny=\"2\"} 1"),
    ("line feed after brace", "a{x=\"1\"}\n 1"),
    ("line feed before value", "a\n1"),
    ("line feed in name", "a\nb 1"),
    ("line feed never closed", "a{x=\"1\nb 2"),
    ("brace missing", "a{x=\"1\" 1"),
    ("brace closing alone", "a} 1"),
    ("brace twice", "a{{x=\"1\"}} 1"),
    ("braces twice", "a{x=\"1\"}{y=\"2\"} 1"),
    ("brace directly before value", "a{x=\"1\"}1"),
    ("brace after blank", "a {x=\"1\"} 1"),
    ("name colon", "a:b 1"),
    ("name begins with colon", ":a 1"),
    ("name only colon", ": 1"),
    ("name underscore", "_ 1"),
    ("name digits", "a1 1"),
    ("name begins with digit", "1a 1"),
    ("name dash", "a-b 1"),
    ("name dot", "a.b 1"),
    ("name utf-8", "é 1"),
    ("name quoted", "\"a\" 1"),
    ("name in braces", "{\"a\"} 1"),
    ("name in braces with dot", "{\"a.b\"} 1"),
    ("name in braces with labels", "{\"a.b\",x=\"1\"} 1"),
    ("name in braces after labels", "{x=\"1\",\"a.b\"} 1"),
    ("name in braces twice", "{\"a\",\"b\"} 1"),
    ("name in braces and before", "a{\"b\"} 1"),
    ("name in braces empty", "{\"\"} 1"),
    ("name in braces escaped", "{\"a\\\"b\"} 1"),
    ("name in braces blanks", "{ \"a.b\" , x=\"1\" } 1"),
    ("name in braces trailing comma", "{\"a.b\",} 1"),
    ("name in braces and __name__", "{\"a\",__name__=\"b\"} 1"),
    ("name missing", "{x=\"1\"} 1"),
    ("name missing braces empty", "{} 1"),
    ("name missing value alone", " 1"),
    ("blank before name", " a 1"),
    ("blanks before name", "   a{x=\"1\"} 1"),
    ("tab before name", "\ta 1"),
    ("blanks before value", "a  1"),
    ("blanks after braces", "a{x=\"1\"}   1"),
    ("tab before value", "a\t1"),
    ("blank after value", "a 1 "),
    ("tab after value", "a 1\t"),
    ("form feed", "a\x0c1"),
    ("no-break space", "a\u{a0}1"),
    ("value missing", "a"),
    ("value missing with blank", "a "),
    ("value missing after braces", "a{x=\"1\"}"),
    ("comment after sample", "a 1 # comment"),
    ("comment directly after sample", "a 1# comment"),
    ("carriage return", "a 1\r"),
    ("carriage return before", "\ra 1"),
    ("carriage return after name", "a\r 1"),
    ("nul after value", "a 1\0"),
    ("nul alone", "\0"),
    ("two samples", "a 1\nb 2"),
    ("two labels sets", "a{x=\"1\"} 1\na{x=\"2\"} 2"),
    ("same series twice", "a{x=\"1\"} 1\na{x=\"1\"} 2"),
    ("same series twice equal", "a 1\na 1"),
    ("same series in other order", "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2"),
    ("same series with empty label", "a{x=\"\"} 1\na 2"),
    ("same series apart", "a 1\nb 1\na 2"),
    ("blank line", "a 1\n\nb 2"),
    ("blank line with blanks", "a 1\n  \t\nb 2"),
    ("blank line first", "\na 1"),
    ("blank line last", "a 1\n"),
    ("exemplar", "a_total 1 # {t=\"1\"} 1"),
    ("exemplar with time", "a_total 1 # {t=\"1\"} 1 1.5"),
    ("exemplar after time", "a_total 1 @NOW@ # {t=\"1\"} 1"),
    ("exemplar on bucket", "a_bucket{le=\"+Inf\"} 1 # {t=\"1\"} 0.5"),
    ("exemplar without labels", "a_total 1 # {} 1"),
    ("exemplar without value", "a_total 1 # {t=\"1\"}"),
    ("exemplar without braces", "a_total 1 # 1"),
    ("exemplar value", "a_total 1 # {t=\"1\"} x"),
    ("exemplar NaN", "a_total 1 # {t=\"1\"} NaN"),
    ("exemplar time", "a_total 1 # {t=\"1\"} 1 x"),
    ("exemplar blanks", "a_total 1  # {t=\"1\"} 1"),
    ("exemplar no blank", "a_total 1 #{t=\"1\"} 1"),
    ("exemplar text after", "a_total 1 # {t=\"1\"} 1 1.5 x"),
    ("exemplar label twice", "a_total 1 # {t=\"1\",t=\"2\"} 1"),
    ("exemplar trailing comma", "a_total 1 # {t=\"1\",} 1"),
    ("exemplar quoted label", "a_total 1 # {\"t.u\"=\"1\"} 1"),
    (
        "exemplar long",
        "a_total 1 # {t=\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"} 1",
    ),
    ("exemplar open", "a_total 1 # {t=\"1} 1"),
    ("exemplar twice", "a_total 1 # {t=\"1\"} 1 # {t=\"1\"} 1"),
    ("html", "<!DOCTYPE html><html></html>"),
    ("json", "{\"status\": \"up\"}"),
    ("json array", "[1]"),
    ("word", "ok"),
    ("yaml", "a: 1"),
    ("influx", "a,x=1 b=1 1395066363000"),
    ("graphite", "a.b 1 1395066363"),
    ("statsd", "a:1|c"),
    ("histogram", "a_bucket{le=\"0.1\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 2"),
    ("histogram bounds spelled twice", "a_bucket{le=\"1\"} 1\na_bucket{le=\"1.0\"} 1\na_bucket{le=\"+Inf\"} 2"),
    ("summary", "a{quantile=\"0.5\"} NaN\na_sum 0\na_count 0"),
    ("created", "a_total 1\na_created 1395066363.123"),
    ("reserved names", "up 5\nscrape_samples_scraped 7"),
];

/// Timestamps after the sample `a 1`, which stand beside a sample without one. `@NOW@` and others are times in the
/// unit of the format.
const TIMES: &[&str] = &[
    "@NOW@",
    "@NOW@ ",
    " @NOW@",
    "\t@NOW@",
    "@NOW@ x",
    "@NOW@ @NOW@",
    "@OLD@",
    "@STALE@",
    "@SOON@",
    "@FUTURE@",
    "@SECONDS@",
    "@MILLIS@",
    "0",
    "-1",
    "+1",
    "1",
    "1.5",
    "1e3",
    "1395066363",
    "1395066363000",
    "1395066363.5",
    "1395066363.123456789",
    "x",
    "1x",
    "0x1",
    "NaN",
    "Inf",
    "-Inf",
    "1_0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999",
];

/// Lines with metadata, before the samples `a_total 1` and `b 2`.
const METADATA: &[(&str, &str)] = &[
    ("help", "# HELP a An a."),
    ("help empty", "# HELP a "),
    ("help without text", "# HELP a"),
    ("help without name", "# HELP"),
    ("help without name blank", "# HELP "),
    ("help name with dash", "# HELP a-b c"),
    ("help name with digit", "# HELP 1a c"),
    ("help name with dot", "# HELP a.b c"),
    ("help name quoted", "# HELP \"a.b\" c"),
    ("help name in braces", "# HELP {\"a.b\"} c"),
    ("help escapes", "# HELP a \\n \\\\ \\\" \\x"),
    ("help utf-8", "# HELP a é✓"),
    ("help twice", "# HELP a A.\n# HELP a A."),
    ("help twice different", "# HELP a A.\n# HELP a B."),
    ("help tab", "# HELP\ta\tc"),
    ("help two blanks", "# HELP  a  c"),
    ("help lower case", "# help a c"),
    ("help without blank", "#HELP a c"),
    ("help blank before", " # HELP a c"),
    ("help carriage return", "# HELP a c\r"),
    ("type counter", "# TYPE a counter"),
    ("type gauge", "# TYPE a gauge"),
    ("type histogram", "# TYPE a histogram"),
    ("type summary", "# TYPE a summary"),
    ("type untyped", "# TYPE a untyped"),
    ("type unknown", "# TYPE a unknown"),
    ("type info", "# TYPE a info"),
    ("type stateset", "# TYPE a stateset"),
    ("type gaugehistogram", "# TYPE a gaugehistogram"),
    ("type word", "# TYPE a number"),
    ("type upper case", "# TYPE a Counter"),
    ("type all upper case", "# TYPE a COUNTER"),
    ("type missing", "# TYPE a"),
    ("type missing blank", "# TYPE a "),
    ("type without name", "# TYPE"),
    ("type twice", "# TYPE a counter\n# TYPE a counter"),
    ("type twice different", "# TYPE a counter\n# TYPE a gauge"),
    ("type two words", "# TYPE a counter gauge"),
    ("type two blanks", "# TYPE a  counter"),
    ("type tab", "# TYPE a\tcounter"),
    ("type blank after", "# TYPE a counter "),
    ("type quoted name", "# TYPE \"a.b\" counter"),
    ("type quoted name open", "# TYPE \"a.b counter"),
    ("type of another family", "# TYPE zzz counter"),
    ("type carriage return", "# TYPE a counter\r"),
    ("type before help", "# TYPE a counter\n# HELP a A."),
    ("type of counter with suffix", "# TYPE a_total counter"),
    ("unit", "# UNIT a_seconds seconds"),
    ("unit not suffix", "# UNIT a seconds"),
    ("unit empty", "# UNIT a "),
    ("unit missing", "# UNIT a"),
    ("unit twice", "# UNIT a_seconds seconds\n# UNIT a_seconds seconds"),
    ("unit without underscore", "# UNIT aseconds seconds"),
    ("comment", "# a comment"),
    ("comment without blank", "#a comment"),
    ("comment empty", "#"),
    ("comment blank", "# "),
    ("comment two hashes", "## a comment"),
    ("comment quote", "# a \" comment"),
    ("comment EOF", "# EOF"),
    ("comment EOF and text", "# EOF x"),
    ("comment EOF lower case", "# eof"),
];

/// Mutations of a whole page that ends with a line feed.
fn mutated_pages(page: &str) -> Vec<(&'static str, Vec<u8>)> {
    let utf16 = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
        let text = page.encode_utf16().flat_map(unit);
        mark.iter().copied().chain(text).collect::<Vec<u8>>()
    };
    let with = |from: &str, to: &[u8]| {
        let at = page.find(from).unwrap();
        [&page.as_bytes()[..at], to, &page.as_bytes()[at + from.len()..]].concat()
    };
    vec![
        ("as it is", page.into()),
        ("empty", Vec::new()),
        ("line feed alone", b"\n".to_vec()),
        ("no line feed at end", page.trim_end().into()),
        ("two line feeds at end", [page.as_bytes(), b"\n"].concat()),
        ("byte order mark", [b"\xef\xbb\xbf", page.as_bytes()].concat()),
        ("UTF-16 little-endian", utf16(b"\xff\xfe", u16::to_le_bytes)),
        ("UTF-16 big-endian", utf16(b"\xfe\xff", u16::to_be_bytes)),
        ("UTF-16 without mark", utf16(b"", u16::to_le_bytes)),
        ("Latin-1 label value", with("one", b"\xe9")),
        ("Latin-1 help", with("Help", b"\xe9")),
        ("overlong UTF-8", with("one", b"\xc0\x80")),
        ("surrogate in UTF-8", with("one", b"\xed\xa0\x80")),
        ("carriage returns", page.replace('\n', "\r\n").into()),
        ("carriage returns only", page.replace('\n', "\r").into()),
        ("cut in a name", page.as_bytes()[..page.find("_total").unwrap() + 2].to_vec()),
        ("cut in a label", page.as_bytes()[..page.find("one").unwrap() + 1].to_vec()),
        ("cut before a value", page.as_bytes()[..page.find("} 1").unwrap() + 1].to_vec()),
        ("twice", [page, page].concat().into()),
        ("text after", [page.as_bytes(), b"z 1\n"].concat()),
        ("long help", with("Help", "h".repeat(100_000).as_bytes())),
        ("long label value", with("one", "v".repeat(100_000).as_bytes())),
        ("long label name", with("x=", format!("{}=", "n".repeat(2_000)).as_bytes())),
        (
            "many labels",
            with("x=", format!("{}x=", (0..150).map(|n| format!("l{n}=\"{n}\",")).collect::<String>()).as_bytes()),
        ),
        ("many blank lines", [&b"\n".repeat(1_000), page.as_bytes()].concat()),
        ("nul at end", [page.as_bytes(), b"\0"].concat()),
    ]
}

/// Content types of a plain page, valid in both formats but for the end.
const CONTENT_TYPES: &[(&str, Option<&str>)] = &[
    ("none", None),
    ("empty", Some("")),
    ("text", Some("text/plain")),
    ("text upper case", Some("Text/Plain; Version=0.0.4")),
    ("text without blank", Some("text/plain;version=0.0.4")),
    ("text 1.0.0", Some("text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8")),
    ("text other version", Some("text/plain; version=2.0.0")),
    ("text Latin-1", Some("text/plain; charset=iso-8859-1")),
    ("text UTF-16", Some("text/plain; charset=utf-16")),
    ("text broken parameter", Some("text/plain; version")),
    ("text semicolon", Some("text/plain;")),
    ("html", Some("text/html; charset=utf-8")),
    ("json", Some("application/json")),
    ("octets", Some("application/octet-stream")),
    ("two", Some("text/plain, text/html")),
    ("no slash", Some("text")),
    ("words", Some("not a type")),
    ("OpenMetrics", Some("application/openmetrics-text")),
    ("OpenMetrics 0.0.1", Some("application/openmetrics-text; version=0.0.1")),
    ("OpenMetrics 1.0.0", Some("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores")),
    ("OpenMetrics upper case", Some("Application/OpenMetrics-Text; version=1.0.0")),
];

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Encodings of a page of two lines.
fn encoded_pages() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (first, second) = (&b"a 1\nb"[..], &b" 2\n"[..]);
    let page = [first, second].concat();
    let packed = gzip(&page);
    let damaged = {
        let mut bytes = packed.clone();
        let at = bytes.len() - 6;
        bytes[at] ^= 1;
        bytes
    };
    vec![
        ("gzip", "gzip", packed.clone()),
        ("gzip members", "gzip", [gzip(first), gzip(second)].concat()),
        ("gzip empty member", "gzip", [packed.clone(), gzip(b"")].concat()),
        ("gzip cut", "gzip", packed[..packed.len() - 4].to_vec()),
        ("gzip damaged", "gzip", damaged),
        ("gzip and bytes", "gzip", [&packed[..], b"rest"].concat()),
        ("gzip and zeros", "gzip", [&packed[..], &[0; 8]].concat()),
        ("gzip declared only", "gzip", page.clone()),
        ("gzip not declared", "", packed.clone()),
        ("identity", "identity", page.clone()),
        ("unknown encoding of plain text", "utf-8", page.clone()),
        ("deflate", "deflate", zlib(&page)),
        ("deflate of plain text", "deflate", page.clone()),
        ("br of plain text", "br", page),
    ]
}

/// All pages. `now` is in milliseconds since the epoch.
pub(super) fn all(now: i64) -> Vec<CorpusPage> {
    let mut pages = Vec::new();
    let mut add = |group: &str, name: &str, lines: &str| {
        for (format, content_type, end) in [("text", TEXT, "\n"), ("open", OPEN, "\n# EOF\n")] {
            pages.push(CorpusPage {
                name: format!("{format}: {group}: {name}"),
                content_type: Some(content_type.to_owned()),
                content_encoding: None,
                body: (times(lines, now, format == "open") + end).into(),
            });
        }
    };
    VALUES.iter().for_each(|value| add("value", value, &format!("a {value}")));
    SAMPLES.iter().for_each(|(name, lines)| add("sample", name, lines));
    TIMES.iter().for_each(|time| add("time", &time.replace('\t', "\\t"), &format!("a 1 {time}\nb 2")));
    METADATA.iter().for_each(|(name, lines)| add("metadata", name, &format!("{lines}\na_total 1\nb 2")));
    METADATA
        .iter()
        .filter(|(name, _)| name.contains("type") || name.contains("help"))
        .for_each(|(name, lines)| add("metadata after samples", name, &format!("a_total 1\nb 2\n{lines}")));
    let whole = "# HELP a Help.\n# TYPE a counter\na_total{x=\"one\"} 1\nb 2\n";
    for (format, content_type, page) in [("text", TEXT, whole.to_owned()), ("open", OPEN, format!("{whole}# EOF\n"))] {
        pages.extend(mutated_pages(&page).into_iter().map(|(name, body)| CorpusPage {
            name: format!("{format}: page: {name}"),
            content_type: Some(content_type.to_owned()),
            content_encoding: None,
            body,
        }));
    }
    pages.extend(CONTENT_TYPES.iter().map(|(name, content_type)| CorpusPage {
        name: format!("content type: {name}"),
        content_type: content_type.map(str::to_owned),
        content_encoding: None,
        body: if name.starts_with("OpenMetrics") { b"a 1\n# EOF\n".to_vec() } else { b"a 1\n".to_vec() },
    }));
    pages.extend(encoded_pages().into_iter().map(|(name, encoding, body)| CorpusPage {
        name: format!("encoding: {name}"),
        content_type: Some(TEXT.to_owned()),
        content_encoding: (!encoding.is_empty()).then_some(encoding),
        body,
    }));
    pages
}

/// Replaces the names of times with times in the unit of the format: milliseconds in the text format, seconds in
/// OpenMetrics.
fn times(lines: &str, now: i64, seconds: bool) -> String {
    let unit = |at: i64| if seconds { format!("{}.{:03}", at / 1_000, at % 1_000) } else { at.to_string() };
    let (minute, day) = (60_000, 86_400_000);
    lines
        .replace("@NOW@", &unit(now))
        .replace("@OLD@", &unit(now - 2 * day))
        .replace("@STALE@", &unit(now - 6 * minute))
        .replace("@SOON@", &unit(now + 2 * minute))
        .replace("@FUTURE@", &unit(now + 2 * day))
        .replace("@SECONDS@", &(now / 1_000).to_string())
        .replace("@MILLIS@", &now.to_string())
}
