//! What the agent tells its service manager (`sd_notify(3)`, `systemd.service(5)`: `notify-reload`).
//! Without one, nothing.

use sd_notify::NotifyState;

/// Attached, and all sinks are at work.
pub(super) fn ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read anew; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("cannot tell the service manager of the reload: {error}"),
    }
}

/// Still at work.
pub(super) fn alive() {
    say(&[NotifyState::Watchdog]);
}

/// On the way out.
pub(super) fn stopping() {
    say(&[NotifyState::Stopping]);
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("the service manager does not listen: {error}");
    }
}
