//! Every BPF program, the capability it serves and where it attaches.

/// What a group of programs lets us see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// The start, the handshake and the end of connections.
    ConnectionState,
    /// What `connect()` returns where TCP has nothing to tell.
    ConnectResults,
    /// RSTs, received and sent.
    Resets,
    /// Segments sent again.
    Retransmits,
    /// Clients of the proxy that left.
    Clients,
    /// Segments that this host dropped itself.
    Drops,
    /// Connections that find a full accept queue on this host.
    AcceptQueues,
    /// ICMP errors that answer a SYN.
    IcmpErrors,
}

impl Capability {
    /// Every capability, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::ConnectionState,
        Self::ConnectResults,
        Self::Resets,
        Self::Retransmits,
        Self::Clients,
        Self::Drops,
        Self::AcceptQueues,
        Self::IcmpErrors,
    ];

    /// The name in `doctor` and in recordings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionState => "connection state",
            Self::ConnectResults => "connect results",
            Self::Resets => "resets",
            Self::Retransmits => "retransmits",
            Self::Clients => "clients",
            Self::Drops => "drops on this host",
            Self::AcceptQueues => "accept queues",
            Self::IcmpErrors => "icmp errors",
        }
    }

    /// Whether nothing works without it. The others are missed, and that is said.
    pub const fn is_essential(self) -> bool {
        !matches!(self, Self::ConnectResults) && !self.is_detail()
    }

    /// Whether it only makes a cause finer: every failure is seen without it.
    pub const fn is_detail(self) -> bool {
        matches!(self, Self::Drops | Self::AcceptQueues | Self::IcmpErrors)
    }
}

/// How the programs of a capability are attached: one way to see it. Ids are never reused.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// Trampolines on kernel functions (`fentry`, `fexit`, Linux 5.5+).
    Fentry = 1,
    /// Breakpoints on kernel functions (`kprobe`, `kretprobe`).
    Kprobe = 2,
    /// BTF-typed raw tracepoint (`tp_btf`, Linux 5.5+).
    Tracepoint = 3,
    /// A system call's own tracepoints, on its way in and out: every call of the host passes them.
    SyscallTracepoint = 4,
}

impl Backend {
    /// Every backend, the best first.
    pub const ALL: [Self; 4] = [
        Self::Fentry,
        Self::Kprobe,
        Self::Tracepoint,
        Self::SyscallTracepoint,
    ];

    /// The name in events and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
            Self::SyscallTracepoint => "syscall-tracepoint",
        }
    }
}

impl TryFrom<u8> for Backend {
    type Error = u8;

    /// The error is the number, which no version has used.
    fn try_from(id: u8) -> Result<Self, u8> {
        let known = Self::ALL.into_iter();
        known
            .into_iter()
            .find(|backend| *backend as u8 == id)
            .ok_or(id)
    }
}

/// Where on its target a program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A tracepoint.
    Tracepoint,
    /// Where a function begins.
    Entry,
    /// Where it returns.
    Return,
}

/// One BPF program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Function name in the BPF object.
    pub program: &'static str,
    /// What it lets us see.
    pub capability: Capability,
    /// How it attaches.
    pub backend: Backend,
    /// Where it attaches.
    pub place: Place,
    /// Tracepoint or function it attaches to.
    pub target: &'static str,
    /// Whether it is for kernels alone where a task can be preempted inside a program of its
    /// backend: the kernel skips that program until the task runs again, and not this one.
    pub if_preempted: bool,
}

impl Hook {
    /// A program on a tracepoint.
    const fn tracepoint(
        capability: Capability,
        program: &'static str,
        target: &'static str,
    ) -> Self {
        Self {
            program,
            capability,
            backend: Backend::Tracepoint,
            place: Place::Tracepoint,
            target,
            if_preempted: false,
        }
    }

    /// The same where a task can be preempted inside a program.
    const fn if_preempted(self) -> Self {
        Self {
            if_preempted: true,
            ..self
        }
    }

    /// A program where a function begins.
    const fn entry(
        capability: Capability,
        backend: Backend,
        program: &'static str,
        target: &'static str,
    ) -> Self {
        Self {
            program,
            capability,
            backend,
            place: Place::Entry,
            target,
            if_preempted: false,
        }
    }

