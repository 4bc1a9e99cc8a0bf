//! `record`: an incident to a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::live::{Flow, Live, Moment, failed};
use super::setup;
use crate::aggregate::{Changes, Counted, Snapshot, Tally};
use crate::cli::Problem;
use crate::cli::args::{Filter, RecordArgs};
use crate::cli::exit::Exit;
use crate::event::Failure;
use crate::intake::recording::{Choice, Header, Line};
use crate::render::Origin;

/// Why a recording broke off.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("cannot write to the recording, or wait for the kernel")]
    Io(#[from] io::Error),
    #[error("cannot read the counters of the kernel side")]
    Counters(#[from] aya::maps::MapError),
}

/// Runs until a signal, `--duration` or `--count`.
pub async fn run(args: RecordArgs) -> Result<Exit, Problem> {
    // Before anything is attached: a file that cannot be written is wrong usage.
    let file = open(&args.file).map_err(|error| cannot_create(&args.file, &error))?;
    let (mut live, origin) = Live::start(&args.selection)?;
    match follow(&mut live, &origin, args.filter, file).await {
        Ok(events) => {
            log::info!("{events} events in {}", args.file.display());
            Ok(Exit::Ok)
        }
        Err(error) => Err(failed("the recording broke off", &error)),
    }
}

/// Not emptied yet: a start that fails should not cost an older recording.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
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
    filter: Filter,
    file: File,
) -> Result<u64, RecordError> {
    // A pipe or a device has no length to set.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    let header = Header::of(origin)
        .with_hooks(live.plan().programs())
        .with_host_netns(setup::own_netns());
    let mut tape = Tape::start(file, header, filter)?;
    live.follow_counting(|moment| match moment {
        Moment::Event(failure) => tape.event(failure).map_err(RecordError::from),
        Moment::Counted(counted, at_ns) => tape.counted(counted, at_ns).map_err(RecordError::from),
        Moment::HungUp => Ok(Flow::Go),
    })
    .await?;
    let counted = live.counted()?;
    tape.last_counters(&counted)?;
    for portion in tape.left_out.portions() {
        tape.file.write_all(&Line::Unrecorded(portion).to_bytes())?;
    }
    tape.file.write_all(&Line::End(counted).to_bytes())?;
    Ok(tape.written)
}

/// Bytes of counters that a recording takes per second at most, in the long run: what grows is
/// bounded by this and by the failures, however many upstreams are busy.
const COUNTERS_PER_SECOND: u64 = 32 * 1024;

/// The file, and which events go there.
///
/// Each line is written at once: whatever ends us, what was seen up to then can be read.
struct Tape<W> {
    file: W,
    filter: Filter,
    /// Events written.
    written: u64,
    /// Those among them that count for `--count`.
    meant: u64,
    /// Events that nobody asked for: without them the totals of a replay would call them lost.
    left_out: Tally,
    changes: Changes,
    /// Before this, `CLOCK_BOOTTIME` nanoseconds, counters would take too much room.
    counters_not_before_ns: u64,
    /// The last reading of the counters, `CLOCK_BOOTTIME` nanoseconds.
    counted_ns: u64,
}

impl<W: io::Write> Tape<W> {
    fn start(mut file: W, header: Header, filter: Filter) -> io::Result<Self> {
        let header = header.with_choice(Choice {
            class: filter.class.clone(),
            cause: filter.cause.clone(),
            count: filter.count,
        });
        file.write_all(&Line::Header(header).to_bytes())?;
        Ok(Self {
            file,
            filter,
            written: 0,
            meant: 0,
            left_out: Tally::default(),
            changes: Changes::default(),
            counters_not_before_ns: 0,
            counted_ns: 0,
        })
    }

    /// Writes which counters have moved.
    fn counted(&mut self, counted: &Counted, at_ns: u64) -> io::Result<Flow> {
        self.counted_ns = at_ns;
        if at_ns < self.counters_not_before_ns {
            return Ok(self.flow());
        }
        if let Some(snapshot) = self.changes.at(at_ns, counted) {
            let line = Line::Counters(snapshot).to_bytes();
            self.file.write_all(&line)?;
            let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
            let pause_ns = bytes.saturating_mul(1_000_000_000) / COUNTERS_PER_SECOND;
            self.counters_not_before_ns = at_ns.saturating_add(pause_ns);
        }
        Ok(self.flow())
    }

