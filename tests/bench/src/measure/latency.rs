//! From a failure to its printed line: after `connect()` has returned the error, until the line can be
//! read from gw502's standard output.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{Bench, pause};
use crate::agent::nobody;
use crate::attach::gw502::Stdout;
use crate::attach::hooks::Variant;
use crate::clock;
use crate::report::Latency;
use crate::site::Upstream;
use crate::statistics::{quantile, real64};

/// Between two failures, on average.
const GAP: Duration = Duration::from_millis(8);

/// The last line may take so long.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn measure(bench: &mut Bench) -> Result<Vec<Latency>> {
    let idle = once(bench, "idle host", false)?;
    let busy = once(bench, "nginx at its limit", true)?;
    Ok(vec![idle, busy])
}

fn once(bench: &mut Bench, name: &'static str, busy: bool) -> Result<Latency> {
    pause()?;
    let count = bench.size.failures;
    let mut tracer = bench.rack.gw502.trace(Variant::Auto, Stdout::Pipe)?;
    let stdout = tracer.process.child.stdout.take();
    let stdout = stdout.context("gw502's stdout is not piped")?;
    let seen = Arc::new(AtomicUsize::new(0));
    let lines = follow(stdout, Arc::clone(&seen));

    let seconds = (GAP * count).as_secs() + 3;
    let load = if busy {
        let wrk = bench.site.wrk(Upstream::Fresh, u32::try_from(seconds)?)?;
        Some(wrk)
    } else {
        None
    };
    let failures = bench.watched.refused(count, GAP)?;
    // Those that come late are late, and not lost by our being in a hurry.
    let all = usize::try_from(count)?;
    let complete = || Ok((seen.load(Ordering::Relaxed) >= all).then_some(()));
    let waited = clock::wait_for("the last line", LIMIT, complete);
    // It is not needed any more; its end is no matter.
    drop(load);
    tracer.stop()?;
    let Ok(lines) = lines.join() else {
        bail!("the reader of gw502's lines broke off");
    };
    waited.with_context(|| format!("{} failures, {} lines", failures.len(), lines.len()))?;
    let milliseconds = match_up(&failures, &lines)?;
    let at = |share| quantile(&milliseconds, share).context("there were no failures");
    Ok(Latency {
        host: name,
        failures: milliseconds.len(),
        p50_milliseconds: at(0.5)?,
        p99_milliseconds: at(0.99)?,
        max_milliseconds: at(1.0)?,
    })
}

/// Reads to the end; notes the time of each line.
fn follow(stdout: ChildStdout, seen: Arc<AtomicUsize>) -> JoinHandle<Vec<(i64, String)>> {
    thread::spawn(move || {
        let mut lines = Vec::new();
        for line in BufReader::new(stdout).lines() {
            let (Ok(line), Ok(at)) = (line, clock::now()) else {
                break;
            };
            lines.push((at, line));
            seen.fetch_add(1, Ordering::Relaxed);
        }
        lines
    })
}

/// What we want to know of `gw502.failure`.
#[derive(Deserialize)]
struct Line {
    upstream: Option<Address>,
}

#[derive(Deserialize)]
struct Address {
    address: IpAddr,
    port: u16,
}

/// Milliseconds from each failure to its line. Each failure has an upstream of its own.
fn match_up(failures: &[i64], lines: &[(i64, String)]) -> Result<Vec<f64>> {
    let mut arrived = BTreeMap::new();
    for (at, line) in lines {
        let Line { upstream } =
            serde_json::from_str(line).with_context(|| format!("not a line of gw502: {line}"))?;
        if let Some(Address { address, port }) = upstream {
            arrived.entry((address, port)).or_insert(*at);
        }
    }
    let mut milliseconds = Vec::new();
    for (number, failed) in (0..).zip(failures) {
        let nobody = nobody(number);
        let key = (IpAddr::from(*nobody.ip()), nobody.port());
        let Some(at) = arrived.get(&key) else {
            bail!("gw502 printed no line for the failed connect to {nobody}");
        };
        // The line may be there before connect() has returned.
        let nanoseconds = u64::try_from(at - failed).unwrap_or(0);
        milliseconds.push(real64(nanoseconds) / 1e6);
    }
    Ok(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: i64, address: &str) -> (i64, String) {
        let text = format!(
            r#"{{"schema":"gw502.failure/1","upstream":{{"address":"{address}","port":9}}}}"#
        );
        (at, text)
    }

    #[test]
    fn lines_are_matched_by_upstream_and_not_by_order() {
        let lines = [line(9_000_000, "127.1.0.1"), line(10_000_000, "127.1.0.0")];
        let milliseconds = match_up(&[4_000_000, 5_000_000], &lines).unwrap();
        assert_eq!(milliseconds, [6.0, 4.0]);
    }

    #[test]
    fn a_failure_without_line_is_an_error_and_the_summary_is_no_line() {
        let lines = [
            line(1, "127.1.0.0"),
            (2, r#"{"schema":"gw502.summary/1"}"#.to_owned()),
        ];
        assert_eq!(match_up(&[2], &lines).unwrap(), [0.0]);
        let error = match_up(&[0, 0], &lines).unwrap_err();
        assert!(error.to_string().contains("127.1.0.1:9"), "{error}");
    }
}
