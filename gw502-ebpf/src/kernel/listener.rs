// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! A listening `struct sock` that the verifier may know nothing about.

use gw502_common::wire::UpstreamKey;

use crate::globals::{
    CFG_ABORT_ON_OVERFLOW, OFF_NET_INUM, OFF_SK_FAMILY, OFF_SK_NET, OFF_SK_NUM, OFF_SK_QUEUE_MAX,
    OFF_SK_QUEUED, OFF_SK_SADDR, OFF_SK_SADDR6, frozen,
};
use crate::kernel::{load, probe};

/// `AF_INET6`, `include/linux/socket.h`.
const AF_INET6: u16 = 10;

/// An accept queue: how many wait in it, and how many may.
#[derive(Clone, Copy)]
pub(crate) struct Queue {
    pub(crate) length: u32,
    pub(crate) limit: u32,
}

impl Queue {
    /// `sk_acceptq_is_full()`, `include/net/sock.h`: one more than the limit is taken.
    #[inline(always)]
    pub(crate) const fn is_full(self) -> bool {
        self.length > self.limit
    }

    /// That of a listener, by plain loads.
    ///
    /// # Safety
    ///
    /// `sk` is declared as `struct sock *` in the BTF of the function or tracepoint.
    #[inline(always)]
    pub(crate) unsafe fn of_typed(sk: *const u8) -> Self {
        // SAFETY: as the caller vouches; the table vouches for the sizes.
        unsafe {
            Self {
                length: load(sk, &OFF_SK_QUEUED),
                limit: load(sk, &OFF_SK_QUEUE_MAX),
            }
        }
    }
}

/// A listener.
#[derive(Clone, Copy)]
pub(crate) struct Listener(*const u8);

impl Listener {
    #[inline(always)]
    pub(crate) const fn at(sk: *const u8) -> Self {
        Self(sk)
    }

    #[inline(always)]
    pub(crate) fn queue(self) -> Queue {
        Queue {
            length: probe(self.0, &OFF_SK_QUEUED),
            limit: probe(self.0, &OFF_SK_QUEUE_MAX),
        }
    }

    /// Where it listens; all zero for any address.
    #[inline(always)]
    pub(crate) fn place(self, place: &mut UpstreamKey) {
        let net: u64 = self.net();
        place.netns = probe(net as *const u8, &OFF_NET_INUM);
        place.port = probe(self.0, &OFF_SK_NUM);
        place.address = if probe::<u16>(self.0, &OFF_SK_FAMILY) == AF_INET6 {
            probe(self.0, &OFF_SK_SADDR6)
        } else {
            let [a, b, c, d] = probe::<u32>(self.0, &OFF_SK_SADDR).to_ne_bytes();
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        };
    }

    /// Whether its host answers with RST what finds the queue full.
    #[inline(always)]
    pub(crate) fn aborts(self) -> u8 {
        if frozen(&CFG_ABORT_ON_OVERFLOW) == 0 {
            return 0;
        }
        probe(self.net() as *const u8, &CFG_ABORT_ON_OVERFLOW)
    }

    #[inline(always)]
    fn net(self) -> u64 {
        probe(self.0, &OFF_SK_NET)
    }
}
