//! Filters: of four upstreams that fail at once only the wanted ones are reported, and what was
//! left out is counted.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{Agent, Session, Summary};
use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::netns::Namespace;
use gw502_tests::proxy::{Kind, Proxy};
use gw502_tests::scratch;
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::scene::{LATE, settings};

/// Requests through each proxy: as many attempts, and as many failures.
const REQUESTS: usize = 5;

/// The proxies by what they are.
const NGINX_V4: usize = 0;
const NGINX_V6: usize = 1;
const HAPROXY_V4: usize = 2;
const HAPROXY_LOOPBACK: usize = 3;

type Body = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> Vec<Trial> {
    let bodies: [(&str, Body); 9] = [
        ("upstream_address_and_port", address_and_port),
        ("upstream_address", address),
        ("upstream_network", network),
        ("upstream_ipv6", ipv6),
        ("upstream_ipv6_network", ipv6_network),
        ("pid", pid),
        ("proxy", proxy),
        ("cgroup", cgroup),
        ("descendant_cgroup", descendant_cgroup),
    ];
    let trials = bodies.into_iter();
    trials
        .map(|(name, body)| Trial::test(format!("filters::{name}"), body))
        .collect()
}

fn address_and_port() -> Result<(), Failed> {
    let four = Four::new();
    let wanted = four.address(NGINX_V4).to_string();
    let arguments = ["--upstream", wanted.as_str()];
    four.watch_all(&arguments, &[NGINX_V4], &json!({"upstream": 15}))
}

fn address() -> Result<(), Failed> {
    let four = Four::new();
    let wanted = four.address(NGINX_V4).ip().to_string();
    let arguments = ["--upstream", wanted.as_str()];
    four.watch_all(
        &arguments,
        &[NGINX_V4, HAPROXY_V4],
        &json!({"upstream": 10}),
    )
}

fn network() -> Result<(), Failed> {
    let arguments = ["--upstream", "10.50.0.0/16", "--upstream", "192.0.2.0/24"];
    Four::new().watch_all(
        &arguments,
        &[NGINX_V4, HAPROXY_V4],
        &json!({"upstream": 10}),
    )
}

fn ipv6() -> Result<(), Failed> {
    let four = Four::new();
    let wanted = four.address(NGINX_V6).to_string();
    let arguments = ["--upstream", wanted.as_str()];
    four.watch_all(&arguments, &[NGINX_V6], &json!({"upstream": 15}))
}

fn ipv6_network() -> Result<(), Failed> {
    let arguments = ["--upstream", "fd50:2::/32", "--upstream", "127.0.0.0/8"];
    Four::new().watch_all(
        &arguments,
        &[NGINX_V6, HAPROXY_LOOPBACK],
        &json!({"upstream": 10}),
    )
}

/// Only the processes asked for are looked at: nothing of the others is counted, not even skipped.
fn pid() -> Result<(), Failed> {
    let four = Four::new();
    let pids = four.pids(&[NGINX_V6, HAPROXY_V4]);
    four.watch(&pids, &[NGINX_V6, HAPROXY_V4], Some(&json!({})))
}

fn proxy() -> Result<(), Failed> {
    let arguments = ["--proxy".to_owned(), "haproxy".to_owned()];
    Four::new().watch(&arguments, &[HAPROXY_V4, HAPROXY_LOOPBACK], None)
}

fn cgroup() -> Result<(), Failed> {
    let cgroup = Cgroup::new();
    let four = Four::new();
    four.join(HAPROXY_V4, &cgroup.path);
    let path = cgroup.path.display().to_string();
    four.watch_all(
        &["--cgroup", path.as_str()],
        &[HAPROXY_V4],
        &json!({"cgroup": 15}),
    )
}

/// Whoever is below the cgroup is in it; whoever is beside it is not.
fn descendant_cgroup() -> Result<(), Failed> {
    let (cgroup, beside) = (Cgroup::new(), Cgroup::new());
    let four = Four::new();
    four.join(NGINX_V4, &cgroup.descendant());
    four.join(HAPROXY_LOOPBACK, &cgroup.path);
    four.join(NGINX_V6, &beside.path);
    let from_root = format!("/{}", cgroup.name);
    four.watch_all(
        &["--cgroup", from_root.as_str()],
        &[NGINX_V4, HAPROXY_LOOPBACK],
        &json!({"cgroup": 10}),
    )
}

/// Four proxies, each with an upstream of its own that refuses.
struct Four {
    proxies: Vec<Proxy>,
    upstreams: Vec<Upstream>,
    lab: Lab,
}

impl Four {
    #[track_caller]
    fn new() -> Self {
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
        let proxies = kinds
            .iter()
            .zip(&upstreams)
            .map(|(&kind, upstream)| Proxy::start(&lab, &settings(kind, upstream.address())))
            .collect();
        Self {
            proxies,
            upstreams,
            lab,
        }
    }

    fn address(&self, index: usize) -> SocketAddr {
        let upstream = self.upstreams.get(index).expect("one of four");
        upstream.address()
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

    /// Like [`Self::watch`], with these four the only proxies of the host: others would be counted
    /// as skipped too.
    fn watch_all(&self, filter: &[&str], wanted: &[usize], skipped: &Value) -> Result<(), Failed> {
        let mut arguments = self.pids(&[NGINX_V4, NGINX_V6, HAPROXY_V4, HAPROXY_LOOPBACK]);
        arguments.extend(filter.iter().map(|&argument| argument.to_owned()));
        self.watch(&arguments, wanted, Some(skipped))
    }

    /// Lets all four fail, and expects the events and the counts of the wanted ones alone.
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
        let differences = self.compare(&session, wanted, skipped);
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

    fn compare(&self, session: &Session, wanted: &[usize], skipped: Option<&Value>) -> Differences {
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
                .filter(|event| event.upstream() == Some(upstream))
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
        if let Some(skipped) = skipped {
            let seen = summary.and_then(Summary::skipped);
            differences.check("skipped", &Some(skipped), &seen);
        }
        differences
    }
}

/// A cgroup (v2) of our own; removed when dropped, after whatever is in it has ended.
struct Cgroup {
    name: String,
    path: PathBuf,
}

impl Cgroup {
    #[track_caller]
    fn new() -> Self {
        let mount = mount_point();
        sweep(&mount);
        let name = scratch::unique_name();
        let path = mount.join(&name);
        fs::create_dir(&path).expect("root may make a cgroup");
        Self { name, path }
    }

    /// Makes one two levels below it.
    #[track_caller]
    fn descendant(&self) -> PathBuf {
        let path = self.path.join("child").join("grandchild");
        fs::create_dir_all(&path).expect("root may make a cgroup");
        path
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It stays busy until the last process in it is gone.
        let removed = deadline::holds_within(Duration::from_secs(3), || remove(&self.path));
        assert!(
            removed || thread::panicking(),
            "cannot remove the cgroup {}",
            self.path.display()
        );
    }
}

/// Where the hierarchy of version 2 is mounted.
#[track_caller]
fn mount_point() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").expect("the kernel lists its mounts");
    let mut lines = mounts.lines().map(|line| line.split(' '));
    lines
        .find_map(|mut fields| {
            let at = fields.nth(1)?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(at))
        })
        .expect("a cgroup2 hierarchy: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

/// Removes the cgroups of runs that have ended.
fn sweep(mount: &std::path::Path) {
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_str()
            .is_some_and(scratch::is_left_over)
        {
            remove(&entry.path());
        }
    }
}

/// Removes a cgroup with those below it, and says whether it is gone. The files in it are not
/// removed but go with it.
fn remove(path: &std::path::Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok()
}
