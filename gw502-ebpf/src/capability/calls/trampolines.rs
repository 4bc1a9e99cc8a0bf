// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The programs on trampolines. They stand alone where no task can be preempted inside one, and in
//! rows of three elsewhere.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use gw502_common::hooks::Backend;
use gw502_common::wire::Pair;

use super::{Given, Way, called, forbidden, over};
use crate::again::{self, Event, Turn};
use crate::count;
use crate::kernel::address::Kernel;
use crate::kernel::file::OpenSocket;

struct Fentry;

impl Way for Fentry {
    const BACKEND: Backend = Backend::Fentry;
    type Memory = Kernel;
}

/// The three programs of a row. What is called, with the context.
macro_rules! row {
    ($attach:ident $place:literal, $context:ident, $pair:ident: $body:ident: $first:ident, $second:ident, $third:ident) => {
        #[$attach(function = $place)]
        fn $first(ctx: $context) -> i32 {
            again::note_if_preempted(Pair::$pair, Event::of(ctx.arg(0), 0));
            $body(&ctx)
        }

        #[$attach(function = $place)]
        fn $second(ctx: $context) -> i32 {
            if again::missed(Pair::$pair, Event::of(ctx.arg(0), 0), Turn::Second) {
                $body(&ctx);
            }
            0
        }

        #[$attach(function = $place)]
        fn $third(ctx: $context) -> i32 {
            if again::missed(Pair::$pair, Event::of(ctx.arg(0), 0), Turn::Third) {
                $body(&ctx);
            }
            0
        }
    };
}

row!(fentry "security_socket_connect", FEntryContext, ConnectCalled: enters:
    connect_called_fentry, connect_called_again_fentry, connect_called_third_fentry);
row!(fexit "security_socket_connect", FExitContext, ConnectForbidden: is_judged:
    connect_forbidden_fexit, connect_forbidden_again_fexit, connect_forbidden_third_fexit);
row!(fexit "inet_stream_connect", FExitContext, InetReturned: leaves:
    inet_connect_returned_fexit, inet_connect_returned_again_fexit, inet_connect_returned_third_fexit);
row!(fexit "unix_stream_connect", FExitContext, UnixReturned: leaves:
    unix_connect_returned_fexit, unix_connect_returned_again_fexit, unix_connect_returned_third_fexit);

#[inline(always)]
fn enters(ctx: &FEntryContext) -> i32 {
    let given = Given {
        at: ctx.arg(1),
        len: ctx.arg::<i32>(2) as u32,
    };
    count::settle(called::<Fentry>(|| OpenSocket::behind(ctx.arg(0)), given));
    0
}

#[inline(always)]
fn is_judged(ctx: &FExitContext) -> i32 {
    forbidden::<Fentry>(ctx.arg::<i32>(3)) as i32
}

#[inline(always)]
fn leaves(ctx: &FExitContext) -> i32 {
    over::<Fentry>(i64::from(ctx.arg::<i32>(4))) as i32
}
