//! Which upstreams a run is about.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use gw502_common::tcp::SUN_PATH;
use gw502_common::wire::UnixAddress;

/// `--upstream`: an address, an address with a port, a network, or a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamFilter {
    /// Over TCP.
    Network {
        /// The address, or any in the network.
        network: IpAddr,
        /// Bits of it that count.
        prefix: u8,
        /// The port, if only one is meant.
        port: Option<u16>,
    },
    /// Over a unix socket of this name; `@` in front of an abstract one.
    Unix(String),
}

/// Why a filter cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not an address.
    #[error(
        "`{0}` is no address; write ADDRESS, ADDRESS:PORT, [IPV6]:PORT, NETWORK/PREFIX or unix:PATH"
    )]
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
    /// No name, or one that no unix socket can have.
    #[error("`{0}` names no unix socket; write unix:PATH, or unix:@NAME, of 1 to 108 bytes")]
    Unix(String),
}

impl UpstreamFilter {
    /// What the kernel side compares an address with: 16 bytes, where IPv4 is mapped, how many of
    /// their bits count, and the port, if only one is meant.
    pub fn network(&self) -> Option<([u8; 16], u32, Option<u16>)> {
        let Self::Network {
            network,
            prefix,
            port,
        } = self
        else {
            return None;
        };
        let (bytes, shift) = match network {
            IpAddr::V4(address) => (address.to_ipv6_mapped().octets(), 96),
            IpAddr::V6(address) => (address.octets(), 0),
        };
        Some((bytes, shift + u32::from(*prefix), *port))
    }

    /// What the kernel side compares a unix socket with.
    pub fn socket(&self) -> Option<UnixAddress> {
        let Self::Unix(name) = self else {
            return None;
        };
        let mut address = UnixAddress::default();
        for (to, from) in address.path.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        if let [first @ b'@', ..] = &mut address.path {
            *first = 0;
        }
        address.len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        Some(address)
    }
}

const fn longest(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for UpstreamFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if let Some(name) = text.strip_prefix("unix:") {
            let fits = (1..=SUN_PATH).contains(&name.len()) && !name.contains('\0') && name != "@";
            let wrong = || FilterError::Unix(text.to_owned());
            return fits.then(|| Self::Unix(name.to_owned())).ok_or_else(wrong);
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
            return Ok(Self::Network {
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
        Ok(Self::Network {
            network,
            prefix: longest(&network),
            port,
        })
    }
}

impl fmt::Display for UpstreamFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(name) => write!(f, "unix:{name}"),
            Self::Network {
                network,
                port: Some(port),
                ..
            } => SocketAddr::new(*network, *port).fmt(f),
            Self::Network {
                network, prefix, ..
            } if *prefix == longest(network) => network.fmt(f),
            Self::Network {
                network, prefix, ..
            } => write!(f, "{network}/{prefix}"),
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
            let expected = Some((address.octets(), bits, port));
            assert_eq!(parsed.network(), expected, "{filter}");
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
        assert!(matches!(error("unix:"), FilterError::Unix(_)));
        assert!(matches!(error("unix:@"), FilterError::Unix(_)));
        let long = format!("unix:/{}", "x".repeat(108));
        assert!(matches!(error(&long), FilterError::Unix(_)));
        assert!(matches!(error(""), FilterError::Address(_)));
    }

    #[test]
    fn a_unix_socket_is_its_name() {
        let filter: UpstreamFilter = "unix:@app".parse().unwrap();
        let address = filter.socket().unwrap();
        assert_eq!(address.path.first_chunk(), Some(b"\0app\0"));
        assert_eq!(address.len, 4);
        assert_eq!(filter.network(), None);
        assert_eq!(filter.to_string(), "unix:@app");
    }
}
