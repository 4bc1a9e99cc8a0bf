//! Failures and runs made up for tests.

use std::borrow::Cow;

use crate::aggregate::{Counted, Portion, Totals, UpstreamId};
use crate::diagnose::patterns::{Case, Finding};
use crate::diagnose::{Engine, Place, Report};
use crate::event::{
    Cause, Class, Endpoint, Errno, Evidence, Exit, Failure, Owner, Party, Phase, Proxy, TcpState,
    Upstream,
};

pub(in crate::diagnose) const SECOND: u64 = 1_000_000_000;
pub(in crate::diagnose) const NETNS: u32 = 4_026_531_840;

/// Seconds as a time of day, so that expectations can be read.
pub(in crate::diagnose) fn time(at_ns: u64) -> String {
    let seconds = at_ns / SECOND;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

pub(crate) const PLACE: Place<'static> = Place {
    time: &time,
    host_netns: Some(NETNS),
};

pub(in crate::diagnose) fn upstream(port: u16) -> Upstream {
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    Upstream::Tcp(Endpoint { address, port })
}

pub(crate) fn id(port: u16) -> UpstreamId {
    UpstreamId {
        upstream: upstream(port),
        netns: NETNS,
    }
}

/// nginx was refused by 127.0.0.1.
pub(crate) fn refused(port: u16, at_ns: u64) -> Failure {
    Failure {
        at_ns,
        cpu: 0,
        class: Class::Refused,
        cause: Cause::Refused,
        errno: Some(Errno(111)),
        phase: Phase::Connect,
        upstream: upstream(port),
        upstream_name: None,
        local: None,
        netns: NETNS,
        proxy: Proxy {
            pid: 4121,
            comm: "nginx".to_owned(),
            exe: None,
            cgroup: None,
            container: None,
        },
        proxy_started_ns: 0,
        elapsed_us: 212,
        syn_retransmits: 0,
        rtt_us: None,
        bytes_sent: 0,
        bytes_received: 0,
        evidence: vec![Evidence::RstReceived { state: TcpState(2) }],
        hook: Cow::Borrowed("tracepoint"),
        lost_before: 0,
    }
}

/// A failure of a cause, with evidence.
pub(in crate::diagnose) fn of_cause(cause: Cause, evidence: Vec<Evidence>) -> Failure {
    Failure {
        class: cause.class(),
        cause,
        evidence,
        ..refused(9000, 0)
    }
}

pub(in crate::diagnose) fn owner(comm: &str, pid: u32) -> Owner {
    Owner {
        pid,
        comm: comm.to_owned(),
        ..Owner::default()
    }
}

pub(in crate::diagnose) fn no_listener() -> Failure {
    let rst = Evidence::RstReceived { state: TcpState(2) };
    of_cause(Cause::NoListener, vec![Evidence::NoListener, rst])
}

/// `app` with this pid listened there, and a signal ended it.
pub(in crate::diagnose) fn exited(pid: u32, signal: &str, ago_ms: u64) -> Failure {
    let end = Evidence::ListenerExited {
        owner: owner("app", pid),
        exit: Exit {
            signal: Some(signal.to_owned()),
            ..Exit::default()
        },
        ago_us: ago_ms * 1000,
    };
    of_cause(Cause::UpstreamExited, vec![end, Evidence::NoListener])
}

/// `app` with this pid listened there, and stopped.
pub(in crate::diagnose) fn closed_by(pid: u32, ago_ms: u64) -> Failure {
    let end = Evidence::ListenerClosed {
        owner: owner("app", pid),
        ago_us: ago_ms * 1000,
        ended: false,
    };
    of_cause(Cause::NoListener, vec![end, Evidence::NoListener])
}

/// A proxy that waited so long, and gave up.
pub(in crate::diagnose) fn gave_up(comm: &str, phase: Phase, waited_ms: u64) -> Failure {
    let cause = match phase {
        Phase::Connect => Cause::SynUnanswered,
        Phase::Request | Phase::Idle => Cause::ResponseTimeout,
    };
    let mut failure = of_cause(cause, vec![Evidence::GaveUp { by: Party::Proxy }]);
    comm.clone_into(&mut failure.proxy.comm);
    Failure {
        phase,
        errno: None,
        elapsed_us: waited_ms * 1000,
        ..failure
    }
}

