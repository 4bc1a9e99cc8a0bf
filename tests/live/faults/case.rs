//! What a case of the suite is: how a fault is made, and what to expect of it.

use std::time::Duration;

use gw502_tests::address::Address;
use gw502_tests::firewall::Verdict;
use gw502_tests::lab::{Family, Path};
use gw502_tests::proxy::{Kind, Logged, Settings, Talk};
use gw502_tests::route::Route;
use gw502_tests::upstream::{Behaviour, Dead};

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
    /// A route that leads nowhere.
    Route(Route),
    /// A unix socket that takes no connection.
    Socket(Dead),
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
    /// What gw502 declares to be blind to where it does not know better, and what it then says.
    pub(crate) blind: Option<(&'static str, &'static str)>,
    /// What `connect()` itself returned, when that is how it failed.
    pub(crate) errno: Option<&'static str>,
    pub(crate) words: Words,
    /// Whether the clients leave before their answer.
    pub(crate) client_leaves: bool,
}

/// Words that every complaint in a proxy's log has: one for each request, or none at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) nginx: Option<&'static str>,
    pub(crate) haproxy: Option<&'static str>,
    pub(crate) apache: Option<&'static str>,
}

impl Words {
    /// What this proxy says; `None` when it does not complain.
    pub(crate) const fn of(self, kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Nginx | Kind::NginxStream => self.nginx,
            Kind::Haproxy | Kind::HaproxyTcp => self.haproxy,
            Kind::Apache => self.apache,
        }
    }
}

impl Case {
    pub(super) const fn says(mut self, words: Words) -> Self {
        self.words = words;
        self
    }

    pub(super) const fn is(mut self, verdict: &'static str) -> Self {
        self.verdict = verdict;
        self
    }

    pub(super) const fn or_blind_to(mut self, what: &'static str, verdict: &'static str) -> Self {
        self.blind = Some((what, verdict));
        self
    }

    pub(super) const fn with(mut self, errno: &'static str) -> Self {
        self.errno = Some(errno);
        self
    }

    pub(super) const fn on(mut self, paths: &'static [Path]) -> Self {
        self.paths = paths;
        self
    }

    pub(super) const fn through(mut self, proxies: &'static [Kind]) -> Self {
        self.proxies = proxies;
        self
    }

    pub(super) const fn with_clients_that_leave(mut self) -> Self {
        self.client_leaves = true;
        self
    }

    pub(super) const fn v6(mut self) -> Self {
        self.family = Family::V6;
        self
    }

    /// A proxy whose patience ends with the fault's, on the right side of it.
    pub(crate) fn settings(&self, kind: Kind, upstream: Address) -> Settings {
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
            upstream_options: "",
            script: None,
            http2: false,
            talk: Talk::Plain,
            logged: Logged::Requests,
        }
    }

    /// The same case where gw502 said at its start that it is blind to the cause.
    pub(super) fn as_declared(&self, declared: &str) -> Option<Self> {
        let (what, verdict) = self.blind?;
        let (_, blind_to) = declared.split_once("blind to ")?;
        blind_to.contains(what).then_some(Self { verdict, ..*self })
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
            Fault::Upstream(behaviour) => !matches!(
                behaviour,
                Behaviour::Refuse | Behaviour::NeverAccept | Behaviour::QueueFull
            ),
            Fault::Firewall(verdict) => matches!(verdict, Verdict::DropData),
            Fault::KernelGivesUp
            | Fault::NoNeighbour
            | Fault::PortsExhausted
            | Fault::Route(_)
            | Fault::Socket(_) => false,
        }
    }
}
