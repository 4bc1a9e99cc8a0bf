//! Proxies that get a new configuration while they work, and such as are ended.

use std::fs;
use std::net::SocketAddr;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::{PATIENCE, Proxy, WORKERS, command};
use crate::deadline;
use crate::lab::Lab;
use crate::process::{Process, children};
use crate::sockets;
use crate::tolerate;

impl Proxy {
    /// Replaces the processes that work by new ones, as the program's manual says, and waits until
    /// the old ones have ended: they finish first what they have begun.
    ///
    /// nginx keeps its listening sockets. `HAProxy` starts a second process that binds its own; what
    /// still waits in the queue of the old one is reset when that closes.
    #[track_caller]
    pub fn reload(&mut self, lab: &Lab) {
        assert!(
            self.kind.is_nginx() || self.kind.is_haproxy(),
            "the bench does not know how to reload {}",
            self.kind
        );
        let old = std::mem::take(&mut self.workers);
        if self.kind.is_nginx() {
            self.process.signal(Signal::SIGHUP);
            deadline::wait_until("new workers alone", PATIENCE, || {
                self.workers = children(self.process.pid());
                self.workers.len() == WORKERS
                    && !self.workers.iter().any(|worker| old.contains(worker))
            });
            return;
        }
        let mut command = command(self.kind, &self.configuration, lab.scratch());
        command.arg("-sf").args(old.iter().map(u32::to_string));
        let new = lab.proxy().enter(|| Process::start(&mut command));
        let mut before = std::mem::replace(&mut self.process, new);
        before.wait(PATIENCE);
        self.workers = vec![self.process.pid()];
    }

    /// Puts `line` in the place of each that its configuration has of that directive, and reloads
    /// it.
    #[track_caller]
    pub fn configure(&mut self, lab: &Lab, line: &str) {
        let directive = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let text = fs::read_to_string(&self.configuration).expect("the bench wrote it");
        let is_old = |old: &str| old.trim_end().ends_with(';') && directive(old) == directive(line);
        assert!(text.lines().any(is_old), "no such directive: {line}");
        let lines = text.lines().map(|old| if is_old(old) { line } else { old });
        let text = lines.collect::<Vec<_>>().join("\n");
        fs::write(&self.configuration, text).expect("the bench wrote it");
        self.reload(lab);
    }

    /// Ends every process of it at once, by SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal_all(Signal::SIGKILL);
        self.process.wait(PATIENCE);
    }

    /// Starts it again after it has ended, with its configuration and its port.
    #[track_caller]
    pub fn start_again(&mut self, lab: &Lab) {
        let mut command = command(self.kind, &self.configuration, lab.scratch());
        self.process = lab.proxy().enter(|| Process::start(&mut command));
        self.wait_ready(lab.proxy(), &command);
    }

    /// Waits until it has ended, after it was told to.
    #[track_caller]
    pub fn wait_end(&mut self) {
        self.process.wait(PATIENCE);
    }

    /// Stops its workers at a moment when none of them has a connection to `upstream`:
    /// what it does by itself, like health checks, is then whole.
    #[track_caller]
    pub fn freeze_idle(&self, lab: &Lab, upstream: SocketAddr) {
        deadline::wait_until("a moment without connections", PATIENCE, || {
            self.pause();
            let idle = sockets::connections_to(lab.proxy(), upstream) == 0;
            if !idle {
                self.resume();
            }
            idle
        });
    }

    /// Sends every process of it a signal, the workers last.
    pub fn signal_all(&self, signal: Signal) {
        self.process.signal(signal);
        for worker in self
            .workers
            .iter()
            .filter(|pid| **pid != self.process.pid())
        {
            // It may have ended by itself.
            tolerate(signal::kill(Pid::from_raw(worker.cast_signed()), signal));
        }
    }
}
