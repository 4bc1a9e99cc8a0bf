//! What stands between the proxy and its upstream: firewalls, routes, queues, ports.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gw502_tests::app::{Gunicorn, gunicorn};
use gw502_tests::beyond::Beyond;
use gw502_tests::cgroup::Cgroup;
use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::firewall::{self, Hook, Verdict};
use gw502_tests::lab::{DEVICE, Family, Path};
use gw502_tests::netns::Namespace;
use gw502_tests::policy;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::route::{self, Route};
use gw502_tests::sockets;
use gw502_tests::upstream::{Behaviour, Upstream};
use nix::errno::Errno;

use super::stage::{LATE, Outcome, Stage};
use super::{SOME, Scenario, scenario};

const DROPPED: &str = "timeout/firewall-dropped";
const PROHIBITED: &str = "unreachable/admin-prohibited";

const REFUSED: &str = "111: Connection refused";
const NO_ROUTE: &str = "113: No route to host";
const NO_NETWORK: &str = "101: Network is unreachable";
const NOT_PERMITTED: &str = "13: Permission denied";
const NO_SYN_ANSWER: &str = "110: Connection timed out) while connecting to upstream";

/// A MAC address that nobody has.
const NOBODYS_MAC: &str = "02:00:00:00:02:99";

pub(super) const ALL: &[Scenario] = &[
    across("firewall_drops_input", DROPPED, |stage| {
        firewalled(stage, Family::V4, Verdict::Drop, NO_SYN_ANSWER)
    }),
    across("firewall_drops_output", DROPPED, |stage| {
        let upstream = upstream(stage, Family::V4, Behaviour::Good);
        let at = upstream.address().tcp();
        firewall::apply_at(stage.lab.proxy(), Hook::Output, at.port(), Verdict::Drop);
        fails(stage, at, NO_SYN_ANSWER)
    }),
    across("firewall_drops_forward", DROPPED, forward).through(Kind::Haproxy),
    across("reject_tcp_reset", "refused/firewall-reset", |stage| {
        firewalled(stage, Family::V4, Verdict::TcpReset, REFUSED)
    }),
    across("reject_port", "refused/icmp-rejected", |stage| {
        firewalled(
            stage,
            Family::V4,
            Verdict::Icmp("port-unreachable"),
            REFUSED,
        )
    }),
    across("reject_prot", "refused/icmp-rejected", |stage| {
        let words = "92: Protocol not available";
        firewalled(stage, Family::V4, Verdict::Icmp("prot-unreachable"), words)
    }),
    across("reject_host", "unreachable/host-unreachable", |stage| {
        firewalled(
            stage,
            Family::V4,
            Verdict::Icmp("host-unreachable"),
            NO_ROUTE,
        )
    }),
    across("reject_net", "unreachable/no-route", |stage| {
        firewalled(
            stage,
            Family::V4,
            Verdict::Icmp("net-unreachable"),
            NO_NETWORK,
        )
    }),
    across("reject_net_prohibited", PROHIBITED, |stage| {
        firewalled(
            stage,
            Family::V4,
            Verdict::Icmp("net-prohibited"),
            NO_NETWORK,
        )
    }),
    across("reject_host_prohibited", PROHIBITED, |stage| {
        firewalled(
            stage,
            Family::V4,
            Verdict::Icmp("host-prohibited"),
            NO_ROUTE,
        )
    }),
    across("reject_admin_prohibited", PROHIBITED, |stage| {
        firewalled(
            stage,
            Family::V4,
            Verdict::Icmp("admin-prohibited"),
            NO_ROUTE,
        )
    }),
    across("reject6_port", "refused/icmp-rejected", |stage| {
        firewalled(
            stage,
            Family::V6,
            Verdict::Icmp6("port-unreachable"),
            REFUSED,
        )
    }),
    across("reject6_no_route", "unreachable/no-route", |stage| {
        firewalled(stage, Family::V6, Verdict::Icmp6("no-route"), NO_NETWORK)
    }),
    across("reject6_addr", "unreachable/host-unreachable", |stage| {
        firewalled(
            stage,
            Family::V6,
            Verdict::Icmp6("addr-unreachable"),
            NO_ROUTE,
        )
    }),
    across("reject6_admin_prohibited", PROHIBITED, |stage| {
        let kind = Verdict::Icmp6("admin-prohibited");
        firewalled(stage, Family::V6, kind, NOT_PERMITTED)
    }),
    across("host_is_down", "unreachable/neighbour-failed", |stage| {
        firewall::shorten_neighbour_probes(stage.lab.proxy());
        fails(stage, nobody(stage), NO_ROUTE)
    }),
    across("host_is_silent", "timeout/syn-unanswered", |stage| {
        let nobody = nobody(stage);
        let known = nobody.ip().to_string();
        let neighbour = ["neigh", "add", &known, "lladdr", NOBODYS_MAC];
        let for_ever = ["dev", DEVICE, "nud", "permanent"];
        stage
            .lab
            .proxy()
            .ip(&[&neighbour[..], &for_ever[..]].concat());
        fails(stage, nobody, NO_SYN_ANSWER)
    }),
    across("no_route", "unreachable/no-route", |stage| {
        let nowhere = route::lead_nowhere(stage.lab.proxy(), Family::V4, Route::Missing);
        fails(stage, nowhere, NO_NETWORK)
    }),
    across("route_prohibits", "local/not-permitted", |stage| {
        let nowhere = route::lead_nowhere(stage.lab.proxy(), Family::V4, Route::Prohibit);
        fails(stage, nowhere, NOT_PERMITTED)
    }),
    across("policy_forbids", "local/not-permitted", |stage| {
        policy(stage, Errno::EPERM, "1: Operation not permitted")
    }),
    across("policy_no_memory", "local/out-of-memory", |stage| {
        policy(stage, Errno::ENOMEM, "12: Cannot allocate memory")
    }),
    across("policy_no_files", "local/descriptor-exhaustion", |stage| {
        policy(stage, Errno::ENFILE, "23: Too many open files in system")
            .with_evidence("descriptors open")
    }),
    across("policy_odd_errno", "local/connect-failed", |stage| {
        policy(stage, Errno::EPROTO, "71: Protocol error")
    }),
    across("ports_exhausted", "local/port-exhaustion", ports_exhausted),
    across("two_hosts_with_one_address", "refused/refused", two_hosts),
    across("accept_queue_full", "timeout/accept-queue-full", queue_full),
    across(
        "full_queue_resets",
        "refused/queue-full-reset",
        queue_resets,
    )
    .over(Path::Delayed),
];

