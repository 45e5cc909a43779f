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
    packer: Option<Compressor>,
}

/// So much text is packed at once.
const PIECE: usize = 32 << 10;

impl PageBuffer {
    /// Keeps the text.
    pub(super) fn plain() -> Self {
        Self::default()
    }

    /// Packs it.
    pub(super) fn packed() -> Self {
        Self { text: String::with_capacity(PIECE + PIECE / 8), packer: Some(Compressor::new(StreamPart::First)) }
    }

    /// Where to write a line.
    pub(super) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// A line is complete.
    pub(super) fn turn(&mut self) {
        if let Some(packer) = self.packer.as_mut().filter(|_| self.text.len() > PIECE) {
            packer.push(self.text.as_bytes());
            self.text.clear();
        }
    }

    /// What was written.
    pub(super) fn finish(self) -> EncodedPage {
        match self.packer {
            Some(mut packer) => {
                packer.push(self.text.as_bytes());
                EncodedPage::Compressed(packer.finish())
            }
            None => EncodedPage::Plain(compress::pieces(self.text.as_bytes())),
        }
    }

    /// What was written on a paper that keeps the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