pub(in crate::diagnose) fn kernel_gave_up(waited_ms: u64) -> Failure {
    let failure = gave_up("nginx", Phase::Connect, waited_ms);
    let evidence = vec![Evidence::GaveUp { by: Party::Kernel }];
    Failure {
        evidence,
        ..failure
    }
}

/// A request that met the upstream's close.
pub(in crate::diagnose) fn race(comm: &str, idle_ms: u64, upstream: &str) -> Failure {
    let evidence = vec![
        Evidence::IdleBefore {
            idle_us: idle_ms * 1000,
        },
        Evidence::UpstreamProcess {
            owner: owner(upstream, 77),
        },
    ];
    let mut failure = of_cause(Cause::KeepaliveRace, evidence);
    comm.clone_into(&mut failure.proxy.comm);
    Failure {
        phase: Phase::Request,
        bytes_received: 500,
        ..failure
    }
}

/// What a file may claim to have left out.
pub(in crate::diagnose) fn claimed(cause: Cause) -> Portion {
    Portion {
        id: Some(id(9000)),
        kinds: vec![(cause.class(), cause, u64::MAX)],
        since_ns: None,
    }
}

/// A run, second by second, mostly of 127.0.0.1:9000.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) engine: Engine,
    pub(in crate::diagnose) now_ns: u64,
    counted: Counted,
}

impl Script {
    pub(in crate::diagnose) fn new() -> Self {
        let mut script = Self {
            now_ns: SECOND,
            ..Self::default()
        };
        script.count(id(9000), 0, 0, 0);
        script.engine.counted(&script.counted, SECOND);
        script
    }

    fn count(&mut self, id: UpstreamId, attempts: u64, established: u64, ended: u64) {
        let more = Totals {
            attempts,
            established,
            ended,
        };
        self.counted.add(id, more);
    }

    /// So many connections that succeed.
    pub(in crate::diagnose) fn good(&mut self, connections: u64) -> &mut Self {
        self.good_at(9000, connections)
    }

    pub(in crate::diagnose) fn good_at(&mut self, port: u16, connections: u64) -> &mut Self {
        self.count(id(port), connections, connections, 0);
        self
    }

    /// One that fails, now.
    pub(in crate::diagnose) fn fail(&mut self, failure: Failure) -> &mut Self {
        let failure = Failure {
            at_ns: self.now_ns,
            ..failure
        };
        let attempts = u64::from(failure.bytes_received == 0);
        let established = u64::from(attempts == 1 && failure.phase != Phase::Connect);
        self.count(UpstreamId::of(&failure), attempts, established, 1);
        self.engine.event(&failure, true);
        self
    }

    /// One whose record was lost.
    pub(in crate::diagnose) fn lose(&mut self) -> &mut Self {
        self.count(id(9000), 1, 0, 1);
        *self
            .counted
            .losses
            .entry("ring_full".to_owned())
            .or_default() += 1;
        self
    }

    pub(in crate::diagnose) fn wait_ms(&mut self, ms: u64) -> &mut Self {
        self.now_ns += ms * 1_000_000;
        self
    }

    /// A second passes, and the counters are read.
    pub(in crate::diagnose) fn second(&mut self) -> &mut Self {
        self.pass(1)
    }

    pub(in crate::diagnose) fn pass(&mut self, seconds: u64) -> &mut Self {
        self.now_ns += seconds * SECOND;
        self.engine.counted(&self.counted, self.now_ns);
        self
    }

    /// What a pattern finds.
    pub(in crate::diagnose) fn found(
        &self,
        find: fn(&Case<'_>) -> Option<Finding>,
    ) -> Option<Finding> {
        let rows = self.engine.tally.summarise(&self.counted.upstreams);
        let row = rows.iter().find(|row| row.id == Some(id(9000)))?;
        let track = self.engine.tracks.get(&id(9000))?;
        find(&Case::new(track, row, self.now_ns, PLACE)?)
    }

    pub(in crate::diagnose) fn report(&self) -> Report {
        self.engine.report(PLACE, &|_, _| true)
    }
}
