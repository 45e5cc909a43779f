//! Pages on their way to clients: shared by all of their readers, and bounded in sum.
//!
//! A client may take its time, and a page keeps its memory for as long as one client reads it. Without a bound, a
//! hundred clients that ask one after the other for pages that differ, and read none, hold a hundred pages. So when
//! newer pages need the room, the page that was asked for longest ago is withdrawn: the connections of its readers
//! break off, which a client notices by the missing bytes, and a client that is still there asks again.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::compress::{Decompressor, PartChecksum};

/// Bytes of all pages that are being sent. A compressed page of ten thousand probes has about 2 MiB.
const MAX_BYTES: usize = 16 << 20;
/// A page may take up this part of the room by itself: the formats and encodings of one page never drive each other
/// out, however large the page is.
const MIN_PAGES: usize = 4;

/// The pages that are being sent, the one that was asked for longest ago first.
#[derive(Debug, Default)]
pub(crate) struct Outgoing(Mutex<Vec<Weak<SharedContent>>>);

/// The bytes of a page, or of the main part of one.
#[derive(Debug)]
pub(crate) struct SharedContent {
    bytes: usize,
    /// `None` once it is withdrawn.
    chunks: Mutex<Option<Vec<Bytes>>>,
}

/// One client's way through a page.
#[derive(Debug)]
pub(crate) struct ContentReader {
    content: Option<Arc<SharedContent>>,
    next: usize,
    remaining: u64,
}

/// What a client receives of a page.
#[derive(Debug)]
pub(crate) enum PageStream {
    /// The bytes as they are kept.
    Plain(ContentReader),
    /// The bytes decompressed, for clients that don't accept gzip.
    Decompressed(Decompressor),
}

impl Outgoing {
    /// Begins to send a page to one more client, and withdraws the oldest pages where it takes their room.
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
            tracing::debug!(bytes = page.bytes, "a page is withdrawn from clients that read slowly");
        }
        pages.push(Arc::downgrade(content));
        ContentReader { content: Some(Arc::clone(content)), next: 0, remaining: content.bytes as u64 }
    }

    /// The same for a compressed page that goes to a client that doesn't accept gzip.
    pub(crate) fn send_decompressed(&self, content: &Arc<SharedContent>, checksum: &PartChecksum) -> Decompressor {
        Decompressor::new(self.send(content), checksum)
    }
}

impl SharedContent {
    /// A page in pieces. They must not be parts of one allocation, which the last piece would keep.
    pub(crate) fn new(chunks: Vec<Bytes>) -> Arc<Self> {
        let bytes = chunks.iter().map(Bytes::len).sum();
        Arc::new(Self { bytes, chunks: Mutex::new(Some(chunks)) })
    }

    /// Whether it can't be sent any more.
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
    /// Bytes that are still to come, or would be if the page had not been withdrawn.
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
        // Another reader of a page costs nothing, and makes it the newest.
        readers.extend((0..100).map(|_| outgoing.send(&pages[0])));
        assert!(pages.iter().all(|page| !page.is_withdrawn()));
        assert!(readers[1].next().is_some());
        let newer = page(MAX_BYTES / 4);
        let reader = outgoing.send(&newer);
        let withdrawn: Vec<_> = pages.iter().map(|page| page.is_withdrawn()).collect();
        assert_eq!(withdrawn, [false, true, false, false]);
        assert!(readers[1].next().is_none() && readers[1].remaining > 0, "the reader sees that bytes are missing");
        assert_eq!(reader.map(|chunk| chunk.len()).sum::<usize>(), MAX_BYTES / 4);
        // A page that nobody reads any more takes no room.
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
