//! Evidence of upstreams on this host: who listens there, who did, what became of the connection.
//!
//! Looked up right after the failure, for failures alone. What cannot be known for sure is left out:
//! the plain cause then stands.

mod descriptors;
mod places;
mod same;
mod socket_file;
mod times;

use gw502_common::wire::{Departure, Flow, UpstreamKey};

use self::descriptors::Counted;
use self::places::{Place, Places};
use self::same::{
    is_of_connection, is_same_app, is_unaccepted, may_be_of_another_namespace, start_ns,
};
use self::times::Times;
use super::owners::{Owners, exit};
use crate::clock;
use crate::event::{Cause, Endpoint, Evidence, Failure, Upstream};
use crate::intake::servers::Servers;
use crate::kernel::netns::NetNs;
use crate::kernel::root::KernelRoot;
use crate::kernel::sock_diag::Listening;

/// What is known of this host.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct HostBook {
    root: KernelRoot,
    servers: Servers,
    places: Places,
    owners: Owners,
    descriptors: Counted,
    /// The network namespace of the host's first process.
    host_netns: Option<u32>,
}

impl HostBook {
    /// A book over the procfs of `root` and what the kernel side remembers.
    pub fn new(root: KernelRoot, servers: Servers) -> Self {
        Self {
            servers,
            places: Places::new(root.clone()),
            owners: Owners::new(root.clone()),
            descriptors: Counted::default(),
            host_netns: NetNs::of(&root, 1).map(|netns| netns.inode),
            root,
        }
    }

    /// Adds what this host knows of the upstream.
    pub fn enrich(&mut self, failure: &mut Failure) {
        let evidence = match &failure.upstream {
            Upstream::Tcp(upstream) if failure.is_failure() => self.tcp(failure, *upstream),
            Upstream::Unix { path } if failure.is_failure() => self.unix(failure, path),
            _ => Vec::new(),
        };
        failure.evidence.extend(evidence);
        if failure.is_failure() {
            let descriptors = self.descriptors.evidence(&self.root, failure);
            failure.evidence.extend(descriptors);
        }
        self.name_overflowed(failure);
    }

    /// Who listens where a connection was seen to find a full accept queue.
    fn name_overflowed(&mut self, failure: &mut Failure) {
        let (Cause::AcceptQueueFull | Cause::QueueFullReset, Upstream::Tcp(upstream)) =
            (failure.cause, &failure.upstream)
        else {
            return;
        };
        let upstream = *upstream;
        let listens = self.places.of(failure, upstream).and_then(|place| {
            let listening = place.taker(upstream)?;
            self.owners.of_socket(listening.inode, place.looked_ns)
        });
        for fact in &mut failure.evidence {
            if let Evidence::AcceptQueueFull { owner, .. } = fact {
                owner.clone_from(&listens);
            }
        }
    }

    fn tcp(&mut self, failure: &Failure, upstream: Endpoint) -> Vec<Evidence> {
        match failure.cause {
            Cause::Refused => self.refused(failure, upstream),
            Cause::SynUnanswered => self.unanswered(failure, upstream),
            Cause::ResponseTimeout => self.waited(failure, upstream),
            Cause::ResetBeforeResponse
            | Cause::ResetAfterAccept
            | Cause::ResetMidRequest
            | Cause::ClosedBeforeResponse
            | Cause::ClosedAfterAccept
            | Cause::KeepaliveRace => self.ended(failure, upstream),
            Cause::PortExhaustion => self.places.local_ports(failure, upstream),
            _ => Vec::new(),
        }
    }

