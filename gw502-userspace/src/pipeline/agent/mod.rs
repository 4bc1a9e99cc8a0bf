//! `agent`: runs for months, ships failures and diagnoses, and shows metrics.
//!
//! - `desk`: what comes in becomes records and measures; `storm` bounds how many; `backlog` asks for
//!   accept queues.
//! - `workers`, `pusher`: the sinks, each on threads of its own.
//! - `mark`: tells a run that was killed.
//! - `file`: the configuration; `notify`: what the service manager is told.

mod backlog;
mod desk;
mod file;
mod mark;
mod notify;
mod pusher;
mod storm;
mod workers;

use std::io::{self, Write as _};
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use self::desk::Desk;
use self::file::ConfigError;
use self::workers::{WorkerError, Workers};
use super::live::{Flow, Live, Moment, failed};
use super::setup;
use crate::cli::Problem;
use crate::cli::args::AgentArgs;
use crate::cli::exit::Exit;
use crate::config::PageConfig;
use crate::kernel::privilege;
use crate::metrics::serve::{Server, Shown};

/// Why the agent ended by itself.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error("cannot read the counters of the kernel side")]
    Counters(#[from] aya::maps::MapError),
    #[error("cannot wait for the kernel's ring buffer")]
    Ring(#[from] io::Error),
}

/// `--check-config`.
pub fn check(args: &AgentArgs) -> Result<Exit, Problem> {
    let config = match file::read(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return Ok(complain(&error)),
    };
    workers::check(&config, "localhost").map_err(|error| no_sink(&error))?;
    // A reader that left has seen enough.
    write!(io::stdout().lock(), "{config}").unwrap_or(());
    Ok(Exit::Ok)
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: AgentArgs) -> Result<Exit, Problem> {
    let config = match file::read(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return Ok(complain(&error)),
    };
    // From here on a SIGHUP does not end the process.
    let hangup = signal(SignalKind::hangup());
    let hangup = hangup.map_err(|error| failed("cannot wait for signals", &error))?;
    let (mut live, origin) = Live::start(&config.watch.selection())?;
    live.outlive_stdout();
    match privilege::give_up_the_rest() {
        Ok(kept) => log::info!("capabilities kept: {}", kept.join(" ")),
        Err(error) => log::warn!("capabilities could not be given up: {error}"),
    }
    let (show, shown) = watch::channel(Shown::nothing());
    let workers = Workers::start(&config, &origin.host, origin.id, shown.clone());
    let workers = workers.map_err(|error| no_sink(&error))?;
    let page = page(config.page, &shown).map_err(|error| no_page(config.page, &error))?;
    let idle = config.limits.idle;
    let mut desk = Desk::new(
        args.config,
        config,
        origin,
        setup::own_netns(),
        live.plan(),
        workers,
        page,
        show,
    );
    live.forget_after(idle);
    live.hear_hangups(hangup);
    desk.ready();
    let watched = live
        .follow_counting(|moment| {
            match moment {
                Moment::Event(failure) => desk.event(failure),
                Moment::Counted(counted, at_ns) => desk.counted(counted, at_ns),
                Moment::HungUp => desk.reload(),
            }
            Ok::<_, AgentError>(Flow::Go)
        })
        .await;
    notify::stopping();
    desk.finish();
    match watched {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(failed("the agent broke off", &error)),
    }
}

fn page(config: Option<PageConfig>, shown: &watch::Receiver<Shown>) -> io::Result<Option<Server>> {
    let start = |page: PageConfig| Server::start(page.listen, shown.clone());
    config.map(start).transpose()
}

/// What is wrong with a configuration, a line each, for people and for editors alike.
fn complain(error: &ConfigError) -> Exit {
    writeln!(io::stderr().lock(), "{error}").unwrap_or(());
    Exit::Usage
}

fn no_sink(error: &WorkerError) -> Problem {
    Problem::new(
        Exit::Failed,
        "cannot ship anything",
        error,
        "put that right, and check with `gw502 agent --check-config`",
    )
}

fn no_page(page: Option<PageConfig>, error: &io::Error) -> Problem {
    let listen = page.map(|page| page.listen.to_string()).unwrap_or_default();
    Problem::new(
        Exit::Failed,
        format!("cannot serve metrics on {listen}"),
        error,
        "write another address, or false, as `listen` in [metrics]",
    )
}

/// The path of the configuration, as it is logged.
fn name(path: Option<&Path>) -> String {
    path.map_or_else(
        || "the defaults".to_owned(),
        |path| path.display().to_string(),
    )
}
