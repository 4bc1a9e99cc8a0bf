//! The faults, what each should be called, and what the proxies say about it.

use gw502_tests::firewall::Verdict;
use gw502_tests::lab::{Family, Path};
use gw502_tests::proxy::Kind;
use gw502_tests::route::Route;
use gw502_tests::upstream::{Behaviour, Dead};

use super::case::{Case, Fault, Words};

const EVERYWHERE: &[Path] = &[Path::Loopback, Path::Veth, Path::Delayed];
const ACROSS: &[Path] = &[Path::Veth, Path::Delayed];
const VETH: &[Path] = &[Path::Veth];
const LOOPBACK: &[Path] = &[Path::Loopback];
const DELAYED: &[Path] = &[Path::Delayed];

const HTTP: &[Kind] = &[Kind::Nginx, Kind::Haproxy];
const EVERY: &[Kind] = &[Kind::Nginx, Kind::Haproxy, Kind::Apache];
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
const NETWORK_UNREACHABLE: Words = at_once(
    "failed (101: Network is unreachable)",
    "(101)Network is unreachable: AH00957",
);
const HOST_UNREACHABLE: Words = at_once(
    "failed (113: No route to host)",
    "(113)No route to host: AH00957",
);
const NOT_PERMITTED: Words = at_once(
    "failed (13: Permission denied)",
    "(13)Permission denied: AH0",
);
const BLACKHOLE: Words = at_once(
    "failed (22: Invalid argument)",
    "(22)Invalid argument: AH00957",
);
const NOTHING: Words = Words {
    nginx: None,
    haproxy: None,
    apache: None,
};

