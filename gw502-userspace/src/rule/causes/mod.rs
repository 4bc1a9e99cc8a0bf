//! One file a cause.

mod accept_queue_full;
mod admin_prohibited;
mod cancelled;
mod client_gone;
mod closed_after_accept;
mod closed_before_response;
mod connect_failed;
mod descriptor_exhaustion;
mod firewall_dropped;
mod firewall_reset;
mod host_unreachable;
mod icmp_rejected;
mod keepalive_race;
mod listener_elsewhere;
mod neighbour_failed;
mod never_accepted;
mod no_listener;
mod no_route;
mod not_permitted;
mod out_of_memory;
mod peer_vanished;
mod port_exhaustion;
mod queue_full_reset;
mod refused;
mod reset_after_accept;
mod reset_before_response;
mod reset_mid_request;
mod response_timeout;
mod send_stalled;
mod socket_backlog_full;
mod socket_missing;
mod socket_permission;
mod socket_stale;
mod symptoms;
mod syn_unanswered;
mod upstream_crashed;
mod upstream_exited;
mod upstream_restarting;

use super::Rule;
use crate::event::Cause;

/// The rule of a cause.
pub fn of(cause: Cause) -> &'static Rule {
    match cause {
        Cause::Refused => &refused::RULE,
        Cause::NoListener => &no_listener::RULE,
        Cause::ListenerElsewhere => &listener_elsewhere::RULE,
        Cause::UpstreamExited => &upstream_exited::RULE,
        Cause::UpstreamRestarting => &upstream_restarting::RULE,
        Cause::IcmpRejected => &icmp_rejected::RULE,
        Cause::FirewallReset => &firewall_reset::RULE,
        Cause::QueueFullReset => &queue_full_reset::RULE,
        Cause::SocketMissing => &socket_missing::RULE,
        Cause::SocketStale => &socket_stale::RULE,
        Cause::SocketPermission => &socket_permission::RULE,
        Cause::SocketBacklogFull => &socket_backlog_full::RULE,
        Cause::SynUnanswered => &syn_unanswered::RULE,
        Cause::FirewallDropped => &firewall_dropped::RULE,
        Cause::AcceptQueueFull => &accept_queue_full::RULE,
        Cause::ResponseTimeout => &response_timeout::RULE,
        Cause::NeverAccepted => &never_accepted::RULE,
        Cause::SendStalled => &send_stalled::RULE,
        Cause::PeerVanished => &peer_vanished::RULE,
        Cause::ResetBeforeResponse => &reset_before_response::RULE,
        Cause::ResetAfterAccept => &reset_after_accept::RULE,
        Cause::ResetMidRequest => &reset_mid_request::RULE,
        Cause::UpstreamCrashed => &upstream_crashed::RULE,
        Cause::ClosedBeforeResponse => &closed_before_response::RULE,
        Cause::ClosedAfterAccept => &closed_after_accept::RULE,
        Cause::KeepaliveRace => &keepalive_race::RULE,
        Cause::NoRoute => &no_route::RULE,
        Cause::HostUnreachable => &host_unreachable::RULE,
        Cause::NeighbourFailed => &neighbour_failed::RULE,
        Cause::AdminProhibited => &admin_prohibited::RULE,
        Cause::PortExhaustion => &port_exhaustion::RULE,
        Cause::DescriptorExhaustion => &descriptor_exhaustion::RULE,
        Cause::OutOfMemory => &out_of_memory::RULE,
        Cause::NotPermitted => &not_permitted::RULE,
        Cause::ConnectFailed => &connect_failed::RULE,
        Cause::ClientGone => &client_gone::RULE,
        Cause::Cancelled => &cancelled::RULE,
    }
}
