//! `trace`: ring → decode → classify → enrich → aggregate → render → console.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsRawFd as _;

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::setup;
use super::stop::Stop;
use crate::aggregate::Tally;
use crate::classify::Classifier;
use crate::cli::Problem;
use crate::cli::args::{Colour, Output, TraceArgs};
use crate::cli::exit::Exit;
use crate::clock::TimeAnchor;
use crate::enrich::ProcessBook;
use crate::event::Failure;
use crate::intake::counters::Counters;
use crate::intake::decode::{DecodeError, Decoded};
use crate::intake::ring::Ring;
use crate::kernel::processes;
use crate::kernel::root::KernelRoot;
use crate::probe::{Probe, Watch};
use crate::render::text::Style;
use crate::render::{Origin, Summary, json, text};
use crate::sink::{Console, SinkError};

/// Runs until a signal, `--duration`, `--count` or the end of the reader.
pub async fn run(args: TraceArgs) -> Result<Exit, Problem> {
    let root = KernelRoot::new(args.btf.clone());
    let watch = setup::watch(&args, &root)?;
    let mut stop = Stop::new(args.duration).map_err(|error| failed("cannot wait", &error))?;
    let origin = origin(&root).map_err(|error| failed("cannot tell the time", &error))?;

    let mut probe = setup::load(&root, &watch)?;
    let taken = probe.ring().and_then(|ring| Ok((ring, probe.counters()?)));
    let (ring, counters) = taken.map_err(|error| failed("cannot read from the kernel", &error))?;
    let ring = Ring::new(ring).map_err(|error| failed("cannot wait for the kernel", &error))?;

    announce(&root, &watch);
    let mut trace = Trace::new(args, origin, root);
    let result = trace.follow(ring, &mut stop, &mut probe).await;
    let result = match result {
        Ok(()) => trace.finish(&counters, &mut probe),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) | Err(TraceError::Sink(SinkError::Gone)) => Ok(trace.exit()),
        Err(error) => Err(failed("the trace broke off", &error)),
    }
}

