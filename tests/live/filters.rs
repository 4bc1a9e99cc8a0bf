//! Filters: of several upstreams that fail at once only the wanted ones are reported, and what was
//! left out is counted.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use gw502_tests::address::Address;
use gw502_tests::agent::{Agent, Session, Summary};
use gw502_tests::cgroup::Cgroup;
use gw502_tests::client::{self, Request};
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::netns::Namespace;
use gw502_tests::proxy::{Kind, Proxy};
use gw502_tests::upstream::{Behaviour, Dead, DeadSocket, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::scene::{LATE, settings};
use crate::steady;

/// Requests through each proxy: as many attempts, and as many failures.
const REQUESTS: usize = 5;

/// The proxies by what they are.
const NGINX_V4: usize = 0;
const NGINX_V6: usize = 1;
const HAPROXY_V4: usize = 2;
const HAPROXY_LOOPBACK: usize = 3;

/// The same, over unix sockets.
const FILE: usize = 0;
const OTHER_FILE: usize = 1;
const NAME: usize = 2;
const PORT: usize = 3;

type Body = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> Vec<Trial> {
    let bodies: [(&str, Body); 12] = [
        ("upstream_address_and_port", address_and_port),
        ("upstream_address", address),
        ("upstream_network", network),
        ("upstream_ipv6", ipv6),
        ("upstream_ipv6_network", ipv6_network),
        ("upstream_unix_path", unix_path),
        ("upstream_unix_name", unix_name),
        ("syscalls_off", syscalls_off),
        ("pid", pid),
        ("proxy", proxy),
        ("cgroup", cgroup),
        ("descendant_cgroup", descendant_cgroup),
    ];
    let trials = bodies.into_iter();
    trials
        .map(|(name, body)| steady::trial(format!("filters::{name}"), body))
        .collect()
}

fn address_and_port() -> Result<(), Failed> {
    let several = Several::over_tcp();
    let wanted = several.address(NGINX_V4).to_string();
    let arguments = ["--upstream", wanted.as_str()];
    several.watch_all(&arguments, &[NGINX_V4], &json!({"upstream": 15}))
}

fn address() -> Result<(), Failed> {
    let several = Several::over_tcp();
    let wanted = several.address(NGINX_V4).tcp().ip().to_string();
    let arguments = ["--upstream", wanted.as_str()];
    several.watch_all(
        &arguments,
        &[NGINX_V4, HAPROXY_V4],
        &json!({"upstream": 10}),
    )
}

fn network() -> Result<(), Failed> {
    let arguments = ["--upstream", "10.50.0.0/16", "--upstream", "192.0.2.0/24"];
    Several::over_tcp().watch_all(
        &arguments,
        &[NGINX_V4, HAPROXY_V4],
        &json!({"upstream": 10}),
    )
}

fn ipv6() -> Result<(), Failed> {
    let several = Several::over_tcp();
    let wanted = several.address(NGINX_V6).to_string();
    let arguments = ["--upstream", wanted.as_str()];
    several.watch_all(&arguments, &[NGINX_V6], &json!({"upstream": 15}))
}

fn ipv6_network() -> Result<(), Failed> {
    let arguments = ["--upstream", "fd50:2::/32", "--upstream", "127.0.0.0/8"];
    Several::over_tcp().watch_all(
        &arguments,
        &[NGINX_V6, HAPROXY_LOOPBACK],
        &json!({"upstream": 10}),
    )
}

/// One path begins with the other.
fn unix_path() -> Result<(), Failed> {
    let several = Several::over_sockets();
    let wanted = several.address(FILE).to_string();
    let arguments = ["--upstream", wanted.as_str()];
    several.watch_all(&arguments, &[FILE], &json!({"upstream": 15}))
}

fn unix_name() -> Result<(), Failed> {
    let several = Several::over_sockets();
    let wanted = several.address(NAME).to_string();
    let port = several.address(PORT).to_string();
    let arguments = ["--upstream", wanted.as_str(), "--upstream", port.as_str()];
    several.watch_all(&arguments, &[NAME, PORT], &json!({"upstream": 10}))
}

/// What only system calls tell is not seen, and gw502 says so; with them all is.
fn syscalls_off() -> Result<(), Failed> {
    let several = Several::over_sockets();
    several.watch_all(&["--syscalls", "off"], &[PORT], &json!({}))?;
    let all = [FILE, OTHER_FILE, NAME, PORT];
    several.watch_all(&["--syscalls", "on"], &all, &json!({}))
}

/// Only the processes asked for are looked at: nothing of the others is counted, not even skipped.
fn pid() -> Result<(), Failed> {
    let several = Several::over_tcp();
    let pids = several.pids(&[NGINX_V6, HAPROXY_V4]);
    several.watch(&pids, &[NGINX_V6, HAPROXY_V4], Some(&json!({})))
}

fn proxy() -> Result<(), Failed> {
    let arguments = ["--proxy".to_owned(), "haproxy".to_owned()];
    Several::over_tcp().watch(&arguments, &[HAPROXY_V4, HAPROXY_LOOPBACK], None)
}

fn cgroup() -> Result<(), Failed> {
    let cgroup = Cgroup::new();
    let several = Several::over_tcp();
    several.join(HAPROXY_V4, cgroup.path());
    let path = cgroup.path().display().to_string();
    several.watch_all(
        &["--cgroup", path.as_str()],
        &[HAPROXY_V4],
        &json!({"cgroup": 15}),
    )
}

/// Whoever is below the cgroup is in it; whoever is beside it is not.
fn descendant_cgroup() -> Result<(), Failed> {
    let (cgroup, beside) = (Cgroup::new(), Cgroup::new());
    let several = Several::over_tcp();
    several.join(NGINX_V4, &cgroup.descendant());
    several.join(HAPROXY_LOOPBACK, cgroup.path());
    several.join(NGINX_V6, beside.path());
    let from_root = format!("/{}", cgroup.name());
    several.watch_all(
        &["--cgroup", from_root.as_str()],
        &[NGINX_V4, HAPROXY_LOOPBACK],
        &json!({"cgroup": 10}),
    )
}

/// Some proxies, each with an upstream of its own that fails at once.
struct Several {
    proxies: Vec<Proxy>,
    addresses: Vec<Address>,
    // Keeps the ports.
    _upstreams: Vec<Upstream>,
    lab: Lab,
}

impl Several {
    #[track_caller]
    fn over_tcp() -> Self {
        let lab = Lab::new(Path::Veth);
        let v4 = lab.upstream_address(Family::V4);
        let v6 = lab.upstream_address(Family::V6);
        let refuse = |namespace: &Namespace, address: IpAddr| {
            Upstream::start(namespace, address, Behaviour::Refuse)
        };
        let upstreams = vec![
            refuse(lab.upstream(), v4),
            refuse(lab.upstream(), v6),
            refuse(lab.upstream(), v4),
            refuse(lab.proxy(), Ipv4Addr::LOCALHOST.into()),
        ];
        let kinds = [Kind::Nginx, Kind::Nginx, Kind::Haproxy, Kind::Haproxy];
        let addresses = upstreams.iter().map(Upstream::address).collect();
        Self::start(lab, &kinds, addresses, upstreams)
    }

    /// Two with unix sockets that nobody listens on, one with a name that nobody has, and one with
    /// a port that refuses.
    #[track_caller]
    fn over_sockets() -> Self {
        let lab = Lab::new(Path::Loopback);
        let port = Upstream::start(lab.proxy(), Ipv4Addr::LOCALHOST.into(), Behaviour::Refuse);
        let addresses = vec![
            Address::Unix(lab.scratch().join("one.sock")),
            Address::Unix(lab.scratch().join("one.sock.two")),
            DeadSocket::new(lab.scratch(), Dead::Nameless)
                .address()
                .clone(),
            port.address(),
        ];
        let kinds = [Kind::Nginx, Kind::Haproxy, Kind::Haproxy, Kind::Nginx];
        Self::start(lab, &kinds, addresses, vec![port])
    }

    #[track_caller]
    fn start(lab: Lab, kinds: &[Kind], addresses: Vec<Address>, upstreams: Vec<Upstream>) -> Self {
        let proxies = kinds
            .iter()
            .zip(&addresses)
            .map(|(&kind, address)| Proxy::start(&lab, &settings(kind, address.clone())))
            .collect();
        Self {
            proxies,
            addresses,
            _upstreams: upstreams,
            lab,
        }
    }

    fn address(&self, index: usize) -> &Address {
        self.addresses.get(index).expect("one of them")
    }

    /// `--pid` for each process of these proxies.
    fn pids(&self, indices: &[usize]) -> Vec<String> {
        let proxies = indices.iter().filter_map(|index| self.proxies.get(*index));
        proxies
            .flat_map(Proxy::workers)
            .flat_map(|pid| ["--pid".to_owned(), pid.to_string()])
            .collect()
    }

    /// Moves a proxy's processes into a cgroup.
    #[track_caller]
    fn join(&self, index: usize, cgroup: &std::path::Path) {
        let proxy = self.proxies.get(index).expect("one of four");
        for pid in proxy.workers() {
            fs::write(cgroup.join("cgroup.procs"), pid.to_string())
                .expect("root may move a process");
        }
    }

    /// Like [`Self::watch`], with these the only proxies of the host: others would be counted
    /// as skipped too.
    fn watch_all(&self, filter: &[&str], wanted: &[usize], skipped: &Value) -> Result<(), Failed> {
        let all: Vec<_> = (0..self.proxies.len()).collect();
        let mut arguments = self.pids(&all);
        arguments.extend(filter.iter().map(|&argument| argument.to_owned()));
        self.watch(&arguments, wanted, Some(skipped))
    }

    /// Lets all of them fail, and expects the events and the counts of the wanted ones alone.
    fn watch(
        &self,
        arguments: &[String],
        wanted: &[usize],
        skipped: Option<&Value>,
    ) -> Result<(), Failed> {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let agent = Agent::trace(&arguments);
        for proxy in &self.proxies {
            let target = proxy.target();
            let answers = client::send(self.lab.proxy(), target, Request::Get, REQUESTS, 5);
            assert!(answers.status().is_some_and(|status| status >= 500));
        }
        let netns = self.lab.proxy().inode();
        agent.wait_events(REQUESTS * wanted.len(), LATE, |event| {
            event.netns() == Some(netns)
        });
        let session = agent.stop(Signal::SIGINT);
        let differences = self.compare(&arguments, &session, wanted, skipped);
        if differences.is_empty() {
            return Ok(());
        }
        let log: String = self.proxies.iter().map(Proxy::text).collect();
        Err(format!(
            "with {arguments:?}:\n{differences}\nthe proxies' logs:\n{log}\n\
             gw502 on standard output:\n{}\ngw502 on standard error:\n{}",
            session.stdout, session.stderr
        )
        .into())
    }

    fn compare(
        &self,
        arguments: &[&str],
        session: &Session,
        wanted: &[usize],
        skipped: Option<&Value>,
    ) -> Differences {
        let mut differences = Differences::default();
        differences.check("exit code", &0, &session.code);
        let netns = self.lab.proxy().inode();
        let events = expect::events_in(session, netns);
        let summary = session.summary.as_ref();
        for (index, proxy) in self.proxies.iter().enumerate() {
            let upstream = self.address(index);
            let is_wanted = wanted.contains(&index);
            let of_it: Vec<_> = events
                .iter()
                .filter(|event| event.upstream().as_ref() == Some(upstream))
                .collect();
            let expected = if is_wanted { REQUESTS } else { 0 };
            differences.check(&format!("events of {upstream}"), &expected, &of_it.len());
            let comm = proxy.kind().program();
            for event in of_it {
                let seen = (event.text("/class"), event.text("/proxy/comm"));
                differences.check("class and proxy", &(Some("refused"), Some(comm)), &seen);
            }
            let counted = is_wanted.then_some(REQUESTS as u64);
            let counts = |read: fn(&_, _, _) -> _| {
                summary.and_then(|summary| read(summary, netns, upstream))
            };
            let attempts = counts(Summary::attempts);
            differences.check(&format!("attempts of {upstream}"), &counted, &attempts);
            let failed = counts(Summary::failed);
            differences.check(&format!("failed of {upstream}"), &counted, &failed);
        }
        differences.check("events", &(REQUESTS * wanted.len()), &events.len());
        let is_off = arguments.ends_with(&["--syscalls", "off"]);
        let says_so = session
            .stderr
            .lines()
            .any(|line| line.starts_with("ready:") && line.contains("blind to unix sockets"));
        differences.check("ready: says that it is blind to them", &is_off, &says_so);
        if let Some(skipped) = skipped {
            let seen = summary.and_then(Summary::skipped);
            differences.check("skipped", &Some(skipped), &seen);
        }
        differences
    }
}
