//! How many descriptors a proxy has open, of how many: once a second, however often it fails.

use std::collections::BTreeMap;

use crate::event::{Errno, Evidence, Failure};
use crate::kernel::processes::{self, Descriptors};
use crate::kernel::root::KernelRoot;

/// A proxy is asked no more often than this. Nanoseconds.
const FRESH_NS: u64 = 1_000_000_000;

/// Proxies remembered; beyond that all are forgotten and asked again.
const PROXIES: usize = 64;

/// What proxies were last seen to have open.
#[derive(Debug, Default)]
pub(super) struct Counted {
    seen: BTreeMap<u32, (u64, Option<Descriptors>)>,
}

impl Counted {
    /// Told where it is the cause, or where hardly any are left: a proxy without descriptors fails
    /// before it connects, where nothing sees it, and what it fails at besides should say so.
    pub(super) fn evidence(&mut self, root: &KernelRoot, failure: &Failure) -> Option<Evidence> {
        let Descriptors { open, limit } = self.of(root, failure)?;
        let hardly_any_left = open.saturating_mul(10) >= limit.saturating_mul(9);
        let asked_for = failure.errno.is_some_and(Errno::means_no_descriptor);
        (asked_for || hardly_any_left).then_some(Evidence::Descriptors { open, limit })
    }

    fn of(&mut self, root: &KernelRoot, failure: &Failure) -> Option<Descriptors> {
        let pid = failure.proxy.pid;
        if let Some((at_ns, descriptors)) = self.seen.get(&pid)
            && failure.at_ns.saturating_sub(*at_ns) < FRESH_NS
        {
            return *descriptors;
        }
        if self.seen.len() >= PROXIES {
            self.seen.clear();
        }
        let descriptors = processes::descriptors(root, pid);
        self.seen.insert(pid, (failure.at_ns, descriptors));
        descriptors
    }
}
