//! Runs a test command, shows its output as it comes, and counts its results.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::tally::Tally;

/// Runs `command` and sums its `test result:` lines.
///
/// A command that fails without a failed test (it did not compile, it was killed) counts as one.
pub(crate) fn tests(command: &mut Command) -> Result<Tally> {
    shown(command, io::stdout())
}

fn shown(command: &mut Command, to: impl Write) -> Result<Tally> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let mut sum = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        sum = copy(stdout, to).context("cannot read the output of the tests")?;
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !status.success() && sum.failed == 0 {
        sum += Tally::FAILED;
    }
    Ok(sum)
}

/// Copies piece by piece, not line by line: somebody watches, and a line may take a minute to end.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<Tally> {
    let mut sum = Tally::default();
    let mut line = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let size = match from.read(&mut piece) {
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(bytes @ [_, ..]) = piece.get(..size) else {
            break;
        };
        to.write_all(bytes)?;
        to.flush()?;
        for byte in bytes {
            if *byte == b'\n' {
                count(&mut sum, &line);
                line.clear();
            } else {
                line.push(*byte);
            }
        }
    }
    count(&mut sum, &line);
    Ok(sum)
}

fn count(sum: &mut Tally, line: &[u8]) {
    if let Some(tally) = Tally::parse(&String::from_utf8_lossy(line)) {
        *sum += tally;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tally {
        // Not to stdout: whoever counts our own results would count these too.
        shown(Command::new("sh").args(["-c", script]), io::sink()).unwrap()
    }

    #[test]
    fn results_of_all_binaries_are_summed() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 1 ignored'; \
                      printf 'test result: ok. 3 passed; 0 failed; 0 ignored'";
        assert_eq!(
            shell(script),
            Tally {
                passed: 5,
                failed: 0,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_failed_command_without_failed_tests_counts_as_one() {
        assert_eq!(shell("exit 101"), Tally::FAILED);
    }

    #[test]
    fn a_failed_test_is_not_counted_twice() {
        let script = "echo 'test result: FAILED. 2 passed; 1 failed; 0 ignored'; exit 101";
        assert_eq!(
            shell(script),
            Tally {
                passed: 2,
                failed: 1,
                skipped: 0
            }
        );
    }
}