    /// A program that sees `connect()` come or go.
    const fn connect(
        backend: Backend,
        place: Place,
        program: &'static str,
        target: &'static str,
    ) -> Self {
        Self {
            program,
            capability: Capability::ConnectResults,
            backend,
            place,
            target,
            if_preempted: false,
        }
    }
}

/// The programs in the order in which they attach, which is the order in which they run.
///
/// Most on tracepoints have a second one behind them, `…_again`: the kernel skips a program that is
/// already running on the CPU (`__bpf_trace_run()`, since 6.1; `__bpf_prog_enter_recur()`), as it is
/// when an interrupt runs into it, and the second does what the first then missed. Where a task can
/// be preempted inside a program (on functions: kernels with preemption; on tracepoints: from 7.0
/// on) there is a third, and those on functions and on system calls (7.2 on) are three as well;
/// elsewhere these are alone, for in process context nothing makes a call of its own. Kprobes run with
/// preemption off everywhere. Those where TCP takes in a segment are alone as well: nothing that takes
/// one in interrupts it. Of the programs that see `connect()`, what sees it return comes first, so that
/// none is seen to begin and not to end.
///
/// Connection state comes last: what it judges by must already be recorded when the first
/// connection is seen, and an entry can only exist once it is attached.
pub const HOOKS: &[Hook] = &{
    use Backend::{Fentry, Kprobe, SyscallTracepoint};
    use Capability::{
        AcceptQueues, Clients, ConnectionState, Drops, IcmpErrors, Resets, Retransmits,
    };
    use Place::{Entry, Return, Tracepoint};
    [
        Hook::connect(
            Fentry,
            Return,
            "inet_connect_returned_fexit",
            "inet_stream_connect",
        ),
        Hook::connect(
            Fentry,
            Return,
            "inet_connect_returned_again_fexit",
            "inet_stream_connect",
        )
        .if_preempted(),
        Hook::connect(
            Fentry,
            Return,
            "inet_connect_returned_third_fexit",
            "inet_stream_connect",
        )
        .if_preempted(),
        Hook::connect(
            Fentry,
            Return,
            "unix_connect_returned_fexit",
            "unix_stream_connect",
        ),
        Hook::connect(
            Fentry,
            Return,
            "unix_connect_returned_again_fexit",
            "unix_stream_connect",
        )
        .if_preempted(),
        Hook::connect(
            Fentry,
            Return,
            "unix_connect_returned_third_fexit",
            "unix_stream_connect",
        )
        .if_preempted(),
        Hook::connect(
            Fentry,
            Return,
            "connect_forbidden_fexit",
            "security_socket_connect",
        ),
        Hook::connect(
            Fentry,
            Return,
            "connect_forbidden_again_fexit",
            "security_socket_connect",
        )
        .if_preempted(),
        Hook::connect(
            Fentry,
            Return,
            "connect_forbidden_third_fexit",
            "security_socket_connect",
        )
        .if_preempted(),
        Hook::connect(
            Fentry,
            Entry,
            "connect_called_fentry",
            "security_socket_connect",
        ),
        Hook::connect(
            Fentry,
            Entry,
            "connect_called_again_fentry",
            "security_socket_connect",
        )
        .if_preempted(),
        Hook::connect(
            Fentry,
            Entry,
            "connect_called_third_fentry",
            "security_socket_connect",
        )
        .if_preempted(),
        Hook::connect(
            Kprobe,
            Return,
            "inet_connect_returned_kretprobe",
            "inet_stream_connect",
        ),
        Hook::connect(
            Kprobe,
            Return,
            "unix_connect_returned_kretprobe",
            "unix_stream_connect",
        ),
        Hook::connect(
            Kprobe,
            Return,
            "connect_forbidden_kretprobe",
            "security_socket_connect",
        ),
        Hook::connect(
            Kprobe,
            Entry,
            "unix_connect_granted_kprobe",
            "security_unix_stream_connect",
        ),
        Hook::connect(
            Kprobe,
            Entry,
            "connect_called_kprobe",
            "security_socket_connect",
        ),
        Hook::connect(
            SyscallTracepoint,
            Tracepoint,
            "connect_returned_tp",
            "sys_exit_connect",
        ),
        Hook::connect(
            SyscallTracepoint,
            Tracepoint,
            "connect_returned_again_tp",
            "sys_exit_connect",
        )
        .if_preempted(),
        Hook::connect(
            SyscallTracepoint,
            Tracepoint,
            "connect_returned_third_tp",
            "sys_exit_connect",
        )
        .if_preempted(),
        Hook::connect(
            SyscallTracepoint,
            Tracepoint,
            "connect_called_tp",
            "sys_enter_connect",
        ),
        Hook::connect(
            SyscallTracepoint,
            Tracepoint,
            "connect_called_again_tp",
            "sys_enter_connect",
        )
        .if_preempted(),
        Hook::connect(
            SyscallTracepoint,
            Tracepoint,
            "connect_called_third_tp",
            "sys_enter_connect",
        )
        .if_preempted(),
        Hook::entry(
            AcceptQueues,
            Fentry,
            "syn_taken_in_fentry",
            "tcp_conn_request",
        ),
        Hook::entry(
            AcceptQueues,
            Fentry,
            "handshake_over_fentry",
            "tcp_v4_syn_recv_sock",
        ),
        Hook::entry(
            AcceptQueues,
            Fentry,
            "handshake_over_v6_fentry",
            "tcp_v6_syn_recv_sock",
        ),
        Hook::entry(
            AcceptQueues,
            Kprobe,
            "syn_taken_in_kprobe",
            "tcp_conn_request",
        ),
        Hook::entry(
            AcceptQueues,
            Kprobe,
            "handshake_over_kprobe",
            "tcp_v4_syn_recv_sock",
        ),
        Hook::entry(
            AcceptQueues,
            Kprobe,
            "handshake_over_v6_kprobe",
            "tcp_v6_syn_recv_sock",
        ),
        Hook::tracepoint(AcceptQueues, "queue_overflowed_tpbtf", "kfree_skb"),
        Hook::tracepoint(AcceptQueues, "queue_overflowed_again_tpbtf", "kfree_skb"),
        Hook::tracepoint(AcceptQueues, "queue_overflowed_third_tpbtf", "kfree_skb").if_preempted(),
        Hook::entry(IcmpErrors, Fentry, "icmp_error_fentry", "tcp_v4_err"),
        Hook::entry(IcmpErrors, Fentry, "icmp6_error_fentry", "tcp_v6_err"),
        Hook::entry(IcmpErrors, Kprobe, "icmp_error_kprobe", "tcp_v4_err"),
        Hook::entry(IcmpErrors, Kprobe, "icmp6_error_kprobe", "tcp_v6_err"),
        Hook::tracepoint(Drops, "dropped_tpbtf", "kfree_skb"),
        Hook::tracepoint(Drops, "dropped_again_tpbtf", "kfree_skb"),
        Hook::tracepoint(Drops, "dropped_third_tpbtf", "kfree_skb").if_preempted(),
        Hook::tracepoint(Resets, "reset_received_tpbtf", "tcp_receive_reset"),
        Hook::tracepoint(Resets, "reset_received_again_tpbtf", "tcp_receive_reset"),
        Hook::tracepoint(Resets, "reset_received_third_tpbtf", "tcp_receive_reset").if_preempted(),
        Hook::tracepoint(Resets, "reset_sent_tpbtf", "tcp_send_reset"),
        Hook::tracepoint(Resets, "reset_sent_again_tpbtf", "tcp_send_reset"),
        Hook::tracepoint(Resets, "reset_sent_third_tpbtf", "tcp_send_reset").if_preempted(),
        Hook::tracepoint(Retransmits, "retransmit_tpbtf", "tcp_retransmit_skb"),
        Hook::tracepoint(Retransmits, "retransmit_again_tpbtf", "tcp_retransmit_skb"),
        Hook::tracepoint(Retransmits, "retransmit_third_tpbtf", "tcp_retransmit_skb")
            .if_preempted(),
        Hook::tracepoint(Clients, "client_dismissed_tpbtf", "tcp_destroy_sock"),
        Hook::tracepoint(Clients, "client_dismissed_again_tpbtf", "tcp_destroy_sock"),
        Hook::tracepoint(Clients, "client_dismissed_third_tpbtf", "tcp_destroy_sock")
            .if_preempted(),
        Hook::tracepoint(ConnectionState, "connection_tpbtf", "inet_sock_set_state"),
        Hook::tracepoint(
            ConnectionState,
            "connection_again_tpbtf",
            "inet_sock_set_state",
        ),
        Hook::tracepoint(
            ConnectionState,
            "connection_third_tpbtf",
            "inet_sock_set_state",
        )
        .if_preempted(),
    ]
};
