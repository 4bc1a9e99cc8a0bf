//! Child processes that cannot outlive us, each on the CPU it is given.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use crate::clock;

/// How long a process may take to end after a polite signal.
const GRACE: Duration = Duration::from_secs(10);

/// A running child; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    /// For its pipes.
    pub(crate) child: Child,
}

/// Where a child may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Wherever the scheduler likes.
    Any,
    /// On the CPU of this number.
    Cpu(usize),
}

impl Running {
    /// Starts `command`. The kernel kills it when our thread dies, by whatever.
    pub(crate) fn start(command: &mut Command, place: Place) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut set = CpuSet::new();
        if let Place::Cpu(cpu) = place {
            set.set(cpu)
                .with_context(|| format!("there is no CPU {cpu}"))?;
        }
        let parent = getpid();
        let prepare = move || -> io::Result<()> {
            if place != Place::Any {
                sched_setaffinity(Pid::from_raw(0), &set)?;
            }
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above took effect.
            if getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
            Ok(())
        };
        // SAFETY: between fork and exec `prepare` makes system calls only: it takes no lock and
        // allocates nothing.
        unsafe { command.pre_exec(prepare) };
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        Ok(Self { name, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot wait for `{}`", self.name))
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has.
    pub(crate) fn interrupt(&mut self) -> Result<ExitStatus> {
        let what = format!("the end of `{}`", self.name);
        kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGINT)
            .with_context(|| format!("cannot interrupt `{}`", self.name))?;
        clock::wait_for(&what, GRACE, || self.ended())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended and reaped already in the usual case; both calls then do nothing.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("bench: cannot end `{}`: {error}", self.name);
        }
    }
}
