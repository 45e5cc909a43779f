//! One gzip stream made of parts that were packed at different times.
//!
//! RFC 1952 frames one deflate stream; deflate blocks may follow each other once the first part ends on a byte (a
//! sync flush). Two gzip members would be shorter to write, but many readers stop after the first.

use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// Where a part stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first of several: begins with the header, and more follows.
    First,
    /// The last of several: the trailer follows.
    Last,
}

/// Checksum and length of what was packed.
pub(crate) type Sum = Arc<Crc>;

/// Magic, deflate, no flags, no time, no extra flags, unknown system: the same bytes for the same page.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Packs one part.
pub(crate) fn pack(text: &[u8], place: Place) -> (Vec<u8>, Sum) {
    let mut crc = Crc::new();
    crc.update(text);
    let mut packed = Vec::with_capacity(text.len() / 8 + 128);
    let flush = match place {
        Place::First => {
            packed.extend(HEADER);
            FlushCompress::Sync
        }
        Place::Last => FlushCompress::Finish,
    };
    // The fastest level: pages repeat themselves so much that the others gain little for three times the time.
    let mut deflate = Compress::new(Compression::fast(), false);
    loop {
        packed.reserve(text.len() / 16 + 1024);
        let rest = usize::try_from(deflate.total_in()).ok().and_then(|done| text.get(done..)).unwrap_or_default();
        let room = packed.capacity() - packed.len();
        let before = packed.len();
        // Errors are defined for reading only; a part that could not be packed would show in the trailer.
        let ended = deflate.compress_vec(rest, &mut packed, flush).is_err();
        // Room that is left over says that everything came out.
        if ended || packed.len() - before < room {
            break;
        }
    }
    (packed, Arc::new(crc))
}

/// What ends a stream of two parts.
pub(crate) fn trailer(first: &Crc, last: &Crc) -> Bytes {
    let mut both = Crc::new();
    both.combine(first);
    both.combine(last);
    let mut bytes = both.sum().to_le_bytes().to_vec();
    bytes.extend(both.amount().to_le_bytes());
    Bytes::from(bytes)
}

/// A stream of one part.
pub(crate) fn whole(text: &[u8]) -> Vec<u8> {
    let (mut bytes, first) = pack(text, Place::First);
    let (rest, last) = pack(&[], Place::Last);
    bytes.extend(rest);
    bytes.extend(trailer(&first, &last));
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn two_parts_are_one_stream() {
        let long: String = (0..20_000).map(|n| format!("series{{n=\"{n}\"}} {}\n", n * 7919 % 1000)).collect();
        for (first, last) in [("", ""), ("a", ""), ("", "b"), (long.as_str(), "tail"), ("head", long.as_str())] {
            let (mut bytes, one) = pack(first.as_bytes(), Place::First);
            let (more, two) = pack(last.as_bytes(), Place::Last);
            bytes.extend(more);
            bytes.extend(trailer(&one, &two));
            let mut text = String::new();
            // A reader of a single member checks the trailer and that nothing is left over.
            let mut reader = flate2::bufread::GzDecoder::new(bytes.as_slice());
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("{first}{last}"));
            assert!(reader.into_inner().is_empty());
        }
    }
}
