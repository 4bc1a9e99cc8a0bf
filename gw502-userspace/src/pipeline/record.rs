//! `record`: an incident to a file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::live::{Flow, Live, failed};
use crate::cli::Problem;
use crate::cli::args::RecordArgs;
use crate::cli::exit::Exit;
use crate::intake::recording::{Header, Line};
use crate::render::Origin;

/// Why a recording broke off.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("cannot write to the recording, or wait for the kernel")]
    Io(#[from] io::Error),
    #[error("cannot read the counters of the kernel side")]
    Counters(#[from] aya::maps::MapError),
}

/// Runs until a signal or `--duration`.
pub async fn run(args: RecordArgs) -> Result<Exit, Problem> {
    // Before anything is attached: a file that cannot be written is wrong usage.
    let file = File::create(&args.file).map_err(|error| cannot_create(&args.file, &error))?;
    let (mut live, origin) = Live::start(&args.selection)?;
    match follow(&mut live, &origin, BufWriter::new(file)).await {
        Ok(events) => {
            log::info!("{events} events in {}", args.file.display());
            Ok(Exit::Ok)
        }
        Err(error) => Err(failed("the recording broke off", &error)),
    }
}

fn cannot_create(path: &Path, error: &io::Error) -> Problem {
    let what = format!("cannot create the recording `{}`", path.display());
    Problem::new(
        Exit::Usage,
        what,
        error,
        "name a file in a directory that you may write to",
    )
}

async fn follow(
    live: &mut Live,
    origin: &Origin,
    mut file: BufWriter<File>,
) -> Result<u64, RecordError> {
    let mut events = 0;
    file.write_all(&Line::Header(Header::of(origin)).to_bytes())?;
    live.follow(|failure| {
        events += 1;
        file.write_all(&Line::Failure(failure.clone()).to_bytes())?;
        Ok::<_, RecordError>(Flow::Go)
    })
    .await?;
    let counted = live.counted()?;
    file.write_all(&Line::End(counted).to_bytes())?;
    file.flush()?;
    Ok(events)
}
