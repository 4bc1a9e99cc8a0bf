//! The page of `gw502 agent`, read as Prometheus reads it.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// More than a page may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Where a page is, or will be.
#[derive(Debug, Clone, Copy)]
pub struct Page(pub SocketAddr);

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Page {
    /// At an address of this host that nobody listens on.
    ///
    /// # Panics
    ///
    /// When there is no such port.
    #[must_use]
    pub fn free() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Self(listener.local_addr().expect("its address"))
    }

    /// `GET`: the status and the body, once somebody answers.
    #[must_use]
    pub fn get(self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.0).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: gw502\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// `/metrics`; empty when nobody answers.
    #[must_use]
    pub fn metrics(self) -> String {
        self.get("/metrics").unwrap_or_default().1
    }

    /// The sum of the samples of a family that have all of these labels.
    #[must_use]
    pub fn sum(self, family: &str, labels: &[&str]) -> u64 {
        sum(&self.metrics(), family, labels)
    }
}

/// The same, of a page that was read. Numbers that are not whole are left out.
#[must_use]
pub fn sum(metrics: &str, family: &str, labels: &[&str]) -> u64 {
    let samples = metrics.lines().filter(|line| {
        let named = line.strip_prefix(family);
        let named = named.is_some_and(|rest| rest.starts_with(['{', ' ']));
        named && labels.iter().all(|label| line.contains(label))
    });
    let values = samples.filter_map(|line| {
        let (_, value) = line.rsplit_once(' ')?;
        value
            .strip_suffix(".0")
            .unwrap_or(value)
            .parse::<u64>()
            .ok()
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn samples_are_summed_by_family_and_label() {
        let page =
            "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"2\"} 4\nab_total 9\nc 2.0\n";
        assert_eq!(sum(page, "a_total", &[]), 7);
        assert_eq!(sum(page, "a_total", &["x=\"1\""]), 3);
        assert_eq!(sum(page, "ab_total", &[]), 9);
        assert_eq!(sum(page, "c", &[]), 2);
    }
}
