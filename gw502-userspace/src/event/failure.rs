//! A failure, ready to be shown.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cause, Class, Endpoint, Errno, Evidence, Upstream};

/// How far the attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not connected yet.
    Connect,
    /// A request is out, no answer yet.
    Request,
    /// Connected, no request out.
    Idle,
}

impl Phase {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Request => "request",
            Self::Idle => "idle",
        }
    }
}

/// The process that connected. What only the live host knows is absent until enriched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// Thread-group id in the initial pid namespace.
    pub pid: u32,
    /// Name of the thread-group leader.
    pub comm: String,
    /// Path of the executable.
    pub exe: Option<String>,
    /// Path of its cgroup (v2).
    pub cgroup: Option<String>,
    /// Container id, from the cgroup path.
    pub container: Option<String>,
}

/// Sortable id of an event: 48 bits of Unix milliseconds, then 20 bits of nanoseconds, 12 of CPU
/// and 48 that differ from host to host and boot to boot; in the ULID alphabet.
///
/// Derived from the event alone, so a replay gives the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId(u128);

impl EventId {
    /// The id of an event that `cpu` saw `unix_ns` after 1970, on the host and boot of `origin`.
    pub const fn new(unix_ns: u64, cpu: u32, origin: u64) -> Self {
        let milliseconds = (unix_ns / 1_000_000) as u128 & 0xffff_ffff_ffff;
        let nanoseconds = (unix_ns % 1_000_000) as u128;
        let cpu = (cpu & 0xfff) as u128;
        let origin = (origin & 0xffff_ffff_ffff) as u128;
        Self(milliseconds << 80 | nanoseconds << 60 | cpu << 48 | origin)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Crockford's base 32.
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        for place in (0..26).rev() {
            let digit = (self.0 >> (place * 5)) & 31;
            let letter = ALPHABET
                .get(usize::try_from(digit).unwrap_or(0))
                .copied()
                .unwrap_or(b'0');
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

/// A failure of an attempt or connection, or the proxy's own cancelling of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub at_ns: u64,
    /// CPU that saw it.
    pub cpu: u32,
    /// What happened, as TCP tells it.
    pub class: Class,
    /// Why.
    pub cause: Cause,
    /// The errno the kernel gave for it, where it gave one.
    pub errno: Option<Errno>,
    /// How far the attempt had come.
    pub phase: Phase,
    /// Where the proxy connected to.
    pub upstream: Upstream,
    /// Its name in the proxy's configuration; absent until enriched, and where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_name: Option<String>,
    /// The proxy's side; absent when it never got a port.
    pub local: Option<Endpoint>,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Who connected.
    pub proxy: Proxy,
    /// Nanoseconds of `CLOCK_BOOTTIME` when `proxy` started: with its pid it names one process.
    pub proxy_started_ns: u64,
    /// Microseconds since the connect started; since the request left when `phase` is request.
    pub elapsed_us: u64,
    /// SYNs sent again.
    pub syn_retransmits: u32,
    /// Smoothed round-trip time, microseconds; absent when never measured.
    pub rtt_us: Option<u32>,
    /// Payload bytes sent, each counted once.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// What led to the cause, most telling first.
    pub evidence: Vec<Evidence>,
    /// Backend that saw it.
    pub hook: Cow<'static, str>,
    /// Records lost between the one before and this one, all upstreams together.
    pub lost_before: u64,
}

impl Failure {
    /// Whether a proxy failed here. What it cancelled itself is none.
    pub fn is_failure(&self) -> bool {
        self.class != Class::Aborted
    }

    /// The status that the proxy's family answers when it has no other upstream to try.
    pub fn expected_status(&self) -> Option<u16> {
        expected_status(&self.proxy.comm, self.phase, self.class, self.errno)
    }
}

/// What each family answers, as run: nginx 1.22 and 1.26, HAProxy 2.6 and 3.0, Apache 2.4.71,
/// Caddy 2.6, Envoy 1.40. Absent where a family was seen to answer differently from case to case.
///
/// A time-out with an errno is the kernel's: nginx takes it for any other connection error.
fn expected_status(comm: &str, phase: Phase, class: Class, errno: Option<Errno>) -> Option<u16> {
    let connecting = phase == Phase::Connect;
    Some(match (comm, class) {
        (_, Class::Aborted) => return None,
        ("nginx", Class::Timeout) if errno.is_none() => 504,
        ("nginx", _) => 502,
        ("haproxy", _) if connecting => 503,
        ("haproxy", Class::Timeout) => 504,
        ("haproxy", _) if phase == Phase::Request => 502,
        ("apache2" | "httpd", _) => {
            if connecting {
                503
            } else {
                502
            }
        }
        ("caddy", Class::Timeout) if !connecting => 504,
        ("caddy", _) => 502,
        ("envoy", Class::Timeout) if connecting => return None,
        ("envoy", Class::Timeout) => 504,
        ("envoy", _) => 503,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ_by_host() {
        let early = EventId::new(1_700_000_000_000_000_000, 1, 7).to_string();
        let late = EventId::new(1_700_000_000_000_000_001, 0, 7).to_string();
        let elsewhere = EventId::new(1_700_000_000_000_000_000, 1, 8).to_string();
        assert!(early < late);
        assert_ne!(early, elsewhere);
        assert_eq!(early.len(), 26);
    }

    #[test]
    fn a_refused_connect_is_502_in_nginx_and_503_in_haproxy() {
        assert_eq!(
            expected_status("nginx", Phase::Connect, Class::Refused, None),
            Some(502)
        );
        assert_eq!(
            expected_status("haproxy", Phase::Connect, Class::Refused, None),
            Some(503)
        );
        assert_eq!(
            expected_status("mystery", Phase::Connect, Class::Refused, None),
            None
        );
    }
}
