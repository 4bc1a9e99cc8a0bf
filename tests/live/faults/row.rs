//! One row: the fault made, the requests sent, the logs read, the events compared.
#![expect(
    clippy::print_stdout,
    reason = "`cargo xtask vm-test` reads of a blindness in these words"
)]

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gw502_tests::address::Address;
use gw502_tests::agent::{Agent, Session};
use gw502_tests::client::{self, Answers, Request};
use gw502_tests::expect::{self, Differences, Expected};
use gw502_tests::firewall;
use gw502_tests::lab::{Lab, Path};
use gw502_tests::proxy::{Kind, Log, Proxy};
use gw502_tests::report::{self, Row};
use gw502_tests::route;
use gw502_tests::upstream::{Behaviour, DeadSocket, Upstream};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::{Case, Fault, evidence};

/// How long the last event may take after the proxy's last line: 100 ms are promised.
const LATE: Duration = Duration::from_secs(2);

/// How many requests a row sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) parallel: usize,
}

impl Load {
    /// Six at once, or `$GW502_REQUESTS`, sixteen at once, to hunt for a race.
    pub(crate) fn usual() -> Self {
        let wished = std::env::var_os("GW502_REQUESTS");
        let wished = wished.and_then(|wished| wished.to_str()?.parse().ok());
        let requests = wished.unwrap_or(6);
        Self {
            requests,
            parallel: requests.min(16),
        }
    }
}

/// Everything one row made and saw.
struct Scene {
    lab: Lab,
    upstream: Upstream,
    /// Where the proxy believes its upstream to be.
    address: Address,
    proxy: Proxy,
    // Connections that hold the last local ports.
    _held: Vec<TcpStream>,
    _socket: Option<DeadSocket>,
}

/// Measures one row and adds it to the table; fails with everything seen when it differs.
pub(crate) fn measure(case: &Case, path: Path, kind: Kind, load: Load) -> Result<(), Failed> {
    let agent = Agent::spawn(&["--proxy", kind.program()]);
    let scene = Scene::set(case, path, kind);
    agent.wait_ready();
    let answers = scene.send(case, load);
    let log = scene.proxy.wait_log(load.requests);
    let netns = scene.lab.proxy().inode();
    agent.wait_events(log.attempts, LATE, |event| event.netns() == Some(netns));
    let session = agent.stop(Signal::SIGINT);
    let blind = case.as_declared(&session.stderr);
    let case = blind.as_ref().unwrap_or(case);

    let mut differences = scene.compare(case, &answers, &log, &session);
    scene.prove(case, load, &log, &mut differences);
    let events = expect::events_in(&session, netns);
    evidence::compare(case, &events, &session, &mut differences);
    report::add(Row {
        fault: case.name,
        proxy: kind,
        path,
        failed: log.attempts,
        events: events.len(),
        expected: case.verdict,
        seen: expect::verdicts(&events),
        log_lines: log.complaints.len(),
        agrees: differences.is_empty(),
    });
    if differences.is_empty() {
        if blind.is_some() {
            println!("blind, as declared");
        }
        return Ok(());
    }
    let evidence = scene.evidence(&answers, &log, &session);
    Err(format!(
        "{} over {path} through {kind} differs:\n{differences}{evidence}",
        case.name
    )
    .into())
}

