//! Uploads that the upstream breaks off, or reads no further.

use gw502_tests::client::Answers;
use gw502_tests::dialogue::Dialogue;
use gw502_tests::expect::Differences;
use gw502_tests::lab::Path;
use gw502_tests::proxy::Kind;
use gw502_tests::upstream::{Behaviour, Last};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::scene::{Fault, HTTP, LATE, Scene, fault, watch};
use crate::steady;

/// So much of an upload the upstream reads.
const PART: usize = 60_000;

/// Larger than all buffers between a proxy and its upstream.
const LARGE: usize = 24 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in HTTP {
        let mut add = |name: &str, body: fn(Kind) -> Result<(), Failed>| {
            let name = format!("uploads::{name}::{kind}");
            trials.push(steady::trial(name, move || body(kind)));
        };
        add("reset_on_the_way", |kind| {
            let fault = fault("upload_reset", "reset/reset-mid-request");
            // Which of its sides meets it, the one that writes or the one that reads, is chance.
            let words = "104: Connection reset by peer) while";
            upload(
                kind,
                LARGE,
                Last::Reset,
                fault.says(kind, words, Some("end=S")),
            )
        });
        add("reset_after_the_last_byte", |kind| {
            let fault = fault("whole_upload_reset", "reset/reset-before-response");
            let words = "104: Connection reset by peer) while reading response header";
            upload(
                kind,
                PART,
                Last::Reset,
                fault.says(kind, words, Some("end=SH status=502")),
            )
        });
        add("stall", |kind| {
            let fault = fault("upload_stalls", "timeout/send-stalled");
            let words = "110: Connection timed out) while sending request to upstream";
            upload(
                kind,
                LARGE,
                Last::Hang,
                fault.says(kind, words, Some("end=s")),
            )
        });
    }
    trials
}

/// The upstream reads a part of the upload and then resets the connection, or reads no more.
fn upload(kind: Kind, body: usize, last: Last, fault: Fault) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(
            kind,
            Path::Veth,
            Behaviour::Swallow(PART, last),
            |settings| settings,
        )
    });
    let requests = if last == Last::Hang { 1 } else { 3 };
    let mut answers = Answers::default();
    for _ in 0..requests {
        let answer = scene
            .lab
            .proxy()
            .enter(|| Dialogue::open(scene.proxy.target()).upload(body));
        *answers.0.entry(answer).or_default() += 1;
    }
    agent.wait_events(requests, LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    differences.check(
        "uploads broken off",
        &requests,
        &scene.upstream.broken().len(),
    );
    scene.compare_broken(&session, &mut differences);
    scene.compare_fault(&fault, requests, &session, &mut differences);
    scene.verdict(&differences, &session, &answers.to_string())
}
