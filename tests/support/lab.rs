//! Where a test happens: two namespaces and the path that joins them.
//!
//! ```text
//! loopback    one namespace          proxy ── lo ── upstream
//! veth        two namespaces         proxy ══ veth ══ upstream
//! delayed     two namespaces         proxy ── tun ── 20 ms ── tun ── upstream
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::netns::{self, Namespace};
use crate::process::run;
use crate::relay::Relay;
use crate::scratch::{self, Scratch};

/// The device that joins the namespaces, by the same name on both sides.
pub const DEVICE: &str = "link0";

/// The hosts' numbers in the lab's network.
const PROXY: u8 = 1;
const UPSTREAM: u8 = 2;
const SPARE: u8 = 3;
const NOBODY: u8 = 99;

/// The ends of a veth pair.
const LEFT_MAC: &str = "02:00:00:00:02:01";
const RIGHT_MAC: &str = "02:00:00:00:02:02";

/// The way packets take from the proxy to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// One namespace, its loopback device.
    Loopback,
    /// Two namespaces on this host: answers arrive while `connect()` still runs.
    Veth,
    /// Two namespaces and a round trip of 40 ms: answers arrive after `connect()`.
    Delayed,
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Loopback => "loopback",
            Self::Veth => "veth",
            Self::Delayed => "delayed",
        })
    }
}

/// The address family of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The namespaces of one test. Dropping it ends what runs in them and removes them.
#[derive(Debug)]
pub struct Lab {
    path: Path,
    // Before the namespaces: the relay lets go of its devices first.
    _relay: Option<Relay>,
    proxy: Namespace,
    upstream: Option<Namespace>,
    scratch: Scratch,
}

impl Lab {
    /// Makes the namespaces and joins them.
    #[must_use]
    #[track_caller]
    pub fn new(path: Path) -> Self {
        let proxy = Namespace::new();
        let scratch = Scratch::new();
        if path == Path::Loopback {
            return Self {
                path,
                _relay: None,
                proxy,
                upstream: None,
                scratch,
            };
        }
        let upstream = Namespace::new();
        let relay = if path == Path::Delayed {
            Some(Relay::join(DEVICE, &proxy, &upstream))
        } else {
            join_by_veth(&proxy, &upstream);
            None
        };
        give_addresses(&proxy, v4(PROXY), v6(PROXY));
        give_addresses(&upstream, v4(UPSTREAM), v6(UPSTREAM));
        if path == Path::Veth {
            introduce(&proxy, &upstream);
        }
        Self {
            path,
            _relay: relay,
            proxy,
            upstream: Some(upstream),
            scratch,
        }
    }

    /// The way packets take.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.path
    }

    /// The namespace of the proxy and its clients.
    #[must_use]
    pub const fn proxy(&self) -> &Namespace {
        &self.proxy
    }

    /// The namespace of the upstream: the proxy's own on loopback.
    #[must_use]
    pub fn upstream(&self) -> &Namespace {
        self.upstream.as_ref().unwrap_or(&self.proxy)
    }

    /// Where the upstream listens.
    #[must_use]
    pub fn upstream_address(&self, family: Family) -> IpAddr {
        match (self.path, family) {
            (Path::Loopback, Family::V4) => Ipv4Addr::LOCALHOST.into(),
            (Path::Loopback, Family::V6) => Ipv6Addr::LOCALHOST.into(),
            (_, Family::V4) => v4(UPSTREAM).into(),
            (_, Family::V6) => v6(UPSTREAM).into(),
        }
    }

    /// The proxy's address as the upstream's namespace sees it.
    #[must_use]
    pub fn proxy_address(&self) -> IpAddr {
        match self.path {
            Path::Loopback => Ipv4Addr::LOCALHOST.into(),
            Path::Veth | Path::Delayed => v4(PROXY).into(),
        }
    }

    /// An address on the same link that nobody has.
    #[must_use]
    pub fn nobodys_address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => v4(NOBODY).into(),
            Family::V6 => v6(NOBODY).into(),
        }
    }

    /// An address on the same link for whoever needs a second one.
    #[must_use]
    pub fn spare_address(&self) -> IpAddr {
        v4(SPARE).into()
    }

    /// A directory for the test's files.
    #[must_use]
    pub const fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// The third number of the addresses of this run, which the next odd number may share: of an address
/// that two runs have at the same time gw502 does not know who listens there.
pub(crate) fn network() -> u8 {
    let run = u8::try_from(std::process::id() % 120).unwrap_or_default();
    2 + 2 * run
}

/// A host's address; all are in `10.50.0.0/16`.
fn v4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 50, network(), host)
}

/// The same; all are in `fd50:2::/32`.
fn v6(host: u8) -> Ipv6Addr {
    let (run, host) = (network().into(), host.into());
    Ipv6Addr::new(0xfd50, 2, run, 0, 0, 0, 0, host)
}

/// Removes what killed runs left behind: namespaces, processes in them, directories.
pub fn sweep() {
    netns::sweep();
    scratch::sweep();
}

#[track_caller]
fn join_by_veth(left: &Namespace, right: &Namespace) {
    let link = ["link", "add", DEVICE, "address", LEFT_MAC];
    let from = ["netns", left.name(), "type", "veth"];
    let peer = ["peer", "name", DEVICE, "address", RIGHT_MAC];
    let to = ["netns", right.name()];
    run("ip", &[&link[..], &from[..], &peer[..], &to[..]].concat());
}

/// Makes the two known to each other over IPv6: the first solicitation on a new link is lost, and
/// the next one comes a second later. IPv4 has no such start.
#[track_caller]
fn introduce(left: &Namespace, right: &Namespace) {
    let ends = [
        (left, v6(UPSTREAM), RIGHT_MAC),
        (right, v6(PROXY), LEFT_MAC),
    ];
    for (namespace, neighbour, mac) in ends {
        let neighbour = neighbour.to_string();
        let known = ["neigh", "add", neighbour.as_str(), "lladdr", mac];
        namespace.ip(&[&known[..], &["dev", DEVICE, "nud", "permanent"]].concat());
    }
}

#[track_caller]
fn give_addresses(namespace: &Namespace, v4: Ipv4Addr, v6: Ipv6Addr) {
    namespace.add_address(DEVICE, &format!("{v4}/24"));
    namespace.add_address(DEVICE, &format!("{v6}/64"));
    namespace.ip(&["link", "set", DEVICE, "up"]);
}
