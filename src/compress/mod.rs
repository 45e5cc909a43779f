//! Builds one gzip stream from parts that were compressed at different times, in chunks, and decompresses a part.
//!
//! RFC 1952 frames one deflate stream. Deflate blocks can be concatenated if the first part ends on a byte boundary (a
//! sync flush). Two gzip members would be simpler, but many clients stop after the first member.
//!
//! Compressed data is stored in chunks of one size, because pages are allocated and freed every few seconds, and large
//! blocks would fragment the heap.

mod members;

use std::sync::Arc;

use bytes::{Buf, Bytes};
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress};

pub(crate) use self::members::GzipDecoder;

/// Position of a part in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamPart {
    /// The first part: starts with the header.
    First,
    /// The last part: the trailer follows.
    Last,
}

/// Checksum and length of the uncompressed text.
pub(crate) type PartChecksum = Arc<Crc>;

/// Magic, deflate, no flags, no time, no extra flags, unknown system. The header is constant, so equal pages have equal
/// bytes.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Size of a chunk, compressed or not.
const CHUNK_BYTES: usize = 64 << 10;
/// Spare output capacity, larger than the compressor's internal buffers (two blocks of 85 KiB). With less capacity, a
/// flush needs a second call, which only returns the rest of the block and reports success without flushing.
const OUTPUT_HEADROOM: usize = 192 << 10;

/// A compressed part.
#[derive(Debug, Clone)]
pub(crate) struct Compressed {
    /// Chunks of [`CHUNK_BYTES`], except the last.
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) checksum: PartChecksum,
}

/// Compresses one part incrementally.
pub(crate) struct Compressor {
    deflate: Compress,
    crc: Crc,
    full: Vec<Bytes>,
    /// Output since the last full chunk.
    compressed: Vec<u8>,
    place: StreamPart,
}

impl Compressor {
    pub(crate) fn new(place: StreamPart) -> Self {
        let mut compressed = Vec::with_capacity(CHUNK_BYTES + OUTPUT_HEADROOM);
        if place == StreamPart::First {
            compressed.extend(HEADER);
        }
        // The fastest level: pages are so repetitive that better levels gain little for three times the time.
        let deflate = Compress::new(Compression::fast(), false);
        Self { deflate, crc: Crc::new(), full: Vec::new(), compressed, place }
    }

    /// Appends text.
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.crc.update(text);
        self.deflate(text, FlushCompress::None);
    }

    /// Finishes the part.
    pub(crate) fn finish(mut self) -> Compressed {
        self.deflate(&[], if self.place == StreamPart::First { FlushCompress::Sync } else { FlushCompress::Finish });
        if !self.compressed.is_empty() {
            self.full.push(Bytes::copy_from_slice(&self.compressed));
        }
        Compressed { chunks: self.full, checksum: Arc::new(self.crc) }
    }

    fn deflate(&mut self, text: &[u8], flush: FlushCompress) {
        let start = self.deflate.total_in();
        loop {
            let done = usize::try_from(self.deflate.total_in() - start).unwrap_or(usize::MAX);
            let rest = text.get(done..).unwrap_or_default();
            // Only decompression can fail; a defect would show in the trailer.
            let ended = self.deflate.compress_vec(rest, &mut self.compressed, flush).is_err();
            // Spare capacity means that the output is complete.
            let ended = ended || self.compressed.len() < self.compressed.capacity();
            let full = self.compressed.len() / CHUNK_BYTES * CHUNK_BYTES;
            self.full.extend(self.compressed.drain(..full).as_slice().chunks(CHUNK_BYTES).map(Bytes::copy_from_slice));
            if ended {
                break;
            }
        }
    }
}

/// Compresses a complete part.
pub(crate) fn compress_part(text: &[u8], place: StreamPart) -> Compressed {
    let mut compressor = Compressor::new(place);
    compressor.push(text);
    compressor.finish()
}

/// Returns the trailer of a stream of two parts.
pub(crate) fn trailer(first: &Crc, last: &Crc) -> Bytes {
    let mut both = Crc::new();
    both.combine(first);
    both.combine(last);
    let mut bytes = both.sum().to_le_bytes().to_vec();
    bytes.extend(both.amount().to_le_bytes());
    Bytes::from(bytes)
}

/// Compresses a text as a complete stream.
pub(crate) fn compress_whole(text: &[u8]) -> Compressed {
    let (mut first, last) = (compress_part(text, StreamPart::First), compress_part(&[], StreamPart::Last));
    first.chunks.extend(last.chunks);
    first.chunks.push(trailer(&first.checksum, &last.checksum));
    first
}

/// Copies text into chunks with separate allocations.
pub(crate) fn split_into_chunks(text: &[u8]) -> Vec<Bytes> {
    text.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect()
}

/// Decompresses a first part chunk by chunk, for clients that don't accept gzip.
pub(crate) struct Decompressor {
    inflate: Decompress,
    compressed: Box<dyn Iterator<Item = Bytes> + Send>,
    /// Rest of the current chunk.
    rest: Bytes,
    remaining: u32,
}

