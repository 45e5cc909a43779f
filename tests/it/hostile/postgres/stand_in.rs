//! Stand-ins that speak just enough of PostgreSQL's protocol to attack a client with it.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};

/// AuthenticationOk, BackendKeyData and ReadyForQuery: the end of a login.
pub(super) const LOGGED_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x01Z\0\0\0\x05I";
pub(super) const READY: &[u8] = b"Z\0\0\0\x05I";

/// A server whose every connection is handled by one function, on a thread of its own.
pub(super) struct StandIn {
    pub(super) port: u16,
    connections: Arc<AtomicUsize>,
}

impl StandIn {
    /// Listens on a free port of a loopback address.
    pub(super) fn start(host: &str, handle: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, handle) = (Arc::new(AtomicUsize::new(0)), Arc::new(handle));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                let handle = Arc::clone(&handle);
                // An error is the client's refusal to go on, which is what the tests are about.
                std::thread::spawn(move || handle(&mut stream));
            }
        });
        Self { port, connections }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One message with its tag and its length.
pub(super) fn message(tag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], payload].concat()
}

/// A RowDescription with one column for each type.
pub(super) fn row_description(types: &[u32]) -> Vec<u8> {
    let mut payload = u16::try_from(types.len()).unwrap().to_be_bytes().to_vec();
    for (at, oid) in types.iter().enumerate() {
        payload.extend(format!("column{at}\0").bytes());
        payload.extend([0; 6]);
        payload.extend(oid.to_be_bytes());
        payload.extend([0; 8]);
    }
    message(b'T', &payload)
}

/// A ParameterDescription.
pub(super) fn parameter_description(types: &[u32]) -> Vec<u8> {
    let mut payload = u16::try_from(types.len()).unwrap().to_be_bytes().to_vec();
    types.iter().for_each(|oid| payload.extend(oid.to_be_bytes()));
    message(b't', &payload)
}

/// Reads the startup message, or an SSLRequest.
pub(super) fn read_startup(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut payload = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

/// Reads one message of the client.
pub(super) fn read_message(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut tag = [0];
    stream.read_exact(&mut tag)?;
    Ok((tag[0], read_startup(stream)?))
}

/// Reads the client's messages up to the next Sync, and returns the first one's tag.
pub(super) fn read_request(stream: &mut TcpStream) -> io::Result<u8> {
    let (first, _) = read_message(stream)?;
    let mut tag = first;
    while tag != b'S' {
        tag = read_message(stream)?.0;
    }
    Ok(first)
}

/// Lets everyone in, and answers every request with the same messages.
pub(super) fn answer_all(stream: &mut TcpStream, answer: impl Fn() -> Vec<u8>) -> io::Result<()> {
    read_startup(stream)?;
    stream.write_all(LOGGED_IN)?;
    loop {
        read_request(stream)?;
        stream.write_all(&answer())?;
    }
}

/// Asks for SCRAM-SHA-256 with a number of iterations, and returns the final message of the client. Its proof is not
/// looked at.
pub(super) fn scram(stream: &mut TcpStream, iterations: &str) -> io::Result<Vec<u8>> {
    read_startup(stream)?;
    stream.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"))?;
    let (_, initial) = read_message(stream)?;
    let initial = String::from_utf8_lossy(&initial).into_owned();
    let nonce = initial.rsplit_once(",r=").map(|(_, nonce)| nonce).unwrap_or_default();
    let first = format!("r={nonce}server,s={},i={iterations}", STANDARD.encode("sixteen bytes...!"));
    stream.write_all(&message(b'R', &[b"\0\0\0\x0b", first.as_bytes()].concat()))?;
    Ok(read_message(stream)?.1)
}
