//! A process that makes the load, on command, for the whole run.
//!
//! One line on its standard input is one burst: `connect MS`, `syscalls MS`, `refused COUNT GAP_MS`.
//! It answers with one line: `done` and numbers, or `error` and why.

mod load;

use std::ffi::CString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::prctl;

use crate::child::{Place, Running};
use crate::stage;
use crate::statistics::real64;

/// What a burst came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burst {
    /// How often.
    pub(crate) count: u64,
    /// In how long.
    pub(crate) nanoseconds: u64,
    /// Half of the batches of [`load::BATCH`] took less.
    pub(crate) typical_nanoseconds: u64,
}

impl Burst {
    /// Microseconds each time, with all that came in between.
    pub(crate) fn average(self) -> f64 {
        real64(self.nanoseconds) / 1000.0 / real64(self.count.max(1))
    }

    /// Microseconds each time, mostly: whoever took the CPU away for a moment is not in it.
    pub(crate) fn typical(self) -> f64 {
        real64(self.typical_nanoseconds) / 1000.0 / real64(load::BATCH)
    }
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    name: &'static str,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Running,
}

impl Agent {
    /// Starts an agent whose process is named `name`, which holds 15 bytes.
    pub(crate) fn start(name: &'static str, place: Place) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("gw502-bench")
            .args(["agent", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Running::start(&mut command, place)?;
        let orders = process.child.stdin.take();
        let answers = process.child.stdout.take();
        let mut agent = Self {
            name,
            orders: orders.context("the agent's stdin is not piped")?,
            answers: BufReader::new(answers.context("the agent's stdout is not piped")?),
            _process: process,
        };
        agent.answer()?;
        Ok(agent)
    }

    /// Connects, accepts and closes for about `time`.
    pub(crate) fn connect(&mut self, time: Duration) -> Result<Burst> {
        self.burst(&format!("connect {}", time.as_millis()))
    }

    /// Calls the kernel for about `time`.
    pub(crate) fn syscalls(&mut self, time: Duration) -> Result<Burst> {
        self.burst(&format!("syscalls {}", time.as_millis()))
    }

    /// Makes `count` refused connects, number n to [`load::nobody`] of n, and returns when each was
    /// refused.
    pub(crate) fn refused(&mut self, count: u32, gap: Duration) -> Result<Vec<i64>> {
        self.order(&format!("refused {count} {}", gap.as_millis()))?;
        self.answer()
    }

    fn burst(&mut self, order: &str) -> Result<Burst> {
        self.order(order)?;
        match self.answer()?.as_slice() {
            [count, nanoseconds, typical] => Ok(Burst {
                count: (*count).try_into()?,
                nanoseconds: (*nanoseconds).try_into()?,
                typical_nanoseconds: (*typical).try_into()?,
            }),
            other => bail!("`{}` answered {other:?} to `{order}`", self.name),
        }
    }

    fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").with_context(|| format!("cannot order `{}`", self.name))
    }

    fn answer(&mut self) -> Result<Vec<i64>> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .with_context(|| format!("cannot read the answer of `{}`", self.name))?;
        parse(&line).with_context(|| format!("the load of `{}` cannot be made", self.name))
    }
}

fn parse(line: &str) -> Result<Vec<i64>> {
    let (word, rest) = line
        .trim_end()
        .split_once(' ')
        .unwrap_or((line.trim_end(), ""));
    match word {
        "done" => rest
            .split_whitespace()
            .map(|number| {
                number
                    .parse()
                    .with_context(|| format!("`{number}` is no number"))
            })
            .collect(),
        "error" => bail!("{rest}"),
        "" => bail!("its process ended"),
        other => bail!("`{other}` is no answer"),
    }
}

pub(crate) use load::nobody;

/// The agent's side: serves orders until there are no more.
pub(crate) fn main(name: &str) -> Result<()> {
    let comm = CString::new(name).context("a process name has no NUL")?;
    prctl::set_name(&comm).context("cannot set the name of the process")?;
    stage::own_network()?;
    // Else the client's side of each connection would keep its port for a minute, and a loop that
    // makes tens of thousands a second would be out of ports at once.
    stage::set_sysctl("ipv4/tcp_max_tw_buckets", "0")?;
    let mut loops = load::Loops::new()?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "done").context("cannot answer")?;
    for order in io::stdin().lock().lines() {
        let order = order.context("cannot read an order")?;
        let answer = match loops.serve(&order) {
            Ok(numbers) => numbers
                .iter()
                .fold("done".to_owned(), |line, number| format!("{line} {number}")),
            Err(error) => format!("error {error:#}"),
        };
        writeln!(stdout, "{answer}").context("cannot answer")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_numbers_or_reasons() {
        assert_eq!(parse("done\n").unwrap(), [0_i64; 0]);
        assert_eq!(parse("done 3 1500\n").unwrap(), [3, 1500]);
        let error = parse("error no port is free\n").unwrap_err();
        assert_eq!(error.to_string(), "no port is free");
        assert!(parse("").is_err());
        assert!(parse("done x\n").is_err());
    }

    #[test]
    fn a_burst_knows_the_time_of_one() {
        let burst = Burst {
            count: 128,
            nanoseconds: 1_280_000,
            typical_nanoseconds: 128_000,
        };
        assert!((burst.average() - 10.0).abs() < 1e-9);
        assert!((burst.typical() - 2.0).abs() < 1e-9);
    }
}
