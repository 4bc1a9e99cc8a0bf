//! The network namespace that an upstream's address lives in, and who listens there.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use crate::clock;
use crate::event::{Endpoint, Evidence, Failure};
use crate::kernel::netns::{NetNs, addresses};
use crate::kernel::root::KernelRoot;
use crate::kernel::sock_diag::{Listening, SockDiag, UnixListening};

/// How long a look at listeners holds for later failures. Nanoseconds.
const LOOK_NS: u64 = 2_000_000;

/// How long it holds which addresses the namespaces of this host have. Nanoseconds.
const MAP_NS: u64 = 1_000_000_000;

/// How old the map must be to be made anew for what is not in it. Nanoseconds.
const NEW_NS: u64 = 20_000_000;

/// Addresses remembered to be nobody's; a full book starts afresh.
const ABSENT: usize = 1024;

/// A network namespace as it was looked at.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) netns: NetNs,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub(super) looked_ns: u64,
    /// Shared: every failure of a moment is judged by the same look.
    pub(super) listening: Arc<[Listening]>,
}

impl Place {
    /// The socket that takes connections to `upstream`; the one for this address before a wildcard,
    /// as the kernel chooses.
    pub(super) fn taker(&self, upstream: Endpoint) -> Option<&Listening> {
        let takers = self.listening.iter();
        let takers = takers.filter(|listening| listening.takes(upstream) && !listening.is_bound);
        takers.max_by_key(|listening| !listening.at.address.is_unspecified())
    }

    /// Whether a listener that takes only what comes in by one interface could be meant.
    pub(super) fn is_bound_there(&self, upstream: Endpoint) -> bool {
        let mut all = self.listening.iter();
        all.any(|listening| listening.is_bound && listening.takes(upstream))
    }
}

/// The namespaces of this host.
#[derive(Debug)]
pub(super) struct Places {
    root: KernelRoot,
    /// Each namespace with its addresses.
    map: Vec<(NetNs, Vec<IpAddr>)>,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    mapped_ns: Option<u64>,
    /// Addresses that no namespace has, and when that was found out.
    absent: BTreeMap<IpAddr, u64>,
    looks: BTreeMap<u32, Place>,
}

impl Places {
    pub(super) const fn new(root: KernelRoot) -> Self {
        Self {
            root,
            map: Vec::new(),
            mapped_ns: None,
            absent: BTreeMap::new(),
            looks: BTreeMap::new(),
        }
    }

    /// Where `upstream` lives, looked at after the failure or a moment before; `None` when its
    /// address is none of this host, or of more than one namespace besides the proxy's own.
    pub(super) fn of(&mut self, failure: &Failure, upstream: Endpoint) -> Option<Place> {
        let netns = self.netns_of(failure, upstream.address)?;
        if let Some(place) = self.looks.get(&netns.inode)
            && failure.at_ns < place.looked_ns.saturating_add(LOOK_NS)
        {
            return Some(place.clone());
        }
        let listening = said(netns.ask(&self.root, || SockDiag::open()?.listening()))?;
        let place = Place {
            netns,
            looked_ns: clock::boot_ns().ok()?,
            listening: listening.into(),
        };
        self.looks.insert(place.netns.inode, place.clone());
        Some(place)
    }

    /// Inode of the socket at the upstream's end of the connection; 0 when nobody has accepted it.
    pub(super) fn accepted(
        &self,
        place: &Place,
        failure: &Failure,
        upstream: Endpoint,
    ) -> Option<u32> {
        let peer = failure.local?;
        let ask = || SockDiag::open()?.accepted(upstream, peer);
        said(place.netns.ask(&self.root, ask)).flatten()
    }

    /// Whether a full accept queue is answered with RST there.
    pub(super) fn aborts_on_overflow(&self, place: &Place) -> bool {
        // Which namespace's settings are read is the reading thread's.
        let path = self.root.proc("sys/net/ipv4/tcp_abort_on_overflow");
        said(place.netns.ask(&self.root, || fs::read_to_string(path)))
            .is_some_and(|text| text.trim() != "0")
    }