/// Why a running trace ended early.
#[derive(Debug, thiserror::Error)]
enum TraceError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("cannot read the counters of the kernel side")]
    Counters(#[source] aya::maps::MapError),
    #[error("cannot wait for the kernel's ring buffer")]
    Ring(#[from] io::Error),
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(
        Exit::Failed,
        what,
        error,
        "run it again with -vv and report what it says",
    )
}

/// One line on stderr once every hook is attached: what happens after it is never missed.
fn announce(root: &KernelRoot, watch: &Watch) {
    let who = if watch.all_processes {
        "every process".to_owned()
    } else {
        describe(
            &watch.names,
            &watch.pids,
            &processes::running(root, &watch.names),
        )
    };
    let line = format!("ready: {who} · hooks: tracepoint · {}\n", root.kernel());
    io::stderr()
        .lock()
        .write_all(line.as_bytes())
        .unwrap_or_else(|error| {
            log::debug!("cannot write to stderr: {error}");
        });
}

/// Names those that run; the others are watched as well, once they start.
fn describe(names: &[String], pids: &[u32], running: &BTreeMap<String, usize>) -> String {
    let mut parts: Vec<String> = running
        .iter()
        .map(|(name, count)| format!("{name} ({count})"))
        .collect();
    parts.extend(pids.iter().map(|pid| format!("pid {pid}")));
    match (parts.is_empty(), names) {
        (false, _) => format!("watching {}", parts.join(", ")),
        (true, [name]) => format!("watching {name} (not running yet)"),
        (true, names) => format!("watching {} names of proxies (none runs yet)", names.len()),
    }
}

fn origin(root: &KernelRoot) -> nix::Result<Origin> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let boot = std::fs::read_to_string(root.proc("sys/kernel/random/boot_id")).unwrap_or_default();
    // FNV-1a: any mixing will do to keep hosts and boots apart.
    let id = host
        .bytes()
        .chain(boot.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Ok(Origin {
        host,
        id,
        anchor: TimeAnchor::now()?,
    })
}

/// A run.
struct Trace {
    args: TraceArgs,
    origin: Origin,
    style: Style,
    processes: ProcessBook,
    classifier: Classifier,
    tally: Tally,
    console: Console,
    /// Events shown.
    shown: u64,
    /// Failures among them.
    failures: u64,
    /// Records lost before the last one that came.
    lost_total: u64,
    /// Records that could not be decoded.
    undecodable: u64,
    header_shown: bool,
}

impl Trace {
    fn new(args: TraceArgs, origin: Origin, root: KernelRoot) -> Self {
        let style = style(args.color);
        Self {
            args,
            origin,
            style,
            processes: ProcessBook::new(root),
            classifier: Classifier::default(),
            tally: Tally::default(),
            console: Console::default(),
            shown: 0,
            failures: 0,
            lost_total: 0,
            undecodable: 0,
            header_shown: false,
        }
    }

    /// Shows events until told to stop, then those that are still in the ring.
    async fn follow(
        &mut self,
        mut ring: Ring,
        stop: &mut Stop,
        probe: &mut Probe,
    ) -> Result<(), TraceError> {
        let mut asked = std::pin::pin!(stop.asked());
        while !self.enough() {
            tokio::select! {
                () = &mut asked => break,
                result = ring.ready(|record| self.record(record)) => result?,
            }
        }
        probe.detach();
        ring.drain(|record| self.record(record))
    }

    fn record(&mut self, record: Result<Decoded, DecodeError>) -> Result<(), TraceError> {
        match record {
            Ok(decoded) => {
                let lost_total = decoded.record.header.lost_total;
                let lost_before = lost_total.saturating_sub(self.lost_total);
                self.lost_total = self.lost_total.max(lost_total);
                let failure = self.classifier.classify(&decoded, lost_before);
                self.event(failure)
            }
            Err(error) => {
                self.undecodable += 1;
                log::error!("cannot decode a record of the kernel side: {error}");
                Ok(())
            }
        }
    }

    /// `--count` is reached.
    fn enough(&self) -> bool {
        self.args.count.is_some_and(|count| self.shown >= count)
    }

    fn event(&mut self, mut failure: Failure) -> Result<(), TraceError> {
        self.tally.add(&failure);
        if self.enough() || !self.wanted(&failure) {
            return Ok(());
        }
        self.processes.enrich(&mut failure);
        self.shown += 1;
        self.failures += u64::from(failure.is_failure());
        let bytes = match self.args.output {
            Output::Json => json::failure(&failure, &self.origin),
            Output::Text => {
                let mut lines = String::new();
                if !std::mem::replace(&mut self.header_shown, true) {
                    lines.push_str(&text::header());
                }
                lines.push_str(&text::failure(&failure, &self.origin, &self.style));
                Bytes::from(lines)
            }
        };
        Ok(self.console.write(&bytes)?)
    }

    fn wanted(&self, failure: &Failure) -> bool {
        let args = &self.args;
        let class = args.class.is_empty() || args.class.contains(&failure.class);
        let cause = args.cause.is_empty() || args.cause.contains(&failure.cause);
        class && cause && (args.include_aborted || failure.is_failure())
    }

    /// The summary, from counters that no longer move.
    fn finish(&mut self, counters: &Counters, probe: &mut Probe) -> Result<(), TraceError> {
        let counted = counters.upstreams().map_err(TraceError::Counters)?;
        let mut losses = counters.losses().map_err(TraceError::Counters)?;
        for (reason, count) in [
            ("undecodable", self.undecodable),
            ("recursion", probe.recursion_misses()),
        ] {
            if count > 0 {
                losses.insert(reason, count);
            }
        }
        let upstreams = self.tally.summarise(&counted);
        let skips = counters.skips().map_err(TraceError::Counters)?;
        let summary = Summary {
            upstreams,
            losses,
            skips,
            aborted_shown: self.args.include_aborted,
        };
        let bytes = match self.args.output {
            Output::Json => json::summary(&summary, &self.origin),
            Output::Text => text::summary(&summary, &self.origin, &self.style).into(),
        };
        Ok(self.console.write(&bytes)?)
    }

    const fn exit(&self) -> Exit {
        if self.args.fail_on_failures && self.failures > 0 {
            Exit::Findings
        } else {
            Exit::Ok
        }
    }
}

fn style(colour: Colour) -> Style {
    let terminal = io::stdout().is_terminal();
    Style {
        colour: match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        },
        width: if terminal { terminal_width() } else { None },
        zone: TimeZone::system(),
    }
}

fn terminal_width() -> Option<usize> {
    nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open and `size` is what TIOCGWINSZ writes.
    unsafe { window_size(io::stdout().as_raw_fd(), &raw mut size) }.ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
