//! The faults, what each should be called, and what the proxies say about it.

use std::net::SocketAddr;
use std::time::Duration;

use gw502_tests::firewall::Verdict;
use gw502_tests::lab::{Family, Path};
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::upstream::Behaviour;

/// How long the proxies wait for a connection, and for an answer: longer than the first SYN
/// retransmit takes (1 s).
const PATIENCE: Duration = Duration::from_secs(2);

/// How a fault is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// By the upstream itself.
    Upstream(Behaviour),
    /// By a firewall in front of a good upstream.
    Firewall(Verdict),
    /// No answer to any SYN, and a kernel that loses its patience before the proxy does.
    KernelGivesUp,
    /// An address on the link that nobody has.
    NoNeighbour,
    /// No local port left towards the upstream.
    PortsExhausted,
}

/// One fault and its expectations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    pub(crate) family: Family,
    pub(crate) paths: &'static [Path],
    pub(crate) proxies: &'static [Kind],
    /// `class/cause` of every event.
    pub(crate) verdict: &'static str,
    pub(crate) words: Words,
    /// Whether the clients leave before their answer.
    pub(crate) client_leaves: bool,
}

/// Words that every complaint in a proxy's log has: one for each request, or none at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    nginx: Option<&'static str>,
    haproxy: Option<&'static str>,
}

const EVERYWHERE: &[Path] = &[Path::Loopback, Path::Veth, Path::Delayed];
const ACROSS: &[Path] = &[Path::Veth, Path::Delayed];
const VETH: &[Path] = &[Path::Veth];
const DELAYED: &[Path] = &[Path::Delayed];

const HTTP: &[Kind] = &[Kind::Nginx, Kind::Haproxy];
/// Proxies that connect before their client has said anything.
const RAW: &[Kind] = &[Kind::NginxStream, Kind::HaproxyTcp];

// What a failed connect, and what a failed exchange, leaves in the logs.
const REFUSED: Words = connect("111: Connection refused");
const NO_ROUTE: Words = connect("113: No route to host");
const SYN_UNANSWERED: Words = words(
    "110: Connection timed out) while connecting to upstream",
    "end=sC",
);
const RESET: Words = words("104: Connection reset by peer", "end=SH");
const NO_ANSWER: Words = words(
    "110: Connection timed out) while reading response header",
    "end=sH",
);
const NOTHING: Words = Words {
    nginx: None,
    haproxy: None,
};

/// Every case of the suite.
pub(crate) const ALL: &[Case] = &[
    upstream("no_listener", Behaviour::Refuse)
        .says(REFUSED)
        .is("refused/refused")
        .on(EVERYWHERE),
    upstream("no_listener_v6", Behaviour::Refuse)
        .v6()
        .says(REFUSED)
        .is("refused/refused")
        .on(EVERYWHERE),
    firewall("reject_tcp_reset", Verdict::TcpReset)
        .says(REFUSED)
        .is("refused/refused"),
    firewall("icmp_port_unreachable", Verdict::Icmp("port-unreachable"))
        .says(REFUSED)
        .is("refused/icmp-rejected"),
    firewall("icmp_admin_prohibited", Verdict::Icmp("admin-prohibited"))
        .says(NO_ROUTE)
        .is("unreachable/admin-prohibited"),
    firewall("icmp_host_unreachable", Verdict::Icmp("host-unreachable"))
        .says(NO_ROUTE)
        .is("unreachable/host-unreachable"),
    firewall("icmp_net_unreachable", Verdict::Icmp("net-unreachable"))
        .says(connect("101: Network is unreachable"))
        .is("unreachable/no-route"),
    firewall("icmp6_port_unreachable", Verdict::Icmp6("port-unreachable"))
        .v6()
        .says(REFUSED)
        .is("refused/icmp-rejected"),
    firewall("icmp6_admin_prohibited", Verdict::Icmp6("admin-prohibited"))
        .v6()
        .says(connect("13: Permission denied"))
        .is("unreachable/admin-prohibited"),
    firewall("syn_dropped", Verdict::Drop)
        .says(SYN_UNANSWERED)
        .is("timeout/syn-unanswered")
        .on(EVERYWHERE),
    case("syn_timeout_by_the_kernel", Fault::KernelGivesUp)
        .says(connect("110: Connection timed out"))
        .is("timeout/syn-unanswered")
        .on(VETH),
    case("no_neighbour", Fault::NoNeighbour)
        .says(NO_ROUTE)
        .is("unreachable/neighbour-failed")
        .on(VETH),
    case("ports_exhausted", Fault::PortsExhausted)
        .says(connect("99: Cannot assign requested address"))
        .is("local/port-exhaustion")
        .on(VETH),
    upstream("reset_after_request", Behaviour::ResetAfterRequest)
        .says(RESET)
        .is("reset/reset-before-response")
        .on(EVERYWHERE),
    upstream("close_with_unread_request", Behaviour::CloseUnread)
        .says(RESET)
        .is("reset/reset-before-response")
        .on(EVERYWHERE),
    upstream("close_after_request", Behaviour::CloseAfterRequest)
        .says(words("upstream prematurely closed connection", "end=SH"))
        .is("closed/closed-before-response")
        .on(EVERYWHERE),
    // A RST that HAProxy sees before it has finished connecting is a failed connect to it: SC.
    upstream("reset_on_accept", Behaviour::ResetOnAccept)
        .through(RAW)
        .says(words("104: Connection reset by peer", "end=S"))
        .is("reset/reset-after-accept")
        .on(EVERYWHERE),
    upstream("close_on_accept", Behaviour::CloseOnAccept)
        .through(RAW)
        .says(NOTHING)
        .is("closed/closed-after-accept")
        .on(EVERYWHERE),
    upstream("hang", Behaviour::Hang)
        .says(NO_ANSWER)
        .is("timeout/response-timeout")
        .on(EVERYWHERE),
    upstream("never_accepted", Behaviour::NeverAccept)
        .says(NO_ANSWER)
        .is("timeout/response-timeout")
        .on(DELAYED),
    // HAProxy goes on waiting for the upstream: no `option abortonclose`.
    upstream("client_leaves", Behaviour::Hang)
        .with_clients_that_leave()
        .through(&[Kind::Nginx])
        .is("aborted/client-gone")
        .on(EVERYWHERE),
    firewall("path_dies", Verdict::DropData)
        .says(NO_ANSWER)
        .is("timeout/peer-vanished")
        .on(EVERYWHERE),
];