/// Between two namespaces: it matters who answers.
const fn across(
    name: &'static str,
    expected: &'static str,
    run: fn(&Stage) -> Outcome,
) -> Scenario {
    scenario(name, expected, run).over(Path::Veth)
}

#[track_caller]
fn upstream(stage: &Stage, family: Family, behaviour: Behaviour) -> Upstream {
    let address = stage.lab.upstream_address(family);
    Upstream::start(stage.lab.upstream(), address, behaviour)
}

/// An address on the link that nobody has.
fn nobody(stage: &Stage) -> SocketAddr {
    (stage.lab.nobodys_address(Family::V4), 8080).into()
}

#[track_caller]
fn firewalled(stage: &Stage, family: Family, verdict: Verdict, words: &'static str) -> Outcome {
    let upstream = upstream(stage, family, Behaviour::Good);
    let at = upstream.address().tcp();
    firewall::apply(stage.lab.upstream(), at.port(), verdict);
    fails(stage, at, words)
}

/// Every request to `upstream` fails, with these words.
#[track_caller]
fn fails(stage: &Stage, upstream: SocketAddr, words: &'static str) -> Outcome {
    let proxy = stage.proxy(upstream.into());
    stage.send(&proxy, "/", SOME);
    stage.outcome(&proxy, upstream.into(), SOME, &[words])
}

/// A policy of the proxy's cgroup lets `connect()` fail so. Nothing else here makes a kernel short of
/// memory or files at that very moment.
fn policy(stage: &Stage, errno: Errno, words: &'static str) -> Outcome {
    let upstream = upstream(stage, Family::V4, Behaviour::Good);
    let at = upstream.address();
    let cgroup = Cgroup::new();
    let proxy = stage.proxy(at.clone());
    for worker in proxy.workers() {
        cgroup.take(*worker);
    }
    policy::forbid_connects(&cgroup, errno);
    stage.send(&proxy, "/", SOME);
    let outcome = stage.outcome(&proxy, at, SOME, &[words]);
    drop(proxy);
    outcome
}

