//! Negotiation of TLS in the own way of each protocol (STARTTLS).
//!
//! Every reader is bounded in lines and bytes, and refuses bytes between the agreement and the TLS handshake: an
//! attacker could insert them (CVE-2011-0411).

mod binary;
mod lines;
mod xmpp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::dialogue::Conversation;
use crate::model::{failure::Failure, words::Reason};

/// Protocol whose command starts TLS on an unencrypted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// SMTP with `STARTTLS` (RFC 3207): ports 25 and 587.
    Smtp,
    /// IMAP with `STARTTLS` (RFC 9051): port 143.
    Imap,
    /// POP3 with `STLS` (RFC 2595): port 110.
    Pop3,
    /// FTP with `AUTH TLS` (RFC 4217): port 21.
    Ftp,
    /// LDAP with the extended request StartTLS (RFC 4511): port 389.
    Ldap,
    /// XMPP from a client (RFC 6120): port 5222.
    Xmpp,
    /// PostgreSQL with an SSLRequest: port 5432.
    Postgres,
    /// MySQL and MariaDB with an SSLRequest: port 3306.
    Mysql,
}

impl StartTls {
    /// Negotiates TLS, until the server waits for the handshake. `host` is the name of the server.
    ///
    /// # Errors
    /// `tls`: the server does not offer TLS. `status`: it refuses the command. `protocol`: it speaks another protocol.
    pub(super) async fn negotiate(
        self,
        stream: &mut TcpStream,
        host: &str,
        talk: &mut Conversation,
    ) -> Result<(), Failure> {
        match self {
            Self::Smtp => lines::smtp(stream, talk).await,
            Self::Imap => lines::imap(stream, talk).await,
            Self::Pop3 => lines::pop3(stream, talk).await,
            Self::Ftp => lines::ftp(stream, talk).await,
            Self::Ldap => binary::ldap(stream, talk).await,
            Self::Xmpp => xmpp::xmpp(stream, host, talk).await,
            Self::Postgres => binary::postgres(stream, talk).await,
            Self::Mysql => binary::mysql(stream, talk).await,
        }?;
        talk.expected = None;
        talk.require_silence()
    }
}

/// The failure of a server without TLS.
fn not_offered(protocol: &str, remedy: &str) -> Failure {
    Failure::new(Reason::Tls, format!("the {protocol} server does not offer TLS: {remedy}"))
}

/// The failure of an answer in another protocol.
fn other_protocol(protocol: &str, talk: &Conversation) -> Failure {
    let text = format!("the answer {} is not {protocol}; is the port right?", talk.inbox.quote());
    Failure::new(Reason::Protocol, text)
}

/// Reads more bytes.
///
/// # Errors
/// `protocol`: the server closes the connection. `too_large`: it sends too much.
async fn receive(stream: &mut TcpStream, talk: &mut Conversation, most: usize) -> Result<(), Failure> {
    if talk.inbox.unconsumed().len() >= most {
        let text = format!("the server sends more than {most} bytes before TLS: {}", talk.inbox.quote());
        return Err(Failure::new(Reason::TooLarge, text));
    }
    if talk.inbox.receive(stream).await? > 0 {
        return Ok(());
    }
    let expected = talk.expected.as_deref().unwrap_or("an answer");
    let heard = match talk.inbox.unconsumed() {
        [] => String::new(),
        _ => format!(", received {}", talk.inbox.quote()),
    };
    Err(Failure::new(Reason::Protocol, format!("the server closed the connection, expected {expected}{heard}")))
}
