//! What the kernel side remembers of upstreams on this host, to be asked for when a connection to one
//! has failed.

use super::wire_struct;

/// Bits of [`Departure::flags`].
pub mod departure {
    /// The process was on its way out: `exit_code` holds.
    pub const EXITING: u8 = 1;
    /// The OOM killer had marked it.
    pub const OOM: u8 = 1 << 1;
}

wire_struct! {
    /// A connection: who made it, and to where.
    pub struct Flow(40) {
        /// Address that connected; IPv4 as `::ffff:a.b.c.d`.
        pub client: [u8; 16],
        /// Address that was connected to.
        pub server: [u8; 16],
        /// Port that connected.
        pub client_port: u16,
        /// Port that was connected to.
        pub server_port: u16,
        /// Zero.
        pub pad: [u8; 4],
    }
}

wire_struct! {
    /// A process that let go of a socket.
    pub struct Departure(64) {
        /// When, `CLOCK_BOOTTIME` nanoseconds.
        pub at_ns: u64,
        /// `task_struct.start_boottime` of the thread-group leader, nanoseconds.
        pub leader_start_ns: u64,
        /// cgroup v2 id of the task.
        pub cgroup_id: u64,
        /// Thread-group id in the initial pid namespace.
        pub tgid: u32,
        /// Inode number of the socket's network namespace.
        pub netns: u32,
        /// `task_struct.exit_code`, as `wait()` gives it: the signal in the low seven bits, or the
        /// exit code in the second byte.
        pub exit_code: i32,
        /// Bits of [`departure`].
        pub flags: u8,
        /// Zero.
        pub pad: [u8; 11],
        /// Name of the thread-group leader, NUL-terminated.
        pub comm: [u8; 16],
    }
}

wire_struct! {
    /// What became of listening at an address since the programs were loaded.
    pub struct Listening(80) {
        /// Who stopped last, and when; all zero when nobody did.
        pub ended: Departure,
        /// When somebody last began, `CLOCK_BOOTTIME` nanoseconds; 0 when nobody did.
        pub began_ns: u64,
        /// How often somebody stopped.
        pub ends: u32,
        /// Zero.
        pub pad: [u8; 4],
    }
}

wire_struct! {
    /// A connection that was ended by its client and had not been accepted.
    pub struct Unaccepted(16) {
        /// When, `CLOCK_BOOTTIME` nanoseconds.
        pub at_ns: u64,
        /// Inode number of the listener's network namespace.
        pub netns: u32,
        /// Zero.
        pub pad: [u8; 4],
    }
}

wire_struct! {
    /// A RST that a socket of this host sent, which no watched process had opened.
    pub struct ResetSent(16) {
        /// When, `CLOCK_BOOTTIME` nanoseconds.
        pub at_ns: u64,
        /// Inode number of the socket's network namespace.
        pub netns: u32,
        /// The kernel's `enum sk_rst_reason` (Linux 6.10+); the numbers differ between kernels.
        pub reason: u32,
    }
}
