//! What the kernel says about the sockets of a namespace: a witness beside the proxy and the upstream.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use crate::netns::Namespace;

/// `include/net/tcp_states.h`, as `/proc/net/tcp` has them.
const ESTABLISHED: &str = "01";
const SYN_SENT: &str = "02";
const SYN_RECV: &str = "03";
const TIME_WAIT: &str = "06";
const CLOSE: &str = "07";
const LISTEN: &str = "0A";

/// How many connections of `namespace` to `upstream`, an `IPv4` address, no side has closed yet.
#[must_use]
#[track_caller]
pub fn established_to(namespace: &Namespace, upstream: SocketAddr) -> usize {
    let there = encoded(upstream);
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some(there.as_str()) && fields.next() == Some(ESTABLISHED)
    };
    table(namespace).lines().filter(is_open).count()
}

/// How many sockets of `namespace` are connected or connecting to `upstream`, an `IPv4` address: in
/// any state in which its process still may act on it.
#[must_use]
#[track_caller]
pub fn connections_to(namespace: &Namespace, upstream: SocketAddr) -> usize {
    let there = encoded(upstream);
    let is_there = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let remote = fields.next();
        let state = fields.next().unwrap_or(CLOSE);
        remote == Some(there.as_str()) && ![SYN_RECV, TIME_WAIT, CLOSE].contains(&state)
    };
    table(namespace).lines().filter(is_there).count()
}

/// A port nobody has in `namespace` now; nobody else asks for one in a test's own namespace.
#[must_use]
#[track_caller]
pub fn free_port(namespace: &Namespace) -> u16 {
    namespace.enter(|| {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
        let address = listener.local_addr();
        address.expect("a bound socket has an address").port()
    })
}

/// Whether something listens on `port`. Looked up, not tried: a stream proxy would pass the trial
/// connection on.
#[must_use]
#[track_caller]
pub fn listens(namespace: &Namespace, port: u16) -> bool {
    let here = format!(":{port:04X}");
    table(namespace).lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_here = fields.next().is_some_and(|local| local.ends_with(&here));
        is_here && fields.nth(1) == Some(LISTEN)
    })
}

/// How many connections wait to be accepted from the listener on `port`.
#[must_use]
#[track_caller]
pub fn unaccepted(namespace: &Namespace, port: u16) -> usize {
    let here = format!(":{port:04X}");
    let of_listener = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let is_here = fields.next().is_some_and(|local| local.ends_with(&here));
        let queues = fields.nth(2)?;
        let received = queues.split(':').nth(1)?;
        let is_listener = is_here && line.split_whitespace().nth(3) == Some(LISTEN);
        is_listener.then(|| usize::from_str_radix(received, 16).unwrap_or_default())
    };
    table(namespace).lines().filter_map(of_listener).sum()
}

/// How many connects of `namespace` are under way.
#[must_use]
#[track_caller]
pub fn connecting(namespace: &Namespace) -> usize {
    let state = |line: &&str| line.split_whitespace().nth(3) == Some(SYN_SENT);
    table(namespace).lines().filter(state).count()
}

/// How many connections to `port` hold data that nobody has read.
#[must_use]
#[track_caller]
pub fn unread(namespace: &Namespace, port: u16) -> usize {
    let here = format!(":{port:04X}");
    let is_unread = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let is_here = fields.next().is_some_and(|local| local.ends_with(&here));
        let is_established = fields.nth(1) == Some(ESTABLISHED);
        let received = fields.next().and_then(|queues| queues.split(':').nth(1));
        is_here && is_established && received.is_some_and(|bytes| bytes != "00000000")
    };
    table(namespace).lines().filter(is_unread).count()
}

/// How many connects were started in `namespace` since it was made.
#[must_use]
#[track_caller]
pub fn active_opens(namespace: &Namespace) -> u64 {
    let counters = namespace
        .enter(|| fs::read_to_string("/proc/thread-self/net/snmp"))
        .expect("the kernel counts");
    let rows: Vec<Vec<_>> = counters
        .lines()
        .filter_map(|line| line.strip_prefix("Tcp: "))
        .map(|row| row.split(' ').collect())
        .collect();
    let [names, values] = &rows[..] else {
        panic!("no counters of TCP:\n{counters}");
    };
    let mut fields = names.iter().zip(values);
    fields
        .find_map(|(name, value)| (*name == "ActiveOpens").then(|| value.parse().ok())?)
        .expect("the kernel counts connects")
}

#[track_caller]
fn table(namespace: &Namespace) -> String {
    namespace
        .enter(|| fs::read_to_string("/proc/thread-self/net/tcp"))
        .expect("the kernel lists its sockets")
}

/// As `/proc/net/tcp` writes it: the address as the machine has it in memory, the port in hex.
fn encoded(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
    };
    let bytes = u32::from_ne_bytes(ip.octets());
    format!("{bytes:08X}:{:04X}", address.port())
}
