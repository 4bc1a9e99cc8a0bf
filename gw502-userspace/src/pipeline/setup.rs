//! From options to programs in the kernel.

use crate::cli::Problem;
use crate::cli::args::Selection;
use crate::cli::exit::Exit;
use crate::kernel::layout::{self, KernelLayout, LayoutError};
use crate::kernel::root::KernelRoot;
use crate::kernel::{cgroup, listeners, privilege};
use crate::plan::Wish;
use crate::probe::{Probe, ProbeError, Watch};

/// Proxies that are watched when nobody says otherwise, by the name of their main thread.
pub(super) const KNOWN_PROXIES: &[&str] = &[
    "nginx",
    "haproxy",
    "envoy",
    "caddy",
    "traefik",
    "httpd",
    "apache2",
    "varnishd",
    "squid",
    "lighttpd",
    "hitch",
    "pound",
    "nghttpx",
    "openresty",
    "angie",
    "[TS_MAIN]",
    "h2o",
    "cloudflared",
    "oauth2-proxy",
    "kong",
    "apisix",
    "pingora",
    "linkerd2-proxy",
    "kamal-proxy",
    "tinyproxy",
];

/// Whom the options ask to watch.
pub(super) fn watch(selection: &Selection, root: &KernelRoot) -> Result<Watch, Problem> {
    let named_nobody = selection.proxy.is_empty() && selection.pid.is_empty();
    let names = if named_nobody && !selection.all_processes {
        KNOWN_PROXIES
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    } else {
        selection.proxy.clone()
    };
    let cgroup = selection
        .cgroup
        .as_deref()
        .map(|path| cgroup::find(root, path))
        .transpose();
    let cgroup = cgroup.map_err(|error| {
        let what = "cannot watch that cgroup";
        Problem::new(
            Exit::Usage,
            what,
            &error,
            "`systemd-cgls` shows the cgroups of this host",
        )
    })?;
    Ok(Watch {
        all_processes: selection.all_processes,
        names,
        pids: selection.pid.clone(),
        cgroup,
        upstreams: selection.upstream.clone(),
        ring_bytes: selection.ring_size * 1024,
    })
}

/// Loads the programs, or says why that cannot be.
pub(super) fn load(root: &KernelRoot, watch: &Watch, wish: Wish) -> Result<Probe, Problem> {
    let layout = layout(root)?;
    let mut probe = Probe::load(root, &layout, watch, wish).map_err(|error| refused(&error))?;
    probe.attach().map_err(|error| refused(&error))?;
    let listeners = listeners::of(root, |pid, comm| watch.includes(pid, comm));
    probe
        .know_listeners(listeners)
        .map_err(|error| refused(&error))?;
    Ok(probe)
}

/// Inode number of the network namespace that gw502 runs in.
pub(super) fn own_netns() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let namespace = std::fs::metadata("/proc/self/ns/net").ok()?;
    u32::try_from(namespace.ino()).ok()
}

/// What stands before every load: the capabilities, and the way around in this kernel.
pub(super) fn layout(root: &KernelRoot) -> Result<KernelLayout, Problem> {
    // Asked first: a kernel that refuses for want of a capability words it in many ways.
    let missing = privilege::missing(root);
    if !missing.is_empty() {
        return Err(not_permitted(&missing));
    }
    raise_memlock();
    layout::read(&root.btf).map_err(|error| no_layout(&error))
}

fn not_permitted(missing: &[&str]) -> Problem {
    let uid = nix::unistd::geteuid();
    let (names, verb) = (
        missing.join(" and "),
        if missing.len() == 1 { "is" } else { "are" },
    );
    Problem {
        what: "cannot load eBPF programs: not permitted".to_owned(),
        why: vec![format!("{names} {verb} missing (running as uid {uid})")],
        help: "run as root, or: sudo setcap cap_bpf,cap_perfmon+ep $(command -v gw502)".to_owned(),
        exit: Exit::NotPermitted,
    }
}

fn no_layout(error: &LayoutError) -> Problem {
    let help = match error {
        LayoutError::Unreadable { .. } => {
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (every current distribution has it)"
        }
        LayoutError::Shape { .. } | LayoutError::Damaged { .. } => {
            "report this with the kernel's version: gw502 does not know its layout yet"
        }
    };
    Problem::new(
        Exit::Unsupported,
        "cannot find its way in this kernel",
        error,
        help,
    )
}

pub(super) fn refused(error: &ProbeError) -> Problem {
    let (exit, help) = match error {
        ProbeError::NoObject => (
            Exit::Unsupported,
            "build without GW502_NO_BPF, after `cargo xtask setup`",
        ),
        ProbeError::Impossible(impossible) if impossible.lacks_privilege() => (
            Exit::NotPermitted,
            "run as root, or leave out --hooks and --syscalls",
        ),
        ProbeError::Impossible(_) => (
            Exit::Unsupported,
            "leave out --hooks and --syscalls; `gw502 doctor` says what this kernel has",
        ),
        _ if error.is_permission() && !privilege::may_raise_limits(&KernelRoot::new(None)) => (
            Exit::NotPermitted,
            "run as root, or with CAP_SYS_RESOURCE as well: before Linux 5.11 eBPF maps count as \
             locked memory",
        ),
        _ if error.is_permission() => (
            Exit::NotPermitted,
            "run as root on the host; in a container, start it with --privileged",
        ),
        _ => (
            Exit::Unsupported,
            "report this with the kernel's version and the lines above",
        ),
    };
    Problem::new(exit, "cannot load eBPF programs", error, help)
}

/// Kernels before 5.11 charge maps to RLIMIT_MEMLOCK. Later ones do not care, and a host may
/// forbid raising it: trying is all there is to do, and the load tells.
fn raise_memlock() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        log::debug!("cannot raise RLIMIT_MEMLOCK: {error}");
    }
}