impl Scene {
    /// Builds the lab, makes the fault and starts the proxy.
    #[track_caller]
    fn set(case: &Case, path: Path, kind: Kind) -> Self {
        let lab = Lab::new(path);
        let behaviour = match case.fault {
            Fault::Upstream(behaviour) => behaviour,
            Fault::PortsExhausted => Behaviour::Hang,
            _ => Behaviour::Good,
        };
        let upstream =
            Upstream::start(lab.upstream(), lab.upstream_address(case.family), behaviour);
        let tcp = upstream.address().tcp();
        let mut address = upstream.address();
        let mut socket = None;
        match case.fault {
            Fault::Upstream(_) | Fault::PortsExhausted => {}
            Fault::Firewall(verdict) => firewall::apply(lab.upstream(), tcp.port(), verdict),
            Fault::KernelGivesUp => {
                firewall::apply(lab.upstream(), tcp.port(), firewall::Verdict::Drop);
                firewall::shorten_syn_timeout(lab.proxy());
            }
            Fault::NoNeighbour => {
                firewall::shorten_neighbour_probes(lab.proxy());
                let nobody = lab.nobodys_address(case.family);
                address = SocketAddr::new(nobody, tcp.port()).into();
            }
            Fault::Route(route) => {
                address = route::lead_nowhere(lab.proxy(), case.family, route).into();
            }
            Fault::Socket(dead) => {
                let made = socket.insert(DeadSocket::new(lab.scratch(), dead));
                address = made.address().clone();
            }
        }
        let proxy = Proxy::start(&lab, &case.settings(kind, address.clone()));
        // After the proxy: its listener needs a port too.
        let held = match case.fault {
            Fault::PortsExhausted => firewall::exhaust_ports(lab.proxy(), tcp),
            _ => Vec::new(),
        };
        Self {
            lab,
            upstream,
            address,
            proxy,
            _held: held,
            _socket: socket,
        }
    }

    #[track_caller]
    fn send(&self, case: &Case, load: Load) -> Answers {
        let request = match self.proxy.kind() {
            Kind::NginxStream | Kind::HaproxyTcp => Request::Silence,
            Kind::Nginx | Kind::Haproxy | Kind::Apache if case.client_leaves => Request::Leave,
            Kind::Nginx | Kind::Haproxy | Kind::Apache => Request::Get,
        };
        // A client beside the proxy would need a port too.
        let (namespace, target) = if case.fault == Fault::PortsExhausted {
            (
                self.lab.upstream(),
                self.proxy.target_at(self.lab.proxy_address()),
            )
        } else {
            (self.lab.proxy(), self.proxy.target())
        };
        client::send(namespace, target, request, load.requests, load.parallel)
    }

    fn compare(&self, case: &Case, answers: &Answers, log: &Log, session: &Session) -> Differences {
        let expected = Expected {
            verdict: case.verdict,
            upstream: &self.address,
            netns: self.lab.proxy().inode(),
            workers: self.proxy.workers(),
            comm: self.proxy.kind().program(),
            status: answers.status(),
            errno: case.errno,
            waited: case.waits(),
        };
        expect::compare(&expected, log, session)
    }

    /// Checks that the fault was the one intended, by the proxy's words and the upstream's counts.
    fn prove(&self, case: &Case, load: Load, log: &Log, differences: &mut Differences) {
        differences.check("requests in the proxy's log", &load.requests, &log.requests);
        if case.is_accepted() {
            let accepted = self.upstream.counts().accepted;
            differences.check(
                "connections accepted by the upstream",
                &(log.attempts as u64),
                &accepted,
            );
        }
        let words = case.words.of(self.proxy.kind());
        let complaints = if words.is_some() { load.requests } else { 0 };
        differences.check(
            "complaints in the proxy's log",
            &complaints,
            &log.complaints.len(),
        );
        let others = |line: &&String| !line.contains(words.unwrap_or_default());
        for line in log.complaints.iter().filter(others) {
            differences.note(format!(
                "the proxy's log: expected {words:?}, seen {line:?}"
            ));
        }
    }

    /// Everything a person needs to judge the row.
    fn evidence(&self, answers: &Answers, log: &Log, session: &Session) -> String {
        format!(
            "the clients got {answers}; the upstream counted {:?}\n\
             \n{} on its requests ({} attempts):\n{}\
             \ngw502 on standard output:\n{}\
             \ngw502 on standard error:\n{}",
            self.upstream.counts(),
            self.proxy.kind(),
            log.attempts,
            self.proxy.text(),
            session.stdout,
            session.stderr
        )
    }
}
