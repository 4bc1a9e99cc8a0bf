// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The only place a record leaves the kernel.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use gw502_common::ending::Ending;
use gw502_common::wire::{Connection, FailureRecord, RecordHeader, SocketFacts, WIRE_VERSION};

use crate::count::{self, Tally};
use crate::maps::FAILURES;

/// Counts the failure and sends its record; a record that finds no room is counted as lost.
///
/// The count comes first, so that "failed" is exact whatever becomes of the record.
#[inline(always)]
pub(crate) fn failure(ending: Ending, connection: &Connection, socket: &SocketFacts, at_ns: u64) {
    count::settle(count::upstream(connection, Tally::Ending(ending)));
    let Some(mut slot) = FAILURES.reserve::<FailureRecord>(0) else {
        count::lost_record();
        return;
    };
    let record = slot.as_mut_ptr();
    // Field by field, straight into the ring: the whole record would pass through the BPF stack.
    // SAFETY: `record` is reserved memory of the record's size, and all of it is written here.
    unsafe {
        (&raw mut (*record).header).write(RecordHeader {
            at_ns,
            lost_total: count::lost_records(),
            cpu: cpu(),
            len: size_of::<FailureRecord>() as u16,
            version: WIRE_VERSION,
            kind: ending as u8,
        });
        (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
        (&raw mut (*record).socket).copy_from_nonoverlapping(socket, 1);
    }
    slot.submit(0);
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_smp_processor_id() }
}
