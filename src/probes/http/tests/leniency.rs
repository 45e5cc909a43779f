//! Acceptance of responses that violate a standard, compared with curl.

use std::process::Command;

use super::*;

/// Result of reading a response.
#[derive(Debug, Clone, PartialEq)]
enum Reading {
    Read(u16, Vec<u8>),
    Refused,
}

/// Deliberate differences from curl.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Difference {
    None,
    /// curl reads the response, and the probe refuses it. The end of the response depends on the reader, the head is
    /// incomplete, or the name of the protocol is wrong (RFC 9112, sections 2.3, 6.3 and 8).
    Stricter,
    /// The probe reads the response like browsers, and curl refuses it. RFC 9112, sections 2.2 and 5.2, allows empty lines
    /// before the response and folded values; a line that is no header has no meaning.
    Lenient,
}

use Difference::{Lenient, None as Same, Stricter};

const RESPONSES: &[(&str, Difference, &[u8])] = &[
    ("plain", Same, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("no reason", Same, b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    ("empty reason", Same, b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
    ("Latin-1 reason", Same, b"HTTP/1.1 200 Schl\xfcssel\r\nContent-Length: 2\r\n\r\nok"),
    ("line feeds only", Same, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("HTTP/1.0", Same, b"HTTP/1.0 200 OK\r\n\r\nok"),
    ("folded with a blank", Same, b"HTTP/1.1 200 OK\r\nX-A: one,\r\n two\r\nContent-Length: 2\r\n\r\nok"),
    ("folded with a tab", Same, b"HTTP/1.1 200 OK\r\nX-A: one,\r\n\ttwo\r\nContent-Length: 2\r\n\r\nok"),
    ("folded twice", Same, b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\n  c\r\nContent-Length: 2\r\n\r\nok"),
    ("folded, empty first line", Same, b"HTTP/1.1 200 OK\r\nX-A:\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    ("folded length", Lenient, b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok"),
    ("blank before the colon", Same, b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok"),
    ("tab before the colon", Same, b"HTTP/1.1 200 OK\r\nX-A\t: b\r\nContent-Length: 2\r\n\r\nok"),
    ("no blank after the colon", Same, b"HTTP/1.1 200 OK\r\nX-A:b\r\nContent-Length:2\r\n\r\nok"),
    ("blanks after the value", Same, b"HTTP/1.1 200 OK\r\nX-A:  b \t \r\nContent-Length: 2 \r\n\r\nok"),
    ("empty value", Same, b"HTTP/1.1 200 OK\r\nX-A:\r\nContent-Length: 2\r\n\r\nok"),
    ("Latin-1 value", Same, b"HTTP/1.1 200 OK\r\nX-A: Gr\xf6\xdfe\r\nContent-Length: 2\r\n\r\nok"),
    ("UTF-8 value", Same, b"HTTP/1.1 200 OK\r\nX-A: Gr\xc3\xb6\xc3\x9fe\r\nContent-Length: 2\r\n\r\nok"),
    ("blank in a name", Same, b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\nok"),
    ("odd bytes in a name", Same, b"HTTP/1.1 200 OK\r\nX@A(b): b\r\nContent-Length: 2\r\n\r\nok"),
    ("Latin-1 name", Same, b"HTTP/1.1 200 OK\r\nGr\xf6\xdfe: b\r\nContent-Length: 2\r\n\r\nok"),
    ("no colon", Lenient, b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok"),
    ("empty name", Same, b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 2\r\n\r\nok"),
    ("control byte in a value", Same, b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 2\r\n\r\nok"),
    ("zero byte in a value", Same, b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    ("same length twice", Same, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("list of equal lengths", Same, b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
    ("lengths that differ", Stricter, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\nok"),
    ("negative length", Same, b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    (
        "length and chunks",
        Stricter,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("chunks", Same, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    (
        "extension and trailer",
        Same,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-A: b\r\n\r\n",
    ),
    ("blanks after a chunk size", Same, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n"),
    (
        "leading zeros of a chunk size",
        Same,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n0\r\n\r\n",
    ),
    ("chunks cut off", Same, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok"),
    ("no last chunk", Same, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
    ("chunk size is no number", Same, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\nok\r\n0\r\n\r\n"),
    ("body cut off", Same, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
    ("bytes after the body", Same, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"),
    ("until the end", Same, b"HTTP/1.1 200 OK\r\n\r\nok"),
    ("204 with a body", Same, b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"),
    (
        "interim responses",
        Same,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("lower-case version", Stricter, b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("unknown minor version", Same, b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status of two digits", Same, b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("no HTTP", Same, b"220 mail.example ESMTP\r\n"),
    ("empty lines before", Lenient, b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("head cut off", Stricter, b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("nothing", Same, b""),
];

fn read_with_curl(url: &str) -> Reading {
    let curl = Command::new("curl")
        .args(["--silent", "--max-time", "5", "--noproxy", "*", "--write-out", "\n%{http_code}", url])
        .output()
        .expect("curl is installed");
    if !curl.status.success() {
        return Reading::Refused;
    }
    let at = curl.stdout.iter().rposition(|byte| *byte == b'\n').unwrap();
    let status = String::from_utf8_lossy(&curl.stdout[at + 1..]).parse().unwrap();
    Reading::Read(status, curl.stdout[..at].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn sloppy_responses_are_read_as_by_curl() {
    let mut wrong = Vec::new();
    for (name, difference, response) in RESPONSES {
        let server = answering(*response).await;
        let url = server.url();
        let curl = tokio::task::spawn_blocking(move || read_with_curl(&url)).await.unwrap();
        let own = match run(json!({"url": server.url(), "expect_status": ["100-599"]})).await {
            Ok(facts) => {
                let response = facts.response.unwrap();
                Reading::Read(response.status, response.body.unwrap().to_vec())
            }
            Err(_) => Reading::Refused,
        };
        let found = match (&own, &curl) {
            (own, curl) if own == curl => Same,
            (Reading::Refused, Reading::Read(..)) => Stricter,
            (Reading::Read(..), Reading::Refused) => Lenient,
            _ => {
                wrong.push(format!("{name}: read as {own:?}, by curl as {curl:?}"));
                continue;
            }
        };
        if found != *difference {
            wrong.push(format!("{name}: {found:?}, own {own:?}, curl {curl:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), RESPONSES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn encodings_are_decoded_as_by_curl_if_they_are_accepted() {
    let zstd = zstd::stream::encode_all(&b"ok"[..], 3).unwrap();
    for (encoding, body) in [("br", &[0x8b, 0x00, 0x80, b'o', b'k', 0x03][..]), ("zstd", &zstd)] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", body.len());
        let server = answering([head.as_bytes(), body].concat()).await;
        let settings = json!({"url": server.url(), "headers": {"Accept-Encoding": encoding}});
        let response = run(settings).await.unwrap().response.unwrap();
        assert_eq!((response.body.unwrap(), response.received_size), ("ok".into(), body.len() as u64), "{encoding}");
        let url = server.url();
        let curl = move || Command::new("curl").args(["--silent", "--compressed", "--noproxy", "*", &url]).output();
        let curl = tokio::task::spawn_blocking(curl).await.unwrap().unwrap();
        // curl may be built without zstd.
        assert!(curl.stdout == b"ok" || encoding == "zstd", "{curl:?}");
        let failure = failure(json!({"url": server.url()})).await;
        assert!(failure.detail.contains("name it in a header `Accept-Encoding`"), "{failure}");
    }
}

#[tokio::test]
async fn folded_and_foreign_header_values_are_compared_as_text() {
    let response =
        b"HTTP/1.1 200 OK\r\nX-Folded: one,\r\n\ttwo\r\nX-Latin : Gr\xf6\xdfe\r\nX-Utf: Gr\xc3\xb6\xc3\x9fe\r\n\r\n";
    let response = run(json!({"url": answering(*response).await.url()})).await.unwrap().response.unwrap();
    let values = |name: &str| response.header_values(name).collect::<Vec<_>>();
    assert_eq!(values("x-latin"), ["Größe"]);
    assert_eq!(values("x-utf"), ["Größe"]);
    let folded: Vec<_> = values("x-folded")[0].split_whitespace().map(str::to_owned).collect();
    assert_eq!(folded, ["one,", "two"]);
}

#[tokio::test]
async fn a_location_in_raw_utf_8_or_latin_1_is_followed_like_by_curl() {
    for location in
        [&b"/gr\xc3\xb6\xc3\x9fe?q=\xc3\xa4"[..], b"/gr\xf6\xdfe", b"/a b", b"  /plain", b"?x=1", b"/%C3%A4"]
    {
        let answer = move |head: &str| match head.starts_with("GET /health HTTP") {
            true => [b"HTTP/1.1 302 Found\r\nLocation: ", location, b"\r\nContent-Length: 0\r\n\r\n"].concat(),
            false => OK.into(),
        };
        let server = serve(answer).await;
        let url = format!("http://{}/health", server.address);
        run(json!({"url": url, "follow_redirects": true})).await.unwrap();
        let own = server.asked().pop().unwrap();
        let args = ["--silent", "--location", "--max-time", "5", "--noproxy", "*", &url].map(str::to_owned);
        let curl = tokio::task::spawn_blocking(move || Command::new("curl").args(args).output().unwrap());
        assert!(curl.await.unwrap().status.success());
        let curl = server.asked().pop().unwrap();
        let line = |head: &str| head.lines().next().unwrap().to_ascii_lowercase();
        // curl sends bytes above ASCII as they are; RFC 3986 requires them to be percent-encoded.
        let decoded = |line: String| percent_encoding::percent_decode_str(&line).decode_utf8_lossy().into_owned();
        let shown = String::from_utf8_lossy(location);
        assert_eq!(decoded(line(&own)), decoded(line(&curl)), "{shown}");
        assert!(line(&own).is_ascii(), "{own}");
    }
}
