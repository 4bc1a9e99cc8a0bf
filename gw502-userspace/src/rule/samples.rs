//! Failures and facts to test with.

use super::refine;
use crate::event::{
    Cause, Endpoint, Evidence, Exit, Failure, Owner, Phase, Proxy, TcpState, Upstream,
};

/// A failure of nginx towards 10.2.0.7:8080, without evidence.
pub(super) fn failure(cause: Cause) -> Failure {
    Failure {
        at_ns: 5_000_000_000,
        cpu: 0,
        class: cause.class(),
        cause,
        errno: None,
        phase: Phase::Connect,
        upstream: Upstream::Tcp(Endpoint {
            address: [10, 2, 0, 7].into(),
            port: 8080,
        }),
        upstream_name: None,
        local: None,
        netns: 4_026_531_840,
        proxy: Proxy {
            pid: 4121,
            comm: "nginx".to_owned(),
            exe: None,
            cgroup: None,
            container: None,
        },
        proxy_started_ns: 1,
        elapsed_us: 212,
        syn_retransmits: 0,
        rtt_us: None,
        bytes_sent: 0,
        bytes_received: 0,
        evidence: Vec::new(),
        hook: "tracepoint".into(),
        lost_before: 0,
    }
}

/// A failure with this evidence, refined.
pub(super) fn refined(cause: Cause, evidence: Vec<Evidence>) -> Failure {
    let mut failure = Failure {
        evidence,
        ..failure(cause)
    };
    refine(&mut failure);
    failure
}

pub(super) fn rst_to_syn() -> Evidence {
    Evidence::RstReceived { state: TcpState(2) }
}

pub(super) fn php() -> Owner {
    Owner {
        pid: 4090,
        comm: "php-fpm8.2".to_owned(),
        unit: Some("php8.2-fpm.service".to_owned()),
        ..Owner::default()
    }
}

pub(super) fn gunicorn() -> Owner {
    Owner {
        pid: 5120,
        comm: "gunicorn".to_owned(),
        unit: Some("api.service".to_owned()),
        ..Owner::default()
    }
}

pub(super) fn killed(signal: &str, oom: bool) -> Exit {
    Exit {
        code: None,
        signal: Some(signal.to_owned()),
        oom,
    }
}

pub(super) fn listener_exited(signal: &str, oom: bool, ago_us: u64) -> Evidence {
    Evidence::ListenerExited {
        owner: php(),
        exit: killed(signal, oom),
        ago_us,
    }
}

pub(super) fn listener_closed(ago_us: u64) -> Evidence {
    Evidence::ListenerClosed {
        owner: gunicorn(),
        ago_us,
        ended: false,
    }
}

pub(super) fn listener_present(length: u32) -> Evidence {
    Evidence::ListenerPresent {
        owner: gunicorn(),
        length,
        limit: 128,
    }
}

/// A failure towards a unix socket.
pub(super) fn over_unix(cause: Cause) -> Failure {
    Failure {
        upstream: Upstream::Unix {
            path: "/run/php.sock".to_owned(),
        },
        ..failure(cause)
    }
}

pub(super) fn elsewhere() -> Evidence {
    elsewhere_on(8080)
}

pub(super) fn elsewhere_on(port: u16) -> Evidence {
    Evidence::ListenerElsewhere {
        listens: Endpoint {
            address: [127, 0, 0, 1].into(),
            port,
        },
        owner: gunicorn(),
    }
}

pub(super) fn queue_full(drops: u32) -> Evidence {
    Evidence::AcceptQueueFull {
        length: 129,
        limit: 128,
        drops,
        owner: Some(gunicorn()),
    }
}

pub(super) fn request(acknowledged: bool) -> Evidence {
    Evidence::RequestSent {
        bytes: 43,
        acknowledged,
    }
}

pub(super) fn dropped(reason: &str) -> Evidence {
    Evidence::DroppedHere {
        reason: reason.to_owned(),
    }
}

pub(super) fn never_accepted() -> Evidence {
    Evidence::NeverAccepted { owner: gunicorn() }
}

pub(super) fn upstream_exited(signal: Option<&str>, code: Option<u8>) -> Evidence {
    Evidence::UpstreamExited {
        owner: php(),
        exit: Exit {
            code,
            signal: signal.map(str::to_owned),
            oom: false,
        },
    }
}
