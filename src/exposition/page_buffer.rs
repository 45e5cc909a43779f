//! Output buffer of a page that optionally compresses while it is written.
//!
//! A page of ten thousand probes has 35 MB of text, which compress to 2 MB. So the complete text never exists in
//! memory.

use bytes::Bytes;

use crate::compress::{self, Compressed, Compressor, StreamPart};

/// Encoded content of a page or its main part.
#[derive(Debug, Clone)]
pub(super) enum EncodedPage {
    /// Text in chunks.
    Plain(Vec<Bytes>),
    /// Compressed chunks.
    Compressed(Compressed),
}

/// Output buffer; see the module documentation.
#[derive(Default)]
pub(super) struct PageBuffer {
    text: String,
    compressor: Option<Compressor>,
}

/// Amount of text that is compressed at once.
const CHUNK_BYTES: usize = 32 << 10;

impl PageBuffer {
    /// Creates a buffer that keeps the text.
    pub(super) fn plain() -> Self {
        Self::default()
    }

    /// Creates a buffer that compresses the text.
    pub(super) fn compressed() -> Self {
        Self {
            text: String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8),
            compressor: Some(Compressor::new(StreamPart::First)),
        }
    }

    /// The buffer for the next line.
    pub(super) fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    /// Marks the end of a line; compresses the text if enough has accumulated.
    pub(super) fn end_line(&mut self) {
        if let Some(compressor) = self.compressor.as_mut().filter(|_| self.text.len() > CHUNK_BYTES) {
            compressor.push(self.text.as_bytes());
            self.text.clear();
        }
    }

    /// Returns the written content.
    pub(super) fn finish(self) -> EncodedPage {
        match self.compressor {
            Some(mut compressor) => {
                compressor.push(self.text.as_bytes());
                EncodedPage::Compressed(compressor.finish())
            }
            None => EncodedPage::Plain(compress::split_into_chunks(self.text.as_bytes())),
        }
    }

    /// Returns the text of a plain buffer.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
