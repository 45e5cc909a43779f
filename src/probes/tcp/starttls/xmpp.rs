//! XMPP: STARTTLS in a stream of XML.

use tokio::net::TcpStream;

use super::{not_offered, other_protocol, receive};
use crate::{
    model::{failure::Failure, words::Reason},
    probes::tcp::dialogue::Conversation,
};

/// Maximum number of bytes before TLS.
const MAX_STREAM_BYTES: usize = 16 << 10;

pub(super) async fn xmpp(stream: &mut TcpStream, host: &str, talk: &mut Conversation) -> Result<(), Failure> {
    let host = escape(host);
    let open = format!(
        "<?xml version='1.0'?><stream:stream to='{host}' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    );
    talk.send(stream, open.as_bytes()).await?;
    let features = read_until(stream, talk, "the features of an XMPP stream", features_end).await?;
    if !features.contains("<starttls") {
        return Err(not_offered("XMPP", "enable it for this host"));
    }
    talk.send(stream, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
    let answer = read_until(stream, talk, "the answer `<proceed/>` of XMPP", answer_end).await?;
    if answer.contains("<proceed") {
        Ok(())
    } else {
        Err(Failure::new(Reason::Tls, "the XMPP server refuses STARTTLS: look at its log"))
    }
}

/// Reads until `end` finds the end of the answer, and consumes the answer.
async fn read_until(
    stream: &mut TcpStream,
    talk: &mut Conversation,
    expected: &str,
    end: impl Fn(&str) -> Option<usize>,
) -> Result<String, Failure> {
    talk.expected = Some(expected.to_owned());
    loop {
        let heard = talk.inbox.unconsumed();
        if heard.first().is_some_and(|byte| !byte.is_ascii_whitespace() && *byte != b'<') {
            return Err(other_protocol("XMPP", talk));
        }
        let text = String::from_utf8_lossy(heard);
        if text.contains("<stream:error") && text.contains("</stream:") {
            let text = format!("the XMPP server ends the stream with an error: {}", talk.inbox.quote());
            return Err(Failure::new(Reason::Status, text));
        }
        if let Some(end) = end(&text) {
            return Ok(String::from_utf8_lossy(&talk.inbox.take(end)).into_owned());
        }
        receive(stream, talk, MAX_STREAM_BYTES).await?;
    }
}

/// End of the features, with any prefix of the namespace.
fn features_end(text: &str) -> Option<usize> {
    text.match_indices("features").find_map(|(at, word)| {
        let (before, after) = (text.get(..at)?, text.get(at + word.len()..)?);
        let tag = before.get(before.rfind('<')?..)?;
        let end = after.find('>')?;
        let is_empty = after.get(..end)?.ends_with('/');
        (tag.starts_with("</") || is_empty).then_some(at + word.len() + end + 1)
    })
}

fn answer_end(text: &str) -> Option<usize> {
    let at = text.find("<proceed").or_else(|| text.find("<failure"))?;
    Some(at + text.get(at..)?.find('>')? + 1)
}

fn escape(text: &str) -> String {
    text.chars().filter(|c| !"<>&'\"".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_end_with_their_tag() {
        for (text, end) in [
            ("<stream:features><starttls", None),
            ("<stream:features><starttls/></stream:features>x", Some(46)),
            ("<stream:features/>", Some(18)),
            ("<a:features></a:features >", Some(26)),
            ("<stream:features", None),
        ] {
            assert_eq!(features_end(text), end, "{text}");
        }
        assert_eq!(answer_end("<proceed xmlns='x'/>rest"), Some(20));
    }
}
