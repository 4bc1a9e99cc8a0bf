//! Every BPF program, the capability it serves and where it attaches.

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// BTF-typed raw tracepoint (`tp_btf`, Linux 5.5+).
    Tracepoint,
    /// The same, on the way in or out of system calls: every call of the host passes it.
    SyscallTracepoint,
}

impl Backend {
    /// The name in events and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::SyscallTracepoint => "syscall-tracepoint",
        }
    }
}

/// One BPF program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Function name in the BPF object.
    pub program: &'static str,
    /// What it lets us see.
    pub capability: &'static str,
    /// How it attaches.
    pub backend: Backend,
    /// Tracepoint or function it attaches to.
    pub target: &'static str,
}

/// The programs in the order in which they attach, which is the order in which they run.
///
/// Each has a second one behind it, `…_again`: the kernel skips a program that is already running on
/// the CPU (`__bpf_trace_run()`, since 6.1), as it is when an interrupt runs into it, and the second
/// does what the first then missed.
///
/// Connection state comes last: what it judges by must already be recorded when the first
/// connection is seen, and an entry can only exist once it is attached.
///
/// The two on system calls, the way out first, are alone: they run in process context with preemption off
/// (`include/trace/bpf_probe.h`), where nothing makes a call of its own.
pub const HOOKS: &[Hook] = &[
    Hook {
        program: "connect_returned_tpbtf",
        capability: "connect results",
        backend: Backend::SyscallTracepoint,
        target: "sys_exit",
    },
    Hook {
        program: "connect_called_tpbtf",
        capability: "connect results",
        backend: Backend::SyscallTracepoint,
        target: "sys_enter",
    },
    Hook {
        program: "reset_received_tpbtf",
        capability: "resets",
        backend: Backend::Tracepoint,
        target: "tcp_receive_reset",
    },
    Hook {
        program: "reset_received_again_tpbtf",
        capability: "resets",
        backend: Backend::Tracepoint,
        target: "tcp_receive_reset",
    },
    Hook {
        program: "reset_sent_tpbtf",
        capability: "resets",
        backend: Backend::Tracepoint,
        target: "tcp_send_reset",
    },
    Hook {
        program: "reset_sent_again_tpbtf",
        capability: "resets",
        backend: Backend::Tracepoint,
        target: "tcp_send_reset",
    },
    Hook {
        program: "retransmit_tpbtf",
        capability: "retransmits",
        backend: Backend::Tracepoint,
        target: "tcp_retransmit_skb",
    },
    Hook {
        program: "retransmit_again_tpbtf",
        capability: "retransmits",
        backend: Backend::Tracepoint,
        target: "tcp_retransmit_skb",
    },
    Hook {
        program: "client_dismissed_tpbtf",
        capability: "clients",
        backend: Backend::Tracepoint,
        target: "tcp_destroy_sock",
    },
    Hook {
        program: "client_dismissed_again_tpbtf",
        capability: "clients",
        backend: Backend::Tracepoint,
        target: "tcp_destroy_sock",
    },
    Hook {
        program: "connection_tpbtf",
        capability: "connection state",
        backend: Backend::Tracepoint,
        target: "inet_sock_set_state",
    },
    Hook {
        program: "connection_again_tpbtf",
        capability: "connection state",
        backend: Backend::Tracepoint,
        target: "inet_sock_set_state",
    },
];
