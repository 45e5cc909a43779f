//! Protocols with binary messages: LDAP, PostgreSQL and MySQL.

use tokio::net::TcpStream;

use super::{not_offered, other_protocol, receive};
use crate::{
    model::{failure::Failure, words::Reason},
    probes::tcp::{dialogue::Conversation, inbox},
};

/// Maximum number of bytes of a message.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// SSLRequest of PostgreSQL: its length and its code (PostgreSQL manual, chapter "Message Formats").
const POSTGRES_SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Extended request StartTLS of LDAP (RFC 4511, 4.14): message 1, with the object identifier 1.3.6.1.4.1.1466.20037.
const LDAP_START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

pub(super) async fn postgres(stream: &mut TcpStream, talk: &mut Conversation) -> Result<(), Failure> {
    talk.send(stream, &POSTGRES_SSL_REQUEST).await?;
    talk.expected = Some("the answer `S` of PostgreSQL".to_owned());
    while talk.inbox.unconsumed().is_empty() {
        receive(stream, talk, MAX_MESSAGE_BYTES).await?;
    }
    match talk.inbox.unconsumed().first() {
        Some(b'S') => {
            talk.inbox.take(1);
            Ok(())
        }
        Some(b'N') => Err(not_offered("PostgreSQL", "set `ssl = on` there")),
        Some(b'E') => {
            let text = format!("PostgreSQL answers with an error: {}", talk.inbox.quote());
            Err(Failure::new(Reason::Status, text))
        }
        _ => Err(other_protocol("PostgreSQL", talk)),
    }
}

pub(super) async fn ldap(stream: &mut TcpStream, talk: &mut Conversation) -> Result<(), Failure> {
    talk.send(stream, LDAP_START_TLS).await?;
    talk.expected = Some("the response of LDAP to StartTLS".to_owned());
    loop {
        let heard = talk.inbox.unconsumed();
        if heard.first().is_some_and(|tag| *tag != 0x30) {
            return Err(other_protocol("LDAP", talk));
        }
        match read_element(heard) {
            Element::Complete(_, message, rest) => {
                let length = heard.len() - rest.len();
                let result = ldap_result(message).ok_or_else(|| other_protocol("LDAP", talk))?;
                talk.inbox.take(length);
                return match result {
                    (0, _) => Ok(()),
                    (code, text) => {
                        let text = format!("LDAP refuses StartTLS with code {code}: {}", inbox::quote(&text));
                        Err(Failure::new(Reason::Tls, format!("{text}; configure a certificate on the server")))
                    }
                };
            }
            Element::Incomplete => receive(stream, talk, MAX_MESSAGE_BYTES).await?,
            Element::Invalid => return Err(other_protocol("LDAP", talk)),
        }
    }
}

/// Result code and diagnostic text of an extended response.
fn ldap_result(message: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (_, rest) = complete(message, 0x02)?;
    let (response, _) = complete(rest, 0x78)?;
    let (code, rest) = complete(response, 0x0a)?;
    let text = complete(rest, 0x04).and_then(|(_, rest)| complete(rest, 0x04)).map(|(text, _)| text.to_vec());
    Some((*code.first()?, text.unwrap_or_default()))
}

fn complete(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    match read_element(bytes) {
        Element::Complete(tag, content, rest) if tag == expected => Some((content, rest)),
        _ => None,
    }
}

/// Element of the Basic Encoding Rules.
enum Element<'a> {
    /// Tag, content and the bytes behind the element.
    Complete(u8, &'a [u8], &'a [u8]),
    Incomplete,
    Invalid,
}

fn read_element(bytes: &[u8]) -> Element<'_> {
    let [tag, length, rest @ ..] = bytes else { return Element::Incomplete };
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let count = usize::from(long & 0x7f);
            let (Some(digits), Some(rest)) = (rest.get(..count), rest.get(count..)) else { return Element::Incomplete };
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return Element::Invalid,
    };
    if length > MAX_MESSAGE_BYTES {
        return Element::Invalid;
    }
    match (rest.get(..length), rest.get(length..)) {
        (Some(content), Some(rest)) => Element::Complete(*tag, content, rest),
        _ => Element::Incomplete,
    }
}

/// Capabilities of MySQL (include/mysql_com.h): 4.1 protocol, TLS, 4.1 authentication.
const MYSQL_SSL: u16 = 0x0800;
const MYSQL_CLIENT: u32 = 0x0200 | 0x0800 | 0x8000;

pub(super) async fn mysql(stream: &mut TcpStream, talk: &mut Conversation) -> Result<(), Failure> {
    talk.expected = Some("the greeting of MySQL".to_owned());
    let payload = loop {
        let heard = talk.inbox.unconsumed();
        if let [low, middle, high, _, rest @ ..] = heard {
            let length = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
            let is_greeting = matches!(rest.first(), None | Some(0x0a | 0xff));
            if length == 0 || length > MAX_MESSAGE_BYTES || !is_greeting {
                return Err(other_protocol("MySQL", talk));
            }
            if rest.len() >= length {
                break talk.inbox.take(4 + length).split_off(4);
            }
        }
        receive(stream, talk, MAX_MESSAGE_BYTES + 4).await?;
    };
    if payload.first() == Some(&0xff) {
        let text = inbox::quote(payload.get(3..).unwrap_or_default());
        return Err(Failure::new(Reason::Status, format!("MySQL answers with an error: {text}")));
    }
    let capabilities = mysql_capabilities(&payload)
        .ok_or_else(|| Failure::new(Reason::Protocol, "the greeting of MySQL is too short; is the port right?"))?;
    if capabilities & MYSQL_SSL == 0 {
        return Err(not_offered("MySQL", "configure `ssl_cert` and `ssl_key` there"));
    }
    // Length and number of the message, capabilities, maximum size of a packet, character set utf8mb4, 23 reserved bytes.
    let mut request = vec![32, 0, 0, 1];
    request.extend(MYSQL_CLIENT.to_le_bytes());
    request.extend((1_u32 << 24).to_le_bytes());
    request.push(45);
    request.extend([0; 23]);
    talk.send(stream, &request).await
}

/// Lower capabilities of a greeting: behind the version, the thread, eight bytes of salt and a filler.
fn mysql_capabilities(greeting: &[u8]) -> Option<u16> {
    let version = greeting.get(1..)?.iter().position(|byte| *byte == 0)?;
    let at = 1 + version + 1 + 4 + 8 + 1;
    Some(u16::from_le_bytes(greeting.get(at..at + 2)?.try_into().ok()?))
}