    /// The counters at the end of the run, moved or not: until when nothing more failed.
    fn last_counters(&mut self, counted: &Counted) -> io::Result<()> {
        let at_ns = self.counted_ns;
        let nothing = Snapshot {
            at_ns,
            ..Snapshot::default()
        };
        let snapshot = self.changes.at(at_ns, counted).unwrap_or(nothing);
        self.file.write_all(&Line::Counters(snapshot).to_bytes())
    }

    /// Writes an event, or counts it.
    ///
    /// What the proxy cancelled is written although nobody asked for it, so that it can be shown
    /// later: a replay with the options of this run shows what `trace` would have shown.
    fn event(&mut self, failure: &Failure) -> io::Result<Flow> {
        if self.flow() == Flow::Stop || !self.filter.wants_kind(failure) {
            self.left_out.add(failure);
            return Ok(self.flow());
        }
        self.file
            .write_all(&Line::Failure(failure.clone()).to_bytes())?;
        self.written += 1;
        self.meant += u64::from(self.filter.wants(failure));
        Ok(self.flow())
    }

    /// Whether `--count` is reached.
    fn flow(&self) -> Flow {
        if self.filter.count.is_some_and(|count| self.meant >= count) {
            Flow::Stop
        } else {
            Flow::Go
        }
    }
}

#[cfg(test)]
mod tests {
    use gw502_common::ending::Ending;
    use gw502_common::wire::FailureRecord;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::aggregate::{Totals, UpstreamId};
    use crate::classify::Classifier;
    use crate::clock::TimeAnchor;
    use crate::event::{Cause, Class};
    use crate::intake::decode::Ended;
    use crate::intake::recording::Reader;

    fn failure(ending: Ending) -> Failure {
        let record = FailureRecord::default();
        Classifier::default().classify(&Ended { ending, record }.into(), 0)
    }

    fn origin() -> Origin {
        Origin {
            host: "edge-1".to_owned(),
            kernel: "Linux 6.1.0".to_owned(),
            id: 7,
            anchor: TimeAnchor { offset_ns: 0 },
            zone: TimeZone::UTC,
        }
    }

    /// Causes in the file and causes only counted, of two refused, one timed out, one cancelled
    /// and one more refused; and whether the run went on.
    fn taped(filter: Filter) -> (Vec<Cause>, Vec<(Class, Cause, u64)>, bool) {
        let mut tape = Tape::start(Vec::new(), Header::of(&origin()), filter).unwrap();
        let mut flow = Flow::Go;
        for ending in [
            Ending::Refused,
            Ending::Refused,
            Ending::SynTimedOut,
            Ending::SynAbandoned,
            Ending::Refused,
        ] {
            flow = tape.event(&failure(ending)).unwrap();
        }
        let portions: Vec<_> = tape.left_out.portions().collect();
        let kinds = portions.into_iter().flat_map(|portion| portion.kinds);
        let mut reader = Reader::new(&tape.file[..]).unwrap();
        let lines = std::iter::from_fn(|| reader.next_line().ok());
        let causes = lines.filter_map(|line| match line {
            Line::Failure(failure) => Some(failure.cause),
            _ => None,
        });
        (causes.collect(), kinds.collect(), flow == Flow::Go)
    }

    fn filter() -> Filter {
        Filter {
            class: Vec::new(),
            cause: Vec::new(),
            include_aborted: false,
            count: None,
        }
    }

    const REFUSED: Cause = Cause::Refused;

    #[test]
    fn everything_is_written_when_nothing_is_chosen() {
        let unanswered = Cause::SynUnanswered;
        let all = vec![REFUSED, REFUSED, unanswered, Cause::Cancelled, REFUSED];
        assert_eq!(taped(filter()), (all, vec![], true));
    }

    #[test]
    fn what_is_not_chosen_is_counted() {
        let timeouts = Filter {
            class: vec![Class::Timeout],
            ..filter()
        };
        let left_out = vec![
            (Class::Refused, REFUSED, 3),
            (Class::Aborted, Cause::Cancelled, 1),
        ];
        assert_eq!(
            taped(timeouts),
            (vec![Cause::SynUnanswered], left_out, true)
        );
    }