/// Cases for busy processors.
pub(crate) const BUSY: &[Case] = &[
    upstream("busy_no_listener", Behaviour::Refuse)
        .says(REFUSED)
        .is("refused/refused"),
    upstream("busy_reset_after_request", Behaviour::ResetAfterRequest)
        .says(RESET)
        .is("reset/reset-before-response"),
    // The proxy may take the error off the socket while the kernel still is closing it.
    upstream("busy_reset_on_accept", Behaviour::ResetOnAccept)
        .through(RAW)
        .says(words("104: Connection reset by peer", "end=S"))
        .is("reset/reset-after-accept"),
];

/// A case to be described further; over veth and delay, through both HTTP proxies.
const fn case(name: &'static str, fault: Fault) -> Case {
    Case {
        name,
        fault,
        family: Family::V4,
        paths: ACROSS,
        proxies: HTTP,
        verdict: "",
        words: NOTHING,
        client_leaves: false,
    }
}

const fn upstream(name: &'static str, behaviour: Behaviour) -> Case {
    case(name, Fault::Upstream(behaviour))
}

const fn firewall(name: &'static str, verdict: Verdict) -> Case {
    case(name, Fault::Firewall(verdict))
}

const fn words(nginx: &'static str, haproxy: &'static str) -> Words {
    Words {
        nginx: Some(nginx),
        haproxy: Some(haproxy),
    }
}

/// A connect that failed with an error. `HAProxy` sees it (SC), or on one host misses an ICMP error
/// that came within `connect()` and gives up (sC).
const fn connect(nginx: &'static str) -> Words {
    words(nginx, "C status=503")
}

impl Words {
    /// What this proxy says; `None` when it does not complain.
    pub(crate) const fn of(self, kind: Kind) -> Option<&'static str> {
        if kind.is_nginx() {
            self.nginx
        } else {
            self.haproxy
        }
    }
}

impl Case {
    const fn says(mut self, words: Words) -> Self {
        self.words = words;
        self
    }

    const fn is(mut self, verdict: &'static str) -> Self {
        self.verdict = verdict;
        self
    }

    const fn on(mut self, paths: &'static [Path]) -> Self {
        self.paths = paths;
        self
    }

    const fn through(mut self, proxies: &'static [Kind]) -> Self {
        self.proxies = proxies;
        self
    }

    const fn with_clients_that_leave(mut self) -> Self {
        self.client_leaves = true;
        self
    }

    const fn v6(mut self) -> Self {
        self.family = Family::V6;
        self
    }

    /// A proxy whose patience ends with the fault's, on the right side of it.
    pub(crate) fn settings(&self, kind: Kind, upstream: SocketAddr) -> Settings {
        let kernel_first = self.fault == Fault::KernelGivesUp;
        let connect_timeout = if kernel_first {
            10 * PATIENCE
        } else {
            PATIENCE
        };
        Settings {
            kind,
            upstream,
            connect_timeout,
            read_timeout: PATIENCE,
            retries: u32::from(!kernel_first),
            keep_alive: false,
            abort_on_close: false,
        }
    }

    /// How long an attempt lasts at least: the proxy's patience, when that is what ends it. A
    /// proxy's clock may run a little ahead.
    pub(crate) fn waits(&self) -> Duration {
        let is_given_up = self.verdict.starts_with("timeout/");
        if is_given_up {
            PATIENCE.mul_f32(0.95)
        } else {
            Duration::ZERO
        }
    }

    /// Whether the upstream accepts every connection the proxy makes.
    pub(crate) const fn is_accepted(&self) -> bool {
        match self.fault {
            Fault::Upstream(behaviour) => {
                !matches!(behaviour, Behaviour::Refuse | Behaviour::NeverAccept)
            }
            Fault::Firewall(verdict) => matches!(verdict, Verdict::DropData),
            Fault::KernelGivesUp | Fault::NoNeighbour | Fault::PortsExhausted => false,
        }
    }
}
