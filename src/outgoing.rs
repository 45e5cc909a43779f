//! Pages in transfer to clients: shared by their readers and bounded in total size.
//!
//! A page keeps its memory while one client reads it. Without a bound, a hundred slow clients that request different
//! pages would hold a hundred pages. So if newer pages need the memory, the page with the oldest request is withdrawn:
//! the connections of its readers break, the clients notice the missing bytes and can request the page again.

use std::{
    collections::VecDeque,
    io::IoSlice,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, Bytes};
use parking_lot::{Mutex, MutexGuard};

use crate::compress::{Decompressor, PartChecksum};

/// Most bytes of all pages in transfer. A compressed page of ten thousand probes has about 2 MiB.
const MAX_BYTES: usize = 16 << 20;
/// Number of pages of any size that fit at least, so that the formats and encodings of one large page don't displace
/// each other.
const MIN_PAGES: usize = 4;

/// Most bytes that all readers together hold in batches, apart from one chunk each. A batch keeps its bytes even if the
/// page is withdrawn.
const MAX_BATCHED_BYTES: usize = 8 << 20;
/// Most bytes of a batch. One system call sends a whole batch, and a page of 256 checks fits into one.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Pages in transfer, the page with the oldest request first.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pages: Mutex<Vec<Weak<SharedContent>>>,
    readers: Arc<AtomicUsize>,
}

/// Bytes of a page or of its main part.
#[derive(Debug)]
pub(crate) struct SharedContent {
    bytes: usize,
    /// The chunks; `None` after the page was withdrawn.
    chunks: Mutex<Option<Vec<Bytes>>>,
}

/// Read position of one client.
#[derive(Debug)]
pub(crate) struct ContentReader {
    content: Option<Arc<SharedContent>>,
    next: usize,
    remaining: u64,
    /// Number of readers of all pages, this one included.
    readers: Arc<AtomicUsize>,
}

/// Consecutive chunks of a page, which are sent together.
#[derive(Debug, Default)]
pub(crate) struct ChunkBatch(VecDeque<Bytes>);

/// Stream of a page for one client.
#[derive(Debug)]
pub(crate) enum PageStream {
    /// The stored bytes.
    Plain(ContentReader),
    /// The decompressed bytes, for clients that don't accept gzip.
    Decompressed(Decompressor),
}

impl Outgoing {
    /// Starts sending a page to a client, and withdraws the oldest pages if the total size exceeds the bound.
    pub(crate) fn send(&self, content: &Arc<SharedContent>) -> ContentReader {
        let mut pages = self.pages.lock();
        pages.retain(|page| page.upgrade().is_some_and(|page| !Arc::ptr_eq(&page, content) && !page.is_withdrawn()));
        let room = MAX_BYTES.max(content.bytes.saturating_mul(MIN_PAGES));
        let mut total: usize =
            content.bytes + pages.iter().filter_map(Weak::upgrade).map(|page| page.bytes).sum::<usize>();
        for page in pages.iter().filter_map(Weak::upgrade) {
            if total <= room {
                break;
            }
            total -= page.bytes;
            *page.lock() = None;
            tracing::debug!(bytes = page.bytes, "withdrew a page from clients that read slowly");
        }
        pages.push(Arc::downgrade(content));
        self.readers.fetch_add(1, Ordering::Relaxed);
        ContentReader {
            content: Some(Arc::clone(content)),
            next: 0,
            remaining: content.bytes as u64,
            readers: Arc::clone(&self.readers),
        }
    }

    /// Starts sending a compressed page to a client that doesn't accept gzip.
    pub(crate) fn send_decompressed(&self, content: &Arc<SharedContent>, checksum: &PartChecksum) -> Decompressor {
        Decompressor::new(self.send(content), checksum)
    }
}

impl SharedContent {
    /// Creates content from chunks. The chunks must have separate allocations, so that each is freed with its last
    /// reader.
    pub(crate) fn new(chunks: Vec<Bytes>) -> Arc<Self> {
        let bytes = chunks.iter().map(Bytes::len).sum();
        Arc::new(Self { bytes, chunks: Mutex::new(Some(chunks)) })
    }

    /// Whether the page was withdrawn.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.lock().is_none()
    }

    fn chunk(&self, at: usize) -> Option<Bytes> {
        self.lock().as_ref()?.get(at).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Bytes>>> {
        self.chunks.lock()
    }
}

impl Iterator for ContentReader {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let chunk = self.content.as_ref()?.chunk(self.next);
        self.next += 1;
        self.remaining -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64).min(self.remaining);
        if self.remaining == 0 || chunk.is_none() {
            self.content = None;
        }
        chunk
    }
}

impl ContentReader {
    /// The next chunks. Few readers take long batches, so that a page needs few system calls; many take short ones.
    fn next_batch(&mut self) -> Option<ChunkBatch> {
        let readers = self.readers.load(Ordering::Relaxed).max(1);
        let longest = (MAX_BATCHED_BYTES / readers).min(MAX_BATCH_BYTES);
        let mut batch = ChunkBatch::from(self.next()?);
        let mut bytes = batch.remaining();
        while bytes < longest
            && let Some(chunk) = self.next()
        {
            bytes += chunk.len();
            batch.0.push_back(chunk);
        }
        Some(batch)
    }
}