    #[test]
    fn count_counts_what_is_meant_and_ends_the_run() {
        let three = Filter {
            count: Some(3),
            ..filter()
        };
        let written = vec![REFUSED, REFUSED, Cause::SynUnanswered];
        let left_out = vec![
            (Class::Refused, REFUSED, 1),
            (Class::Aborted, Cause::Cancelled, 1),
        ];
        assert_eq!(taped(three), (written, left_out, false));
        let four = Filter {
            count: Some(4),
            ..filter()
        };
        // What was cancelled is written and does not count…
        let (written, left_out, goes_on) = taped(four.clone());
        assert_eq!((written.len(), left_out, goes_on), (5, vec![], false));
        let four = Filter {
            include_aborted: true,
            ..four
        };
        // …unless it is asked for.
        let (written, left_out, _) = taped(four);
        assert_eq!((written.len(), left_out.len()), (4, 1));
    }

    #[test]
    fn counters_take_a_bounded_share_of_the_file() {
        let mut tape = Tape::start(Vec::new(), Header::of(&origin()), filter()).unwrap();
        let header = tape.file.len();
        let id = UpstreamId::of(&failure(Ending::Refused));
        let counted = |attempts| {
            let totals = |port| Totals {
                attempts: attempts + port,
                ..Totals::default()
            };
            let upstreams = (0..2000).map(|port| {
                let netns = u32::try_from(port).unwrap();
                let id = UpstreamId {
                    netns,
                    ..id.clone()
                };
                (Some(id), totals(port))
            });
            Counted {
                upstreams: upstreams.collect(),
                ..Counted::default()
            }
        };
        let seconds = 100;
        for second in 0..seconds {
            let at_ns = second * 1_000_000_000;
            assert_eq!(tape.counted(&counted(second), at_ns).unwrap(), Flow::Go);
        }
        let bytes = u64::try_from(tape.file.len() - header).unwrap();
        let line = Line::Counters(Changes::default().at(0, &counted(99)).unwrap()).to_bytes();
        let line = u64::try_from(line.len()).unwrap();
        assert!(line > COUNTERS_PER_SECOND, "{line} bytes are no test");
        assert!(
            bytes <= seconds * COUNTERS_PER_SECOND + line,
            "{bytes} bytes"
        );
        // And it is not silent either.
        assert!(bytes >= seconds * COUNTERS_PER_SECOND / 2, "{bytes} bytes");
    }

    #[test]
    fn the_last_counters_say_when_the_run_ended() {
        let mut tape = Tape::start(Vec::new(), Header::of(&origin()), filter()).unwrap();
        let counted = Counted::default();
        tape.counted(&counted, 7_000_000_000).unwrap();
        tape.last_counters(&counted).unwrap();
        let mut reader = Reader::new(&tape.file[..]).unwrap();
        let last = Snapshot {
            at_ns: 7_000_000_000,
            ..Snapshot::default()
        };
        assert_eq!(reader.next_line().unwrap(), Line::Counters(last));
    }

    #[test]
    fn counters_that_did_not_move_are_not_written_again() {
        let mut tape = Tape::start(Vec::new(), Header::of(&origin()), filter()).unwrap();
        let counted = Counted {
            upstreams: vec![(None, Totals::default())],
            ..Counted::default()
        };
        tape.counted(&counted, 1_000_000_000).unwrap();
        let once = tape.file.len();
        tape.counted(&counted, 9_000_000_000).unwrap();
        assert_eq!(tape.file.len(), once);
    }

    #[test]
    fn what_was_left_out_is_in_the_totals_and_not_lost() {
        let failures = [
            failure(Ending::Refused),
            failure(Ending::SynTimedOut),
            failure(Ending::SynAbandoned),
        ];
        let mut whole = Tally::default();
        let mut halves = Tally::default();
        let mut left_out = Tally::default();
        for failure in &failures {
            whole.add(failure);
            let half = match failure.class {
                Class::Timeout => &mut halves,
                _ => &mut left_out,
            };
            half.add(failure);
        }
        for portion in left_out.portions() {
            halves.add_portion(&portion);
        }
        let [failure, ..] = failures;
        let id = UpstreamId {
            upstream: failure.upstream,
            netns: failure.netns,
        };
        let totals = Totals {
            attempts: 3,
            established: 0,
            ended: 3,
        };
        let counted = [(Some(id), totals)];
        let rows = halves.summarise(&counted);
        assert_eq!(rows, whole.summarise(&counted));
        assert_eq!((rows[0].lost, rows[0].failed(), rows[0].aborted), (0, 2, 1));
    }
}
