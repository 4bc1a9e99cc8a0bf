// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Counters: per upstream, and of what was lost.
//!
//! Adds are atomic although the maps are per CPU: a program in process context can be interrupted
//! by a softirq that runs another on the same CPU, and a plain read-add-write would lose a count.

use core::arch::asm;
use core::mem::offset_of;

use aya_ebpf::bindings::BPF_NOEXIST;
use gw502_common::ending::ENDINGS;
use gw502_common::wire::{
    CONNECT_BUCKETS, CONNECT_FAILED, Connection, LossReason, SkipReason, UnixAddress, UnixKey,
    UpstreamCounts, UpstreamKey, connect_bucket,
};

use crate::maps::{LOSSES, LOST_TOTAL, SKIPS, UNIX_UPSTREAMS, UPSTREAMS};

/// A new upstream's counts. In `.rodata`, because the BPF stack is 512 bytes in all.
static NOTHING_YET: UpstreamCounts = UpstreamCounts {
    attempts: 0,
    connect_ns: 0,
    connects: [0; CONNECT_BUCKETS],
    endings: [0; ENDINGS],
};

/// What a body could not keep. Bodies that are functions of their own return it and their callers
/// count it with [`settle`].
///
/// That is also what lets them load: a function without a result, or with one that nobody looks
/// at, leaves in the result's register what happened to be there; if that is a stack address, the
/// verifier refuses the program.
pub(crate) type Lost = Option<LossReason>;

/// Counts what was lost, if anything was.
#[inline(always)]
pub(crate) fn settle(lost: Lost) {
    if let Some(reason) = lost {
        loss(reason);
    }
}

/// What is being counted of an upstream: which number of [`UpstreamCounts`].
///
/// One number and no `enum` with a value: half of that may be a register that nobody has written,
/// which the verifier refuses to see passed on.
#[derive(Clone, Copy)]
pub(crate) struct Tally(u8);

impl Tally {
    pub(crate) const ATTEMPT: Self = Self::at(offset_of!(UpstreamCounts, attempts));
    pub(crate) const CONNECT_FAILED: Self = Self::failed(CONNECT_FAILED);

    /// A `gw502_common::ending::Ending` as a number, or [`CONNECT_FAILED`].
    pub(crate) const fn failed(kind: u8) -> Self {
        Self(Self::at(offset_of!(UpstreamCounts, endings)).0 + kind)
    }

    /// That `connection` was established: [`Connection::established_ns`] says when.
    #[inline(always)]
    pub(crate) fn established(connection: &Connection) -> Self {
        Self(Self::CONNECTS.0 + connect_bucket(took_ns(connection)))
    }

    const CONNECTS: Self = Self::at(offset_of!(UpstreamCounts, connects));

    #[inline(always)]
    const fn is_established(self) -> bool {
        self.0 >= Self::CONNECTS.0 && self.0 < Self::CONNECTS.0 + CONNECT_BUCKETS as u8
    }

    const fn at(offset: usize) -> Self {
        Self((offset / size_of::<u64>()) as u8)
    }
}

/// How long it took to establish it.
#[inline(always)]
fn took_ns(connection: &Connection) -> u64 {
    connection
        .established_ns
        .saturating_sub(connection.start_ns)
}

/// Adds one to `tally` of the connection's upstream; to the slot of all others when there is no
/// room for this one.
///
/// A function of its own, with a stack of its own: inlined three times its keys would not fit.
#[inline(never)]
pub(crate) fn upstream(connection: &Connection, tally: Tally) -> Lost {
    let key = UpstreamKey {
        address: connection.daddr,
        netns: connection.netns,
        port: connection.dport,
        pad: [0; 2],
    };
    let slot = UPSTREAMS.get_ptr_mut(&key).or_else(|| {
        // Only one CPU can be first. Whoever comes second finds the entry of the first below.
        match UPSTREAMS.insert(&key, &NOTHING_YET, u64::from(BPF_NOEXIST)) {
            Ok(()) | Err(_) => UPSTREAMS.get_ptr_mut(&key),
        }
    });
    tally_in(slot, tally, connection)
}