impl Drop for ContentReader {
    fn drop(&mut self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl From<Bytes> for ChunkBatch {
    fn from(chunk: Bytes) -> Self {
        Self(VecDeque::from([chunk]))
    }
}

impl Buf for ChunkBatch {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map(|chunk| &**chunk).unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.0).map(|(slice, chunk)| *slice = IoSlice::new(chunk));
        filled.count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(chunk) = self.0.front_mut() {
            if count < chunk.len() {
                chunk.advance(count);
                return;
            }
            count -= chunk.len();
            self.0.pop_front();
        }
    }
}

impl PageStream {
    /// The next bytes; `None` at the end, or if the page was withdrawn.
    pub(crate) fn next_batch(&mut self) -> Option<ChunkBatch> {
        match self {
            Self::Plain(reader) => reader.next_batch(),
            Self::Decompressed(decompressor) => decompressor.next().map(ChunkBatch::from),
        }
    }

    /// Bytes that remain, even if the page was withdrawn.
    pub(crate) fn remaining(&self) -> u64 {
        match self {
            Self::Plain(reader) => reader.remaining,
            Self::Decompressed(decompressor) => decompressor.remaining(),
        }
    }
}

impl Iterator for PageStream {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Plain(reader) => reader.next(),
            Self::Decompressed(decompressor) => decompressor.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(bytes: usize) -> Arc<SharedContent> {
        SharedContent::new(vec![Bytes::from(vec![7; bytes / 2]), Bytes::from(vec![7; bytes / 2])])
    }

    #[test]
    fn the_page_that_was_asked_for_longest_ago_makes_room() {
        let outgoing = Outgoing::default();
        let pages: Vec<_> = (0..4).map(|_| page(MAX_BYTES / 4)).collect();
        let mut readers: Vec<_> = pages.iter().map(|page| outgoing.send(page)).collect();
        // Another reader of a page costs no memory and makes the page the newest.
        readers.extend((0..100).map(|_| outgoing.send(&pages[0])));
        assert!(pages.iter().all(|page| !page.is_withdrawn()));
        assert!(readers[1].next().is_some());
        let newer = page(MAX_BYTES / 4);
        let reader = outgoing.send(&newer);
        let withdrawn: Vec<_> = pages.iter().map(|page| page.is_withdrawn()).collect();
        assert_eq!(withdrawn, [false, true, false, false]);
        assert!(readers[1].next().is_none() && readers[1].remaining > 0, "the reader sees that bytes are missing");
        assert_eq!(reader.map(|chunk| chunk.len()).sum::<usize>(), MAX_BYTES / 4);
        // A page without readers takes no memory.
        drop((newer, pages, readers));
        outgoing.send(&page(2));
        assert_eq!(outgoing.pages.lock().len(), 1);
    }

    #[test]
    fn formats_of_one_large_page_never_drive_each_other_out() {
        let outgoing = Outgoing::default();
        let pages: Vec<_> = (0..MIN_PAGES).map(|_| page(2 * MAX_BYTES)).collect();
        let readers: Vec<_> = pages.iter().map(|page| outgoing.send(page)).collect();
        assert!(readers.into_iter().all(|reader| reader.map(|chunk| chunk.len()).sum::<usize>() == 2 * MAX_BYTES));
        let _reader = outgoing.send(&page(2 * MAX_BYTES));
        assert!(pages[0].is_withdrawn() && !pages[1].is_withdrawn());
    }

    #[test]
    fn batches_are_long_for_few_readers_and_short_for_many() {
        let outgoing = Outgoing::default();
        let chunks: Vec<_> = (0..40).map(|n| Bytes::from(vec![n; 64 << 10])).collect();
        let page = SharedContent::new(chunks.clone());
        let first = |reader: &mut ContentReader| reader.next_batch().unwrap();
        let mut reader = outgoing.send(&page);
        assert_eq!(first(&mut reader).remaining(), MAX_BATCH_BYTES);
        let mut readers: Vec<_> = (0..127).map(|_| outgoing.send(&page)).collect();
        assert!(readers.iter_mut().map(|reader| first(reader).remaining()).sum::<usize>() <= 2 * MAX_BATCHED_BYTES);
        drop(readers);
        assert_eq!(first(&mut reader).remaining(), MAX_BATCH_BYTES);
        // The bytes of a batch are those of its chunks, whatever the sizes of the writes.
        let (mut batch, mut read) = (first(&mut outgoing.send(&page)), Vec::new());
        for count in (1..).map(|n| n * 9_973) {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = batch.chunks_vectored(&mut slices);
            let gathered = slices[..filled].iter().flat_map(|slice| slice.iter().copied());
            let count = count.min(slices[..filled].iter().map(|slice| slice.len()).sum());
            read.extend(gathered.take(count));
            batch.advance(count);
            if !batch.has_remaining() {
                break;
            }
        }
        assert!(read == chunks[..16].concat());
    }
}
