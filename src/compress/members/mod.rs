//! Decompresses gzip files (RFC 1952) with any number of members, in steps with bounded input and output.
//!
//! The readers of flate2 loop until the caller's buffer is consumed or filled: input without output (empty blocks,
//! empty members) and output without input (a decompression bomb) can block a thread for as long as the sender wants.
//! Here the caller decides after each step whether to continue, yield or stop.
//!
//! The result matches `gzip -t`: members may follow each other, zero bytes may follow the last member (tapes and block
//! devices pad with zeros), and any other trailing data is an error.

use std::io;

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Decoder of a gzip stream.
#[derive(Debug)]
pub(crate) struct GzipDecoder {
    state: MemberState,
    inflate: Decompress,
    crc: Crc,
}

#[derive(Debug)]
enum MemberState {
    /// Before the first member. An empty stream is not a gzip stream.
    Start,
    Header(Header),
    Data,
    Trailer(Trailer),
    /// After a complete member: another member, padding or the end follows.
    Between,
    Padding,
}

#[derive(Debug, Default)]
struct Trailer {
    bytes: [u8; 8],
    length: usize,
}

/// A partially parsed header.
#[derive(Debug, Default)]
struct Header {
    field: Field,
    flags: u8,
    /// Bytes of the field parsed so far.
    at: usize,
    extra: [u8; 2],
    stored_crc: [u8; 2],
    crc: Crc,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Field {
    #[default]
    Fixed,
    ExtraLength,
    Extra,
    Name,
    Comment,
    Checksum,
    End,
}

/// Flags of RFC 1952, section 2.3.1.
const FLAG_CHECKSUM: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

impl Default for GzipDecoder {
    fn default() -> Self {
        Self { state: MemberState::Start, inflate: Decompress::new(false), crc: Crc::new() }
    }
}

impl GzipDecoder {
    /// Decompresses into the spare capacity of `output` and returns the number of consumed input bytes.
    ///
    /// The caller repeats the step while input remains, and also without input while the output was filled, because the
    /// decoder may buffer decompressed bytes. A step stops at the end of a member, because a member costs more than its
    /// bytes.
    ///
    /// # Errors
    /// `InvalidData`: the input is not gzip, or it is damaged.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            match &mut self.state {
                MemberState::Data => {
                    let (read, ended) = self.inflate_data(rest, output)?;
                    consumed += read;
                    if !ended {
                        return Ok(consumed);
                    }
                    self.state = MemberState::Trailer(Trailer::default());
                }
                MemberState::Trailer(trailer) => {
                    consumed += trailer.fill(rest);
                    if trailer.length < trailer.bytes.len() {
                        return Ok(consumed);
                    }
                    trailer.verify(&self.crc)?;
                    self.state = MemberState::Between;
                    return Ok(consumed);
                }
                MemberState::Header(header) => {
                    consumed += header.consume(rest)?;
                    if header.field != Field::End {
                        return Ok(consumed);
                    }
                    self.inflate.reset(false);
                    self.crc.reset();
                    self.state = MemberState::Data;
                }
                MemberState::Start | MemberState::Between | MemberState::Padding => {
                    let Some(first) = rest.first() else { return Ok(consumed) };
                    match (&self.state, first) {
                        (MemberState::Between | MemberState::Padding, 0) => {
                            self.state = MemberState::Padding;
                            consumed += rest.iter().take_while(|byte| **byte == 0).count();
                        }
                        (MemberState::Padding, _) => return Err(invalid_data("other bytes follow its end")),
                        (MemberState::Between, byte) if *byte != 0x1f => {
                            return Err(invalid_data("other bytes follow its end"));
                        }
                        _ => self.state = MemberState::Header(Header::default()),
                    }
                }
            }
        }
    }

    /// Verifies that the stream may end here.
    ///
    /// # Errors
    /// `UnexpectedEof`: the stream is truncated.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.state {
            MemberState::Between | MemberState::Padding => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether the decoder has received no byte yet.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.state, MemberState::Start)
    }

    /// Calls the decompressor once. Returns the consumed bytes, and whether the data of the member has ended.
    fn inflate_data(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<(usize, bool)> {
        let (read, written) = (self.inflate.total_in(), output.len());
        let status = self.inflate.decompress_vec(input, output, FlushDecompress::None);
        let status = status.map_err(|error| invalid_data(&format!("its data is damaged: {error}")))?;
        self.crc.update(output.get(written..).unwrap_or_default());
        let read = usize::try_from(self.inflate.total_in() - read).unwrap_or(usize::MAX);
        Ok((read, status == Status::StreamEnd))
    }
}

