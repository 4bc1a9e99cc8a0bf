//! `connect()` calls that do not return: a blocking connect to a unix socket whose backlog is full
//! waits without end, and its proxy logs nothing.

use std::collections::BTreeMap;

use aya::maps::{HashMap, Map, MapData, MapError};
use gw502_common::hooks::Backend;
use gw502_common::kernel_fields::CONNECT;
use gw502_common::wire::{CONNECT_FAILED, Call, CallRecord, RecordHeader, WIRE_VERSION, call_flag};

use super::decode::Decoded;
use crate::aggregate::{Totals, UpstreamId};
use crate::kernel::processes;
use crate::kernel::root::KernelRoot;

/// Nothing but a full backlog keeps `connect()` on a unix socket from returning at once; so long
/// must it have been kept to be trouble. Nanoseconds.
const TOO_LONG_NS: u64 = 3_000_000_000;

/// The CPU of a record that no CPU wrote: all twelve bits that an id has for it.
const NO_CPU: u32 = 0xfff;

/// Calls that have not returned, and which of them were reported.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Calls {
    root: KernelRoot,
    open: HashMap<MapData, u32, Call>,
    reported: HashMap<MapData, u32, u64>,
    counted: BTreeMap<UpstreamId, u64>,
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
            missed: 0,
        })
    }

    /// Calls that take too long by now (`CLOCK_BOOTTIME`, nanoseconds) and were not handed out
    /// before. What the kernel side sees of them later is not reported again.
    pub fn overdue(&mut self, now_ns: u64) -> Result<Vec<Decoded>, MapError> {
        let mut found = Vec::new();
        for (thread, call) in self.waiting(now_ns)? {
            if call.flags & call_flag::INTERRUPTED != 0 {
                self.forget_the_dead(thread, &call)?;
            } else if self.has_returned(thread, &call) {
                self.forget(thread)?;
            } else if self.claim(thread, &call)? {
                let upstream = UpstreamId {
                    upstream: (&call.unix).into(),
                    netns: call.connection.netns,
                };
                *self.counted.entry(upstream).or_default() += 1;
                // A nanosecond apart: the time makes the id.
                let at_ns = now_ns + found.len() as u64;
                found.push(Decoded::Call(record(&call, at_ns)));
            }
        }
        Ok(found)
    }

    /// What was handed out, as the kernel side counts: attempts that failed. It has not counted
    /// these.
    pub fn totals(&self) -> impl Iterator<Item = (UpstreamId, Totals)> {
        self.counted.iter().map(|(upstream, count)| {
            let totals = Totals {
                attempts: *count,
                established: 0,
                ended: *count,
            };
            (upstream.clone(), totals)
        })
    }

    /// Calls whose return was missed, and with it what became of them.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether the return of the call was missed: a kretprobe has only so many returns that it can
    /// wait for at a time (`maxactive`, `kernel/kprobes.c`), and calls that block take them up.
    fn has_returned(&self, thread: u32, call: &Call) -> bool {
        call.backend == Backend::Kprobe as u8
            && processes::system_call(&self.root, call.connection.tgid, thread)
                .is_some_and(|number| number != CONNECT)
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

    fn forget(&mut self, thread: u32) -> Result<(), MapError> {
        match self.open.remove(&thread) {
            Ok(()) => {
                self.missed += 1;
                Ok(())
            }
            Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Calls on unix sockets that take too long, by thread. While one is looked at another may go,
    /// and the kernel start from the beginning: each counts once all the same.
    fn waiting(&self, now_ns: u64) -> Result<BTreeMap<u32, Call>, MapError> {
        let mut waiting = BTreeMap::new();
        for entry in &self.open {
            let (thread, call) = entry?;
            let age_ns = now_ns.saturating_sub(call.connection.start_ns);
            if call.flags & call_flag::UNIX != 0 && age_ns >= TOO_LONG_NS {
                waiting.insert(thread, call);
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
