//! Records that cross the ring buffer and values that live in BPF maps.
//!
//! The two sides come from two compilers, and only `repr(C)` is a contract between them. So:
//!
//! 1. Only `u8 u16 u32 u64 i32`, byte arrays and structs of those: no `bool`, `Option`, enum,
//!    `char`, `usize`, pointer or generic.
//! 2. Padding is a field called `pad`, zeroed. Fields stand by falling alignment.
//! 3. Kinds are `u8`; the user side turns them into enums with `TryFrom`, and an unknown one is
//!    a decode error. Ids are never reused.
//! 4. Every record starts with a [`RecordHeader`].
//! 5. IPv4 is `::ffff:a.b.c.d`: one address shape everywhere.
//! 6. Ports are in host order unless the name ends in `_be`.

mod attempt;
mod call;
mod counters;
mod downstream;
mod failure;
mod host;

pub use attempt::{AcceptFacts, Attempt, IcmpError, QueueCounts, icmp_origin};
pub use call::{CONNECT_FAILED, Call, CallRecord, UnixAddress, UnixKey, call_flag};
pub use counters::{
    CONNECT_BOUNDS_NS, CONNECT_BUCKETS, LossReason, Pair, SkipReason, Turns, UpstreamCounts,
    UpstreamKey, connect_bucket,
};
pub use downstream::{Clients, Dismissal, ListenKey, ProxyKey};
pub use failure::{Connection, FailureRecord, RecordHeader, SocketFacts, clients, flag, last_word};
pub use host::{Departure, Flow, Listening, ResetSent, Unaccepted, departure};

/// Version of every layout in this module. Bump it with any change of size or meaning.
pub const WIRE_VERSION: u8 = 4;

/// Declares a wire struct: `repr(C)`, plain bytes on the user side, size checked at compile time.
macro_rules! wire_struct {
    ($(#[$doc:meta])* pub struct $name:ident ($size:literal) { $($body:tt)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
        pub struct $name { $($body)* }

        const _: () = assert!(
            size_of::<$name>() == $size,
            concat!("layout of ", stringify!($name), " changed: bump WIRE_VERSION")
        );

        impl Default for $name {
            /// All zero. (The derive stops at arrays of 32.)
            #[inline]
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }

        // SAFETY: `repr(C)` of plain integers and byte arrays without implicit padding (IntoBytes
        // above proves it), so any bit pattern is a value and every byte is initialised.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $name {}
    };
}
use wire_struct;
