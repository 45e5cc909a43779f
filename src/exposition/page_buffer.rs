//! What a page is written on: text that is kept as it is, or packed while it is written.
//!
//! A page of ten thousand probes is 35 MB of text that packs to 2 MB: it never exists as a whole.

use bytes::Bytes;

use crate::compress::{self, Compressed, Compressor, StreamPart};

/// A page or the main part of one.
#[derive(Debug, Clone)]
pub(super) enum EncodedPage {
    /// As it is, in pieces.
    Plain(Vec<Bytes>),
    /// Packed.
    Compressed(Compressed),
}

/// See the module.
#[derive(Default)]
pub(super) struct PageBuffer {
    text: String,
    compressor: Option<Compressor>,
}

/// So much text is packed at once.
const CHUNK_BYTES: usize = 32 << 10;

impl PageBuffer {
    /// Keeps the text.
    pub(super) fn plain() -> Self {
        Self::default()
    }

    /// Packs it.
    pub(super) fn compressed() -> Self {
        Self {
            text: String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8),
            compressor: Some(Compressor::new(StreamPart::First)),
        }
    }

    /// Where to write a line.
    pub(super) fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    /// A line is complete.
    pub(super) fn end_line(&mut self) {
        if let Some(compressor) = self.compressor.as_mut().filter(|_| self.text.len() > CHUNK_BYTES) {
            compressor.push(self.text.as_bytes());
            self.text.clear();
        }
    }

    /// What was written.
    pub(super) fn finish(self) -> EncodedPage {
        match self.compressor {
            Some(mut compressor) => {
                compressor.push(self.text.as_bytes());
                EncodedPage::Compressed(compressor.finish())
            }
            None => EncodedPage::Plain(compress::split_into_chunks(self.text.as_bytes())),
        }
    }

    /// What was written on a paper that keeps the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
