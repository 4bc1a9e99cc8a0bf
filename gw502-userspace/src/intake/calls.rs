//! `connect()` calls that do not return: a blocking connect to a unix socket whose backlog is full
//! waits without end, and its proxy logs nothing.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{HashMap, Map, MapData, MapError};
use gw502_common::kernel_fields::CONNECT;
use gw502_common::wire::{CONNECT_FAILED, Call, CallRecord, RecordHeader, WIRE_VERSION, call_flag};

use super::decode::Decoded;
use crate::aggregate::{Totals, UpstreamId};
use crate::kernel::processes;
use crate::kernel::root::KernelRoot;

/// Nothing but a full backlog keeps `connect()` on a unix socket from returning at once; so long
/// must it have been kept to be trouble. Nanoseconds.
const TOO_LONG_NS: u64 = 3_000_000_000;

/// A call that is not seen to return for so long, and has, was missed.
const UNSEEN_NS: u64 = 500_000_000;

/// Numbers of the system calls that `connect()` is made with: its own, and in a process of 32 bits
/// `socketcall()` and its own. (Under those numbers one of 64 bits does nothing that blocks.)
#[cfg(target_arch = "x86_64")]
const CONNECTS: [u32; 3] = [CONNECT, 102, 362];
/// The same: there is no `socketcall()`.
#[cfg(target_arch = "aarch64")]
const CONNECTS: [u32; 2] = [CONNECT, 283];

/// The CPU of a record that no CPU wrote: all twelve bits that an id has for it.
const NO_CPU: u32 = 0xfff;

/// Calls that have not returned, and which of them were reported.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Calls {
    root: KernelRoot,
    open: HashMap<MapData, u32, Call>,
    reported: HashMap<MapData, u32, u64>,
    counted: BTreeMap<UpstreamId, Totals>,
    /// Threads that were in a call at the last look.
    seen: BTreeSet<u32>,
    missed: u64,
}

impl Calls {
    /// Takes the maps over.
    pub fn new(root: KernelRoot, open: Map, reported: Map) -> Result<Self, MapError> {
        Ok(Self {
            root,
            open: open.try_into()?,
            reported: reported.try_into()?,
            counted: BTreeMap::new(),
            seen: BTreeSet::new(),
            missed: 0,
        })
    }

    /// Calls that take too long by now (`CLOCK_BOOTTIME`, nanoseconds) and were not handed out
    /// before. What the kernel side sees of them later is not reported again.
    pub fn overdue(&mut self, now_ns: u64) -> Result<Vec<Decoded>, MapError> {
        let mut found = Vec::new();
        let open = self.threads()?;
        // Where tasks are preempted in the kernel, programs of kprobes and tracepoints are skipped on
        // the CPU of one that is being preempted as it looks into a map (`bpf_disable_instrumentation()`).
        // So a call is looked at only when it was there the last time, which short ones were not.
        let lasting: Vec<_> = open.intersection(&self.seen).copied().collect();
        self.seen = open;
        for (thread, call) in self.waiting(&lasting, now_ns, TOO_LONG_NS)? {
            if call.flags & call_flag::INTERRUPTED != 0 {
                self.forget_the_dead(thread, &call)?;
            } else if self.is_over(thread, &call) {
                self.settle(thread, &call)?;
            } else if call.flags & call_flag::UNIX != 0 && self.claim(thread, &call)? {
                let counted = self.counted.entry(upstream(&call)).or_default();
                counted.attempts += 1;
                counted.ended += 1;
                // A nanosecond apart: the time makes the id.
                let at_ns = now_ns + found.len() as u64;
                found.push(Decoded::Call(record(&call, at_ns)));
            }
        }
        Ok(found)
    }

    /// What the kernel side has not counted: attempts that were handed out, which failed, and those
    /// that succeeded unseen.
    pub fn totals(&self) -> impl Iterator<Item = (UpstreamId, Totals)> {
        let counted = self.counted.iter();
        counted.map(|(upstream, totals)| (upstream.clone(), *totals))
    }

    /// Drops what was counted of an upstream.
    pub fn forget(&mut self, id: &UpstreamId) {
        self.counted.remove(id);
    }

    /// Settles calls that have returned by now and were not seen to. For the end: later they are
    /// overdue.
    pub fn left(&mut self, now_ns: u64) -> Result<(), MapError> {
        let open: Vec<_> = self.threads()?.into_iter().collect();
        for (thread, call) in self.waiting(&open, now_ns, UNSEEN_NS)? {
            if call.flags & call_flag::INTERRUPTED == 0 && self.has_returned(thread, &call) {
                self.settle(thread, &call)?;
            }
        }
        Ok(())
    }

