// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The socket behind a descriptor of the current process.

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel};

use gw502_common::tcp::{IPPROTO_TCP, family};

use crate::globals::{
    OFF_FILE_DATA, OFF_FILES_TABLE, OFF_NET_INUM, OFF_SK_DPORT, OFF_SK_FAMILY, OFF_SK_NET,
    OFF_SK_PROTOCOL, OFF_SK_TYPE, OFF_SOCKET_SK, OFF_TABLE_FILES, OFF_TABLE_LEN, OFF_TASK_FILES,
    frozen,
};
use crate::kernel::probe;

/// `SOCK_STREAM`, `include/linux/net.h`.
const SOCK_STREAM: u16 = 1;
/// `SOCK_SEQPACKET`
const SOCK_SEQPACKET: u16 = 5;

/// What a stream socket speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Tcp,
    Unix,
}

/// A `struct sock *` that the verifier knows nothing about.
#[derive(Clone, Copy)]
pub(crate) struct OpenSocket(*const u8);

impl OpenSocket {
    /// The socket behind `descriptor`.
    ///
    /// Whether the file is a socket at all is not looked at: if it is none, what is read here is
    /// nonsense, which [`Self::speaks`] refuses and `connect()` does, too (ENOTSOCK). So a read that
    /// faults is no loss, and is not counted as one.
    #[inline(always)]
    pub(crate) fn of(descriptor: u32) -> Option<Self> {
        // SAFETY: the helper has no precondition.
        let task = unsafe { bpf_get_current_task() } as *const u8;
        let files = follow(task, &OFF_TASK_FILES)?;
        let table = follow(files, &OFF_FILES_TABLE)?;
        if descriptor >= read::<u32>(table, &OFF_TABLE_LEN)? {
            return None;
        }
        let slots = follow(table, &OFF_TABLE_FILES)?;
        let slot = slots.wrapping_add(descriptor as usize * size_of::<u64>());
        let file = read_at::<u64>(slot)? as *const u8;
        Self::behind(follow(file, &OFF_FILE_DATA)?)
    }

    /// The one behind a `struct socket *`.
    #[inline(always)]
    pub(crate) fn behind(socket: *const u8) -> Option<Self> {
        follow(socket, &OFF_SOCKET_SK).map(Self)
    }

    /// The socket that [`Self::key`] names.
    #[inline(always)]
    pub(crate) const fn known(key: u64) -> Self {
        Self(key as *const u8)
    }

    /// What the socket is called in our maps: its address.
    #[inline(always)]
    pub(crate) fn key(self) -> u64 {
        self.0 as u64
    }

    /// What it speaks, if that is anything we watch. A resolver's UDP sockets and syslog's
    /// datagrams are not.
    #[inline(always)]
    pub(crate) fn speaks(self) -> Option<Speaks> {
        let of = read::<u16>(self.0, &OFF_SK_FAMILY)?;
        let kind = read::<u16>(self.0, &OFF_SK_TYPE)?;
        match of {
            family::UNIX if kind == SOCK_STREAM || kind == SOCK_SEQPACKET => Some(Speaks::Unix),
            family::INET | family::INET6
                if read::<u16>(self.0, &OFF_SK_PROTOCOL)? == IPPROTO_TCP =>
            {
                Some(Speaks::Tcp)
            }
            _ => None,
        }
    }

    /// Whether an earlier `connect()` has given the TCP socket a peer, which it loses when that has
    /// failed and was told (`tcp_disconnect()`): this one asks how it went.
    #[inline(always)]
    pub(crate) fn is_connecting(self) -> bool {
        probe::<u16>(self.0, &OFF_SK_DPORT) != 0
    }

    #[inline(always)]
    pub(crate) fn family(self) -> u16 {
        probe(self.0, &OFF_SK_FAMILY)
    }

    /// Inode number of its network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        probe(
            probe::<u64>(self.0, &OFF_SK_NET) as *const u8,
            &OFF_NET_INUM,
        )
    }
}

/// The pointer at `offset`.
#[inline(always)]
fn follow(base: *const u8, offset: &'static u64) -> Option<*const u8> {
    Some(read::<u64>(base, offset)? as *const u8)
}

#[inline(always)]
fn read<T: Copy>(base: *const u8, offset: &'static u64) -> Option<T> {
    read_at(base.wrapping_add(frozen(offset) as usize))
}

#[inline(always)]
fn read_at<T: Copy>(address: *const u8) -> Option<T> {
    // SAFETY: the helper checks the address itself and reports a fault.
    unsafe { bpf_probe_read_kernel(address.cast::<T>()) }.ok()
}