/// Every case of the suite.
pub(crate) const ALL: &[Case] = &[
    upstream("no_listener", Behaviour::Refuse)
        .says(REFUSED)
        .is("refused/no-listener")
        .on(EVERYWHERE),
    upstream("no_listener_v6", Behaviour::Refuse)
        .v6()
        .says(REFUSED)
        .is("refused/no-listener")
        .on(EVERYWHERE),
    firewall("reject_tcp_reset", Verdict::TcpReset)
        .says(REFUSED)
        .is("refused/firewall-reset")
        .or_blind_to("netfilter drops", "refused/refused"),
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
    firewall("icmp6_no_route", Verdict::Icmp6("no-route"))
        .v6()
        .says(connect("101: Network is unreachable"))
        .is("unreachable/no-route"),
    firewall("icmp6_addr_unreachable", Verdict::Icmp6("addr-unreachable"))
        .v6()
        .says(NO_ROUTE)
        .is("unreachable/host-unreachable"),
    firewall("syn_dropped", Verdict::Drop)
        .says(SYN_UNANSWERED)
        .is("timeout/firewall-dropped")
        .or_blind_to("netfilter drops", "timeout/syn-unanswered")
        .on(EVERYWHERE),
    firewall("syn_dropped_v6", Verdict::Drop)
        .v6()
        .says(SYN_UNANSWERED)
        .is("timeout/firewall-dropped")
        .or_blind_to("netfilter drops", "timeout/syn-unanswered"),
    case("syn_timeout_by_the_kernel", Fault::KernelGivesUp)
        .says(connect("110: Connection timed out"))
        .is("timeout/firewall-dropped")
        .or_blind_to("netfilter drops", "timeout/syn-unanswered")
        .on(VETH),
    case("no_neighbour", Fault::NoNeighbour)
        .says(NO_ROUTE)
        .is("unreachable/neighbour-failed")
        .or_blind_to("failed neighbours", "unreachable/host-unreachable")
        .on(VETH),
    case("no_neighbour_v6", Fault::NoNeighbour)
        .v6()
        .says(NO_ROUTE)
        .is("unreachable/neighbour-failed")
        .or_blind_to("failed neighbours", "unreachable/host-unreachable")
        .on(VETH),
    case("ports_exhausted", Fault::PortsExhausted)
        .says(connect("99: Cannot assign requested address"))
        .is("local/port-exhaustion")
        .on(VETH),
    upstream("reset_after_request", Behaviour::ResetAfterRequest)
        .says(RESET)
        .is("reset/reset-before-response")
        .on(EVERYWHERE),
    upstream("reset_after_request_v6", Behaviour::ResetAfterRequest)
        .v6()
        .says(RESET)
        .is("reset/reset-before-response"),
    upstream("close_with_unread_request", Behaviour::CloseUnread)
        .says(RESET)
        .is("reset/reset-before-response")
        .on(EVERYWHERE),
    upstream("close_after_request", Behaviour::CloseAfterRequest)
        .says(words("upstream prematurely closed connection", "end=SH"))
        .is("closed/closed-before-response")
        .on(EVERYWHERE),
    upstream("close_after_request_v6", Behaviour::CloseAfterRequest)
        .v6()
        .says(words("upstream prematurely closed connection", "end=SH"))
        .is("closed/closed-before-response"),
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
    upstream("hang_v6", Behaviour::Hang)
        .v6()
        .says(NO_ANSWER)
        .is("timeout/response-timeout"),
    upstream("never_accepted", Behaviour::NeverAccept)
        .says(NO_ANSWER)
        .is("timeout/never-accepted")
        .on(DELAYED),
    upstream("accept_queue_full", Behaviour::QueueFull)
        .says(SYN_UNANSWERED)
        .is("timeout/accept-queue-full")
        .on(VETH),
    upstream("accept_queue_full_v6", Behaviour::QueueFull)
        .v6()
        .says(SYN_UNANSWERED)
        .is("timeout/accept-queue-full")
        .on(VETH),
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
    firewall("path_dies_v6", Verdict::DropData)
        .v6()
        .says(NO_ANSWER)
        .is("timeout/peer-vanished"),
    route("no_route", Route::Missing)
        .says(NETWORK_UNREACHABLE)
        .with("ENETUNREACH")
        .is("unreachable/no-route"),
    route("no_route_v6", Route::Missing)
        .v6()
        .says(NETWORK_UNREACHABLE)
        .with("ENETUNREACH")
        .is("unreachable/no-route"),
    route("route_thrown", Route::Throw)
        .says(NETWORK_UNREACHABLE)
        .with("ENETUNREACH")
        .is("unreachable/no-route"),
    route("route_unreachable", Route::Unreachable)
        .says(HOST_UNREACHABLE)
        .with("EHOSTUNREACH")
        .is("unreachable/host-unreachable"),
    route("route_unreachable_v6", Route::Unreachable)
        .v6()
        .says(HOST_UNREACHABLE)
        .with("EHOSTUNREACH")
        .is("unreachable/host-unreachable"),
    route("route_prohibited", Route::Prohibit)
        .says(NOT_PERMITTED)
        .with("EACCES")
        .is("local/not-permitted"),
    route("route_prohibited_v6", Route::Prohibit)
        .v6()
        .says(NOT_PERMITTED)
        .with("EACCES")
        .is("local/not-permitted"),
    route("route_blackhole", Route::Blackhole)
        .says(BLACKHOLE)
        .with("EINVAL")
        .is("unreachable/no-route"),
    route("route_blackhole_v6", Route::Blackhole)
        .v6()
        .says(BLACKHOLE)
        .with("EINVAL")
        .is("unreachable/no-route"),
    socket("unix_missing", Dead::Missing)
        .through(EVERY)
        .says(at_once(
            "failed (2: No such file or directory)",
            "(2)No such file or directory: AH02454",
        ))
        .with("ENOENT")
        .is("refused/socket-missing"),
    socket("unix_stale", Dead::Stale)
        .through(EVERY)
        .says(at_once(
            "failed (111: Connection refused)",
            "(111)Connection refused: AH02454",
        ))
        .with("ECONNREFUSED")
        .is("refused/socket-stale"),
    socket("unix_permission", Dead::Forbidden)
        .through(EVERY)
        .says(NOT_PERMITTED)
        .with("EACCES")
        .is("refused/socket-permission"),
    // Apache waits: see `sockets::apache_hangs`.
    socket("unix_backlog_full", Dead::BacklogFull)
        .says(at_once("failed (11: Resource temporarily unavailable)", ""))
        .with("EAGAIN")
        .is("refused/socket-backlog-full"),
    // nginx and Apache know no such names.
    socket("unix_abstract_missing", Dead::Nameless)
        .through(&[Kind::Haproxy])
        .says(at_once("", ""))
        .with("ECONNREFUSED")
        .is("refused/socket-stale"),
];

/// Cases for busy processors.
pub(crate) const BUSY: &[Case] = &[
    upstream("busy_no_listener", Behaviour::Refuse)
        .says(REFUSED)
        .is("refused/no-listener"),
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
        blind: None,
        errno: None,
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

const fn route(name: &'static str, route: Route) -> Case {
    case(name, Fault::Route(route)).on(VETH)
}

const fn socket(name: &'static str, dead: Dead) -> Case {
    case(name, Fault::Socket(dead)).on(LOOPBACK)
}

const fn words(nginx: &'static str, haproxy: &'static str) -> Words {
    Words {
        nginx: Some(nginx),
        haproxy: Some(haproxy),
        apache: None,
    }
}

/// A connect that failed with an error. `HAProxy` sees it (SC), or on one host misses an ICMP error
/// that came within `connect()` and gives up (sC).
const fn connect(nginx: &'static str) -> Words {
    words(nginx, "C status=503")
}

/// A connect that failed at once.
const fn at_once(nginx: &'static str, apache: &'static str) -> Words {
    Words {
        nginx: Some(nginx),
        haproxy: Some("SC status=503"),
        apache: Some(apache),
    }
}
