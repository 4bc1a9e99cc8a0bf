//! `connect()` calls: those that fail before TCP knows of them, and those on unix sockets.

use super::failure::{Connection, RecordHeader};
use super::wire_struct;
use crate::tcp::SUN_PATH;

/// [`RecordHeader::kind`] of a [`CallRecord`], and its slot in
/// [`super::UpstreamCounts::endings`]: the number after those of [`crate::ending::Ending`].
pub const CONNECT_FAILED: u8 = 10;

/// Bits of [`Call::flags`].
pub mod call_flag {
    /// TCP has taken the attempt up: its end is seen in the socket's states.
    pub const STARTED: u8 = 1;
    /// The socket is a unix socket.
    pub const UNIX: u8 = 1 << 1;
    /// A signal interrupted it; the kernel makes the call again, or the thread is gone.
    pub const INTERRUPTED: u8 = 1 << 2;
    /// The unix socket it connects to has a place for it: nothing but a policy can refuse it now.
    pub const GRANTED: u8 = 1 << 3;
}

wire_struct! {
    /// The name of a unix socket, as `connect()` was given it.
    pub struct UnixAddress(112) {
        /// `sun_path`, zeros after the name. An abstract name starts with a zero, and ends for us
        /// with the next: proxies fill it up with them (HAProxy's `abns@`), and nobody can type one.
        pub path: [u8; SUN_PATH],
        /// Bytes of the name; 0 when there is none.
        pub len: u16,
        /// Zero.
        pub pad: [u8; 2],
    }
}

wire_struct! {
    /// A unix socket as an upstream is counted.
    pub struct UnixKey(116) {
        /// Its name.
        pub address: UnixAddress,
        /// Inode number of the network namespace of the socket that connects. Abstract names are
        /// looked up in it; paths are not.
        pub netns: u32,
    }
}

wire_struct! {
    /// A `connect()` that has not returned yet. Kept by thread.
    pub struct Call(232) {
        /// Who connects; where to is only known of TCP, and only once it has failed.
        pub connection: Connection,
        /// Address of the kernel's `struct sock`.
        pub sock: u64,
        /// Where the caller's memory holds the address, if it has to be read again.
        pub given: u64,
        /// Where to, for a unix socket.
        pub unix: UnixAddress,
        /// Length of the address in the caller's memory.
        pub given_len: u32,
        /// Bits of [`call_flag`].
        pub flags: u8,
        /// The [`crate::hooks::Backend`] that saw it, as a number.
        pub backend: u8,
        /// Zero.
        pub pad: [u8; 2],
    }
}

wire_struct! {
    /// A `connect()` that failed at once, or on a unix socket.
    pub struct CallRecord(240) {
        /// When, and in which shape.
        pub header: RecordHeader,
        /// Who connected where.
        pub connection: Connection,
        /// Where to, for a unix socket; without a name otherwise.
        pub unix: UnixAddress,
        /// What `connect()` returned, as a positive errno; 0 when it has not returned yet.
        pub error: i32,
        /// The [`crate::hooks::Backend`] that saw it, as a number.
        pub backend: u8,
        /// Zero.
        pub pad: [u8; 3],
    }
}
