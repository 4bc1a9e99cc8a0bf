//! Faults made of packets: nftables rules and kernel settings inside a namespace.

use std::fmt;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::DEVICE;
use crate::netns::Namespace;

/// What a firewall in front of the upstream does with the proxy's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No answer at all.
    Drop,
    /// The handshake passes, everything that carries data is dropped: the path died.
    DropData,
    /// A TCP RST, as if nothing listened.
    TcpReset,
    /// An `ICMPv4` error of this kind, in nftables' words.
    Icmp(&'static str),
    /// An `ICMPv6` error of this kind, in nftables' words.
    Icmp6(&'static str),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => write!(formatter, "drop"),
            // Linux sets PSH on the last packet of every write, and on nothing without data.
            Self::DropData => write!(formatter, "tcp flags & psh == psh drop"),
            Self::TcpReset => write!(formatter, "reject with tcp reset"),
            Self::Icmp(kind) => write!(formatter, "reject with icmp {kind}"),
            Self::Icmp6(kind) => write!(formatter, "reject with icmpv6 {kind}"),
        }
    }
}

/// Where in a host's way of packets a firewall looks at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// What comes in for the host itself.
    Input,
    /// What the host itself sends.
    Output,
    /// What it passes on.
    Forward,
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Forward => "forward",
        })
    }
}

/// Applies `verdict` to every TCP packet that enters `namespace` for `port`.
#[track_caller]
pub fn apply(namespace: &Namespace, port: u16, verdict: Verdict) {
    apply_at(namespace, Hook::Input, port, verdict);
}

/// Applies `verdict` to every TCP packet for `port` that passes `hook` of `namespace`.
#[track_caller]
pub fn apply_at(namespace: &Namespace, hook: Hook, port: u16, verdict: Verdict) {
    let ruleset = format!(
        "table inet faults {{\n chain faults {{\n  type filter hook {hook} priority 0; policy accept;\n  \
         tcp dport {port} {verdict}\n }}\n}}\n"
    );
    let mut nft = namespace.enter(|| {
        Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nft starts (`cargo xtask test` installs nftables)")
    });
    let mut stdin = nft.stdin.take().expect("stdin is piped");
    stdin
        .write_all(ruleset.as_bytes())
        .expect("nft reads its rules");
    drop(stdin);
    let status = nft.wait().expect("nft can be waited for");
    assert!(status.success(), "nft refused, {status}:\n{ruleset}");
}

/// Gives up on a SYN after one retry instead of six.
#[track_caller]
pub fn shorten_syn_timeout(namespace: &Namespace) {
    namespace.set_sysctl("net/ipv4/tcp_syn_retries", "1");
}

/// Gives up on a neighbour after 1.5 s instead of 3 s: later than the first SYN retransmit (1 s),
/// which is what tells a SYN that never left from one that a router refused.
#[track_caller]
pub fn shorten_neighbour_probes(namespace: &Namespace) {
    for family in ["ipv4", "ipv6"] {
        let key = format!("net/{family}/neigh/{DEVICE}/retrans_time_ms");
        namespace.set_sysctl(&key, "500");
    }
}

/// Leaves `namespace` two local ports and uses both towards `upstream`, for as long as the returned
/// connections live.
#[must_use]
#[track_caller]
pub fn exhaust_ports(namespace: &Namespace, upstream: SocketAddr) -> Vec<TcpStream> {
    namespace.set_sysctl("net/ipv4/ip_local_port_range", "41000 41001");
    namespace.enter(|| {
        (0..2)
            .map(|_| {
                TcpStream::connect_timeout(&upstream, Duration::from_secs(5))
                    .expect("the last free ports still connect")
            })
            .collect()
    })
}
