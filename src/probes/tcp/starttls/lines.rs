//! Protocols with lines of text: SMTP, IMAP, POP3 and FTP.

use tokio::net::TcpStream;

use super::{not_offered, other_protocol, receive};
use crate::{
    model::{failure::Failure, words::Reason},
    probes::tcp::{dialogue::Conversation, inbox},
};

/// Maximum length of a line, and of the lines of one reply.
const MAX_LINE_BYTES: usize = 4 << 10;
const MAX_REPLY_LINES: usize = 100;

/// Name of this client in SMTP. The top-level domain belongs to nobody (RFC 2606).
const CLIENT_NAME: &str = "readiness-exporter.invalid";

pub(super) async fn smtp(stream: &mut TcpStream, talk: &mut Conversation) -> Result<(), Failure> {
    coded_reply(stream, talk, "SMTP", "the greeting `220`", &["220"]).await?;
    talk.send(stream, format!("EHLO {CLIENT_NAME}\r\n").as_bytes()).await?;
    let offers = coded_reply(stream, talk, "SMTP", "the reply `250` to EHLO", &["250"]).await?;
    let offers_tls =
        offers.iter().any(|line| line.get(4..).is_some_and(|name| name.trim().eq_ignore_ascii_case("STARTTLS")));
    if !offers_tls {
        return Err(not_offered("SMTP", "enable it, for example with `smtpd_tls_security_level = may` in Postfix"));
    }
    talk.send(stream, b"STARTTLS\r\n").await?;
    coded_reply(stream, talk, "SMTP", "the reply `220` to STARTTLS", &["220"]).await.map(drop)
}

pub(super) async fn ftp(stream: &mut TcpStream, talk: &mut Conversation) -> Result<(), Failure> {
    coded_reply(stream, talk, "FTP", "the greeting `220`", &["220"]).await?;
    talk.send(stream, b"AUTH TLS\r\n").await?;
    coded_reply(stream, talk, "FTP", "the reply `234` to AUTH TLS", &["234"]).await.map(drop)
}

pub(super) async fn pop3(stream: &mut TcpStream, talk: &mut Conversation) -> Result<(), Failure> {
    pop3_reply(stream, talk, "the greeting `+OK`").await?;
    talk.send(stream, b"STLS\r\n").await?;
    pop3_reply(stream, talk, "the reply `+OK` to STLS").await
}

async fn pop3_reply(stream: &mut TcpStream, talk: &mut Conversation, expected: &str) -> Result<(), Failure> {
    talk.expected = Some(expected.to_owned());
    let line = read_line(stream, talk, "POP3", |start| b"+OK".starts_with(start) || b"-ERR".starts_with(start)).await?;
    if line.starts_with("+OK") { Ok(()) } else { Err(refused(expected, &line)) }
}

pub(super) async fn imap(stream: &mut TcpStream, talk: &mut Conversation) -> Result<(), Failure> {
    talk.expected = Some("the greeting `* OK`".to_owned());
    let greeting = read_line(stream, talk, "IMAP", |start| b"* ".starts_with(start)).await?;
    let is_ok = greeting.split(' ').nth(1).is_some_and(|word| word.eq_ignore_ascii_case("OK"));
    if !is_ok {
        return Err(refused("the greeting `* OK`", &greeting));
    }
    talk.send(stream, b"a1 STARTTLS\r\n").await?;
    talk.expected = Some("the reply `a1 OK` to STARTTLS".to_owned());
    for _ in 0..MAX_REPLY_LINES {
        let line =
            read_line(stream, talk, "IMAP", |start| b"* ".starts_with(start) || b"a1 ".starts_with(start)).await?;
        let Some(reply) = line.strip_prefix("a1 ") else { continue };
        if reply.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("OK")) {
            return Ok(());
        }
        return Err(refused("the reply `a1 OK` to STARTTLS", &line));
    }
    Err(too_many_lines(talk))
}

/// Reads a reply of SMTP or FTP: lines that begin with the same code, the last of them with a space behind it. In FTP,
/// the lines in between have any form.
async fn coded_reply(
    stream: &mut TcpStream,
    talk: &mut Conversation,
    protocol: &str,
    expected: &str,
    codes: &[&str],
) -> Result<Vec<String>, Failure> {
    talk.expected = Some(expected.to_owned());
    let mut lines: Vec<String> = Vec::new();
    for _ in 0..MAX_REPLY_LINES {
        let is_first = lines.is_empty();
        let is_code = |start: &[u8]| !is_first || start.iter().take(3).all(u8::is_ascii_digit);
        let line = read_line(stream, talk, protocol, is_code).await?;
        let first = lines.first().unwrap_or(&line).clone();
        let code = first.get(..3).unwrap_or(&first);
        let is_last = line.get(..3) == Some(code) && line.as_bytes().get(3) != Some(&b'-');
        lines.push(line);
        if is_last {
            let is_expected = codes.contains(&code);
            return if is_expected { Ok(lines) } else { Err(refused(expected, &lines.join(" "))) };
        }
    }
    Err(too_many_lines(talk))
}

/// Reads a line without its end. `may_begin` decides about the beginning of the line, so that another protocol without
/// lines is recognized at once.
async fn read_line(
    stream: &mut TcpStream,
    talk: &mut Conversation,
    protocol: &str,
    may_begin: impl Fn(&[u8]) -> bool,
) -> Result<String, Failure> {
    loop {
        let heard = talk.inbox.unconsumed();
        let prefix = heard.get(..heard.len().min(2)).unwrap_or_default();
        if !heard.is_empty() && !may_begin(prefix) {
            return Err(other_protocol(protocol, talk));
        }
        if let Some(at) = heard.iter().position(|byte| *byte == b'\n') {
            let line = talk.inbox.take(at + 1);
            return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        receive(stream, talk, MAX_LINE_BYTES).await?;
    }
}

fn refused(expected: &str, line: &str) -> Failure {
    Failure::new(Reason::Status, format!("expected {expected}, the server answered {}", inbox::quote(line.as_bytes())))
}

fn too_many_lines(talk: &Conversation) -> Failure {
    let expected = talk.expected.as_deref().unwrap_or("an answer");
    Failure::new(Reason::TooLarge, format!("expected {expected}, the server sends more than {MAX_REPLY_LINES} lines"))
}
