//! The kernel's struct members that the BPF side reads: one table, two consumers.
//!
//! The BPF side expands it to one read-only global per member, the user side resolves each in the
//! running kernel's BTF and writes the byte offset into that global before the object is loaded.
//! rustc emits no CO-RE relocations; a frozen global is the same constant to the verifier.

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelField {
    /// Name of the global that holds the offset.
    pub global: &'static str,
    /// `struct.member.member[n]…`: offsets add up from the start of `struct`. Anonymous structs
    /// and unions on the way are not named.
    pub path: &'static str,
    /// Bytes that the BPF side loads. The member must have this size, or a load could read beyond
    /// it; a kernel where it differs is refused at start.
    pub size: u64,
}

/// Calls `$consumer!` with every line: `GLOBAL: type = "path";`.
#[macro_export]
macro_rules! for_each_kernel_field {
    ($consumer:ident) => {
        $consumer! {
            OFF_SK_FAMILY: u16 = "sock.__sk_common.skc_family";
            OFF_SK_DADDR: u32 = "sock.__sk_common.skc_daddr";
            OFF_SK_SADDR: u32 = "sock.__sk_common.skc_rcv_saddr";
            OFF_SK_DPORT: u16 = "sock.__sk_common.skc_dport";
            OFF_SK_STATE: u8 = "sock.__sk_common.skc_state";
            OFF_SK_DADDR6: [u8; 16] = "sock.__sk_common.skc_v6_daddr";
            OFF_SK_SADDR6: [u8; 16] = "sock.__sk_common.skc_v6_rcv_saddr";
            OFF_SK_NET: u64 = "sock.__sk_common.skc_net.net";
            OFF_SK_PROTOCOL: u16 = "sock.sk_protocol";
            OFF_SK_ERR: i32 = "sock.sk_err";
            OFF_SK_ERR_SOFT: i32 = "sock.sk_err_soft";
            OFF_SK_SHUTDOWN: u8 = "sock.sk_shutdown";
            OFF_SK_ERRQ_LEN: u32 = "sock.sk_error_queue.qlen";
            OFF_SK_ERRQ_TAIL: u64 = "sock.sk_error_queue.prev";
            OFF_SKB_CB: [u8; 48] = "sk_buff.cb";
            OFF_SERR_EE: [u8; 16] = "sock_exterr_skb.ee";
            OFF_EE_ORIGIN: u8 = "sock_extended_err.ee_origin";
            OFF_EE_TYPE: u8 = "sock_extended_err.ee_type";
            OFF_EE_CODE: u8 = "sock_extended_err.ee_code";
            OFF_SKB_SK: u64 = "sk_buff.sk";
            OFF_SKB_HEAD: u64 = "sk_buff.head";
            OFF_SKB_DATA: u64 = "sk_buff.data";
            OFF_SKB_NETWORK: u16 = "sk_buff.network_header";
            OFF_SKB_TRANSPORT: u16 = "sk_buff.transport_header";
            OFF_SK_QUEUED: u32 = "sock.sk_ack_backlog";
            OFF_SK_QUEUE_MAX: u32 = "sock.sk_max_ack_backlog";
            OFF_SK_NUM: u16 = "sock.__sk_common.skc_num";
            OFF_NET_INUM: u32 = "net.ns.inum";
            OFF_INET_SPORT: u16 = "tcp_sock.inet_conn.icsk_inet.inet_sport";
            OFF_ICSK_RETRANS: u8 = "tcp_sock.inet_conn.icsk_retransmits";
            OFF_ICSK_PROBES: u8 = "tcp_sock.inet_conn.icsk_probes_out";
            OFF_ICSK_LRCV: u32 = "tcp_sock.inet_conn.icsk_ack.lrcvtime";
            OFF_TP_SENT: u64 = "tcp_sock.bytes_sent";
            OFF_TP_RETRANS: u64 = "tcp_sock.bytes_retrans";
            OFF_TP_ACKED: u64 = "tcp_sock.bytes_acked";
            OFF_TP_RECEIVED: u64 = "tcp_sock.bytes_received";
            OFF_TP_SEGS_IN: u32 = "tcp_sock.segs_in";
            OFF_TP_SEGS_OUT: u32 = "tcp_sock.segs_out";
            OFF_TP_SND_UNA: u32 = "tcp_sock.snd_una";
            OFF_TP_WRITE_SEQ: u32 = "tcp_sock.write_seq";
            OFF_TP_SND_NXT: u32 = "tcp_sock.snd_nxt";
            OFF_TP_RCV_NXT: u32 = "tcp_sock.rcv_nxt";
            OFF_TP_COPIED: u32 = "tcp_sock.copied_seq";
            OFF_TP_SRTT: u32 = "tcp_sock.srtt_us";
            OFF_TP_RCV_WUP: u32 = "tcp_sock.rcv_wup";
            OFF_TP_FIRST_TX: u64 = "tcp_sock.first_tx_mstamp";
            OFF_TP_DELIVERED: u64 = "tcp_sock.delivered_mstamp";
            OFF_TP_LSNDTIME: u32 = "tcp_sock.lsndtime";
            OFF_TP_RTT_MIN: u32 = "tcp_sock.rtt_min.s[0].v";
            OFF_TP_WSTAMP: u64 = "tcp_sock.tcp_wstamp_ns";
            OFF_TASK_LEADER: u64 = "task_struct.group_leader";
            OFF_TASK_COMM: [u8; 16] = "task_struct.comm";
            OFF_TASK_START: u64 = "task_struct.start_boottime";
            OFF_TASK_FILES: u64 = "task_struct.files";
            OFF_FILES_TABLE: u64 = "files_struct.fdt";
            OFF_TABLE_LEN: u32 = "fdtable.max_fds";
            OFF_TABLE_FILES: u64 = "fdtable.fd";
            OFF_FILE_DATA: u64 = "file.private_data";
            OFF_SOCKET_SK: u64 = "socket.sk";
            OFF_SK_TYPE: u16 = "sock.sk_type";
            OFF_SK_SOCKET: u64 = "sock.sk_socket";
            OFF_TASK_FLAGS: u32 = "task_struct.flags";
            OFF_TASK_EXIT: i32 = "task_struct.exit_code";
            OFF_TASK_SIGNAL: u64 = "task_struct.signal";
            OFF_SIGNAL_OOM: u64 = "signal_struct.oom_mm";
        }
    };
}

