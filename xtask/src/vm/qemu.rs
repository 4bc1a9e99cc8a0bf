//! Runs a guest in QEMU without KVM, and kills one that hangs.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::console::Report;

/// A guest that says nothing for so long hangs: within it kills a trial itself.
const SILENCE: Duration = Duration::from_mins(3);

/// The plainest there is; HAProxy needs its `cmpxchg16b`.
const PROCESSOR: &str = "qemu64";

/// No messages but those of a panic; nothing that only costs time in an emulator.
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off nowatchdog \
                            rcupdate.rcu_cpu_stall_suppress=1 GW502_SLOW=5";

/// A guest to run.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    /// The folder that QEMU's packages are unpacked in.
    pub(super) emulator: &'a Path,
    pub(super) kernel: &'a Path,
    pub(super) initrd: &'a Path,
    /// Where to keep everything that the guest says.
    pub(super) log: PathBuf,
}

impl Machine<'_> {
    /// Runs it to its end; `shown` sees every line.
    pub(super) fn run(&self, mut shown: impl FnMut(&Report, &str)) -> Result<Report> {
        let mut log = File::create(&self.log)
            .with_context(|| format!("cannot write `{}`", self.log.display()))?;
        let mut child = Killed(self.command().spawn().context("cannot run QEMU")?);
        let output = child.0.stdout.take().context("QEMU has no output")?;
        let (to, lines) = mpsc::sync_channel(64);
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if to.send(line).is_err() {
                    break;
                }
            }
        });
        let mut report = Report::default();
        loop {
            match lines.recv_timeout(SILENCE) {
                Ok(line) => {
                    let line = String::from_utf8_lossy(&line);
                    let line = line.trim_end();
                    writeln!(log, "{line}").context("cannot write the guest's log")?;
                    report.line(line);
                    shown(&report, line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    println!("the guest says nothing for {SILENCE:?}: killed");
                    break;
                }
            }
        }
        report.killed();
        drop(child);
        drop(lines);
        // Its input has ended with the child.
        if reader.join().is_err() {
            println!("the guest's last lines are lost");
        }
        Ok(report)
    }

    fn command(&self) -> Command {
        let inside = |path: &str| self.emulator.join(path);
        let libraries = inside("usr/lib/x86_64-linux-gnu");
        // By its own loader: it must not depend on the libraries of this machine.
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries);
        command.arg(inside("usr/bin/qemu-system-x86_64"));
        for folder in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(inside(folder));
        }
        command.args([
            "-accel", "tcg", "-cpu", PROCESSOR, "-smp", "2", "-m", "2048",
        ]);
        command.args(["-nographic", "-no-reboot", "-nic", "none"]);
        command.arg("-kernel").arg(self.kernel);
        command.arg("-initrd").arg(self.initrd);
        command.args(["-append", COMMAND_LINE]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            println!("cannot end QEMU: {error}");
        }
    }
}
