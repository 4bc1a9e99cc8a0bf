//! Which upstreams a run is about.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::event::Endpoint;

/// `--upstream`: an address, an address with a port, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamFilter {
    network: IpAddr,
    prefix: u8,
    port: Option<u16>,
}

/// Why a filter cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not an address.
    #[error("`{0}` is no address; write ADDRESS, ADDRESS:PORT, [IPV6]:PORT or NETWORK/PREFIX")]
    Address(String),
    /// A prefix longer than the address.
    #[error("`{given}` is no prefix length for {network}; it goes from 0 to {longest}")]
    Prefix {
        /// What was given.
        given: String,
        /// The network.
        network: IpAddr,
        /// The longest possible.
        longest: u8,
    },
    /// Port 0 is never connected to.
    #[error("port 0 is never an upstream")]
    PortZero,
    /// Unix sockets.
    #[error("upstreams on unix sockets (`{0}`) are not watched by this version")]
    Unix(String),
}

impl UpstreamFilter {
    /// What the kernel side compares with: the address in 16 bytes, where IPv4 is mapped, how many
    /// of their bits count, and the port, if only one is meant.
    pub fn parts(&self) -> ([u8; 16], u32, Option<u16>) {
        let (bytes, shift) = match self.network {
            IpAddr::V4(address) => (address.to_ipv6_mapped().octets(), 96),
            IpAddr::V6(address) => (address.octets(), 0),
        };
        (bytes, shift + u32::from(self.prefix), self.port)
    }
}

const fn longest(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for UpstreamFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.starts_with("unix:") {
            return Err(FilterError::Unix(text.to_owned()));
        }
        let not_an_address = || FilterError::Address(text.to_owned());
        if let Some((network, prefix)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_not| not_an_address())?;
            let longest = longest(&network);
            let prefix = prefix
                .parse()
                .ok()
                .filter(|bits| *bits <= longest)
                .ok_or_else(|| FilterError::Prefix {
                    given: prefix.to_owned(),
                    network,
                    longest,
                })?;
            return Ok(Self {
                network,
                prefix,
                port: None,
            });
        }
        let (address, port) = match text.parse::<SocketAddr>() {
            Ok(both) if both.port() == 0 => return Err(FilterError::PortZero),
            Ok(both) => (both.ip(), Some(both.port())),
            Err(_) => (
                text.parse::<IpAddr>().map_err(|_not| not_an_address())?,
                None,
            ),
        };
        let network = address.to_canonical();
        Ok(Self {
            network,
            prefix: longest(&network),
            port,
        })
    }
}

impl fmt::Display for UpstreamFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => Endpoint {
                address: self.network,
                port,
            }
            .fmt(f),
            None if self.prefix == longest(&self.network) => self.network.fmt(f),
            None => write!(f, "{}/{}", self.network, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_says_how_many_bits_count_and_which_port() {
        for (filter, address, bits, port) in [
            ("10.0.0.7", "::ffff:10.0.0.7", 128, None),
            ("10.0.0.7:80", "::ffff:10.0.0.7", 128, Some(80)),
            ("10.1.0.0/12", "::ffff:10.1.0.0", 108, None),
            ("0.0.0.0/0", "::ffff:0.0.0.0", 96, None),
            ("[2001:db8::1]:80", "2001:db8::1", 128, Some(80)),
            ("2001:db8::/33", "2001:db8::", 33, None),
            ("::ffff:10.0.0.7", "::ffff:10.0.0.7", 128, None),
        ] {
            let parsed: UpstreamFilter = filter.parse().unwrap();
            let address: std::net::Ipv6Addr = address.parse().unwrap();
            assert_eq!(parsed.parts(), (address.octets(), bits, port), "{filter}");
        }
    }

    #[test]
    fn malformed_filters_are_refused_with_the_reason() {
        let error = |text: &str| text.parse::<UpstreamFilter>().unwrap_err();
        assert!(matches!(error("example.com"), FilterError::Address(_)));
        assert!(matches!(error("10.0.0.1:99999"), FilterError::Address(_)));
        assert!(matches!(
            error("10.0.0.0/33"),
            FilterError::Prefix { longest: 32, .. }
        ));
        assert!(matches!(error("10.0.0.0/x"), FilterError::Prefix { .. }));
        assert!(matches!(error("10.0.0.1:0"), FilterError::PortZero));
        assert!(matches!(error("unix:/run/x.sock"), FilterError::Unix(_)));
        assert!(matches!(error(""), FilterError::Address(_)));
    }
}
