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
    pub struct Clients(24) {
        /// Clients that sent FIN or RST and whose socket the proxy has not closed yet.
        pub leaving: u64,
        /// When the proxy last closed the socket of such a client, `CLOCK_BOOTTIME` nanoseconds.
        pub dismissed_ns: u64,
        /// Thread that did.
        pub dismissed_tid: u32,
        /// Zero.
        pub pad: [u8; 4],
    }
}