    /// Calls whose return was missed, and with it what became of them.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether the return of the call was missed: a kretprobe has only so many returns that it can
    /// wait for at a time (`maxactive`, `kernel/kprobes.c`), and calls that block take them up; and
    /// the kernel skips a program that is running already. (Of the kernel's own threads, which
    /// connect for `io_uring`, no call is known.)
    fn has_returned(&self, thread: u32, call: &Call) -> bool {
        processes::system_call(&self.root, call.connection.tgid, thread)
            .is_some_and(|number| !CONNECTS.contains(&number))
    }

    /// Whether the call cannot be under way any more: it was granted long ago, its thread is elsewhere,
    /// or gone.
    fn is_over(&self, thread: u32, call: &Call) -> bool {
        call.flags & call_flag::GRANTED != 0
            || self.has_returned(thread, call)
            || !processes::is_alive(&self.root, call.connection.tgid, thread)
    }

    /// A call that a signal interrupted is made again, or its thread was killed.
    fn forget_the_dead(&mut self, thread: u32, call: &Call) -> Result<(), MapError> {
        if processes::is_alive(&self.root, call.connection.tgid, thread) {
            return Ok(());
        }
        for gone in [self.open.remove(&thread), self.reported.remove(&thread)] {
            match gone {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The call has returned unseen. If it was granted, it succeeded; TCP's are seen elsewhere.
    fn settle(&mut self, thread: u32, call: &Call) -> Result<(), MapError> {
        match self.open.get(&thread, 0) {
            Ok(open) if open.connection.start_ns == call.connection.start_ns => {}
            // Another call, or none: this one was seen to return just now.
            Ok(_) | Err(MapError::KeyNotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.open.remove(&thread) {
            Ok(()) => {}
            Err(MapError::KeyNotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        let reported = match self.reported.get(&thread, 0) {
            Ok(reported) => reported == call.connection.start_ns,
            Err(MapError::KeyNotFound) => false,
            Err(error) => return Err(error),
        };
        if reported {
            match self.reported.remove(&thread) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        if call.flags & call_flag::GRANTED != 0 {
            let counted = self.counted.entry(upstream(call)).or_default();
            counted.attempts += u64::from(!reported);
            counted.established += 1;
        } else if !reported && call.flags & call_flag::STARTED == 0 {
            self.missed += 1;
        }
        Ok(())
    }

    /// Threads in a call. While one is looked at another may go, and the kernel start from the
    /// beginning: each counts once all the same.
    fn threads(&self) -> Result<BTreeSet<u32>, MapError> {
        self.open.keys().collect()
    }

    /// The calls of these threads that take longer than that.
    fn waiting(
        &self,
        threads: &[u32],
        now_ns: u64,
        longer_than_ns: u64,
    ) -> Result<Vec<(u32, Call)>, MapError> {
        let mut waiting = Vec::new();
        for thread in threads {
            match self.open.get(thread, 0) {
                Ok(call) => {
                    let age_ns = now_ns.saturating_sub(call.connection.start_ns);
                    if age_ns >= longer_than_ns {
                        waiting.push((*thread, call));
                    }
                }
                // It has returned meanwhile.
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(waiting)
    }

    /// Whether the call is still open and ours to report: the kernel side then knows that it is
    /// reported, whenever it returns.
    fn claim(&mut self, thread: u32, call: &Call) -> Result<bool, MapError> {
        let start_ns = call.connection.start_ns;
        match self.reported.get(&thread, 0) {
            Ok(reported) if reported == start_ns => return Ok(false),
            Ok(_) | Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
        self.reported.insert(thread, start_ns, 0)?;
        match self.open.get(&thread, 0) {
            Ok(open) if open.connection.start_ns == start_ns => Ok(true),
            // It returned just now, and the kernel side has said how.
            Ok(_) | Err(MapError::KeyNotFound) => match self.reported.remove(&thread) {
                Ok(()) | Err(MapError::KeyNotFound) => Ok(false),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

fn upstream(call: &Call) -> UpstreamId {
    UpstreamId {
        upstream: (&call.unix).into(),
        netns: call.connection.netns,
    }
}

fn record(call: &Call, at_ns: u64) -> CallRecord {
    CallRecord {
        header: RecordHeader {
            at_ns,
            cpu: NO_CPU,
            version: WIRE_VERSION,
            kind: CONNECT_FAILED,
            ..RecordHeader::default()
        },
        connection: call.connection,
        unix: call.unix,
        backend: call.backend,
        ..CallRecord::default()
    }
}
