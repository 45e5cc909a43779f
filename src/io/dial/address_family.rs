//! Address families of a connection.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Address family of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamily {
    /// Every address, beginning with the family that the system resolver puts first.
    #[default]
    Any,
    /// IPv4 addresses only.
    Ip4,
    /// IPv6 addresses only.
    Ip6,
    /// IPv4 addresses first, then IPv6 addresses.
    #[serde(rename = "prefer_ip4")]
    PreferIp4,
    /// IPv6 addresses first, then IPv4 addresses.
    #[serde(rename = "prefer_ip6")]
    PreferIp6,
}

impl AddressFamily {
    /// Orders the addresses for the attempts: the families alternate, beginning with the preferred one.
    pub(super) fn order(self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let first_is_ip4 = match self {
            Self::Any => addresses.first().is_some_and(SocketAddr::is_ipv4),
            Self::Ip4 | Self::PreferIp4 => true,
            Self::Ip6 | Self::PreferIp6 => false,
        };
        let is_only = matches!(self, Self::Ip4 | Self::Ip6);
        let (first, second): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| address.is_ipv4() == first_is_ip4);
        let mut second = second.into_iter().filter(|_| !is_only);
        let mut ordered = Vec::with_capacity(first.len() + second.size_hint().1.unwrap_or_default());
        for address in first {
            ordered.push(address);
            ordered.extend(second.next());
        }
        ordered.extend(second);
        ordered
    }
}

impl std::fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Any | Self::PreferIp4 | Self::PreferIp6 => "IP",
            Self::Ip4 => "IPv4",
            Self::Ip6 => "IPv6",
        })
    }
}