    /// A RST answered the SYN: nobody listens there, or somebody else sent it.
    fn refused(&mut self, failure: &Failure, upstream: Endpoint) -> Vec<Evidence> {
        let Some(place) = self.places.of(failure, upstream) else {
            return Vec::new();
        };
        let times = self.times(&place, upstream);
        if let Some(listening) = place.taker(upstream) {
            if !times.began_before(start_ns(failure)) {
                return Vec::new();
            }
            return self.present(&place, listening, place.looked_ns);
        }
        if place.is_bound_there(upstream) || !times.nobody_since(failure.at_ns, place.looked_ns) {
            return Vec::new();
        }
        let mut evidence = vec![Evidence::NoListener];
        let ended = times.ended_before(failure.at_ns);
        let ended =
            ended.filter(|ended| !may_be_of_another_namespace(failure, self.host_netns, ended));
        if let Some(ended) = ended {
            let owner = self.owners.of_departed(&ended);
            let ago_us = failure.at_ns.saturating_sub(ended.at_ns) / 1000;
            evidence.push(match exit(&ended) {
                Some(exit) => Evidence::ListenerExited {
                    owner,
                    exit,
                    ago_us,
                },
                // That procfs shows the proxy says that it shows all there is.
                None => Evidence::ListenerClosed {
                    ended: failure.proxy.exe.is_some() && self.owners.has_ended(&ended),
                    owner,
                    ago_us,
                },
            });
        }
        evidence.extend(self.elsewhere(failure, &place, upstream, ended.as_ref()));
        evidence
    }

    /// Who listens close by: on the same port of another address, or the program that used to
    /// listen here on another port, since it ended here. (One that did so before is another app on
    /// the same program; one of another unit or container is, too. The proxy itself is what the
    /// requests come from.)
    fn elsewhere(
        &mut self,
        failure: &Failure,
        place: &Place,
        upstream: Endpoint,
        ended: Option<&Departure>,
    ) -> Option<Evidence> {
        let departed = ended.map(|ended| self.owners.of_departed(ended));
        let mut found = None;
        for listening in place.listening.iter() {
            let is_same_port = listening.at.port == upstream.port;
            if !is_same_port
                && !ended.is_some_and(|ended| self.began_since(place, listening.at, ended))
            {
                continue;
            }
            let Some(owner) = self.owners.of_socket(listening.inode, place.looked_ns) else {
                continue;
            };
            if owner.comm == failure.proxy.comm {
                continue;
            }
            if is_same_port
                || departed
                    .as_ref()
                    .is_some_and(|was| is_same_app(was, &owner))
            {
                let listens = listening.at;
                found = Some(Evidence::ListenerElsewhere { listens, owner });
            }
            if is_same_port {
                break;
            }
        }
        found
    }

    /// Whether somebody began to listen at `at` after that end, where nobody had before.
    fn began_since(&self, place: &Place, at: Endpoint, ended: &Departure) -> bool {
        let key = UpstreamKey {
            address: times::bytes(at.address),
            netns: place.netns.inode,
            port: at.port,
            pad: [0; 2],
        };
        let listening = self.servers.listening(key);
        listening.is_some_and(|listening| listening.began_ns > ended.at_ns && listening.ends == 0)
    }

