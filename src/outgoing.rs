//! Pages in transfer to clients: shared by their readers and bounded in total size.
//!
//! A page keeps its memory while one client reads it. Without a bound, a hundred slow clients that request different
//! pages would hold a hundred pages. So if newer pages need the memory, the page with the oldest request is withdrawn:
//! the connections of its readers break, the clients notice the missing bytes and can request the page again.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::compress::{Decompressor, PartChecksum};

/// Most bytes of all pages in transfer. A compressed page of ten thousand probes has about 2 MiB.
const MAX_BYTES: usize = 16 << 20;
/// Number of pages of any size that fit at least, so that the formats and encodings of one large page don't displace
/// each other.
const MIN_PAGES: usize = 4;

/// Pages in transfer, the page with the oldest request first.
#[derive(Debug, Default)]
pub(crate) struct Outgoing(Mutex<Vec<Weak<SharedContent>>>);

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
}

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
        let mut pages = self.0.lock();
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
        ContentReader { content: Some(Arc::clone(content)), next: 0, remaining: content.bytes as u64 }
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

impl PageStream {
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
        assert_eq!(outgoing.0.lock().len(), 1);
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
}
