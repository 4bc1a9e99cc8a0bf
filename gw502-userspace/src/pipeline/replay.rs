//! `replay`: a recording, shown as `trace` would have shown it. No root, no clock, no /proc.

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
    let help = "name a file that `gw502 record` wrote; one that was cut off shows what it has";
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
    let mut flow = Flow::Go;
    loop {
        match reader.next_line()? {
            Line::Failure(failure) if flow == Flow::Go => flow = show.event(&failure)?,
            Line::Failure(failure) => drop(show.event(&failure)?),
            Line::End(counted) => {
                show.finish(counted)?;
                return Ok(show.exit());
            }
            Line::Header(_) => {}
        }
    }
}
