//! Addresses as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// An address and a port. IPv6 is written in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Endpoint {
    /// The address; a v4-mapped one is already IPv4.
    pub address: IpAddr,
    /// The port, host order.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

/// The address in the wire's 16 bytes, where IPv4 is `::ffff:a.b.c.d`.
pub fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        let endpoint = Endpoint {
            address: address(mapped),
            port: 9000,
        };
        assert_eq!(endpoint.to_string(), "127.0.0.1:9000");
    }

    #[test]
    fn an_ipv6_address_is_bracketed() {
        let endpoint = Endpoint {
            address: "2001:db8::1".parse().unwrap(),
            port: 80,
        };
        assert_eq!(endpoint.to_string(), "[2001:db8::1]:80");
    }
}
