//! One file a cause.

mod no_listener;
mod refused;
mod upstream_exited;

use super::Rule;
use crate::event::Cause;

/// The rule of a cause.
pub fn of(cause: Cause) -> &'static Rule {
    match cause {
        Cause::NoListener => &no_listener::RULE,
        Cause::UpstreamExited => &upstream_exited::RULE,
        _ => &refused::RULE,
    }
}
