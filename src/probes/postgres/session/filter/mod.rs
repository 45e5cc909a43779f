//! Filters the messages of a server before the driver reads them.
//!
//! The driver trusts its server. It looks up every unknown type, and the result may contain further unknown types, so
//! that a server controls the nesting of futures. It stores every parameter that a server reports until the connection
//! ends, and it computes any number of SCRAM iterations that a server requests.
//!
//! This filter rejects descriptions with a type that the driver would look up, bounds the messages of a run and their
//! announced lengths, reads the number of iterations, and drops asynchronous messages. It is independent of the
//! statements: any number of them may be pipelined, as long as their SQL casts every column to a built-in type.

use bytes::BytesMut;
use tokio_postgres::types::Type;

use super::allowance::ByteBudget;
use crate::model::{failure::Failure, words::Reason};

/// Maximum number of SCRAM iterations of the driver (`MAX_ITERATION_COUNT` of the crate `postgres-protocol`). Its own
/// error names neither the requested nor the maximum number.
pub(super) const MAX_ITERATIONS: u32 = 100_000;

/// Maximum size of an authentication message; a real one has some hundred bytes.
const MAX_AUTHENTICATION: usize = 16 << 10;

/// Size of a header: a tag and a length, which includes itself but not the tag.
const HEADER: usize = 5;

/// State of the filter: the part of a message that the next byte belongs to.
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
    /// Passes the message on and inspects it once it is complete. The driver acts on complete messages only.
    Inspect(u8, Vec<u8>),
}

impl Default for Filter {
    fn default() -> Self {
        Self { position: Position::Header(Vec::new()), logged_in: false }
    }
}

impl Filter {
    /// Appends the bytes that pass the filter to `out`. Returns the number of SCRAM iterations if the bytes contain a
    /// challenge.
    ///
    /// # Errors
    /// `protocol`, `auth` or `too_large`: none of these bytes may reach the driver.
    pub(super) fn filter_bytes(
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
                    let (action, left) = self.begin_message(tag, u32::from_be_bytes([a, b, c, d]), allowance)?;
                    if !matches!(action, Action::Drop) {
                        out.extend_from_slice(&[tag, a, b, c, d]);
                    }
                    self.position = Position::Payload { action, left };
                }
                Position::Payload { action, left } => {
                    let (part, rest) = bytes.split_at(bytes.len().min(*left));
                    allowance.count_bytes(part.len())?;
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
            iterations = self.end_message()?.or(iterations);
        }
        Ok(iterations)
    }

    /// Decides on a message by its header.
    fn begin_message(&mut self, tag: u8, length: u32, allowance: &ByteBudget) -> Result<(Action, usize), Failure> {
        const LENGTH: u32 = 4;
        // Until the login ends, only these messages are valid: authentication, errors and notices, the version of the
        // protocol, parameters, the key for cancelling, and ReadyForQuery.
        if !self.logged_in && !b"RENAvSKZ".contains(&tag) {
            return Err(protocol("the answer is not PostgreSQL's; is the port right?"));
        }
        let Some(payload) = length.checked_sub(LENGTH).and_then(|payload| usize::try_from(payload).ok()) else {
            return Err(protocol(format!("the server announces a message of {length} bytes, less than its header")));
        };
        allowance.count_message(HEADER, payload)?;
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

    /// Inspects a complete message.
    fn end_message(&mut self) -> Result<Option<u32>, Failure> {
        let Position::Payload { action, left: 0 } = &self.position else { return Ok(None) };
        let iterations = match action {
            Action::Inspect(b'R', payload) => scram_iterations(payload)?,
            Action::Inspect(tag, payload) => {
                let described = if *tag == b'T' { column_types(payload) } else { parameter_types(payload) };
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

/// Number of iterations of an AuthenticationSASLContinue message; `None` for other messages.
///
/// The payload is a code and the server-first-message of RFC 5802, `r=NONCE,s=SALT,i=COUNT`.
fn scram_iterations(payload: &[u8]) -> Result<Option<u32>, Failure> {
    let Some((&[0, 0, 0, 11], first)) = payload.split_first_chunk() else { return Ok(None) };
    let count = first.rsplit(|byte| *byte == b',').next().and_then(|last| last.strip_prefix(b"i="));
    let digits = count.filter(|count| !count.is_empty() && count.iter().all(u8::is_ascii_digit));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let digits =
        digits.ok_or_else(|| protocol("the server asks for a number of SCRAM iterations that can't be read"))?;
    // Numbers beyond 64 bits are also too large.
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

/// Types of a RowDescription; `None` for a malformed message.
fn column_types(payload: &[u8]) -> Option<Vec<u32>> {
    let (count, mut rest) = payload.split_first_chunk()?;
    let mut types = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        // The fields after the name: table (4), column (2), type (4), size (2), modifier (4), format (2).
        let (before, after) =
            rest.get(end + 1..)?.split_first_chunk::<6>().map(|(_, rest)| rest.split_first_chunk())??;
        types.push(u32::from_be_bytes(*before));
        rest = after.get(8..)?;
    }
    rest.is_empty().then_some(types)
}

/// Types of a ParameterDescription; `None` for a malformed message.
fn parameter_types(payload: &[u8]) -> Option<Vec<u32>> {
    let (count, rest) = payload.split_first_chunk()?;
    let (types, rest) = rest.as_chunks();
    let is_whole = rest.is_empty() && types.len() == usize::from(u16::from_be_bytes(*count));
    is_whole.then(|| types.iter().map(|oid| u32::from_be_bytes(*oid)).collect())
}

#[cfg(test)]
mod tests;