impl Decompressor {
    /// Decompresses the chunks of a [`StreamPart::First`] from [`Compressor::finish`].
    pub(crate) fn new(chunks: impl Iterator<Item = Bytes> + Send + 'static, checksum: &PartChecksum) -> Self {
        let mut compressed = Box::new(chunks);
        let mut rest = compressed.next().unwrap_or_default();
        rest.advance(HEADER.len().min(rest.len()));
        Self { inflate: Decompress::new(false), compressed, rest, remaining: checksum.amount() }
    }

    /// Bytes that remain.
    pub(crate) fn remaining(&self) -> u64 {
        u64::from(self.remaining)
    }
}

impl Iterator for Decompressor {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.remaining == 0 {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES.min(self.remaining as usize));
        while chunk.len() < chunk.capacity() {
            // Output may remain after all input was consumed.
            if self.rest.is_empty() {
                self.rest = self.compressed.next().unwrap_or_default();
            }
            let (read, written) = (self.inflate.total_in(), chunk.len());
            // The data was compressed here. If it were damaged, the client would notice the missing length.
            self.inflate.decompress_vec(&self.rest, &mut chunk, FlushDecompress::None).ok()?;
            let read = usize::try_from(self.inflate.total_in() - read).unwrap_or(usize::MAX);
            if read == 0 && chunk.len() == written {
                break;
            }
            self.rest.advance(read.min(self.rest.len()));
        }
        self.remaining = self.remaining.saturating_sub(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        Some(Bytes::from(chunk)).filter(|chunk| !chunk.is_empty())
    }
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn long() -> String {
        (0..20_000).map(|n| format!("series{{n=\"{n}\"}} {}\n", n * 7919 % 1000)).collect()
    }

    #[test]
    fn two_parts_are_one_stream() {
        let long = long();
        for (first, last) in [("", ""), ("a", ""), ("", "b"), (long.as_str(), "tail"), ("head", long.as_str())] {
            let (one, two) =
                (compress_part(first.as_bytes(), StreamPart::First), compress_part(last.as_bytes(), StreamPart::Last));
            let trailer = trailer(&one.checksum, &two.checksum);
            let bytes = [one.chunks.concat(), two.chunks.concat(), trailer.to_vec()].concat();
            let mut text = String::new();
            // A single-member reader verifies the trailer and that no data follows.
            let mut reader = flate2::bufread::GzDecoder::new(bytes.as_slice());
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("{first}{last}"));
            assert!(reader.into_inner().is_empty());
        }
    }

    #[test]
    fn what_was_packed_in_pieces_comes_back_in_pieces() {
        // Texts of many lengths end at different positions in plain and compressed chunks.
        let even = (0..100).map(|n| "series 1\n".repeat(6_000 + n * 37));
        // Incompressible texts leave more buffered output at the end than the chunk's remaining capacity.
        let mut random = 1_u64;
        let mut letter = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (random >> 60) as u8)
        };
        let uneven = (0..100).map(|n| (0..100_000 + n * 1_003).map(|_| letter()).collect());
        for text in ["".to_owned(), "a".to_owned(), long()].into_iter().chain(even).chain(uneven) {
            let mut compressor = Compressor::new(StreamPart::First);
            text.as_bytes().chunks(1_000).for_each(|chunk| compressor.push(chunk));
            let part = compressor.finish();
            let (last, full) = part.chunks.split_last().unwrap();
            assert!(last.len() <= CHUNK_BYTES && full.iter().all(|chunk| chunk.len() == CHUNK_BYTES));
            let decompressor = Decompressor::new(part.chunks.clone().into_iter(), &part.checksum);
            assert_eq!(decompressor.remaining(), text.len() as u64);
            let chunks: Vec<_> = decompressor.collect();
            assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
            assert_eq!(chunks.concat(), text.as_bytes());
        }
    }

    fn unpacked_by_gzip(compressed: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.gz");
        std::fs::write(&path, compressed).unwrap();
        let output = std::process::Command::new("gzip").arg("-dc").arg(&path).output().expect("gzip is installed");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    #[test]
    fn sizes_around_every_buffer_are_whole_for_gzip_too() {
        let noise: Vec<u8> = (0..600_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        // Incompressible data also fills chunks of the compressed form.
        for buffer in [
            1,
            CHUNK_BYTES - 30,
            CHUNK_BYTES,
            2 * CHUNK_BYTES,
            OUTPUT_HEADROOM,
            OUTPUT_HEADROOM + CHUNK_BYTES,
            2 * OUTPUT_HEADROOM,
        ] {
            for size in [buffer - 1, buffer, buffer + 1] {
                for text in [&vec![b'a'; size], &noise[..size]] {
                    let part = compress_part(text, StreamPart::First);
                    let decompressor = Decompressor::new(part.chunks.into_iter(), &part.checksum);
                    assert_eq!(decompressor.collect::<Vec<_>>().concat(), *text, "{size}");
                    assert_eq!(unpacked_by_gzip(&compress_whole(text).chunks.concat()), *text, "{size}");
                }
            }
        }
    }
}