/// A router that drops, between the proxy and an app that serves.
fn forward(stage: &Stage) -> Outcome {
    let beyond = Beyond::new(&stage.lab);
    let app = Upstream::start(beyond.namespace(), beyond.address(), Behaviour::Good);
    let at = app.address().tcp();
    let reached = client::send(stage.lab.proxy(), at, Request::Get, 1, 1);
    assert_eq!(reached.status(), Some(200), "the way is there");
    let router = stage.lab.upstream();
    firewall::apply_at(router, Hook::Forward, at.port(), Verdict::Drop);
    fails(stage, at, "end=sC status=503")
}

fn ports_exhausted(stage: &Stage) -> Outcome {
    let upstream = upstream(stage, Family::V4, Behaviour::Hang);
    let at = upstream.address();
    let proxy = stage.proxy(at.clone());
    let _held = firewall::exhaust_ports(stage.lab.proxy(), at.tcp());
    // A client beside the proxy would need a port too.
    let target = proxy.target_at(stage.lab.proxy_address());
    client::send(stage.lab.upstream(), target, Request::Get, SOME, SOME);
    let words = "99: Cannot assign requested address";
    stage.outcome(&proxy, at, SOME, &[words])
}

/// Which of the two is meant cannot be known, so what listens there is not either.
fn two_hosts(stage: &Stage) -> Outcome {
    let other = Namespace::new();
    let address = stage.lab.upstream_address(Family::V4);
    other.add_address("lo", &format!("{address}/32"));
    let refuses = upstream(stage, Family::V4, Behaviour::Refuse);
    let at = refuses.address().tcp();
    let _listens = Upstream::start_at(
        &other,
        at,
        Behaviour::Good,
        gw502_tests::socket::Protocol::Tcp,
    );
    fails(stage, at, REFUSED)
}

/// One worker that is busy, and more connections than may wait.
const BUSY: Gunicorn = Gunicorn {
    workers: 1,
    backlog: 1,
    timeout: 60,
};

fn queue_full(stage: &Stage) -> Outcome {
    let app = gunicorn(&stage.lab, stage.free_address(), BUSY);
    let at = app.address();
    let proxy = stage.tuned(at.clone(), |settings| Settings {
        connect_timeout: Duration::from_millis(1500),
        ..settings
    });
    let _busy = hold(stage, at.tcp(), 1 + BUSY.backlog + 1);
    stage.send(&proxy, "/", SOME);
    stage.outcome(&proxy, at, SOME, &[NO_SYN_ANSWER])
}

/// Room for one more, and several handshakes that end at once: `tcp_abort_on_overflow`.
fn queue_resets(stage: &Stage) -> Outcome {
    let upstream = stage.lab.upstream();
    upstream.set_sysctl("net/ipv4/tcp_abort_on_overflow", "1");
    let settings = Gunicorn {
        backlog: 16,
        ..BUSY
    };
    let app = gunicorn(&stage.lab, stage.free_address(), settings);
    let at = app.address();
    let proxy = stage.tuned(at.clone(), |settings| Settings {
        read_timeout: Duration::from_secs(1),
        ..settings
    });
    let _busy = hold(stage, at.tcp(), 1 + settings.backlog);
    stage.send(&proxy, "/", 2 * SOME);
    let words = [
        "104: Connection reset by peer)",
        "110: Connection timed out) while reading response header",
    ];
    stage.outcome(&proxy, at, 2 * SOME, &words)
}

/// Keeps the only worker busy with the first of so many connections, and lets the others wait.
#[track_caller]
fn hold(stage: &Stage, at: SocketAddr, count: u32) -> Vec<TcpStream> {
    let (proxy, upstream) = (stage.lab.proxy(), stage.lab.upstream());
    let held = proxy.enter(|| {
        let one = || TcpStream::connect_timeout(&at, LATE).expect("room in the queue");
        let mut first = one();
        std::io::Write::write_all(&mut first, b"GET /hang HTTP/1.0\r\n\r\n").expect("sent");
        let taken = || sockets::unaccepted(upstream, at.port()) == 0;
        deadline::wait_until("the worker to be busy", LATE, taken);
        let others = (1..count).map(|_| one());
        std::iter::once(first).chain(others).collect::<Vec<_>>()
    });
    let waiting = usize::try_from(count).unwrap_or_default() - 1;
    deadline::wait_until("the others to wait", LATE, || {
        sockets::unaccepted(upstream, at.port()) == waiting
    });
    held
}
