//! Where an upstream is: an address and a port, or the name of a unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// An upstream's address, as a proxy is told and as gw502 reports it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// A unix socket without a file, by its name.
    Abstract(String),
}

impl Address {
    /// The address and port; a test that asks knows that it is TCP.
    #[must_use]
    #[track_caller]
    pub fn tcp(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) => *address,
            Self::Unix(_) | Self::Abstract(_) => panic!("{self} has no port"),
        }
    }

    /// Reads gw502's JSON: an object with `address` and `port`, or with `path`.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        if let Some(path) = value.get("path") {
            let path = path.as_str()?;
            return Some(path.strip_prefix('@').map_or_else(
                || Self::Unix(path.into()),
                |name| Self::Abstract(name.to_owned()),
            ));
        }
        let address: IpAddr = value.get("address")?.as_str()?.parse().ok()?;
        let port = u16::try_from(value.get("port")?.as_u64()?).ok()?;
        Some(Self::Tcp(SocketAddr::new(address, port)))
    }
}

/// As nginx and gw502 write it: `10.50.2.2:80`, `unix:/run/app.sock`, `unix:@name`.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Abstract(name) => write!(formatter, "unix:@{name}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Address;

    #[test]
    fn each_form_is_read_and_written() {
        let forms = [
            (json!({"address": "10.50.2.2", "port": 80}), "10.50.2.2:80"),
            (json!({"address": "fd50::2", "port": 80}), "[fd50::2]:80"),
            (json!({"path": "/run/app.sock"}), "unix:/run/app.sock"),
            (json!({"path": "@app"}), "unix:@app"),
        ];
        for (value, text) in forms {
            let address = Address::from_json(&value).expect("an address");
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(Address::from_json(&json!({"address": "10.50.2.2"})), None);
    }
}
