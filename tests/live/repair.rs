//! A diagnosis' next steps, taken as they stand, mend what was wrong: a command is typed, a line of
//! configuration takes the place of the one that was there, and the last step says when it is well.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use gw502_tests::agent;
use gw502_tests::client::{self, Answer, Request};
use gw502_tests::firewall;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::proxy::{Kind, Proxy, Settings};
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{self, settings};
use crate::steady;

/// Requests before the repair, and after it.
const REQUESTS: usize = 4;

/// More than a diagnosis may take to say that all is well.
const LIMIT: Duration = Duration::from_secs(30);

/// The last step of every diagnosis waits so long, which is too long for a trial.
const QUIET: (&str, &str) = ("--until-healthy 5m", "--until-healthy 2s");

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("socket_permission", forbidden),
        trial("listener_elsewhere", elsewhere),
        trial("firewall_dropped", dropped),
        trial("response_timeout", too_slow),
        trial("port_exhaustion", exhausted),
    ]
}

fn trial(name: &str, run: fn() -> Result<(), Failed>) -> Trial {
    steady::trial(format!("repair::{name}"), run)
}

/// How a step is taken.
#[derive(Debug, Clone, Copy)]
enum Take {
    /// It is typed into a shell of this host.
    Typed,
    /// It replaces the same directive in the proxy's configuration, and the proxy is reloaded.
    Configured,
}

/// nginx in front of an upstream that it cannot use.
struct Broken {
    lab: Lab,
    proxy: Proxy,
    request: Request,
    upstream: Upstream,
}

impl Broken {
    fn new(
        start: impl FnOnce(&Lab) -> Upstream,
        tune: impl FnOnce(&Upstream, Settings) -> Settings,
    ) -> Self {
        let lab = Lab::new(Path::Loopback);
        let upstream = start(&lab);
        let settings = tune(&upstream, settings(Kind::Nginx, upstream.address()));
        Self {
            proxy: Proxy::start(&lab, &settings),
            lab,
            request: Request::Get,
            upstream,
        }
    }

    fn send(&self) -> client::Answers {
        let target = self.proxy.target();
        client::send(self.lab.proxy(), target, self.request, REQUESTS, 1)
    }

    /// Fails, is diagnosed as `cause`, takes the step that starts so, and is well.
    fn repair(mut self, cause: &str, take: Take, start: &str) -> Result<(), Failed> {
        let agent = scene::watch_workers(
            &self.proxy,
            &mut agent::gw502(&["diagnose", "--output", "json"]),
        );
        let answers = self.send();
        if answers.count(Answer::Status(200)) > 0 {
            return Err(format!("nothing is broken: {answers}").into());
        }
        let session = agent.stop(Signal::SIGINT);
        let diagnosis = session.stdout.lines().next().unwrap_or_default();
        let diagnosis: Value = serde_json::from_str(diagnosis)?;
        if diagnosis.get("cause").and_then(Value::as_str) != Some(cause) {
            return Err(format!("not {cause}: {diagnosis}").into());
        }
        let steps = commands(&diagnosis);
        // In the proxy's network namespace, which is not the host's here.
        let is_it = |step: &&&str| {
            let there = step.strip_prefix("nsenter -t ").and_then(|rest| {
                let (_pid, command) = rest.split_once(" -n ")?;
                Some(command)
            });
            there.unwrap_or(step).starts_with(start)
        };
        let step = steps.iter().find(is_it);
        let step = step.ok_or_else(|| format!("no step starts with `{start}`: {steps:#?}"))?;
        match take {
            Take::Typed => typed(step)?,
            Take::Configured => self.proxy.configure(&self.lab, step),
        }
        self.ends_well(steps.last().copied().unwrap_or_default())
    }

    /// The last step, with traffic that now succeeds.
    fn ends_well(&self, step: &str) -> Result<(), Failed> {
        let (said, meant) = QUIET;
        let mut words = step.split_whitespace();
        if words.next() != Some("gw502") || !step.contains(said) {
            return Err(format!("the last step is `{step}`").into());
        }
        let step = step.replace(said, meant);
        let arguments: Vec<_> = step.split_whitespace().skip(1).collect();
        let agent = scene::watch_workers(&self.proxy, &mut agent::gw502(&arguments));
        let answers = self.send();
        let session = agent.wait(LIMIT);
        if answers.count(Answer::Status(200)) == REQUESTS && session.code == 0 {
            return Ok(());
        }
        let (stdout, stderr) = (session.stdout, session.stderr);
        Err(format!("after the repair: {answers}\n{stdout}{stderr}").into())
    }
}

fn commands(diagnosis: &Value) -> Vec<&str> {
    let steps = diagnosis.get("next_steps").and_then(Value::as_array);
    let steps = steps.into_iter().flatten();
    steps
        .filter_map(|step| step.get("command")?.as_str())
        .collect()
}

fn typed(command: &str) -> Result<(), Failed> {
    let output = Command::new("sh").args(["-ec", command]).output()?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{command}` ended with {}: {stderr}", output.status).into())
}

fn on(address: Family) -> impl FnOnce(&Lab) -> Upstream {
    move |lab| {
        let address = lab.upstream_address(address);
        Upstream::start(lab.upstream(), address, Behaviour::Good)
    }
}

fn forbidden() -> Result<(), Failed> {
    let start = |lab: &Lab| {
        let path = lab.scratch().join("app.sock");
        let upstream = Upstream::start_unix(&path, Behaviour::Good);
        let only_root = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, only_root).expect("our own file");
        upstream
    };
    Broken::new(start, |_, settings| settings).repair("socket-permission", Take::Typed, "chgrp ")
}

fn elsewhere() -> Result<(), Failed> {
    Broken::new(on(Family::V6), |upstream, settings| {
        let mut wrong = upstream.address().tcp();
        wrong.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        Settings {
            upstream: wrong.into(),
            ..settings
        }
    })
    .repair("listener-elsewhere", Take::Configured, "server [::1]:")
}

fn dropped() -> Result<(), Failed> {
    let broken = Broken::new(on(Family::V4), |_, settings| settings);
    let port = broken.upstream.address().tcp().port();
    // As Debian's nftables.conf names them.
    let rules = format!(
        "nft 'add table inet filter; add chain inet filter input {{ type filter hook input \
         priority 0; }}; add rule inet filter input tcp dport {port} drop'"
    );
    broken.lab.proxy().enter(|| typed(&rules))?;
    broken.repair(
        "firewall-dropped",
        Take::Typed,
        "nft insert rule inet filter input ",
    )
}

fn too_slow() -> Result<(), Failed> {
    let start = |lab: &Lab| {
        let address = lab.upstream_address(Family::V4);
        Upstream::start(lab.upstream(), address, Behaviour::WaitOnDemand)
    };
    let mut broken = Broken::new(start, |_, settings| Settings {
        read_timeout: Duration::from_secs(1),
        ..settings
    });
    broken.request = Request::Ask("/after/1500");
    broken.repair("response-timeout", Take::Configured, "proxy_read_timeout ")
}

fn exhausted() -> Result<(), Failed> {
    let broken = Broken::new(on(Family::V4), |_, settings| settings);
    let upstream = broken.upstream.address().tcp();
    let _taken = firewall::exhaust_ports(broken.lab.proxy(), upstream);
    broken.repair(
        "port-exhaustion",
        Take::Typed,
        "sysctl -w net.ipv4.ip_local_port_range=",
    )
}