/// Number of `connect()` in the system call table.
#[cfg(any(target_arch = "x86_64", bpf_target_arch = "x86_64"))]
pub const CONNECT: u32 = 42;
/// Number of `connect()` in the system call table.
#[cfg(any(target_arch = "aarch64", bpf_target_arch = "aarch64"))]
pub const CONNECT: u32 = 203;

macro_rules! table {
    ($($global:ident: $load:ty = $path:literal;)*) => {
        &[
            $(KernelField {
                global: stringify!($global),
                path: $path,
                size: size_of::<$load>() as u64,
            },)*
        ]
    };
}

/// The table as data.
pub const KERNEL_FIELDS: &[KernelField] = for_each_kernel_field!(table);

/// The enum of the reasons for which the kernel drops a packet (Linux 5.18+), and the one that is
/// looked for.
pub const NEIGHBOUR_FAILED: (&str, &str) = ("skb_drop_reason", "SKB_DROP_REASON_NEIGH_FAILED");

/// Enumerators whose numbers are looked up.
pub const ENUMERATORS: &[(&str, &str)] = &[NEIGHBOUR_FAILED];

/// The type of what is called at `tcp:tcp_send_reset`; its parameters differ between kernels.
pub const SEND_RESET: &str = "btf_trace_tcp_send_reset";

/// Types of functions whose parameters are counted.
pub const TRACE_TYPES: &[&str] = &[SEND_RESET];
