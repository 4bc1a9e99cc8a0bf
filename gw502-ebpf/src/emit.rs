// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The only place a record leaves the kernel.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use gw502_common::wire::{
    AcceptFacts, Attempt, CONNECT_FAILED, Call, CallRecord, Connection, FailureRecord,
    RecordHeader, SocketFacts, WIRE_VERSION,
};

use crate::count::{self, Tally};
use crate::maps::{FAILURES, OVERFLOWED};

/// Counts the failure, an `Ending` as a number, and sends its record; a record that finds no room is counted as lost.
///
/// The count comes first, so that "failed" is exact whatever becomes of the record.
#[inline(always)]
pub(crate) fn failure(
    ending: u8,
    connection: &Connection,
    socket: &SocketFacts,
    flow: &Attempt,
    at_ns: u64,
) {
    count::settle(count::upstream(connection, Tally::failed(ending)));
    let Some(mut slot) = FAILURES.reserve::<FailureRecord>(0) else {
        count::lost_record();
        return;
    };
    let record = slot.as_mut_ptr();
    // Field by field, straight into the ring: the whole record would pass through the BPF stack.
    // SAFETY: `record` is reserved memory of the record's size, and all of it is written here.
    unsafe {
        (&raw mut (*record).header).write(header::<FailureRecord>(ending, at_ns));
        (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
        (&raw mut (*record).socket).copy_from_nonoverlapping(socket, 1);
        let accept = &raw mut (*record).accept;
        match OVERFLOWED.get_ptr(flow) {
            Some(facts) => accept.copy_from_nonoverlapping(facts, 1),
            None => accept.write(AcceptFacts::default()),
        }
    }
    slot.submit(0);
}

/// Sends the record of a `connect()` that failed, which is already counted; a record that finds no
/// room is counted as lost.
#[inline(always)]
pub(crate) fn call(call: &Call, error: i32, at_ns: u64) {
    let Some(mut slot) = FAILURES.reserve::<CallRecord>(0) else {
        count::lost_record();
        return;
    };
    let record = slot.as_mut_ptr();
    // SAFETY: `record` is reserved memory of the record's size, and all of it is written here.
    unsafe {
        (&raw mut (*record).header).write(header::<CallRecord>(CONNECT_FAILED, at_ns));
        (&raw mut (*record).connection).copy_from_nonoverlapping(&call.connection, 1);
        (&raw mut (*record).unix).copy_from_nonoverlapping(&call.unix, 1);
        (&raw mut (*record).error).write(error);
        (&raw mut (*record).backend).write(call.backend);
        (&raw mut (*record).pad).write([0; 3]);
    }
    slot.submit(0);
}

/// The header of a `Record` of this `kind`.
#[inline(always)]
fn header<Record>(kind: u8, at_ns: u64) -> RecordHeader {
    RecordHeader {
        at_ns,
        lost_total: count::lost_records(),
        cpu: cpu(),
        len: size_of::<Record>() as u16,
        version: WIRE_VERSION,
        kind,
    }
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_smp_processor_id() }
}
