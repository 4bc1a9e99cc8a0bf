//! Classes and causes: the stable codes of `gw502.failure/1`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares an enum whose variants have a stable code each.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident ($noun:literal) { $($(#[$vdoc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of DESIGN.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.code())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.code())
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $noun.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let codes: Vec<_> = Self::ALL.iter().map(|value| value.code()).collect();
                schemars::json_schema!({ "type": "string", "enum": codes })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|value| value.code() == text).ok_or_else(|| {
                    UnknownName {
                        noun: $noun,
                        given: text.to_owned(),
                        known: Self::ALL.iter().map(|value| value.code()).collect(),
                    }
                })
            }
        }
    };
}

/// A class or cause that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {noun} is called `{given}`; known are: {}", known.join(", "))]
pub struct UnknownName {
    noun: &'static str,
    given: String,
    known: Vec<&'static str>,
}

codes! {
    /// What happened to the attempt, as TCP tells it.
    Class("class") {
        /// The attempt was turned down.
        Refused = "refused",
        /// The connection was reset before an answer.
        Reset = "reset",
        /// Somebody waited in vain.
        Timeout = "timeout",
        /// The network says there is no way to the upstream.
        Unreachable = "unreachable",
        /// The upstream closed in good order, before an answer.
        Closed = "closed",
        /// This host could not even try.
        Local = "local",
        /// The proxy cancelled it itself: no failure.
        Aborted = "aborted",
    }
}

codes! {
    /// The finer reason. The first of a class is its plain cause, used when nothing more is known.
    Cause("cause") {
        /// RST answered our SYN, nothing more known.
        Refused = "refused",
        /// The address is local, and nothing listens on the port.
        NoListener = "no-listener",
        /// Nothing listens there, but on another address, family or port of the same program.
        ListenerElsewhere = "listener-elsewhere",
        /// Nothing listens there since the process that did has ended.
        UpstreamExited = "upstream-exited",
        /// Refusals between a listener's end and its return: a diagnosis, never a single event.
        UpstreamRestarting = "upstream-restarting",
        /// An ICMP error answered the SYN, no RST: a REJECT rule or a host's policy.
        IcmpRejected = "icmp-rejected",
        /// RST although a listener is there with room in its queue: a REJECT rule with tcp-reset.
        FirewallReset = "firewall-reset",
        /// The accept queue overflowed, and the host answers that with RST.
        QueueFullReset = "queue-full-reset",
        /// The unix socket does not exist.
        SocketMissing = "socket-missing",
        /// The unix socket exists, but nobody listens on it.
        SocketStale = "socket-stale",
        /// The proxy may not connect to the unix socket.
        SocketPermission = "socket-permission",
        /// The unix socket's backlog has no room.
        SocketBacklogFull = "socket-backlog-full",
        /// SYNs got no answer until the kernel or the proxy gave up.
        SynUnanswered = "syn-unanswered",
        /// SYNs got no answer: this host's netfilter dropped them.
        FirewallDropped = "firewall-dropped",
        /// SYNs got no answer: the listener's accept queue was full.
        AcceptQueueFull = "accept-queue-full",
        /// Request sent, no byte of answer, and the proxy closed after waiting.
        ResponseTimeout = "response-timeout",
        /// No answer in time, and the program had not even called `accept()`.
        NeverAccepted = "never-accepted",
        /// The upstream stopped reading the request (zero window) until the proxy gave up.
        SendStalled = "send-stalled",
        /// Our data stayed unacknowledged, or keep-alive probes unanswered, until somebody gave up.
        PeerVanished = "peer-vanished",
        /// RST while a request was outstanding, no byte of its answer received.
        ResetBeforeResponse = "reset-before-response",
        /// RST soon after the handshake, before any request byte.
        ResetAfterAccept = "reset-after-accept",
        /// RST while part of the request was acknowledged and part was not: the body was refused.
        ResetMidRequest = "reset-mid-request",
        /// Reset or closed, and the local process at the other end ended abnormally at that moment.
        UpstreamCrashed = "upstream-crashed",
        /// FIN while a request was outstanding and no byte of answer came.
        ClosedBeforeResponse = "closed-before-response",
        /// FIN soon after the handshake, nothing exchanged.
        ClosedAfterAccept = "closed-after-accept",
        /// A reused connection: the upstream's FIN or RST met a new request.
        KeepaliveRace = "keepalive-race",
        /// ENETUNREACH: a router, or this host, has no route.
        NoRoute = "no-route",
        /// ICMP host unreachable.
        HostUnreachable = "host-unreachable",
        /// ARP or neighbour discovery got no answer on this host's own link.
        NeighbourFailed = "neighbour-failed",
        /// ICMP 9, 10 or 13 (v6: code 1, 5 or 6): somebody forbids it.
        AdminProhibited = "admin-prohibited",
        /// EADDRNOTAVAIL: no local port left towards this upstream.
        PortExhaustion = "port-exhaustion",
        /// EMFILE or ENFILE: no descriptor left.
        DescriptorExhaustion = "descriptor-exhaustion",
        /// ENOBUFS or ENOMEM.
        OutOfMemory = "out-of-memory",
        /// EPERM or EACCES from this host.
        NotPermitted = "not-permitted",
        /// `connect()` failed on this host with an errno that says no more.
        ConnectFailed = "connect-failed",
        /// The proxy cancelled because its client left.
        ClientGone = "client-gone",
        /// The proxy cancelled, why is not known.
        Cancelled = "cancelled",
    }
}

impl Cause {
    /// The class a cause belongs to. [`Self::KeepaliveRace`] and [`Self::UpstreamCrashed`] belong to
    /// two: a FIN makes them [`Class::Closed`], and [`Self::AcceptQueueFull`] meets connections of
    /// every class. Only the event knows.
    pub const fn class(self) -> Class {
        match self {
            Self::Refused
            | Self::NoListener
            | Self::ListenerElsewhere
            | Self::UpstreamExited
            | Self::UpstreamRestarting
            | Self::IcmpRejected
            | Self::FirewallReset
            | Self::QueueFullReset
            | Self::SocketMissing
            | Self::SocketStale
            | Self::SocketPermission
            | Self::SocketBacklogFull => Class::Refused,
            Self::SynUnanswered
            | Self::FirewallDropped
            | Self::AcceptQueueFull
            | Self::NeverAccepted
            | Self::ResponseTimeout
            | Self::SendStalled
            | Self::PeerVanished => Class::Timeout,
            Self::ResetBeforeResponse
            | Self::ResetAfterAccept
            | Self::ResetMidRequest
            | Self::UpstreamCrashed
            | Self::KeepaliveRace => Class::Reset,
            Self::ClosedBeforeResponse | Self::ClosedAfterAccept => Class::Closed,
            Self::NoRoute
            | Self::HostUnreachable
            | Self::NeighbourFailed
            | Self::AdminProhibited => Class::Unreachable,
            Self::PortExhaustion
            | Self::DescriptorExhaustion
            | Self::OutOfMemory
            | Self::NotPermitted
            | Self::ConnectFailed => Class::Local,
            Self::ClientGone | Self::Cancelled => Class::Aborted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_parse_back_to_what_they_name() {
        for cause in Cause::ALL {
            assert_eq!(cause.code().parse::<Cause>().as_ref(), Ok(cause));
        }
        for class in Class::ALL {
            assert_eq!(class.code().parse::<Class>().as_ref(), Ok(class));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "refusd".parse::<Class>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no class is called `refusd`; known are: \
             refused, reset, timeout, unreachable, closed, local, aborted"
        );
    }
}
