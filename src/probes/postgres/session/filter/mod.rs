//! Screens the messages of a server before the driver sees them.
//!
//! The driver trusts its server. It asks for the description of every type that it doesn't know, and the answer may
//! name further unknown types, so that a server chooses how deep futures nest. It keeps every parameter that a server
//! reports, for as long as the connection lasts, and it computes whatever number of SCRAM iterations a login asks for.
//!
//! This filter refuses descriptions with a type that the driver would look up, bounds the messages of a run and their
//! announced lengths, reads the number of iterations, and leaves out asynchronous messages, for which nothing here has
//! a use. It knows no statements: any number of them may be pipelined on one connection, as long as their SQL casts
//! every column to a built-in type.

use bytes::BytesMut;
use tokio_postgres::types::Type;

use super::allowance::ByteBudget;
use crate::model::{failure::Failure, words::Reason};

/// Most iterations of SCRAM that the driver computes (`MAX_ITERATION_COUNT` of the crate `postgres-protocol`). It
/// refuses more, in words that name neither number.
pub(super) const MAX_ITERATIONS: u32 = 100_000;

/// Largest authentication message; a real one takes some hundred bytes.
const MAX_AUTHENTICATION: usize = 16 << 10;

/// A tag and a length, which counts itself but not the tag.
const HEADER: usize = 5;

/// Where in the stream of messages the next byte belongs.
#[derive(Debug)]
pub(super) struct Filter {
    position: Position,
    logged_in: bool,
}

#[derive(Debug)]
enum Position {
    Header(Vec<u8>),
    Payload { action: Action, left: usize },
}

#[derive(Debug)]
enum Action {
    Pass,
    Drop,
    /// Passed on too, but looked at once it is complete. The driver acts on complete messages only.
    Inspect(u8, Vec<u8>),
}

impl Default for Filter {
    fn default() -> Self {
        Self { position: Position::Header(Vec::new()), logged_in: false }
    }
}

impl Filter {
    /// Appends to `out` what the driver may see of these bytes; returns the number of SCRAM iterations if a server
    /// asked for a proof.
    ///
    /// # Errors
    /// `protocol`, `auth` or `too_large`: nothing of these bytes may reach the driver.
    pub(super) fn screen(
        &mut self,
        mut bytes: &[u8],
        allowance: &ByteBudget,
        out: &mut BytesMut,
    ) -> Result<Option<u32>, Failure> {
        let mut iterations = None;
        while !bytes.is_empty() {
            match &mut self.position {
                Position::Header(header) => {
                    let (part, rest) = bytes.split_at(bytes.len().min(HEADER - header.len()));
                    header.extend_from_slice(part);
                    bytes = rest;
                    let &[tag, a, b, c, d] = header.as_slice() else { return Ok(iterations) };
                    let (action, left) = self.begin(tag, u32::from_be_bytes([a, b, c, d]), allowance)?;
                    if !matches!(action, Action::Drop) {
                        out.extend_from_slice(&[tag, a, b, c, d]);
                    }
                    self.position = Position::Payload { action, left };
                }
                Position::Payload { action, left } => {
                    let (part, rest) = bytes.split_at(bytes.len().min(*left));
                    allowance.spend(part.len())?;
                    *left -= part.len();
                    bytes = rest;
                    match action {
                        Action::Drop => {}
                        Action::Pass => out.extend_from_slice(part),
                        Action::Inspect(_, payload) => {
                            payload.extend_from_slice(part);
                            out.extend_from_slice(part);
                        }
                    }
                }
            }
            iterations = self.end()?.or(iterations);
        }
        Ok(iterations)
    }

