//! `trace`: each failure as it happens, and a table at the end.

use std::io;

use super::live::{Live, failed};
use super::show::Show;
use crate::cli::Problem;
use crate::cli::args::TraceArgs;
use crate::cli::exit::Exit;
use crate::sink::SinkError;

/// Why a running trace ended early.
#[derive(Debug, thiserror::Error)]
enum TraceError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("cannot read the counters of the kernel side")]
    Counters(#[from] aya::maps::MapError),
    #[error("cannot wait for the kernel's ring buffer")]
    Ring(#[from] io::Error),
}

/// Runs until a signal, `--duration`, `--count` or the end of the reader.
pub async fn run(args: TraceArgs) -> Result<Exit, Problem> {
    let (mut live, origin) = Live::start(&args.selection)?;
    let mut show = Show::new(args.view, origin);
    match follow(&mut live, &mut show).await {
        Ok(()) | Err(TraceError::Sink(SinkError::Gone)) => Ok(show.exit()),
        Err(error) => Err(failed("the trace broke off", &error)),
    }
}

async fn follow(live: &mut Live, show: &mut Show) -> Result<(), TraceError> {
    live.follow(|failure| show.event(failure).map_err(TraceError::from))
        .await?;
    let counted = live.counted()?;
    Ok(show.finish(counted, None)?)
}
