//! Numbers of the socket interface that our rules know, as the kernel defines them: states, errno
//! values, families.

/// TCP states, `include/net/tcp_states.h` (same numbers since Linux 2.6; they are ABI).
pub mod state {
    /// Connection open, data may flow.
    pub const ESTABLISHED: u8 = 1;
    /// Our SYN is out.
    pub const SYN_SENT: u8 = 2;
    /// We sent FIN first.
    pub const FIN_WAIT1: u8 = 4;
    /// Our FIN is acknowledged, the peer's is not here yet.
    pub const FIN_WAIT2: u8 = 5;
    /// No connection.
    pub const CLOSE: u8 = 7;
    /// The peer sent FIN first.
    pub const CLOSE_WAIT: u8 = 8;
    /// We answered the peer's FIN with ours.
    pub const LAST_ACK: u8 = 9;
    /// Waiting for connections.
    pub const LISTEN: u8 = 10;
    /// Both sides sent FIN at once.
    pub const CLOSING: u8 = 11;
}

/// Address families, `include/linux/socket.h`.
pub mod family {
    /// Sockets with a path, or a name of their own, for an address.
    pub const UNIX: u16 = 1;
    /// IPv4.
    pub const INET: u16 = 2;
    /// IPv6, and IPv4 in IPv6's form.
    pub const INET6: u16 = 10;
}

/// `IPPROTO_TCP`. MPTCP's own socket has 262 and passes through TCP's tracepoints.
pub const IPPROTO_TCP: u16 = 6;

/// `sizeof(sun_path)`: bytes of a unix socket's name (`include/uapi/linux/un.h`).
pub const SUN_PATH: usize = 108;

/// errno values, `include/uapi/asm-generic/errno{,-base}.h`.
pub mod errno {
    /// Operation not permitted.
    pub const EPERM: i32 = 1;
    /// No such file or directory.
    pub const ENOENT: i32 = 2;
    /// Interrupted system call.
    pub const EINTR: i32 = 4;
    /// Try again.
    pub const EAGAIN: i32 = 11;
    /// Out of memory.
    pub const ENOMEM: i32 = 12;
    /// Permission denied.
    pub const EACCES: i32 = 13;
    /// Not a directory.
    pub const ENOTDIR: i32 = 20;
    /// Invalid argument.
    pub const EINVAL: i32 = 22;
    /// Broken pipe.
    pub const EPIPE: i32 = 32;
    /// Protocol error.
    pub const EPROTO: i32 = 71;
    /// Protocol not available.
    pub const ENOPROTOOPT: i32 = 92;
    /// Cannot assign requested address.
    pub const EADDRNOTAVAIL: i32 = 99;
    /// Network is down.
    pub const ENETDOWN: i32 = 100;
    /// Network is unreachable.
    pub const ENETUNREACH: i32 = 101;
    /// Software caused connection abort.
    pub const ECONNABORTED: i32 = 103;
    /// Connection reset by peer.
    pub const ECONNRESET: i32 = 104;
    /// No buffer space available.
    pub const ENOBUFS: i32 = 105;
    /// Transport endpoint is already connected.
    pub const EISCONN: i32 = 106;
    /// Connection timed out.
    pub const ETIMEDOUT: i32 = 110;
    /// Connection refused.
    pub const ECONNREFUSED: i32 = 111;
    /// Host is down.
    pub const EHOSTDOWN: i32 = 112;
    /// No route to host.
    pub const EHOSTUNREACH: i32 = 113;
    /// Operation already in progress.
    pub const EALREADY: i32 = 114;
    /// Operation now in progress.
    pub const EINPROGRESS: i32 = 115;
    /// The first of the values by which a call asks to be restarted after a signal; they never
    /// reach user space (`include/linux/errno.h`).
    pub const ERESTARTSYS: i32 = 512;
    /// The last of them.
    pub const ERESTART_RESTARTBLOCK: i32 = 516;
}

/// `SHUTDOWN_MASK` of `include/net/sock.h`: both directions are shut, so the owner closed the
/// socket. Only one bit set is a half-close.
pub const SHUTDOWN_BOTH: u8 = 3;
