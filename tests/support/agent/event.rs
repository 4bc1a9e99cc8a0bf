//! gw502's JSON, read by name.

use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;

use super::parse;
use crate::address::Address;

/// One object of schema `gw502.failure/1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event(Value);

impl Event {
    /// The event on a line, if it is one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        parse(line, "gw502.failure/1").map(Self)
    }

    /// The whole object.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// Class and cause, as `class/cause`.
    #[must_use]
    pub fn verdict(&self) -> String {
        let word = |key| self.0.get(key).and_then(Value::as_str).unwrap_or("?");
        format!("{}/{}", word("class"), word("cause"))
    }

    /// Where the upstream is.
    #[must_use]
    pub fn upstream(&self) -> Option<Address> {
        Address::from_json(self.0.get("upstream")?)
    }

    /// The proxy's end of the connection.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        match Address::from_json(self.0.get("local")?)? {
            Address::Tcp(address) => Some(address),
            Address::Unix(_) | Address::Abstract(_) => None,
        }
    }

    /// The first piece of evidence of this kind.
    #[must_use]
    pub fn evidence(&self, what: &str) -> Option<&Value> {
        let evidence = self.0.get("evidence")?.as_array()?;
        evidence
            .iter()
            .find(|piece| piece.get("what").and_then(Value::as_str) == Some(what))
    }

    /// The inode of the network namespace it happened in.
    #[must_use]
    pub fn netns(&self) -> Option<u64> {
        self.0.get("netns")?.as_u64()
    }

    /// The string at a JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str()
    }

    /// The number at a JSON pointer.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer)?.as_u64()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The object of schema `gw502.summary/1` that ends a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary(Value);

impl Summary {
    /// The summary on a line, if it is one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        parse(line, "gw502.summary/1").map(Self)
    }

    /// How many attempts were counted to `upstream` from the namespace `netns`; none when the
    /// summary does not name it.
    #[must_use]
    pub fn attempts(&self, netns: u64, upstream: &Address) -> Option<u64> {
        self.entry(netns, upstream)?.get("attempts")?.as_u64()
    }

    /// How many of them were established.
    #[must_use]
    pub fn established(&self, netns: u64, upstream: &Address) -> Option<u64> {
        self.entry(netns, upstream)?.get("established")?.as_u64()
    }

    /// How many of them failed.
    #[must_use]
    pub fn failed(&self, netns: u64, upstream: &Address) -> Option<u64> {
        self.entry(netns, upstream)?.get("failed")?.as_u64()
    }

    /// The upstreams it names that were tried from the namespace `netns`.
    #[must_use]
    pub fn upstreams(&self, netns: u64) -> Vec<Address> {
        let entries = self.0.get("upstreams").and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter(|entry| entry.get("netns").and_then(Value::as_u64) == Some(netns))
            .filter_map(|entry| Address::from_json(entry.get("upstream")?))
            .collect()
    }

    /// The records lost, by reason.
    #[must_use]
    pub fn lost(&self) -> Option<&Value> {
        self.0.get("lost")
    }

    /// The attempts the filters left out, by filter.
    #[must_use]
    pub fn skipped(&self) -> Option<&Value> {
        self.0.get("skipped")
    }

    fn entry(&self, netns: u64, upstream: &Address) -> Option<&Value> {
        let entries = self.0.get("upstreams")?.as_array()?;
        entries.iter().find(|entry| {
            entry.get("netns").and_then(Value::as_u64) == Some(netns)
                && entry.get("upstream").and_then(Address::from_json).as_ref() == Some(upstream)
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{Event, Summary};

    #[test]
    fn an_event_is_read_by_name() {
        let line = r#"{"schema":"gw502.failure/1","class":"refused","cause":"refused",
            "upstream":{"address":"fd50::2","port":80},"netns":7,"proxy":{"pid":3,"comm":"nginx"}}"#;
        let event = Event::parse(line).expect("an event");
        assert_eq!(event.verdict(), "refused/refused");
        let upstream: SocketAddr = "[fd50::2]:80".parse().expect("an address");
        assert_eq!(event.upstream(), Some(upstream.into()));
        assert_eq!(
            (event.netns(), event.number("/proxy/pid")),
            (Some(7), Some(3))
        );
        assert_eq!(event.text("/proxy/comm"), Some("nginx"));
    }

    #[test]
    fn other_lines_are_no_events() {
        assert_eq!(Event::parse("ready: watching"), None);
        assert_eq!(Event::parse(r#"{"schema":"gw502.summary/1"}"#), None);
    }

    #[test]
    fn a_summary_counts_by_upstream_and_namespace() {
        let line = r#"{"schema":"gw502.summary/1","upstreams":[
            {"upstream":{"address":"10.50.2.2","port":80},"netns":7,"attempts":12,"established":3}]}"#;
        let summary = Summary::parse(line).expect("a summary");
        let upstream: SocketAddr = "10.50.2.2:80".parse().expect("an address");
        let upstream = upstream.into();
        assert_eq!(summary.attempts(7, &upstream), Some(12));
        assert_eq!(summary.established(7, &upstream), Some(3));
        assert_eq!(summary.attempts(8, &upstream), None);
    }
}