    /// Nothing answered the SYN: a full queue does that.
    fn unanswered(&mut self, failure: &Failure, upstream: Endpoint) -> Vec<Evidence> {
        let Some(place) = self.places.of(failure, upstream) else {
            return Vec::new();
        };
        match place.taker(upstream) {
            Some(listening) if listening.is_full() => {
                self.full(&place, listening).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// A request without an answer: was the connection ever accepted, and by whom?
    fn waited(&mut self, failure: &Failure, upstream: Endpoint) -> Vec<Evidence> {
        let (Some(place), Some(flow)) =
            (self.places.of(failure, upstream), flow(failure, upstream))
        else {
            return Vec::new();
        };
        // In this order: what is no longer found there has been noted before.
        let holder = self.places.accepted(&place, failure, upstream);
        let unaccepted = self.servers.unaccepted(&flow);
        let waited = match holder {
            Some(inode) => inode == 0,
            None => unaccepted.is_some_and(|end| is_unaccepted(failure, place.netns.inode, &end)),
        };
        let inode = if waited {
            place.taker(upstream).map(|listening| listening.inode)
        } else {
            holder
        };
        let owner = inode.and_then(|inode| self.owners.of_socket(inode, place.looked_ns));
        let evidence = owner.map(|owner| {
            if waited {
                Evidence::NeverAccepted { owner }
            } else {
                Evidence::UpstreamProcess { owner }
            }
        });
        evidence.into_iter().collect()
    }

    /// The upstream ended the connection: did its process end, or its queue run over?
    fn ended(&mut self, failure: &Failure, upstream: Endpoint) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        let flow = flow(failure, upstream);
        let is_of_it = |at_ns, netns| is_of_connection(failure, at_ns, netns);
        let departed = flow.as_ref().and_then(|flow| self.servers.ended(flow));
        if let Some(departed) = departed {
            let is_of_it = is_of_it(departed.at_ns, departed.netns);
            if let (true, Some(exit)) = (is_of_it, exit(&departed)) {
                let owner = self.owners.of_departed(&departed);
                evidence.push(Evidence::UpstreamExited { owner, exit });
                return evidence;
            }
        }
        if !matches!(
            failure.cause,
            Cause::ResetAfterAccept | Cause::ResetBeforeResponse | Cause::ResetMidRequest
        ) {
            return evidence;
        }
        let reset = flow.as_ref().and_then(|flow| self.servers.reset(flow));
        if let Some((_, reason)) = reset.filter(|(reset, _)| is_of_it(reset.at_ns, reset.netns)) {
            evidence.push(Evidence::UpstreamReset {
                reason: reason.to_owned(),
            });
            return evidence;
        }
        // `net.ipv4.tcp_abort_on_overflow`: the RST answers the end of the handshake.
        let Some(place) = self.places.of(failure, upstream) else {
            return evidence;
        };
        if let Some(listening) = place.taker(upstream)
            && listening.is_full()
            && self.places.aborts_on_overflow(&place)
        {
            evidence.extend(self.full(&place, listening));
            evidence.push(Evidence::AbortOnOverflow);
        }
        evidence
    }

    fn unix(&mut self, failure: &Failure, path: &str) -> Vec<Evidence> {
        match failure.cause {
            Cause::SocketPermission => socket_file::evidence(&self.root, &failure.proxy, path),
            Cause::SocketBacklogFull => self.backlog(failure, path),
            _ => Vec::new(),
        }
    }

    /// Who listens on a unix socket that has no room.
    fn backlog(&mut self, failure: &Failure, path: &str) -> Vec<Evidence> {
        let found = self.places.unix(failure, path);
        let owner = found.as_ref().and_then(|listening| {
            let now_ns = clock::boot_ns().unwrap_or(failure.at_ns);
            self.owners.of_socket(listening.inode, now_ns)
        });
        let both = found.zip(owner);
        let evidence = both.map(|(listening, owner)| Evidence::ListenerPresent {
            owner,
            length: listening.length,
            limit: listening.limit,
        });
        evidence.into_iter().collect()
    }

    fn present(&mut self, place: &Place, listening: &Listening, now_ns: u64) -> Vec<Evidence> {
        let Some(owner) = self.owners.of_socket(listening.inode, now_ns) else {
            return Vec::new();
        };
        let mut evidence = vec![Evidence::ListenerPresent {
            owner,
            length: listening.length,
            limit: listening.limit,
        }];
        if listening.is_full() {
            evidence.extend(self.full(place, listening));
            if self.places.aborts_on_overflow(place) {
                evidence.push(Evidence::AbortOnOverflow);
            }
        }
        evidence
    }

    fn full(&mut self, place: &Place, listening: &Listening) -> Option<Evidence> {
        let drops = listening.drops.filter(|drops| *drops > 0)?;
        Some(Evidence::AcceptQueueFull {
            length: listening.length,
            limit: listening.limit,
            drops,
            owner: self.owners.of_socket(listening.inode, place.looked_ns),
        })
    }

    /// What became of listening at every address that takes connections to `upstream`.
    fn times(&self, place: &Place, upstream: Endpoint) -> Times {
        let keys = times::addresses(upstream.address).map(|address| UpstreamKey {
            address,
            netns: place.netns.inode,
            port: upstream.port,
            pad: [0; 2],
        });
        Times(keys.filter_map(|key| self.servers.listening(key)).collect())
    }
}

/// The connection as its upstream knows it.
fn flow(failure: &Failure, upstream: Endpoint) -> Option<Flow> {
    let local = failure.local?;
    Some(Flow {
        client: times::bytes(local.address),
        server: times::bytes(upstream.address),
        client_port: local.port,
        server_port: upstream.port,
        pad: [0; 4],
    })
}
