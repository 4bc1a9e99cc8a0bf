//! How long handshakes took, on a path whose delay is known.

use gw502_tests::agent::{Agent, Page};
use gw502_tests::deadline;
use gw502_tests::lab::Path;
use gw502_tests::proxy::Kind;
use gw502_tests::relay::DELAY;
use gw502_tests::scratch::Scratch;
use gw502_tests::upstream::Behaviour;
use nix::sys::signal::Signal;

use super::{LIMIT, REQUESTS, send, watch};
use crate::scene::Scene;

const FAMILY: &str = "gw502_upstream_connect_seconds";

pub(super) fn timed() {
    let close = Behaviour::CloseAfterRequest;
    let scene = Scene::set(Kind::Nginx, Path::Delayed, close, |settings| settings);
    let scratch = Scratch::new();
    let page = Page::free();
    let config = format!(
        "{}[metrics]\nlisten = \"{page}\"\n",
        watch(scene.proxy.workers())
    );
    let agent = Agent::serve(&scratch.write("agent.toml", &config));
    send(&scene);
    let sent = u64::try_from(REQUESTS).expect("a small number");
    let of = |part: &str, labels: &[&str]| page.sum(&format!("{FAMILY}_{part}"), labels);
    deadline::wait_until("all handshakes", LIMIT, || of("count", &[]) == sent);
    let established = page.sum("gw502_upstream_established_total", &[]);
    assert_eq!(established, sent);
    // There and back.
    assert!(2 * DELAY.as_millis() > 25);
    assert_eq!(of("bucket", &["le=\"0.025\""]), 0, "none was faster");
    assert_eq!(of("bucket", &["le=\"+Inf\""]), sent);
    let metrics = page.metrics();
    let sums = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(FAMILY)?.strip_prefix("_sum")?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    let seconds: f64 = sums.sum();
    let least = (2 * DELAY * u32::try_from(REQUESTS).expect("a small number")).as_secs_f64();
    assert!(
        (least..2.0 * least).contains(&seconds),
        "{seconds} s in all"
    );
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
}
