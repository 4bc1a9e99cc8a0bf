//! A process that is killed in the middle: what its pushes had returned for is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::super::scratch::{Scratch, records, sequences};
use super::super::*;
use super::{ALL, drain};

/// The child's spool; set for it alone.
const DIR: &str = "GW502_TEST_SPOOL";

const LIMIT: u64 = 64 << 20;

/// Pushes until it is killed.
fn child(dir: &Path) {
    let mut spool = Spool::open(dir, LIMIT).unwrap();
    let mut rng = fastrand::Rng::new();
    let mut out = io::stdout().lock();
    let mut next = 1;
    loop {
        let last = next + rng.u64(0..200);
        assert!(spool.push(&records(next..=last)).failed.is_none());
        writeln!(out, "pushed {last}").unwrap();
        next = last + 1;
        if rng.u8(0..4) == 0 {
            let limits = BatchLimits {
                records: 300,
                ..ALL
            };
            let batch = spool.peek(limits).unwrap();
            let done = *sequences(&batch.records).last().unwrap();
            spool.acknowledge().unwrap();
            writeln!(out, "done {done}").unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
fn what_was_pushed_survives_and_what_was_acknowledged_does_not() {
    if let Some(dir) = std::env::var_os(DIR) {
        return child(Path::new(&dir));
    }
    let mut rng = fastrand::Rng::new();
    for round in 0..20 {
        let scratch = Scratch::new();
        let exe = std::env::current_exe().unwrap();
        let mut child = Command::new(exe)
            .args([
                "deliver::spool::tests::kill::what_was_pushed_survives_and_what_was_acknowledged_does_not",
                "--exact",
                "--nocapture",
            ])
            .env(DIR, &scratch.dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut pushed, mut done) = (0, 0);
        let mut read = |lines: &mut io::Lines<_>| {
            let Some(Ok(line)) = lines.next() else {
                return false;
            };
            // The first is glued to what the test runner says.
            match line.rsplit_once("pushed ").or(line.rsplit_once("done ")) {
                Some((before, number)) => {
                    let of = if line.contains("pushed") {
                        &mut pushed
                    } else {
                        &mut done
                    };
                    *of = number
                        .parse::<u64>()
                        .unwrap_or_else(|_| panic!("{before} {number}"));
                }
                None => assert!(!line.contains("panicked"), "{line}"),
            }
            true
        };
        for _ in 0..rng.u32(10..150) {
            assert!(read(&mut lines), "the child ended by itself");
        }
        // At any moment, not just when it has written a line: no condition to wait for.
        std::thread::sleep(Duration::from_micros(rng.u64(0..3000)));
        child.kill().unwrap();
        child.wait().unwrap();
        while read(&mut lines) {}
        assert!(pushed > 0, "round {round}");

        let mut spool = Spool::open(&scratch.dir, LIMIT).unwrap();
        let torn = spool.found().torn;
        assert!(torn <= 1, "round {round}: {torn} torn");
        let (left, damaged) = drain(&mut spool);
        assert_eq!(damaged, 0, "round {round}");
        let (first, last) = (left.first().copied(), left.last().copied());
        let first = first.unwrap_or(pushed + 1);
        let last = last.unwrap_or(pushed);
        assert_eq!(left, (first..=last).collect::<Vec<_>>(), "round {round}");
        assert!(last >= pushed, "round {round}: {last} of {pushed} pushed");
        assert!(first > done, "round {round}: {first} again after {done}");
        assert!(first <= done + 301, "round {round}: {first} after {done}");
    }
}
