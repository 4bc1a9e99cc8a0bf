//! What is remembered of a proxy's own clients, to tell a time-out from a client that left.

use super::wire_struct;

wire_struct! {
    /// A port that a proxy listens on.
    pub struct ListenKey(8) {
        /// Inode number of the network namespace.
        pub netns: u32,
        /// The port, host order.
        pub port: u16,
        /// Zero.
        pub pad: [u8; 2],
    }
}

wire_struct! {
    /// A proxy: every process of that name in that network namespace. A client's connection is
    /// accepted by any of them.
    pub struct ProxyKey(20) {
        /// Name of the thread-group leader.
        pub comm: [u8; 16],
        /// Inode number of the network namespace.
        pub netns: u32,
    }
}

wire_struct! {
    /// The clients of a proxy.
    pub struct Clients(16) {
        /// Clients that sent FIN or RST and whose socket the proxy has not closed yet.
        pub leaving: u64,
        /// When the last of them did, `CLOCK_BOOTTIME` nanoseconds.
        pub left_ns: u64,
    }
}

wire_struct! {
    /// What a thread of a proxy did last about clients that left. All times are `CLOCK_BOOTTIME`
    /// nanoseconds.
    pub struct Dismissal(24) {
        /// When it closed the socket of such a client, or the upstream's connection after that.
        pub at_ns: u64,
        /// How long it may take from there to an upstream's connection.
        pub lasts_ns: u64,
        /// When it closed an upstream's connection while a client was leaving.
        pub explained_ns: u64,
    }
}
