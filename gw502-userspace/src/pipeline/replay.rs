//! `replay`: a recording, shown as `trace` would have shown it. No root, no clock, no /proc.
//!
//! What stands before a damage is shown; nothing after it, which may be anything.

use std::fs::File;
use std::io::BufReader;

use super::live::Flow;
use super::show::Show;
use crate::cli::Problem;
use crate::cli::args::ReplayArgs;
use crate::cli::exit::Exit;
use crate::intake::recording::{Line, ReadError, Reader};
use crate::sink::SinkError;

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Shows the recording to its end, or as far as `--count` goes.
pub fn run(args: &ReplayArgs) -> Result<Exit, Problem> {
    let what = format!("cannot replay `{}`", args.file.display());
    let help = "name a file that `gw502 record` wrote; of a damaged one, what stands before the \
                damage was shown";
    let file = File::open(&args.file)
        .map_err(|error| Problem::new(Exit::Usage, what.clone(), &error, help))?;
    match replay(args, BufReader::new(file)) {
        Ok(exit) => Ok(exit),
        Err(ReplayError::Sink(SinkError::Gone)) => Ok(Exit::Ok),
        Err(error) => Err(Problem::new(Exit::Failed, what, &error, help)),
    }
}

fn replay(args: &ReplayArgs, file: BufReader<File>) -> Result<Exit, ReplayError> {
    let mut reader = Reader::new(file)?;
    let mut show = Show::new(args.view.clone(), reader.header().origin());
    loop {
        match reader.next_line()? {
            // To the end, whatever `--count` says: the totals are there.
            Line::Failure(failure) => match show.event(&failure)? {
                Flow::Go | Flow::Stop => {}
            },
            Line::Unrecorded(portion) => show.unrecorded(&portion),
            Line::End(counted) => {
                show.finish(counted, Some(reader.header().choice()))?;
                reader.finish()?;
                return Ok(show.exit());
            }
            // The reader takes the header at the start, and a second one for damage; what was
            // counted meanwhile is for the diagnosis.
            Line::Header(_) | Line::Counters(_) => {}
        }
    }
}
