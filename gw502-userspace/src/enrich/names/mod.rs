//! Names of upstreams, as the proxy's own configuration gives them.
//!
//! nginx and HAProxy do not say which `upstream` or `backend` a connection is for; their
//! configuration says which addresses those have. It is read as files, in the proxy's own mount
//! namespace; the proxy's program is never run. What is written with variables or host names is
//! left out: a name is a label, and a wrong one is worse than none.

mod address;
mod files;
mod haproxy;
mod nginx;
mod process;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Upstream;
use crate::kernel::root::KernelRoot;

/// Addresses that are named at most.
const CAPACITY: usize = 4096;
/// An address with more names than this shows the first ones.
const NAMES: usize = 3;
/// Characters of a name that are kept.
const LENGTH: usize = 64;

/// Names by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    by_upstream: BTreeMap<Upstream, String>,
}

impl Names {
    /// The names in the configuration of the proxy `pid`: nginx (one of its processes) or HAProxy.
    /// Empty for any other program, and for what cannot be read.
    pub(super) fn of_proxy(root: &KernelRoot, pid: u32) -> Self {
        let mut found = Found::default();
        match process::comm(root, pid).as_str() {
            "nginx" => nginx::read(root, pid, &mut found),
            "haproxy" => haproxy::read(root, pid, &mut found),
            _ => {}
        }
        found.into()
    }

    /// The name of an upstream.
    pub(super) fn of(&self, upstream: &Upstream) -> Option<&str> {
        self.by_upstream.get(upstream).map(String::as_str)
    }

    /// Whether nothing has a name.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_upstream.is_empty()
    }
}

/// What a configuration names, as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    names: BTreeMap<Upstream, BTreeSet<String>>,
    /// Virtual servers that pass to an address without a name of its own.
    sites: BTreeMap<Upstream, BTreeSet<String>>,
}

impl Found {
    fn name(&mut self, upstream: Upstream, name: &str) {
        add(&mut self.names, upstream, name);
    }

    fn site(&mut self, upstream: Upstream, name: &str) {
        add(&mut self.sites, upstream, name);
    }
}

fn add(map: &mut BTreeMap<Upstream, BTreeSet<String>>, upstream: Upstream, name: &str) {
    if map.len() >= CAPACITY && !map.contains_key(&upstream) {
        return;
    }
    let names = map.entry(upstream).or_default();
    if !name.is_empty() && names.len() <= NAMES {
        names.insert(name.chars().take(LENGTH).collect());
    }
}

impl From<Found> for Names {
    fn from(found: Found) -> Self {
        let mut all = found.sites;
        all.extend(found.names);
        let label = |names: &BTreeSet<String>| {
            let mut shown: Vec<_> = names.iter().take(NAMES).map(String::as_str).collect();
            if names.len() > NAMES {
                shown.push("…");
            }
            shown.join(", ")
        };
        let by_upstream = all
            .iter()
            .map(|(upstream, names)| (upstream.clone(), label(names)));
        Self {
            by_upstream: by_upstream.filter(|(_, name)| !name.is_empty()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