    /// How many local ports towards `upstream` the proxy's namespace has in use.
    pub(super) fn local_ports(&mut self, failure: &Failure, upstream: Endpoint) -> Vec<Evidence> {
        let path = self.root.proc("sys/net/ipv4/ip_local_port_range");
        let ask = || {
            let used = SockDiag::open()?.towards(upstream)?;
            Ok((used, fs::read_to_string(path)?))
        };
        let netns = self.own(failure);
        let found = netns.and_then(|netns| said(netns.ask(&self.root, ask)));
        let evidence = found.and_then(|(used, text)| {
            let mut ends = text.split_ascii_whitespace().map(str::parse::<u32>);
            let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
            let range = last.checked_sub(first)?.checked_add(1)?;
            Some(Evidence::LocalPorts { used, range })
        });
        evidence.into_iter().collect()
    }

    /// The unix socket that listens on `path`, looked for in the proxy's namespace first.
    pub(super) fn unix(&mut self, failure: &Failure, path: &str) -> Option<UnixListening> {
        let own = self.own(failure);
        let is_abstract = path.starts_with('@');
        let others = if is_abstract {
            Vec::new() // those are looked up in the namespace
        } else {
            NetNs::all(&self.root)
        };
        own.into_iter().chain(others).find_map(|netns| {
            let all = said(netns.ask(&self.root, || SockDiag::open()?.unix_listening()))?;
            all.into_iter().find(|listening| listening.path == path)
        })
    }

    /// The proxy's own namespace.
    fn own(&mut self, failure: &Failure) -> Option<NetNs> {
        let own = NetNs::of(&self.root, failure.proxy.pid);
        own.filter(|own| own.inode == failure.netns).or_else(|| {
            self.find(failure.at_ns, |map| {
                let mut all = map.iter();
                let own = all.find(|(netns, _)| netns.inode == failure.netns)?;
                Some(own.0.clone())
            })
        })
    }

    fn netns_of(&mut self, failure: &Failure, address: IpAddr) -> Option<NetNs> {
        let own = self.own(failure)?;
        if address.is_loopback() {
            return Some(own);
        }
        let absent_ns = self.absent.get(&address).copied();
        if absent_ns.is_some_and(|at_ns| failure.at_ns < at_ns.saturating_add(MAP_NS)) {
            return None;
        }
        let home = self.find(failure.at_ns, |map| {
            let homes = map.iter();
            let homes = homes.filter(|(_, addresses)| addresses.contains(&address));
            let homes: Vec<&NetNs> = homes.map(|(netns, _)| netns).collect();
            match homes.as_slice() {
                [] => None,
                [only] => Some(Some((*only).clone())),
                several => {
                    let own = several.iter().find(|netns| netns.inode == own.inode);
                    Some(own.map(|netns| (*netns).clone()))
                }
            }
        });
        if home.is_none() {
            if self.absent.len() >= ABSENT {
                self.absent.clear();
            }
            self.absent.insert(address, failure.at_ns);
        }
        home.flatten()
    }

    /// What `find` finds in the map; asked once more of a new one if it is not in an older one.
    fn find<T>(
        &mut self,
        at_ns: u64,
        find: impl Fn(&[(NetNs, Vec<IpAddr>)]) -> Option<T>,
    ) -> Option<T> {
        self.map_again(at_ns, MAP_NS);
        if let Some(found) = find(&self.map) {
            return Some(found);
        }
        self.map_again(at_ns, NEW_NS);
        find(&self.map)
    }

    /// Makes the map anew if it is older than `age_ns`.
    fn map_again(&mut self, at_ns: u64, age_ns: u64) {
        let mapped_ns = self.mapped_ns;
        if mapped_ns.is_some_and(|mapped_ns| at_ns < mapped_ns.saturating_add(age_ns)) {
            return;
        }
        let all = NetNs::all(&self.root);
        let root = &self.root;
        let asked = all.into_iter().filter_map(|netns| {
            let found = said(netns.ask(root, addresses))?;
            Some((netns, found))
        });
        self.map = asked.collect();
        self.mapped_ns = Some(clock::boot_ns().unwrap_or(at_ns));
        self.looks.clear();
    }
}

/// What was found out, if anything: what is not known is no evidence.
fn said<T>(asked: std::io::Result<T>) -> Option<T> {
    asked
        .inspect_err(|error| log::debug!("cannot ask about sockets: {error}"))
        .ok()
}
