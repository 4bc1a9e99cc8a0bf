//! Faults made of routes: `connect()` fails before anything leaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::lab::Family;
use crate::netns::Namespace;

/// In no network of the lab: from the blocks for documentation.
const NOWHERE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const NOWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const PORT: u16 = 8080;

/// What the routing table says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Nothing, and there is no default route.
    Missing,
    /// `unreachable`: EHOSTUNREACH.
    Unreachable,
    /// `prohibit`: EACCES.
    Prohibit,
    /// `blackhole`: EINVAL.
    Blackhole,
    /// `throw`: as if the table had nothing, and no other table has.
    Throw,
}

impl Route {
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Unreachable => Some("unreachable"),
            Self::Prohibit => Some("prohibit"),
            Self::Blackhole => Some("blackhole"),
            Self::Throw => Some("throw"),
        }
    }
}

/// Gives `namespace` such a route, and returns an address behind it.
#[track_caller]
pub fn lead_nowhere(namespace: &Namespace, family: Family, route: Route) -> SocketAddr {
    let nowhere: IpAddr = match family {
        Family::V4 => NOWHERE_V4.into(),
        Family::V6 => NOWHERE_V6.into(),
    };
    if let Some(word) = route.word() {
        namespace.ip(&["route", "add", word, &nowhere.to_string()]);
    }
    SocketAddr::new(nowhere, PORT)
}
