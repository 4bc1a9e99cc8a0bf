//! The proxy's process: executable, cgroup, container.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::names::Names;
use crate::event::Failure;
use crate::kernel::root::KernelRoot;

/// Processes remembered at most. A proxy has tens; a full book starts afresh.
const CAPACITY: usize = 1024;

/// `_SC_CLK_TCK`: procfs gives times in hundredths of a second on every architecture we build for
/// (`USER_HZ`, `include/asm-generic/param.h`).
pub(super) const NS_PER_TICK: u64 = 1_000_000_000 / 100;

/// What is known of processes, by pid and start time, so that a pid used again is another one.
#[derive(Debug)]
pub struct ProcessBook {
    root: KernelRoot,
    known: BTreeMap<(u32, u64), Facts>,
}

#[derive(Clone, Debug, Default)]
struct Facts {
    exe: Option<String>,
    cgroup: Option<String>,
    container: Option<String>,
    /// Of its upstreams. Workers of one proxy share them.
    names: Arc<Names>,
}

impl ProcessBook {
    /// An empty book over the procfs of `root`.
    pub const fn new(root: KernelRoot) -> Self {
        Self {
            root,
            known: BTreeMap::new(),
        }
    }

    /// Fills in the proxy's process. One that has ended, or whose pid another process has by now,
    /// keeps its blanks.
    pub fn enrich(&mut self, failure: &mut Failure) {
        let key = (failure.proxy.pid, failure.proxy_started_ns);
        if !self.known.contains_key(&key) {
            if self.known.len() >= CAPACITY {
                self.known.clear();
            }
            let mut facts = look_up(&self.root, key.0, key.1).unwrap_or_default();
            let mut others = self.known.values();
            if let Some(same) = others.find(|other| other.names == facts.names) {
                facts.names = Arc::clone(&same.names);
            }
            self.known.insert(key, facts);
        }
        if let Some(facts) = self.known.get(&key) {
            failure.proxy.exe.clone_from(&facts.exe);
            failure.proxy.cgroup.clone_from(&facts.cgroup);
            failure.proxy.container.clone_from(&facts.container);
            let name = facts.names.of(&failure.upstream);
            failure.upstream_name = name.map(str::to_owned);
        }
    }
}

fn look_up(root: &KernelRoot, pid: u32, started_ns: u64) -> Option<Facts> {
    let file = |name: &str| root.proc(format!("{pid}/{name}"));
    let exe = fs::read_link(file("exe")).ok();
    let cgroup = fs::read_to_string(file("cgroup"))
        .ok()
        .and_then(|text| unified_path(&text));
    // Last, so that everything above was read from the process that is checked here.
    let stat = fs::read_to_string(file("stat")).ok()?;
    if start_ticks(&stat)? != started_ns / NS_PER_TICK {
        return None;
    }
    Some(Facts {
        exe: exe.map(|path| path.to_string_lossy().into_owned()),
        container: cgroup.as_deref().and_then(container_id),
        cgroup,
        names: Arc::new(Names::of_proxy(root, pid)),
    })
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may hold blanks and brackets.
pub(super) fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The cgroup v2 line of `/proc/PID/cgroup`.
pub(super) fn unified_path(cgroup: &str) -> Option<String> {
    cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

/// The 64 hex digits by which Docker, containerd and Podman name a container in its cgroup.
pub(super) fn container_id(cgroup: &str) -> Option<String> {
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
    cgroup
        .rsplit(['/', '-', '.', ':'])
        .find(is_id)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = "4121 (ng) inx) S 1 4121 4121 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8675309 1 2";
        assert_eq!(start_ticks(stat), Some(8_675_309));
        assert_eq!(start_ticks("garbage"), None);
    }

    #[test]
    fn only_the_unified_cgroup_counts() {
        let text = "12:cpu:/a\n0::/system.slice/nginx.service\n";
        assert_eq!(
            unified_path(text).as_deref(),
            Some("/system.slice/nginx.service")
        );
        assert_eq!(unified_path("12:cpu:/a\n"), None);
    }

    #[test]
    fn a_container_is_known_by_its_64_digits() {
        let id = "3f2a".repeat(16);
        for path in [
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods/pod1/cri-containerd-{id}.scope"),
            format!("/machine/{id}"),
        ] {
            assert_eq!(container_id(&path).as_ref(), Some(&id));
        }
        assert_eq!(container_id("/system.slice/nginx.service"), None);
    }
}
