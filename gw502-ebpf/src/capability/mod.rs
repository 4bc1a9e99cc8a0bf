// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! One file per thing we observe; `gw502_common::hooks` has the table of all wrappers.

mod accept_queues;
mod calls;
mod clients;
mod connection;
pub(crate) mod drops;
mod icmp_errors;
mod resets;
mod retransmits;
mod servers;