/// Adds one to `tally` of the unix socket `address`, as seen from the namespace of `connection`;
/// to the slot of all others when there is no room for this one.
#[inline(never)]
pub(crate) fn unix(connection: &Connection, address: &UnixAddress, tally: Tally) -> Lost {
    let key = UnixKey {
        address: *address,
        netns: connection.netns,
    };
    let slot = UNIX_UPSTREAMS.get_ptr_mut(&key).or_else(|| {
        // As above.
        match UNIX_UPSTREAMS.insert(&key, &NOTHING_YET, u64::from(BPF_NOEXIST)) {
            Ok(()) | Err(_) => UNIX_UPSTREAMS.get_ptr_mut(&key),
        }
    });
    tally_in(slot, tally, connection)
}

/// Adds one to `tally` in `slot`, or in the slot of all others.
#[inline(always)]
fn tally_in(slot: Option<*mut UpstreamCounts>, tally: Tally, connection: &Connection) -> Lost {
    let (slot, lost) = match slot {
        Some(counts) => (Some(counts), None),
        None => (
            UPSTREAMS.get_ptr_mut(&UpstreamKey::default()),
            Some(LossReason::UpstreamsFull),
        ),
    };
    // The user side puts the slot of all others there before it attaches anything.
    let counts = slot?;
    // SAFETY: `counts` is a live map value, which is never deleted while programs run.
    let field = unsafe { number(counts, tally) };
    add_one(field);
    if tally.is_established() {
        // SAFETY: as above.
        add(
            unsafe { &raw mut (*counts).connect_ns },
            took_ns(connection),
        );
    }
    lost
}

/// The number that `tally` names. It is one of them by construction, which the verifier does not
/// know.
///
/// # Safety
///
/// `counts` is a live map value.
#[inline(always)]
unsafe fn number(counts: *mut UpstreamCounts, tally: Tally) -> *mut u64 {
    const NUMBERS: usize = size_of::<UpstreamCounts>() / size_of::<u64>();
    let mut index = u64::from(tally.0);
    // SAFETY: changes one register. In assembly: see `address::at_most_path`.
    unsafe {
        asm!("if {index} < {end} goto +1", "{index} = 0", index = inout(reg) index, end = const NUMBERS);
    }
    // SAFETY: as the caller vouches; below the number of numbers, of which alone the struct is made.
    unsafe { counts.cast::<u64>().add(index as usize) }
}

/// Counts something that could not be kept.
#[inline(always)]
pub(crate) fn loss(reason: LossReason) {
    if let Some(slot) = LOSSES.get_ptr_mut(reason as u32) {
        add_one(slot);
    }
}

/// Counts an attempt that nobody asked for. Nothing is lost by it.
#[inline(always)]
pub(crate) fn skip(reason: SkipReason) -> Lost {
    if let Some(slot) = SKIPS.get_ptr_mut(reason as u32) {
        add_one(slot);
    }
    None
}

/// Counts a failure record that found no room.
#[inline(always)]
pub(crate) fn lost_record() {
    loss(LossReason::RingFull);
    if let Some(slot) = LOST_TOTAL.get_ptr_mut(0) {
        add_one(slot);
    }
}

/// Failure records lost so far.
#[inline(always)]
pub(crate) fn lost_records() -> u64 {
    LOST_TOTAL.get(0).copied().unwrap_or(0)
}

/// Adds one, atomically.
#[inline(always)]
fn add_one(slot: *mut u64) {
    add(slot, 1);
}

/// Adds, atomically and modulo 2^64, without asking for the old value: the form that Linux 5.10 has too.
///
/// In assembly because rustc offers no atomic add for a target without compare-and-swap.
#[inline(always)]
pub(crate) fn add(slot: *mut u64, much: u64) {
    // SAFETY: the caller got `slot` from a map look-up: valid, aligned to 8, alive.
    unsafe {
        asm!("lock *(u64 *)({slot} + 0) += {much}", slot = in(reg) slot, much = in(reg) much);
    }
}
