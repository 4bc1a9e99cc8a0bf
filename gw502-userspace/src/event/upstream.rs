//! What a proxy connects to.

use std::fmt;

use gw502_common::wire::UnixAddress;
use serde::{Deserialize, Serialize};

use super::Endpoint;

/// An upstream: an address and port, or a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Upstream {
    /// Over TCP.
    Tcp(Endpoint),
    /// Over a unix socket.
    Unix {
        /// Its path as the proxy gave it; an abstract name is written with `@` for its zero bytes.
        path: String,
    },
}

impl From<&UnixAddress> for Upstream {
    fn from(address: &UnixAddress) -> Self {
        let name = address.path.get(..usize::from(address.len));
        let name = name.unwrap_or(&address.path);
        let path = String::from_utf8_lossy(name).replace('\0', "@");
        Self::Unix { path }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => endpoint.fmt(f),
            Self::Unix { path } => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &[u8]) -> Upstream {
        let mut address = UnixAddress::default();
        for (to, from) in address.path.iter_mut().zip(name) {
            *to = *from;
        }
        address.len = u16::try_from(name.len()).unwrap();
        Upstream::from(&address)
    }

    #[test]
    fn unix_sockets_are_named_as_proxies_name_them() {
        assert_eq!(named(b"/run/php.sock").to_string(), "unix:/run/php.sock");
        assert_eq!(named(b"\0app\0x").to_string(), "unix:@app@x");
    }

    #[test]
    fn a_length_beyond_the_name_is_cut() {
        let address = UnixAddress {
            len: 999,
            ..UnixAddress::default()
        };
        assert_eq!(Upstream::from(&address).to_string().len(), 5 + 108);
    }
}
