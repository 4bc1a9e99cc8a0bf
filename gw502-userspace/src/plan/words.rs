//! What a person reads about capabilities and backends, and their names in files.

use gw502_common::hooks::{Backend, Capability};
use serde::{Deserialize, Serialize};

use super::Trial;

/// What a capability shows.
pub const fn sees(capability: Capability) -> &'static str {
    match capability {
        Capability::ConnectionState => "every TCP connect, handshake and end",
        Capability::ConnectResults => "unix sockets, and connects that this host refuses by itself",
        Capability::Resets => "every RST, received and sent",
        Capability::Retransmits => "SYNs and data sent again",
        Capability::Clients => "clients that left before their answer",
        Capability::Drops => "segments that no neighbour answered for, SYNs that netfilter dropped",
        Capability::AcceptQueues => "connections that a listener on this host has no room for",
        Capability::IcmpErrors => "type and code of every ICMP error that answers a SYN",
    }
}

/// Something that is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blind {
    /// Its name for programs. Never reused.
    pub id: &'static str,
    /// What a person reads.
    pub what: &'static str,
}

const fn blind(id: &'static str, what: &'static str) -> Blind {
    Blind { id, what }
}

const UNIX_SOCKETS: Blind = blind("unix-sockets", "unix sockets");
const REFUSED_HERE: Blind = blind(
    "refused-by-this-host",
    "no route, prohibited, not permitted on this host",
);
const IO_URING: Blind = blind("io_uring", "io_uring");
const BITS_32: Blind = blind("32-bit", "32-bit processes");
const MPTCP: Blind = blind("mptcp-socket", "MPTCP's own socket");
const HTTP2_CANCEL: Blind = blind(
    "http2-cancel",
    "HTTP/2 and HTTP/3 clients that cancel one request",
);
const NEIGHBOURS: Blind = blind(
    "failed-neighbours",
    "failed neighbours, which are named host-unreachable",
);
const FILTERED: Blind = blind(
    "netfilter-drops",
    "SYNs that netfilter drops here, which are named syn-unanswered, or refused where it answers them",
);
const FAST_OPEN: Blind = blind("fast-open-by-sendto", "sendto(MSG_FASTOPEN)");
const SECCOMP: Blind = blind("seccomp", "a connect() that a seccomp filter forbids");
const MANY_WAIT: Blind = blind(
    "many-connects-wait",
    "why one fails of many connects that wait at once (return_missed)",
);
const QUEUE_SYNS: Blind = blind(
    "syns-at-full-queues",
    "SYNs dropped by full accept queues: the listener is looked at afterwards",
);
const QUEUE_HANDSHAKES: Blind = blind(
    "handshakes-at-full-queues",
    "handshakes dropped by full accept queues: the listener is looked at afterwards",
);
const QUEUE_COOKIES: Blind = blind(
    "cookies-at-full-queues",
    "handshakes by SYN cookie dropped by full accept queues: the listener is looked at afterwards",
);
const ICMPV6_CODES: Blind = blind(
    "icmpv6-codes",
    "the codes of ICMPv6 errors: their errno names them",
);
const ALL: Blind = blind("all", "all of it");

/// What a backend of a capability does not show that others do, or that could be thought to be
/// shown.
///
/// `None` as the backend: what is not seen at all. This is the one list of blind spots: `doctor`
/// prints it, docs/blind-spots.md is made of it, and live trials look whether it is so.
pub const fn blind_to(capability: Capability, backend: Option<Backend>) -> &'static [Blind] {
    match (capability, backend) {
        (Capability::ConnectResults, None) => &[UNIX_SOCKETS, REFUSED_HERE],
        (Capability::ConnectResults, Some(Backend::SyscallTracepoint)) => {
            &[IO_URING, BITS_32, MPTCP, FAST_OPEN, SECCOMP]
        }
        (Capability::ConnectResults, Some(Backend::Kprobe)) => {
            &[MPTCP, FAST_OPEN, SECCOMP, MANY_WAIT]
        }
        (Capability::ConnectResults, Some(_)) => &[MPTCP, FAST_OPEN, SECCOMP],
        (Capability::Clients, Some(_)) => &[HTTP2_CANCEL],
        (Capability::Drops, None) => &[NEIGHBOURS, FILTERED],
        (Capability::AcceptQueues, None) => &[QUEUE_SYNS, QUEUE_HANDSHAKES],
        (Capability::AcceptQueues, Some(Backend::Tracepoint)) => &[QUEUE_SYNS, QUEUE_COOKIES],
        (Capability::IcmpErrors, None) => &[ICMPV6_CODES],
        (_, Some(_)) => &[],
        (_, None) => &[ALL],
    }
}

/// Blind spots as a person reads them.
pub fn listed(blind: &[Blind]) -> String {
    let words: Vec<_> = blind.iter().map(|one| one.what).collect();
    words.join("; ")
}

/// [`Trial`] as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialText {
    capability: String,
    backend: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl From<Trial> for TrialText {
    fn from(trial: Trial) -> Self {
        Self {
            capability: trial.capability.name().to_owned(),
            backend: trial.backend.name().to_owned(),
            refused: trial.refused,
        }
    }
}

impl TryFrom<TrialText> for Trial {
    type Error = String;

    fn try_from(text: TrialText) -> Result<Self, String> {
        let TrialText {
            capability,
            backend,
            refused,
        } = text;
        let known = Capability::ALL.into_iter();
        let found = known.into_iter().find(|known| known.name() == capability);
        let capability = found.ok_or_else(|| format!("no capability is called `{capability}`"))?;
        let found = Backend::ALL
            .into_iter()
            .find(|known| known.name() == backend);
        let backend = found.ok_or_else(|| format!("no backend is called `{backend}`"))?;
        Ok(Self {
            capability,
            backend,
            refused,
        })
    }
}
