//! Linux capabilities in root's place: an ordinary user who has them sees failures, and who lacks one
//! is told its name.
#![expect(
    clippy::print_stdout,
    reason = "which ones this kernel asks for is worth to be seen"
)]

use std::fs;
use std::process::Command;
use std::time::Duration;

use gw502_tests::agent::{self, Agent, Event, Session};
use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::lab::Path;
use gw502_tests::proxy::Kind;
use gw502_tests::scratch::Scratch;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::scene::{LATE, Scene};
use crate::steady;

/// More than a start may take.
const LIMIT: Duration = Duration::from_secs(15);

/// What README promises to be enough. `CAP_NET_ADMIN` is given too, as packaged eBPF programs often
/// have it.
const ENOUGH: [&str; 3] = ["bpf", "perfmon", "net_admin"];

/// What some kernels ask for besides: to count maps as locked memory (before 5.11), to set a kprobe
/// (Debian's) or to mount tracefs, and to read that.
const BESIDES: [&str; 3] = ["sys_resource", ALL_IN_ONE, "dac_read_search"];

/// Includes the first two of [`ENOUGH`].
const ALL_IN_ONE: &str = "sys_admin";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        steady::trial("privilege::capabilities_are_enough", enough),
        steady::trial("privilege::each_that_is_missing_is_named", missing),
    ]
}

/// A gw502 that everyone may run.
struct Binary {
    scratch: Scratch,
}

impl Binary {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::copy(agent::binary(), scratch.join("gw502")).expect("a copy that everyone may run");
        Self { scratch }
    }

    /// `gw502 trace` by nobody, with these capabilities and no others.
    fn trace(&self, capabilities: &[&str]) -> Command {
        let set: String = capabilities.iter().flat_map(|one| [",+", one]).collect();
        let set = format!("-all{set}");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        for kind in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
            command.arg(format!("{kind}={set}"));
        }
        command.arg("--").arg(self.scratch.join("gw502"));
        command.args(["trace", "--output", "json", "--proxy", "nginx"]);
        if let Some(backend) = agent::backend() {
            command.arg("--hooks").arg(backend);
        }
        command
    }

    /// What this kernel asks for: the message that refuses less must say so.
    fn needed(&self) -> Result<Vec<&'static str>, Failed> {
        let mut needed = ENOUGH.to_vec();
        loop {
            let session = self.try_with(&needed);
            if session.code == 0 {
                return Ok(needed);
            }
            let is_new = |one: &&&str| !needed.contains(*one) && refused(&session, one).is_ok();
            let Some(more) = BESIDES.iter().find(is_new) else {
                let Session { code, stderr, .. } = session;
                return Err(format!("with {needed:?} it ended with {code}:\n{stderr}").into());
            };
            println!("this kernel asks for {more} as well");
            if *more == ALL_IN_ONE {
                needed.retain(|one| *one == "net_admin" || BESIDES.contains(one));
            }
            needed.push(more);
        }
    }

    fn try_with(&self, capabilities: &[&str]) -> Session {
        let mut command = self.trace(capabilities);
        agent::run_command(command.args(["--duration", "1ms"]), patient())
    }
}

fn patient() -> Duration {
    deadline::patient(LIMIT)
}

fn enough() -> Result<(), Failed> {
    let binary = Binary::new();
    let needed = binary.needed()?;
    let kind = Kind::Nginx;
    let scene = Scene::set(kind, Path::Loopback, Behaviour::Refuse, |settings| settings);
    let agent = Agent::start(&mut binary.trace(&needed));
    agent.wait_ready();
    let (namespace, target) = (scene.lab.proxy(), scene.proxy.target());
    client::send(namespace, target, Request::Get, 1, 1);
    agent.wait_events(1, LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);
    let verdicts: Vec<_> = scene
        .events(&session)
        .into_iter()
        .map(Event::verdict)
        .collect();
    // Who may enter the proxy's network namespace sees that nobody listens there.
    let expected = if needed.contains(&ALL_IN_ONE) {
        "refused/no-listener"
    } else {
        "refused/refused"
    };
    if verdicts == [expected] && session.code == 0 {
        return Ok(());
    }
    let Session { stdout, stderr, .. } = session;
    Err(format!("with {needed:?} it saw {verdicts:?}\n{stdout}{stderr}").into())
}

fn missing() -> Result<(), Failed> {
    let binary = Binary::new();
    let needed = binary.needed()?;
    let is_needed = |one: &&str| *one != "net_admin";
    for without in needed.iter().filter(|one| is_needed(one)) {
        let mut others = needed.clone();
        others.retain(|one| one != without);
        if *without == ALL_IN_ONE {
            others.extend(ENOUGH);
        }
        let session = binary.try_with(&others);
        refused(&session, without)?;
    }
    Ok(())
}

/// It was not permitted, and the message names this capability.
fn refused(session: &Session, capability: &str) -> Result<(), Failed> {
    let name = format!("CAP_{}", capability.to_uppercase());
    if session.code == 4 && session.stderr.contains(&name) {
        return Ok(());
    }
    Err(format!(
        "without {name} it ended with {}, and said:\n{}",
        session.code, session.stderr
    )
    .into())
}
