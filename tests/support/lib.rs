//! A bench for failures: real proxies, real sockets, faults on demand.
//!
//! A test puts a proxy and an upstream into namespaces of its own, breaks the path between them in
//! one known way, sends requests, and compares what gw502 said with what the proxy logged and what
//! the upstream counted. Nothing here knows how gw502 works.
//!
//! # Layout
//!
//! | module       | holds                                                                       |
//! |--------------|-----------------------------------------------------------------------------|
//! | [`lab`]      | where a test happens: namespaces and the path that joins them                |
//! | [`netns`]    | one network namespace: made, entered, swept away                             |
//! | [`relay`]    | the slow path: two TUN devices, packets held back on the way                 |
//! | [`firewall`] | faults made of packets: drops, rejects, ports that run out                   |
//! | [`beyond`]   | a host behind the upstream's, reached through it                             |
//! | [`route`]    | faults made of routes: `connect()` fails before anything leaves              |
//! | [`upstream`] | servers that misbehave in a chosen way and count what they did               |
//! | [`proxy`]    | nginx, `HAProxy` and Apache in the foreground, their processes, their logs   |
//! | [`app`]      | Node, gunicorn and PHP-FPM, and what they do on demand                       |
//! | [`client`]   | requests through the proxy, each on a connection of its own                  |
//! | [`dialogue`] | one connection to the proxy, step by step                                    |
//! | [`http2`]    | requests by HTTP/2, taken back                                               |
//! | [`agent`]    | gw502 itself, seen from outside: events, summary, exit code                  |
//! | [`load`]     | refused connections of this process, at a pace                               |
//! | [`expect`]   | one row of the table: what was made to happen against what was reported      |
//! | [`report`]   | the table                                                                    |
//! | [`matrix`]   | which cause was made to happen, and which one was diagnosed                  |
//! | [`address`]  | where an upstream is: address and port, or a unix socket                     |
//! | [`socket`]   | sockets the standard library does not make: not yet connected, MPTCP         |
//! | [`sockets`]  | what the kernel says about the sockets of a namespace                        |
//! | [`bpf`]      | eBPF programs, maps and links that nobody holds                              |
//! | [`process`], [`cgroup`], [`capture`], [`deadline`], [`dice`], [`scratch`], [`machine`] | the plumbing below |
//!
//! Everything a test makes is undone when its owner is dropped, and what a killed run left behind
//! is removed by the next one ([`lab::sweep`]).
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a bench that cannot be set up ends the test where it stands, with the reason"
)]

#[cfg(test)]
use {bytes as _, gw502_userspace as _, libtest_mimic as _, tokio as _}; // the live suites'

pub mod address;
pub mod agent;
pub mod app;
pub mod beyond;
pub mod bpf;
pub mod capture;
pub mod cgroup;
pub mod client;
pub mod deadline;
pub mod dialogue;
pub mod dice;
pub mod expect;
pub mod firewall;
pub mod http2;
pub mod lab;
pub mod load;
pub mod machine;
pub mod matrix;
pub mod netns;
pub mod policy;
pub mod process;
pub mod proxy;
pub mod relay;
pub mod report;
pub mod route;
pub mod scratch;
pub mod socket;
pub mod sockets;
pub mod stall;
pub mod upstream;

/// Lets a result go that nobody could act upon: on drop, and where the other side may be gone.
fn tolerate<T>(_: T) {}
