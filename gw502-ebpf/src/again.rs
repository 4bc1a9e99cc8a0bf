// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Programs in pairs, so that no event is missed when one interrupts another.
//!
//! A TCP event in process context can be interrupted by a softirq with a TCP event of its own, and
//! the kernel does not run a program that is already running on that CPU: it skips it and counts
//! `recursion_misses`. So a second program with the same body is attached behind the first. The
//! first leaves a note of the event it runs for; the second finds the note, or does the work.
//!
//! When the interrupt comes between the two, the second finds the note of the other event and does
//! the work once more: bodies give the same result when they are run twice for one event.

use gw502_common::wire::Pair;

use crate::count;
use crate::maps::{COVERED, DONE};

/// What a program runs for: a socket, and which of its events.
///
/// Two numbers and no sum of them: before Linux 6.2 the verifier lets nobody add to the pointer that
/// a socket's address is to it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) sock: u64,
    pub(crate) what: u64,
}

/// Notes that the first program of `pair` runs for `event`.
#[inline(always)]
pub(crate) fn note(pair: Pair, event: Event) {
    if let Some(slot) = DONE.get_ptr_mut(pair as u32) {
        // SAFETY: a live value of this CPU's; an interrupt may change it, which is the point. It
        // is about another socket: half a note fits no event.
        unsafe { slot.write_volatile(event) };
    }
}

/// Whether the first program of `pair` was skipped for `event`, as far as the note tells.
#[inline(always)]
pub(crate) fn missed(pair: Pair, event: Event) -> bool {
    let Some(slot) = DONE.get_ptr_mut(pair as u32) else {
        return true;
    };
    // SAFETY: as above.
    if unsafe { slot.read_volatile() } == event {
        // SAFETY: as above. Taken down: the same socket may do the same again.
        unsafe { slot.write_volatile(Event { sock: 0, what: 0 }) };
        return false;
    }
    if let Some(slot) = COVERED.get_ptr_mut(pair as u32) {
        count::add(slot, 1);
    }
    true
}
