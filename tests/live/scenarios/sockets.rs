//! PHP-FPM behind nginx, on unix sockets and on TCP.

use std::time::Duration;

use gw502_tests::address::Address;
use gw502_tests::app::{self, App, Php, php};
use gw502_tests::deadline;
use gw502_tests::proxy::{Proxy, Settings};

use super::stage::{LATE, Outcome, Stage};
use super::{SOME, Scenario, scenario};

pub(super) const ALL: &[Scenario] = &[
    scenario("php_socket_missing", "refused/socket-missing", missing),
    scenario("php_socket_stale", "refused/socket-stale", stale),
    scenario(
        "php_socket_wrong_mode",
        "refused/socket-permission",
        forbidden,
    ),
    scenario("php_saturated", "refused/socket-backlog-full", saturated),
    scenario(
        "php_saturated_on_tcp",
        "timeout/never-accepted",
        saturated_on_tcp,
    ),
    scenario("php_script_too_slow", "timeout/response-timeout", slow),
    scenario("php_child_killed", "reset/upstream-crashed", child_killed),
];

/// Longer than the proxy waits.
const TOO_SLOW: &str = "/slow/2500";
const SHORT: Duration = Duration::from_secs(1);
const SLOW_ANSWER: &str = "110: Connection timed out) while reading response header";

fn start(stage: &Stage, settings: &Php, upstream: Address, read_timeout: Duration) -> (App, Proxy) {
    let (app, script) = php(&stage.lab, settings);
    let proxy = stage.tuned(upstream, |settings| Settings {
        script: Some(script),
        read_timeout,
        ..settings
    });
    (app, proxy)
}

fn socket(stage: &Stage, name: &str) -> Address {
    Address::Unix(stage.lab.scratch().join(name))
}

/// The version changed, and with it the socket's name.
fn missing(stage: &Stage) -> Outcome {
    let old = socket(stage, "php8.1-fpm.sock");
    let settings = Php::at(socket(stage, "php8.2-fpm.sock"));
    let (_app, proxy) = start(stage, &settings, old.clone(), LATE);
    stage.send(&proxy, "/", SOME);
    stage.outcome(&proxy, old, SOME, &["(2: No such file or directory)"])
}

/// Killed, it cannot take its socket with it.
fn stale(stage: &Stage) -> Outcome {
    let at = socket(stage, "php.sock");
    let (mut app, proxy) = start(stage, &Php::at(at.clone()), at.clone(), LATE);
    stage.send(&proxy, "/", 2);
    let children = app.workers();
    app.kill();
    let gone = || children.iter().all(|pid| !runs(*pid));
    deadline::wait_until("the children to end", LATE, gone);
    stage.send(&proxy, "/", SOME);
    stage.outcome(&proxy, at, 2 + SOME, &["(111: Connection refused)"])
}

fn runs(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn forbidden(stage: &Stage) -> Outcome {
    let at = socket(stage, "php.sock");
    let settings = Php {
        owner: ("root", "0600"),
        ..Php::at(at.clone())
    };
    let (_app, proxy) = start(stage, &settings, at.clone(), LATE);
    stage.send(&proxy, "/", SOME);
    stage.outcome(&proxy, at, SOME, &["(13: Permission denied)"])
}

/// One child, room for two more, and requests that take their time.
fn saturated(stage: &Stage) -> Outcome {
    let at = socket(stage, "php.sock");
    let settings = Php {
        children: 1,
        backlog: 1,
        ..Php::at(at.clone())
    };
    let (_app, proxy) = start(stage, &settings, at.clone(), LATE);
    stage.send(&proxy, "/slow/300", 2 * SOME);
    let words = ["(11: Resource temporarily unavailable)"];
    stage.outcome(&proxy, at, 2 * SOME, &words)
}

fn saturated_on_tcp(stage: &Stage) -> Outcome {
    let settings = Php {
        children: 1,
        ..Php::at(stage.free_address().into())
    };
    let at = settings.listen.clone();
    let (_app, proxy) = start(stage, &settings, at.clone(), SHORT);
    stage.send(&proxy, TOO_SLOW, SOME);
    stage.outcome(&proxy, at, SOME, &[SLOW_ANSWER])
}

fn slow(stage: &Stage) -> Outcome {
    let settings = Php {
        children: SOME,
        ..Php::at(stage.free_address().into())
    };
    let at = settings.listen.clone();
    let (_app, proxy) = start(stage, &settings, at.clone(), SHORT);
    stage.send(&proxy, TOO_SLOW, SOME);
    stage.outcome(&proxy, at, SOME, &[SLOW_ANSWER])
}

/// A child reads less than nginx sends: its end is a reset.
fn child_killed(stage: &Stage) -> Outcome {
    let settings = Php {
        children: SOME,
        ..Php::at(stage.free_address().into())
    };
    let at = settings.listen.clone();
    let (app, proxy) = start(stage, &settings, at.clone(), LATE);
    let children = app.workers();
    stage.meanwhile(&proxy, "/slow/4000", || {
        deadline::wait_until("all children at work", LATE, || {
            children.iter().all(|pid| sleeps(*pid))
        });
        children.iter().copied().for_each(app::kill);
    });
    let words = ["104: Connection reset by peer) while reading response header"];
    let outcome = stage.outcome(&proxy, at, SOME, &words);
    outcome.with_evidence("SIGKILL")
}

/// Whether a child is in the script's `usleep()`, and not in `accept()`.
fn sleeps(pid: u32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let number = call
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    [libc::SYS_nanosleep, libc::SYS_clock_nanosleep]
        .map(Some)
        .contains(&number)
}
