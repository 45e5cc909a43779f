//! What receives notifications over HTTP and SMTP, and remembers them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use super::service::{Service, http_response};

/// A web server that accepts every POST.
pub(crate) struct WebInbox {
    service: Service,
    bodies: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl WebInbox {
    pub(crate) fn start() -> Self {
        let (service, bodies) = (Service::start(), Arc::<Mutex<BTreeMap<String, Vec<String>>>>::default());
        let list = Arc::clone(&bodies);
        service.set_behaviour(move |stream, head, _| {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap()];
            stream.read_exact(&mut body)?;
            let path = head.split(' ').nth(1).unwrap().to_owned();
            list.lock().unwrap().entry(path).or_default().push(String::from_utf8(body).unwrap());
            // Slack answers `ok`, and PagerDuty with 202.
            let status = if head.contains("/pagerduty ") { "202 Accepted" } else { "200 OK" };
            stream.write_all(&http_response(status, "", b"ok"))
        });
        Self { service, bodies }
    }

    pub(crate) fn url(&self) -> String {
        self.service.url()
    }

    /// The bodies that were sent to a path, in order.
    pub(crate) fn bodies(&self, path: &str) -> Vec<String> {
        self.bodies.lock().unwrap().get(path).cloned().unwrap_or_default()
    }
}

/// A mail server that accepts every message.
pub(crate) struct MailInbox {
    pub(crate) address: SocketAddr,
    messages: Arc<Mutex<Vec<Mail>>>,
}

/// A message with its subject, and its parts by their media type.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) subject: String,
    pub(crate) parts: BTreeMap<String, String>,
}

impl MailInbox {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let messages = Arc::<Mutex<Vec<Mail>>>::default();
        let list = Arc::clone(&messages);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let list = Arc::clone(&list);
                std::thread::spawn(move || receive(stream, &list));
            }
        });
        Self { address, messages }
    }

    pub(crate) fn messages(&self) -> Vec<Mail> {
        self.messages.lock().unwrap().clone()
    }
}

/// One session of SMTP.
fn receive(mut stream: TcpStream, messages: &Mutex<Vec<Mail>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 inbox\r\n")?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let command = line.to_uppercase();
        if command.starts_with("DATA") {
            stream.write_all(b"354 go on\r\n")?;
            let mut text = String::new();
            while !text.ends_with("\r\n.\r\n") && lines.read_line(&mut text)? > 0 {}
            messages.lock().unwrap().push(parse(&text));
        } else if command.starts_with("QUIT") {
            return stream.write_all(b"221 bye\r\n");
        }
        stream.write_all(b"250 done\r\n")?;
        line.clear();
    }
    Ok(())
}

fn parse(text: &str) -> Mail {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let header = |head: &str, name: &str| {
        let unfolded = head.replace("\r\n ", " ");
        unfolded.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap_or_default()
    };
    let content_type = header(head, "Content-Type: ");
    let boundary = content_type.split("boundary=").nth(1).unwrap().trim_matches('"').to_owned();
    let boundary = format!("--{boundary}");
    let parts = body.split(&boundary).filter_map(|part| part.trim_start().split_once("\r\n\r\n"));
    let parts = parts.map(|(head, text)| {
        let media_type = header(head, "Content-Type: ");
        (media_type.split(';').next().unwrap().to_owned(), from_quoted_printable(text))
    });
    Mail { subject: header(head, "Subject: "), parts: parts.collect() }
}

fn from_quoted_printable(text: &str) -> String {
    let joined = text.replace("=\r\n", "").replace("\r\n", "\n");
    let (mut bytes, mut rest) = (Vec::new(), joined.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let code = (*first == b'=').then(|| std::str::from_utf8(&behind[..2]).unwrap());
        match code {
            Some(code) => {
                bytes.push(u8::from_str_radix(code, 16).unwrap());
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
