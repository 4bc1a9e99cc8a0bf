// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Programs in rows, so that no event is missed when one interrupts another.
//!
//! The kernel does not run a program that is already running on that CPU: it skips it and counts
//! `recursion_misses`. That happens when a TCP event in process context is interrupted by a softirq
//! with a TCP event of its own, so a second program with the same body is attached behind the first.
//! And it happens where a task can be preempted inside a program, to every event of every other
//! task until it runs again; there three stand in a row, for a task may be stopped in each.
//!
//! The first leaves a note of the event it runs for; those behind it find the note, or do the work.
//! The last takes the note down. It is about one thread's event where threads can be preempted.
//!
//! Preemption cannot be forbidden from within: it would come as soon as it is permitted again, which
//! a program must do before it ends, and while the kernel still counts it as running.
//!
//! When somebody else comes between the first and a later one, or they run on different CPUs, the
//! note is gone and the work is done once more: bodies give the same result when they are run twice
//! for one event. For the books, every note that may have gone so is counted: see
//! `gw502_common::wire::Turns`.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use gw502_common::wire::Pair;

use crate::count;
use crate::globals::{CFG_FUNCTIONS_PREEMPTED, CFG_TRACEPOINTS_PREEMPTED, frozen};
use crate::maps::{DONE, TURNS};

/// What a program runs for: a socket, and which of its events.
///
/// Two numbers and no sum of them: before Linux 6.2 the verifier lets nobody add to the pointer that
/// a socket's address is to it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    sock: u64,
    what: u64,
}

impl Event {
    /// No event.
    const NONE: Self = Self { sock: 0, what: 0 };

    /// The event `what` of a socket.
    #[inline(always)]
    pub(crate) fn of(sock: u64, what: u32) -> Self {
        let can_be_preempted =
            frozen(&CFG_TRACEPOINTS_PREEMPTED) != 0 || frozen(&CFG_FUNCTIONS_PREEMPTED) != 0;
        let thread = if can_be_preempted {
            bpf_get_current_pid_tgid() << 32
        } else {
            0
        };
        Self {
            sock,
            what: thread | u64::from(what),
        }
    }
}

/// Which program of a row asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Second,
    Third,
}

/// Notes that the first program of `pair` runs for `event`.
#[inline(always)]
pub(crate) fn note(pair: Pair, event: Event) {
    let Some(slot) = DONE.get_ptr_mut(pair as u32) else {
        return;
    };
    // SAFETY: a live value of this CPU's; whoever interrupts may change it, which is the point. It
    // is about another event: half a note fits none.
    unsafe {
        if slot.read_volatile().sock != 0 {
            overwritten(pair);
        }
        slot.write_volatile(event);
    }
}

/// The same where a program stands in a row only if it can be preempted.
#[inline(always)]
pub(crate) fn note_if_preempted(pair: Pair, event: Event) {
    if frozen(&CFG_FUNCTIONS_PREEMPTED) != 0 {
        note(pair, event);
    }
}

/// Whether the programs of `pair` before this one were skipped for `event`, as far as the note
/// tells. Then this one is to do the work.
#[inline(always)]
pub(crate) fn missed(pair: Pair, event: Event, turn: Turn) -> bool {
    let Some(slot) = DONE.get_ptr_mut(pair as u32) else {
        return true;
    };
    let is_last = turn == Turn::Third || is_last_of_two(pair);
    // SAFETY: as above.
    if unsafe { slot.read_volatile() } == event {
        if is_last {
            // SAFETY: as above. Taken down: the same socket may do the same again.
            unsafe { slot.write_volatile(Event::NONE) };
        }
        return false;
    }
    if !is_last {
        note(pair, event);
    }
    if let Some(turns) = TURNS.get_ptr_mut(pair as u32) {
        // SAFETY: a live map value.
        count::add(unsafe { &raw mut (*turns).covered }, 1);
    }
    true
}

/// Whether the second program of `pair` has none behind it. Those that see `connect()` stand alone
/// or are three.
#[inline(always)]
fn is_last_of_two(pair: Pair) -> bool {
    let sees_connect = matches!(
        pair,
        Pair::ConnectCalled
            | Pair::ConnectForbidden
            | Pair::InetReturned
            | Pair::UnixReturned
            | Pair::CallEntered
            | Pair::CallLeft
    );
    !sees_connect && frozen(&CFG_TRACEPOINTS_PREEMPTED) == 0
}

#[inline(always)]
fn overwritten(pair: Pair) {
    if let Some(turns) = TURNS.get_ptr_mut(pair as u32) {
        // SAFETY: a live map value.
        count::add(unsafe { &raw mut (*turns).overwritten }, 1);
    }
}
