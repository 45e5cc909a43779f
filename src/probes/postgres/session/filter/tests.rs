use tokio_postgres::types::Type;

use super::*;
use crate::probes::postgres::session::allowance::{MAX_BYTES, MAX_MESSAGES};

fn message(tag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], payload].concat()
}

fn row_description(types: &[u32]) -> Vec<u8> {
    let mut payload = u16::try_from(types.len()).unwrap().to_be_bytes().to_vec();
    for oid in types {
        payload.extend([b"name\0\0\0\0\0\0\0", &oid.to_be_bytes()[..], &[0; 8]].concat());
    }
    message(b'T', &payload)
}

fn challenge(count: &str) -> Vec<u8> {
    message(b'R', format!("\0\0\0\x0br=nonce,s=c2FsdA==,i={count}").as_bytes())
}

/// A filter behind the login.
fn logged_in() -> Filter {
    Filter { logged_in: true, ..Filter::default() }
}

/// What reaches the driver of a stream that comes in pieces of a size.
fn screen(mut filter: Filter, stream: &[u8], piece: usize) -> Result<(Vec<u8>, Option<u32>), Failure> {
    let (mut out, mut iterations) = (BytesMut::new(), None);
    let allowance = ByteBudget::default();
    for part in stream.chunks(piece) {
        iterations = filter.filter_bytes(part, &allowance, &mut out)?.or(iterations);
    }
    Ok((out.to_vec(), iterations))
}

#[test]
fn asynchronous_messages_are_left_out_however_the_stream_is_cut() {
    let notice = message(b'N', b"SNOTICE\0Mhello\0\0");
    let login = [message(b'R', &[0; 4]), message(b'K', &[0; 8]), message(b'Z', b"I")];
    let answer = [message(b'1', b""), row_description(&[23, 25, 1_042]), message(b'D', &[0; 300])];
    let expected = [login.concat(), answer.concat()].concat();
    let mut stream = notice.clone();
    for part in login.iter().chain(&answer) {
        let more = [part.clone(), message(b'S', b"a\0b\0"), message(b'A', b"\0\0\0\x01c\0p\0"), notice.clone()];
        stream.extend(more.concat());
    }
    for piece in [1, 2, 3, 4, 5, 7, 64, stream.len()] {
        let (out, iterations) = screen(Filter::default(), &stream, piece).unwrap();
        assert_eq!((out, iterations), (expected.clone(), None), "in pieces of {piece}");
    }
}

#[test]
fn a_description_of_anything_but_built_in_types_is_refused() {
    let parameters = |types: &[u32]| {
        let types = types.iter().flat_map(|oid| oid.to_be_bytes());
        message(b't', &[0, 1].into_iter().chain(types).collect::<Vec<_>>())
    };
    let every_built_in = [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::FLOAT8, Type::TEXT, Type::NUMERIC];
    let every_built_in: Vec<_> = every_built_in.iter().map(Type::oid).collect();
    assert!(screen(logged_in(), &row_description(&every_built_in), 9).is_ok());
    assert!(screen(logged_in(), &parameters(&[23]), 9).is_ok());
    let cut = |mut message: Vec<u8>| {
        message.pop();
        message[4] -= 1;
        message
    };
    for (stream, word) in [
        (row_description(&[23, 16_384]), "type 16384"),
        (row_description(&[0]), "type 0"),
        (parameters(&[u32::MAX]), "type 4294967295"),
        (parameters(&[23, 23]), "can't be read"),
        (cut(row_description(&[23])), "can't be read"),
        (message(b'T', &[0, 1, b'x']), "can't be read"),
        (message(b'T', b""), "can't be read"),
        (message(b'R', &[0; 4]), "after the login"),
        (b"D\0\0\0\x03".to_vec(), "3 bytes"),
    ] {
        for piece in [1, stream.len()] {
            let refusal = screen(logged_in(), &stream, piece).unwrap_err();
            assert_eq!(refusal.reason, Reason::Protocol, "{refusal}");
            assert!(refusal.detail.contains(word), "{refusal}");
        }
    }
}

#[test]
fn iterations_are_read_and_too_many_are_explained() {
    for (count, iterations) in [("4096", 4_096), ("100000", 100_000), ("1", 1)] {
        assert_eq!(screen(Filter::default(), &challenge(count), 1).unwrap().1, Some(iterations), "{count}");
    }
    for count in ["100001", "600000", "4294967295", "18446744073709551615"] {
        let refusal = screen(Filter::default(), &challenge(count), 1).unwrap_err();
        assert_eq!(refusal.reason, Reason::Auth);
        let words = format!("asks for {count} SCRAM iterations, and this program computes at most 100000: lower");
        assert!(refusal.detail.contains(&words), "{refusal}");
    }
    let refusal = screen(Filter::default(), &challenge(&"9".repeat(1_000)), 1).unwrap_err();
    assert!(refusal.detail.contains("asks for 18446744073709551615 SCRAM"), "{refusal}");
    for count in ["", "x", "-1", "+5", "4096,m=x"] {
        assert_eq!(screen(Filter::default(), &challenge(count), 1).unwrap_err().reason, Reason::Protocol, "{count}");
    }
    assert_eq!(screen(Filter::default(), &message(b'R', b"\0\0\0\x0c"), 1).unwrap().1, None);
}

#[test]
fn messages_bytes_and_announced_lengths_are_bounded() {
    let notice = message(b'N', b"");
    assert!(screen(logged_in(), &notice.repeat(MAX_MESSAGES), 1 << 20).is_ok());
    for (filter, stream, word) in [
        (logged_in(), notice.repeat(MAX_MESSAGES + 1), "10000 messages"),
        (logged_in(), message(b'D', &vec![0; MAX_BYTES]), "announces a message of 4194304 bytes"),
        (logged_in(), message(b'D', &vec![0; MAX_BYTES / 8]).repeat(9), "announces a message of"),
        (logged_in(), b"D\x7f\xff\xff\xff".to_vec(), "announces a message of 2147483643 bytes"),
        (Filter::default(), message(b'R', &[0; MAX_AUTHENTICATION + 1]), "16385 bytes to authenticate"),
    ] {
        let refusal = screen(filter, &stream, 1 << 16).unwrap_err();
        assert_eq!(refusal.reason, Reason::TooLarge);
        assert!(refusal.detail.contains(word), "{refusal}");
    }
}

#[test]
fn another_protocol_is_told_by_its_first_byte() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\0\0", "+OK redis\r\n"] {
        let refusal = screen(Filter::default(), answer.as_bytes(), 4).unwrap_err();
        assert!(refusal.reason == Reason::Protocol && refusal.detail.contains("is the port right?"), "{refusal}");
    }
    // An SSH banner begins as a message of parameters does; its length gives it away.
    assert_eq!(screen(Filter::default(), b"SSH-2.0-OpenSSH", 4).unwrap_err().reason, Reason::TooLarge);
}