    /// Decides on a message by its header.
    fn begin(&mut self, tag: u8, length: u32, allowance: &ByteBudget) -> Result<(Action, usize), Failure> {
        const LENGTH: u32 = 4;
        // Until the login ends only these are spoken: authentication, errors and notices, the version of the protocol,
        // parameters, the key for cancelling, and the end.
        if !self.logged_in && !b"RENAvSKZ".contains(&tag) {
            return Err(protocol("the answer is not PostgreSQL's; is the port right?"));
        }
        let Some(payload) = length.checked_sub(LENGTH).and_then(|payload| usize::try_from(payload).ok()) else {
            return Err(protocol(format!("the server announces a message of {length} bytes, less than its header")));
        };
        allowance.message(HEADER, payload)?;
        let action = match tag {
            b'R' if self.logged_in => {
                return Err(protocol("the server asks for authentication after the login"));
            }
            b'R' if payload > MAX_AUTHENTICATION => {
                let text = format!("the server sends {payload} bytes to authenticate, more than {MAX_AUTHENTICATION}");
                return Err(Failure::new(Reason::TooLarge, text));
            }
            b'R' | b'T' | b't' => Action::Inspect(tag, Vec::new()),
            b'N' | b'A' | b'S' => Action::Drop,
            b'Z' => {
                self.logged_in = true;
                Action::Pass
            }
            _ => Action::Pass,
        };
        Ok((action, payload))
    }

    /// Looks at a message that is complete; some are with their header.
    fn end(&mut self) -> Result<Option<u32>, Failure> {
        let Position::Payload { action, left: 0 } = &self.position else { return Ok(None) };
        let iterations = match action {
            Action::Inspect(b'R', payload) => iterations(payload)?,
            Action::Inspect(tag, payload) => {
                let described = if *tag == b'T' { columns(payload) } else { parameters(payload) };
                let types = described.ok_or_else(|| protocol("the server sends a description that can't be read"))?;
                if let Some(unknown) = types.into_iter().find(|oid| Type::from_oid(*oid).is_none()) {
                    return Err(protocol(format!(
                        "the server describes a value of type {unknown}, which is not a built-in type; is it \
                         PostgreSQL, or what else answers on this port?"
                    )));
                }
                None
            }
            Action::Pass | Action::Drop => None,
        };
        self.position = Position::Header(Vec::new());
        Ok(iterations)
    }
}

fn protocol(text: impl Into<String>) -> Failure {
    Failure::new(Reason::Protocol, text)
}

/// The iterations that AuthenticationSASLContinue asks for; `None` for other messages.
///
/// The payload is a code and the server-first-message of RFC 5802: `r=NONCE,s=SALT,i=COUNT`.
fn iterations(payload: &[u8]) -> Result<Option<u32>, Failure> {
    let Some((&[0, 0, 0, 11], first)) = payload.split_first_chunk() else { return Ok(None) };
    let count = first.rsplit(|byte| *byte == b',').next().and_then(|last| last.strip_prefix(b"i="));
    let digits = count.filter(|count| !count.is_empty() && count.iter().all(u8::is_ascii_digit));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let digits =
        digits.ok_or_else(|| protocol("the server asks for a number of SCRAM iterations that can't be read"))?;
    // Numbers beyond 64 bits are too large as well.
    let count = digits.parse::<u64>().unwrap_or(u64::MAX);
    match u32::try_from(count) {
        Ok(count) if count <= MAX_ITERATIONS => Ok(Some(count)),
        _ => Err(Failure::new(
            Reason::Auth,
            format!(
                "the server asks for {count} SCRAM iterations, and this program computes at most {MAX_ITERATIONS}: \
                 lower `scram_iterations` on the server, then set this role's password again"
            ),
        )),
    }
}

/// The types of a RowDescription; `None` if it is malformed.
fn columns(payload: &[u8]) -> Option<Vec<u32>> {
    let (count, mut rest) = payload.split_first_chunk()?;
    let mut types = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        // Behind the name: table (4), column (2), type (4), size (2), modifier (4), format (2).
        let (before, after) =
            rest.get(end + 1..)?.split_first_chunk::<6>().map(|(_, rest)| rest.split_first_chunk())??;
        types.push(u32::from_be_bytes(*before));
        rest = after.get(8..)?;
    }
    rest.is_empty().then_some(types)
}

/// The types of a ParameterDescription; `None` if it is malformed.
fn parameters(payload: &[u8]) -> Option<Vec<u32>> {
    let (count, rest) = payload.split_first_chunk()?;
    let (types, rest) = rest.as_chunks();
    let is_whole = rest.is_empty() && types.len() == usize::from(u16::from_be_bytes(*count));
    is_whole.then(|| types.iter().map(|oid| u32::from_be_bytes(*oid)).collect())
}

#[cfg(test)]
mod tests;