impl Trailer {
    fn fill(&mut self, input: &[u8]) -> usize {
        let free = self.bytes.iter_mut().skip(self.length);
        let taken = free.zip(input).map(|(to, from)| *to = *from).count();
        self.length += taken;
        taken
    }

    fn verify(&self, crc: &Crc) -> io::Result<()> {
        let [a, b, c, d, e, f, g, h] = self.bytes;
        if u32::from_le_bytes([a, b, c, d]) != crc.sum() {
            return Err(invalid_data("its checksum does not match its content"));
        }
        if u32::from_le_bytes([e, f, g, h]) != crc.amount() {
            return Err(invalid_data("its length does not match its content"));
        }
        Ok(())
    }
}

impl Header {
    /// Parses the header's bytes and returns their number.
    fn consume(&mut self, input: &[u8]) -> io::Result<usize> {
        for (at, byte) in input.iter().enumerate() {
            if self.field == Field::End {
                return Ok(at);
            }
            self.push_byte(*byte)?;
        }
        Ok(input.len())
    }

    fn push_byte(&mut self, byte: u8) -> io::Result<()> {
        // The checksum covers all bytes before it.
        if self.field != Field::Checksum {
            self.crc.update(&[byte]);
        }
        self.at += 1;
        let ended = match self.field {
            Field::Fixed => {
                self.check_fixed_byte(byte)?;
                self.at == 10
            }
            Field::ExtraLength => {
                self.extra = [self.extra[1], byte];
                self.at == 2
            }
            Field::Extra => self.at == usize::from(u16::from_le_bytes(self.extra)),
            Field::Name | Field::Comment => byte == 0,
            Field::Checksum => {
                self.stored_crc = [self.stored_crc[1], byte];
                self.at == 2
            }
            Field::End => false,
        };
        if ended { self.next_field() } else { Ok(()) }
    }

    fn check_fixed_byte(&mut self, byte: u8) -> io::Result<()> {
        match (self.at, byte) {
            (1, 0x1f) | (2, 0x8b) | (3, 8) => Ok(()),
            (1 | 2, _) => Err(invalid_data("it does not begin as gzip does")),
            (3, _) => Err(invalid_data("it uses a compression method that does not exist")),
            (4, flags) if flags & FLAGS_RESERVED != 0 => Err(invalid_data("its header has flags that do not exist")),
            (4, flags) => {
                self.flags = flags;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Advances to the next field that this header contains.
    fn next_field(&mut self) -> io::Result<()> {
        let sum = u16::try_from(self.crc.sum() & 0xffff).unwrap_or_default();
        if self.field == Field::Checksum && u16::from_le_bytes(self.stored_crc) != sum {
            return Err(invalid_data("the checksum of its header does not match"));
        }
        let has_extra = self.field == Field::ExtraLength && u16::from_le_bytes(self.extra) > 0;
        let all = [
            (Field::ExtraLength, self.flags & FLAG_EXTRA != 0),
            (Field::Extra, has_extra),
            (Field::Name, self.flags & FLAG_NAME != 0),
            (Field::Comment, self.flags & FLAG_COMMENT != 0),
            (Field::Checksum, self.flags & FLAG_CHECKSUM != 0),
        ];
        let after = all.iter().position(|(field, _)| *field == self.field).map_or(0, |at| at + 1);
        let next = all.iter().skip(after).find(|(_, present)| *present);
        (self.field, self.at) = (next.map_or(Field::End, |(field, _)| *field), 0);
        Ok(())
    }
}

fn invalid_data(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
