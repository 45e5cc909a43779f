//! Hostile targets of `http` probes, in HTTP/2 without encryption.

use super::flood::{Attack, Siege};

const BAD: &str = "
    - name: bad
      http: {url: \"http://${TARGET}/\", http_version: \"2\"}
      interval: 400ms
      timeout: 300ms
    ";

const SETTINGS: u8 = 4;
const STREAM: u32 = 1;
/// `:status: 200`, `:status: 103` and a header, in HPACK without its tables.
const STATUS_200: &[u8] = &[0x88];
const STATUS_103: &[u8] = b"\x08\x03103";

/// A frame (RFC 9113, section 4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn start() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

pub(super) fn well() -> Vec<u8> {
    [start(), frame(1, 4, STREAM, STATUS_200), frame(0, 1, STREAM, b"ok")].concat()
}

#[test]
fn no_flood_of_frames_holds_up_the_daemon() {
    let siege = Siege::lay(BAD, &well());
    let any = &["fail timeout", "fail protocol", "fail too_large"];
    let headers = [start(), frame(1, 4, STREAM, STATUS_200)].concat();
    let attacks = vec![
        Attack::endless("endless PING", any, start(), frame(6, 0, 0, &[0; 8])),
        Attack::endless("endless SETTINGS", any, start(), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        Attack::endless("endless WINDOW_UPDATE", any, start(), frame(8, 0, 0, &[0, 0, 0, 1])),
        Attack::endless("endless interim HEADERS", any, start(), frame(1, 4, STREAM, STATUS_103)),
        Attack::endless(
            "endless CONTINUATION",
            any,
            [start(), frame(1, 0, STREAM, STATUS_200)].concat(),
            frame(9, 0, STREAM, b"\x00\x01a\x01b"),
        ),
        Attack::endless(
            "endless empty CONTINUATION",
            any,
            [start(), frame(1, 0, STREAM, STATUS_200)].concat(),
            frame(9, 0, STREAM, b""),
        ),
        Attack::endless("endless empty DATA", any, headers.clone(), frame(0, 0, STREAM, b"")),
        Attack::endless("endless DATA of a byte", any, headers, frame(0, 0, STREAM, b"a")),
        Attack::endless("endless RST_STREAM", any, start(), frame(3, 0, STREAM, &[0, 0, 0, 8])),
        Attack::endless("endless PRIORITY", any, start(), frame(2, 0, 3, &[0, 0, 0, 0, 1])),
        Attack::endless("endless frames of an unknown kind", any, start(), frame(0x7f, 0, 0, b"")),
    ];
    siege.endure("bad/health", attacks, 120);
}
