//! Finds the listening addresses of the daemon through /proc, without configuration file or environment variable.
//!
//! This works in a container, which has one other process of this program. If there are several, or if /proc is not
//! readable (another user, another system), the result is empty and the configuration must provide the address.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// State of a listening socket in /proc/net/tcp.
const TCP_LISTEN_STATE: &str = "0A";

/// Returns the listening addresses of the only other process of this program.
pub(super) fn daemon_addresses() -> Vec<SocketAddr> {
    let Ok(own) = fs::read_link("/proc/self/exe") else { return Vec::new() };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_other = |process: &Path| {
        let id = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        id.is_some_and(|id| id != std::process::id()) && fs::read_link(process.join("exe")).is_ok_and(|exe| exe == own)
    };
    let mut daemons = processes.filter(|process| is_other(process)).map(|process| listening_addresses(&process));
    let mut daemons = daemons.by_ref().filter(|addresses| !addresses.is_empty());
    match (daemons.next(), daemons.next()) {
        (Some(addresses), None) => addresses,
        _ => Vec::new(),
    }
}

/// Returns the listening addresses of a process.
fn listening_addresses(process: &Path) -> Vec<SocketAddr> {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let open: Vec<_> = files.filter_map(|file| fs::read_link(file.path()).ok()).collect();
    let is_its = |socket: &str| open.iter().any(|file| file.to_str() == Some(&format!("socket:[{socket}]")));
    let tables = ["net/tcp", "net/tcp6"].map(|table| fs::read_to_string(process.join(table)).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (address, state, socket) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (*state == TCP_LISTEN_STATE && is_its(socket)).then(|| parse_proc_address(address)).flatten()
    });
    sockets.collect()
}

/// Parses an address such as `0100007F:2AE4`: 32-bit words in host byte order, and a port.
fn parse_proc_address(address: &str) -> Option<SocketAddr> {
    let (ip, port) = address.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => word(0)?.into(),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            <[u8; 16]>::try_from(bytes).ok()?.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_kernel_tells_where_a_process_listens() {
        let listeners = ["127.0.0.1:0", "[::1]:0"].map(|address| TcpListener::bind(address).unwrap());
        let found = listening_addresses(Path::new("/proc/self"));
        for address in listeners.iter().map(|listener| listener.local_addr().unwrap()) {
            assert!(found.contains(&address), "{address} in {found:?}");
        }
        drop(listeners);
    }
}
