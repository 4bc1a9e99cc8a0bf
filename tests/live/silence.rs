//! Healthy traffic, and what TCP cannot tell from it: no event, every attempt
//! counted.

use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use gw502_tests::agent::{Agent, Session};
use gw502_tests::client::{self, Answer, Answers, Request};
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::proxy::{Kind, Proxy, Settings};
use gw502_tests::upstream::{Behaviour, Upstream};

/// Traffic that must stay unreported.
#[derive(Debug, Clone, Copy)]
struct Control {
    name: &'static str,
    behaviour: Behaviour,
    /// Whether the proxy keeps its connections, which the upstream closes when all is done.
    keep_alive: bool,
    requests: usize,
}

const CONTROLS: [Control; 4] = [
    Control {
        name: "upstream_closes",
        behaviour: Behaviour::Good,
        keep_alive: false,
        requests: 2000,
    },
    Control {
        name: "proxy_closes",
        behaviour: Behaviour::GoodKeepAlive,
        keep_alive: false,
        requests: 2000,
    },
    Control {
        name: "idle_connections_close",
        behaviour: Behaviour::GoodKeepAlive,
        keep_alive: true,
        requests: 200,
    },
    // To TCP the same as an idle close: only HTTP's framing could tell.
    Control {
        name: "answer_breaks_off",
        behaviour: Behaviour::BreakOff,
        keep_alive: false,
        requests: 20,
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    let proxies = [Kind::Nginx, Kind::Haproxy];
    let rows = CONTROLS
        .iter()
        .flat_map(|control| proxies.map(|kind| (control, kind)));
    rows.map(|(control, kind)| {
        let name = format!("silence::{}::{kind}", control.name);
        Trial::test(name, move || stays_silent(control, kind))
    })
    .collect()
}

/// No event, and a summary that counts each connection once.
fn stays_silent(control: &Control, kind: Kind) -> Result<(), Failed> {
    let agent = Agent::spawn(&["--proxy", kind.program()]);
    let lab = Lab::new(Path::Veth);
    let address = lab.upstream_address(Family::V4);
    let upstream = Upstream::start(lab.upstream(), address, control.behaviour);
    let address = upstream.address();
    let settings = Settings {
        kind,
        upstream: address.clone(),
        connect_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(10),
        retries: 0,
        keep_alive: control.keep_alive,
        abort_on_close: false,
    };
    let proxy = Proxy::start(&lab, &settings);
    agent.wait_ready();
    let answers = client::send(
        lab.proxy(),
        proxy.target(),
        Request::Get,
        control.requests,
        16,
    );
    let logged = proxy.wait_log(control.requests).requests;
    let accepted = upstream.counts().accepted;
    // Closes what the proxy still holds.
    drop(upstream);
    agent.wait_events(1, Duration::from_millis(500), |_| true);
    let session = agent.stop(Signal::SIGINT);

    let netns = lab.proxy().inode();
    let mut differences = Differences::default();
    differences.check("requests in the proxy's log", &control.requests, &logged);
    control.check_traffic(&answers, accepted, &mut differences);
    differences.check("events", &Vec::new(), &expect::events_in(&session, netns));
    let summary = session.summary.as_ref();
    let attempts = summary.and_then(|summary| summary.attempts(netns, &address));
    let established = summary.and_then(|summary| summary.established(netns, &address));
    differences.check("attempts in the summary", &Some(accepted), &attempts);
    differences.check("established in the summary", &Some(accepted), &established);
    differences.check("exit code", &0, &session.code);
    verdict(&differences, &session)
}

impl Control {
    /// Checks that the traffic was what it should be.
    fn check_traffic(&self, answers: &Answers, accepted: u64, differences: &mut Differences) {
        let good = answers.count(Answer::Status(200));
        differences.check("requests answered with 200", &self.requests, &good);
        let requests = self.requests as u64;
        if self.keep_alive {
            let reused = accepted < requests;
            differences.check("connections were used again", &true, &reused);
        } else {
            differences.check("connections the upstream accepted", &requests, &accepted);
        }
    }
}

fn verdict(differences: &Differences, session: &Session) -> Result<(), Failed> {
    if differences.is_empty() {
        return Ok(());
    }
    let Session { stdout, stderr, .. } = session;
    Err(format!(
        "it was not silent:\n{differences}\
         gw502 on standard output:\n{stdout}\ngw502 on standard error:\n{stderr}"
    )
    .into())
}
