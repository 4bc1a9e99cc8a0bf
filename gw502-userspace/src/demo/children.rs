//! Child processes that cannot outlive the demo.
//!
//! Both children are this very binary, run again. The kernel kills them when the thread that
//! started them dies (`PR_SET_PDEATHSIG`), by whatever: a `kill -9` leaves nothing behind.

use std::ffi::CStr;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpid, getppid, setsid};

/// The name that the trace watches, and the hidden subcommand. A comm holds 15 bytes.
pub(super) const PROXY_NAME: &CStr = c"demo-proxy";

/// This binary, whatever became of its path since it was started.
pub(super) fn ourselves() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("gw502");
    command
}

/// Ties the life of the child to the calling thread; moves it to `netns` first, if one is given.
pub(super) fn tether(command: &mut Command, netns: Option<OwnedFd>) -> &mut Command {
    let parent = getpid();
    let prepare = move || -> io::Result<()> {
        if let Some(netns) = &netns {
            setns(netns, CloneFlags::CLONE_NEWNET)?;
        }
        // A session of its own: Ctrl-C reaches only the demo, which ends its children in order.
        setsid()?;
        // We block signals (see `signals`), and a signal mask survives exec.
        SigSet::empty().thread_set_mask()?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above took effect.
        if getppid() != parent {
            return Err(Errno::ESRCH.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec `prepare` makes system calls only: it takes no lock, and
    // neither an errno nor an `io::Error` made of one allocates.
    unsafe { command.pre_exec(prepare) }
}

/// Kills and reaps a child; for `drop`, where an error can only be logged.
pub(super) fn put_down(child: &mut Child, name: &str) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        log::warn!("cannot end {name}: {error}");
    }
}

/// The running proxy process.
#[derive(Debug)]
pub(super) struct ProxyChild {
    child: Child,
    /// Where it listens, in our namespace.
    pub(super) address: SocketAddr,
}

impl ProxyChild {
    /// Starts the proxy in our namespace and waits until it listens.
    ///
    /// `routes` are [`proxy_main`](super::proxy_main)'s arguments.
    pub(super) fn spawn(routes: &[String]) -> anyhow::Result<Self> {
        let mut command = ourselves();
        command
            .arg(
                PROXY_NAME
                    .to_str()
                    .context("the proxy's name is not UTF-8")?,
            )
            .args(routes)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let child = tether(&mut command, None)
            .spawn()
            .context("cannot start the demo's proxy")?;
        let mut proxy = Self {
            child,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        };

        let stdout = proxy
            .child
            .stdout
            .take()
            .context("the proxy's stdout is not piped")?;
        let mut port = String::new();
        BufReader::new(stdout)
            .read_line(&mut port)
            .context("cannot read the proxy's port")?;
        if port.is_empty() {
            bail!("the demo's proxy ended before it listened");
        }
        let port = port
            .trim_end()
            .parse()
            .with_context(|| format!("`{port}` is not a port"))?;
        proxy.address.set_port(port);
        Ok(proxy)
    }
}

impl Drop for ProxyChild {
    fn drop(&mut self) {
        put_down(&mut self.child, "the demo's proxy");
    }
}
