//! `diagnose`: what is wrong with which upstream, since when, why, and what to do.

use std::fs::File;
use std::io::{self, BufReader};
use std::time::Duration;

use bytes::Bytes;

use super::live::{Flow, Live, Moment, failed};
use super::setup;
use super::show::style;
use crate::cli::Problem;
use crate::cli::args::{DiagnoseArgs, Output, Selection, View};
use crate::cli::exit::Exit;
use crate::clock;
use crate::diagnose::{Engine, Place};
use crate::event::{Cause, Class, Failure};
use crate::intake::recording::{Choice, Line, ReadError, Reader};
use crate::render::text::Style;
use crate::render::{Origin, json, text};
use crate::sink::{Console, SinkError};

/// How long to watch when nobody says.
const DURATION: Duration = Duration::from_secs(30);

/// Why a diagnosis broke off.
#[derive(Debug, thiserror::Error)]
enum DiagnoseError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("cannot read the counters of the kernel side")]
    Counters(#[from] aya::maps::MapError),
    #[error("cannot wait for the kernel's ring buffer")]
    Ring(#[from] io::Error),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Watches until a signal, `--duration`, `--count`, `--until-healthy` or the end of the reader.
pub async fn run(args: DiagnoseArgs) -> Result<Exit, Problem> {
    let endless = args.follow || args.until_healthy.is_some();
    let selection = Selection {
        duration: args.selection.duration.or((!endless).then_some(DURATION)),
        ..args.selection.clone()
    };
    let (mut live, origin) = Live::start(&selection)?;
    let mut doctor = Doctor::new(&args, origin, setup::own_netns());
    let started_ns = clock::boot_ns().map_err(|error| failed("cannot tell the time", &error))?;
    doctor.until_healthy = args.until_healthy.map(|quiet| Quiet {
        started_ns,
        for_ns: u64::try_from(quiet.as_nanos()).unwrap_or(u64::MAX),
        reached: false,
    });
    let watched = live
        .follow_counting(|moment| match moment {
            Moment::Event(failure) => Ok(doctor.event(failure)),
            Moment::Counted(counted, at_ns) => {
                doctor.engine.counted(counted, at_ns);
                doctor.changes()?;
                Ok(doctor.flow_at(at_ns))
            }
            Moment::HungUp => Ok(Flow::Go),
        })
        .await;
    match watched.and_then(|()| doctor.finish(None).map_err(DiagnoseError::from)) {
        Ok(()) | Err(DiagnoseError::Sink(SinkError::Gone)) => Ok(doctor.exit()),
        Err(error) => Err(failed("the diagnosis broke off", &error)),
    }
}

/// Diagnoses a recording. No root, no clock, no /proc.
pub fn replay(args: &DiagnoseArgs) -> Result<Exit, Problem> {
    let path = args.replay.clone().unwrap_or_default();
    let what = format!("cannot diagnose `{}`", path.display());
    let help = "name a file that `gw502 record` wrote; of a damaged one, what stands before the \
                damage was diagnosed";
    let file =
        File::open(&path).map_err(|error| Problem::new(Exit::Usage, what.clone(), &error, help))?;
    match replay_file(args, BufReader::new(file)) {
        Ok(exit) => Ok(exit),
        Err(DiagnoseError::Sink(SinkError::Gone)) => Ok(Exit::Ok),
        Err(error) => Err(Problem::new(Exit::Failed, what, &error, help)),
    }
}

fn replay_file(args: &DiagnoseArgs, file: BufReader<File>) -> Result<Exit, DiagnoseError> {
    let mut reader = Reader::new(file)?;
    let header = reader.header();
    let (origin, host_netns) = (header.origin(), header.host_netns());
    let choice = header.choice().clone();
    let mut doctor = Doctor::new(args, origin, host_netns);
    loop {
        match reader.next_line() {
            // To the end, whatever `--count` says: the totals are there.
            Ok(Line::Failure(failure)) => match doctor.event(&failure) {
                Flow::Go | Flow::Stop => {}
            },
            Ok(Line::Counters(snapshot)) => {
                doctor.engine.snapshot(&snapshot);
                doctor.changes()?;
            }
            Ok(Line::Unrecorded(portion)) => doctor.engine.portion(&portion),
            Ok(Line::End(counted)) => {
                doctor.engine.end(&counted);
                doctor.changes()?;
                doctor.finish(Some(&choice))?;
                reader.finish()?;
                return Ok(doctor.exit());
            }
            // The reader takes it at the start, and a second one for damage.
            Ok(Line::Header(_)) => {}
            Err(error) => {
                doctor.finish(Some(&choice))?;
                return Err(error.into());
            }
        }
    }
}

/// `--until-healthy`.
struct Quiet {
    started_ns: u64,
    for_ns: u64,
    reached: bool,
}

/// The engine, and how its word is shown.
struct Doctor {
    engine: Engine,
    view: View,
    follow: bool,
    until_healthy: Option<Quiet>,
    origin: Origin,
    host_netns: Option<u32>,
    style: Style,
    console: Console,
}

impl Doctor {
    fn new(args: &DiagnoseArgs, origin: Origin, host_netns: Option<u32>) -> Self {
        Self {
            engine: Engine::default(),
            view: args.view.clone(),
            follow: args.follow,
            until_healthy: None,
            origin,
            host_netns,
            style: style(args.view.color),
            console: Console::default(),
        }
    }

    fn event(&mut self, failure: &Failure) -> Flow {
        let filter = &self.view.filter;
        let enough = |count| self.engine.failures() >= count;
        let full = filter.count.is_some_and(enough);
        self.engine
            .event(failure, !full && filter.wants_kind(failure));
        match filter.count {
            Some(count) if self.engine.failures() >= count => Flow::Stop,
            _ => Flow::Go,
        }
    }

    /// Whether nothing has failed for long enough.
    fn flow_at(&mut self, now_ns: u64) -> Flow {
        let Some(quiet) = &mut self.until_healthy else {
            return Flow::Go;
        };
        let since_ns = quiet
            .started_ns
            .max(self.engine.last_failure_ns().unwrap_or(0));
        quiet.reached = now_ns.saturating_sub(since_ns) >= quiet.for_ns;
        if quiet.reached { Flow::Stop } else { Flow::Go }
    }

    /// With `--follow`: what has changed.
    fn changes(&mut self) -> Result<(), SinkError> {
        if !self.follow {
            return Ok(());
        }
        let Self {
            engine,
            view,
            origin,
            host_netns,
            style,
            console,
            ..
        } = self;
        let time = |at_ns| text::time_of_day(at_ns, origin);
        let place = Place {
            time: &time,
            host_netns: *host_netns,
        };
        let changes = engine.changes(place, &|class, cause| wants(view, class, cause));
        let bytes = changes.iter().flat_map(|diagnosis| match view.output {
            Output::Json => json::diagnosis(diagnosis, origin),
            Output::Text => Bytes::from(text::change(diagnosis, origin, style)),
        });
        let bytes: Vec<u8> = bytes.collect();
        if bytes.is_empty() {
            return Ok(());
        }
        console.write(&bytes)
    }

    /// The diagnosis. `choice` is what a recording was to hold.
    fn finish(&mut self, choice: Option<&Choice>) -> Result<(), SinkError> {
        self.engine.close();
        let time = |at_ns| text::time_of_day(at_ns, &self.origin);
        let place = Place {
            time: &time,
            host_netns: self.host_netns,
        };
        let view = &self.view;
        let wanted = |class, cause| wants(view, class, cause);
        let report = self.engine.report(place, &wanted);
        let options = choice.map(ToString::to_string).unwrap_or_default();
        let include_aborted = view.filter.include_aborted;
        let bytes = match view.output {
            Output::Json => json::report(&report, &options, &self.origin),
            Output::Text => text::report(
                &report,
                &options,
                include_aborted,
                &self.origin,
                &self.style,
            )
            .into(),
        };
        self.console.write(&bytes)
    }

    fn exit(&self) -> Exit {
        let unhealthy = self
            .until_healthy
            .as_ref()
            .is_some_and(|quiet| !quiet.reached);
        let failures = self.view.fail_on_failures && self.engine.failures() > 0;
        if unhealthy || failures {
            Exit::Findings
        } else {
            Exit::Ok
        }
    }
}

fn wants(view: &View, class: Class, cause: Cause) -> bool {
    let filter = &view.filter;
    let of_class = filter.class.is_empty() || filter.class.contains(&class);
    let of_cause = filter.cause.is_empty() || filter.cause.contains(&cause);
    of_class && of_cause
}
