use std::{
    cell::Cell,
    future::Future,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use flate2::{Compression, write};

use super::*;

const BODY: BodyKind = BodyKind { name: "body", unreadable: Reason::Body };

/// Decodes a body. Returns its size and the number of times that another task ran meanwhile.
async fn decode_pieces(encoding: &str, limit: u64, packed: &[u8], piece: usize) -> Result<(u64, usize), Failure> {
    let mut decoder = BodyDecoder::new(Some(encoding), Size(limit), BODY).unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let others = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let mut size = 0;
    let mut outcome = Ok(());
    for piece in packed.chunks(piece) {
        outcome = decoder
            .decode(piece, |part| {
                assert!(part.len() <= MAX_STEP);
                size += part.len() as u64;
                Ok(())
            })
            .await;
        if outcome.is_err() {
            break;
        }
    }
    others.abort();
    outcome?;
    decoder.finish()?;
    assert_eq!(decoder.produced_bytes(), size);
    Ok((size, turns.load(Ordering::Relaxed)))
}

/// Compresses a text with `gzip`, `zlib` or raw `deflate`; any other format returns the text itself.
pub(in crate::io::http) fn compress(format: &str, text: &[u8]) -> Vec<u8> {
    let level = Compression::fast();
    match format {
        "gzip" => {
            let mut to = write::GzEncoder::new(Vec::new(), level);
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        "zlib" => {
            let mut to = write::ZlibEncoder::new(Vec::new(), level);
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        "deflate" => {
            let mut to = write::DeflateEncoder::new(Vec::new(), level);
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        _ => text.to_vec(),
    }
}

#[tokio::test]
async fn sizes_around_every_buffer_come_in_whole() {
    let noise: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for buffer in [MAX_STEP, 2 * MAX_STEP, 32 << 10, MAX_WORK, 128 << 10] {
        for size in [buffer - 1, buffer, buffer + 1] {
            for text in [&vec![b'a'; size], &noise[..size]] {
                for (encoding, format) in
                    [("gzip", "gzip"), ("deflate", "zlib"), ("deflate", "deflate"), ("identity", "identity")]
                {
                    let packed = compress(format, text);
                    for piece in [packed.len(), packed.len() - 1, MAX_STEP, 1_000] {
                        let (came, _) = decode_pieces(encoding, size as u64, &packed, piece).await.unwrap();
                        assert_eq!(came, size as u64, "{format} of {size} by {piece}");
                        let over = decode_pieces(encoding, size as u64 - 1, &packed, piece).await.unwrap_err();
                        assert_eq!(over.reason, Reason::TooLarge, "{over}");
                    }
                    if format != "identity" {
                        let cut = decode_pieces(encoding, 1 << 20, &packed[..packed.len() - 1], MAX_STEP).await;
                        assert_eq!(cut.unwrap_err().reason, Reason::Body, "{format} of {size}, cut by a byte");
                    }
                }
            }
        }
    }
}

/// Empty stored blocks, without end.
fn empty_blocks(bytes: usize) -> Vec<u8> {
    let blocks = [0, 0, 0, 0xff, 0xff].into_iter().cycle().take(bytes);
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255].into_iter().chain(blocks).collect()
}

#[tokio::test]
async fn input_without_output_has_a_limit_of_its_own_and_lets_others_run() {
    let members = compress("gzip", b"").repeat(100_000);
    for (name, endless) in [("empty blocks", empty_blocks(2 << 20)), ("empty members", members)] {
        let over = decode_pieces("gzip", 1 << 20, &endless, endless.len()).await.unwrap_err();
        assert_eq!(over.reason, Reason::TooLarge, "{name}");
        assert!(over.detail.contains("decompresses to almost nothing"), "{name}: {over}");
    }
    for (name, bytes) in [("plain", vec![b'a'; 4 << 20]), ("a bomb", compress("gzip", &vec![0; 4 << 20]))] {
        let encoding = if name == "plain" { "identity" } else { "gzip" };
        let (_, turns) = decode_pieces(encoding, 4 << 20, &bytes, bytes.len()).await.unwrap();
        assert!(turns >= (4 << 20) / MAX_WORK, "{name}: the others had {turns} turns in 4MiB");
    }
}

#[tokio::test]
async fn no_turn_is_long() {
    let input = empty_blocks(1 << 20);
    let mut decoder = BodyDecoder::new(Some("gzip"), Size(4 << 20), BODY).unwrap();
    let longest = Cell::new(Duration::ZERO);
    let work = decoder.decode(&input, |_| Ok(()));
    let mut work = std::pin::pin!(work);
    let polled = std::future::poll_fn(|cx| {
        let start = Instant::now();
        let polled = work.as_mut().poll(cx);
        longest.set(longest.get().max(start.elapsed()));
        polled
    });
    polled.await.unwrap();
    // Without optimisation, on a machine that compiles beside it.
    assert!(longest.get() < Duration::from_millis(50), "a turn took {:?}", longest.get());
}
