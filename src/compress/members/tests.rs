use std::{
    io::Write,
    process::{Command, Stdio},
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use proptest::prelude::*;

use super::*;

/// Compressible and incompressible content.
fn contents(size: usize) -> [Vec<u8>; 2] {
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    [vec![b'a'; size], noise.take(size).collect()]
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Decodes input chunks of one size into a buffer of another size.
fn read(packed: &[u8], piece: usize, room: usize) -> io::Result<Vec<u8>> {
    let (mut members, mut all) = (GzipDecoder::default(), Vec::new());
    for mut piece in packed.chunks(piece) {
        loop {
            let mut output = Vec::with_capacity(room);
            let consumed = members.step(piece, &mut output)?;
            piece = &piece[consumed..];
            all.extend_from_slice(&output);
            if piece.is_empty() && output.len() < output.capacity() {
                break;
            }
        }
    }
    members.finish().map(|()| all)
}

/// Whether `gzip -t` accepts the data.
fn tool(packed: &[u8]) -> bool {
    let mut child =
        Command::new("gzip").arg("-t").stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("gzip is installed");
    // The tool may stop reading at the first error.
    let _ = child.stdin.take().unwrap().write_all(packed);
    child.wait().unwrap().success()
}

#[test]
fn sizes_around_every_buffer_come_back_whole() {
    for buffer in [1 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10] {
        for size in [buffer - 1, buffer, buffer + 1] {
            for content in contents(size) {
                let packed = gzip(&content);
                for (piece, room) in
                    [(buffer, buffer), (packed.len(), buffer), (packed.len() - 1, buffer), (7, 1 << 10)]
                {
                    assert!(read(&packed, piece, room).unwrap() == content, "{size} by {piece} into {room}");
                }
            }
        }
    }
}

#[test]
fn the_verdict_is_that_of_gzip() {
    for content in [&contents(0)[0], &contents(5_000)[0], &contents(5_000)[1]] {
        let packed = gzip(content);
        let empty = gzip(b"");
        let named = GzBuilder::new()
            .filename("a.dump")
            .comment("nightly")
            .extra(vec![7; 300])
            .write(Vec::new(), Compression::fast());
        let named = {
            let mut named = named;
            named.write_all(content).unwrap();
            named.finish().unwrap()
        };
        let mut cases: Vec<(String, Vec<u8>)> = vec![
            ("whole".into(), packed.clone()),
            ("with name, comment and extra field".into(), named),
            ("two members".into(), [&*packed, &*packed].concat()),
            ("an empty member between".into(), [&*packed, &*empty, &*packed].concat()),
            ("a member after padding".into(), [&*packed, &[0, 0], &*packed].concat()),
            ("nothing".into(), Vec::new()),
        ];
        for cut in [1, 4, 8, 9, packed.len() / 2, packed.len() - 1] {
            cases.push((format!("cut by {cut}"), packed[..packed.len() - cut].to_vec()));
        }
        for tail in [&[0][..], &[0; 600], &[1], &[0x1f], &[0x1f, 0x8b], b"ab", &[0, 1]] {
            cases.push((format!("tail {tail:?}"), [&*packed, tail].concat()));
        }
        for at in [0, 1, 2, 3, packed.len() / 2, packed.len() - 8, packed.len() - 1] {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x80;
            cases.push((format!("damaged at {at}"), damaged));
        }
        for (name, packed) in cases {
            for (piece, room) in [(1, 1 << 10), (1 << 20, 1 << 10), (packed.len().max(2) - 1, 5_000)] {
                let ours = read(&packed, piece, room);
                assert_eq!(ours.is_ok(), tool(&packed), "{name}, {} bytes: {ours:?}", packed.len());
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1usize..20) {
        let _ = read(&bytes, cut, 64);
        let _ = read(&[&[0x1f, 0x8b, 8][..], &bytes].concat(), cut, 64);
    }
}
