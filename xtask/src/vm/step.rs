//! The part of `test` that runs on other kernels, in the time that is left.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xtask::pins::{self, Kernel};

use super::Bench;
use super::trials::Extent;
use super::wish::{self, Wish};
use crate::run;
use crate::tally::Tally;

/// `test --every-kernel` starts no guest that would end later than so long after its start.
const BUDGET: Duration = Duration::from_mins(52);

/// What a kernel takes on two processors, where none was measured.
const CORE: Duration = Duration::from_mins(6);
const EACH_FAULT: Duration = Duration::from_mins(20);

/// The kernel for everyday: it has every backend.
const EVERYDAY: &str = "6.12";

/// Tests on one other kernel, or on as many as there is time for, since `started`.
pub(crate) fn step(every_kernel: bool, started: Instant) -> Result<Tally> {
    let bench = Bench::prepare()?;
    let everyday = wish::kernel(Some(EVERYDAY)).context("no kernel for everyday")?;
    let mut waiting = vec![everyday];
    if every_kernel {
        waiting.extend(pins::KERNELS.iter().filter(|kernel| *kernel != everyday));
    }
    let mut times = Times::read();
    let mut sum = Tally::default();
    let mut left_out = Vec::new();
    let mut waiting = waiting.into_iter();
    while let Some(kernel) = waiting.next() {
        let left = BUDGET.saturating_sub(started.elapsed());
        let others: Duration = waiting
            .clone()
            .map(|other| times.of(other, Extent::Core))
            .sum();
        let extent = if every_kernel {
            times.extent(kernel, left, others)
        } else {
            Some(Extent::Core)
        };
        let Some(extent) = extent else {
            left_out.push(kernel.series);
            continue;
        };
        let outcome = bench.test(&Wish::of(vec![kernel], extent))?;
        sum += outcome.sum;
        for (series, took) in outcome.took {
            times.learn(series, extent, took);
        }
        times.write()?;
    }
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        println!("left out, as there was no time for them: Linux {names}");
    }
    Ok(sum)
}

/// How long kernels took last time.
#[derive(Debug, Default)]
struct Times(Vec<(String, String, Duration)>);

impl Times {
    fn file() -> PathBuf {
        run::target_dir().join("vm").join("times")
    }

    /// Those of the last run; none is known before the first.
    fn read() -> Self {
        Self::parse(&fs::read_to_string(Self::file()).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let (series, extent) = (words.next()?.to_owned(), words.next()?.to_owned());
            let seconds = words.next()?.parse().ok()?;
            Some((series, extent, Duration::from_secs(seconds)))
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn write(&self) -> Result<()> {
        let lines = self.0.iter().map(|(series, extent, took)| {
            let seconds = took.as_secs();
            format!("{series} {extent} {seconds}\n")
        });
        let file = Self::file();
        fs::write(&file, lines.collect::<String>())
            .with_context(|| format!("cannot write `{}`", file.display()))
    }

    fn learn(&mut self, series: &str, extent: Extent, took: Duration) {
        let extent = word(extent);
        self.0
            .retain(|(known, of, _)| (known.as_str(), of.as_str()) != (series, extent));
        self.0.push((series.to_owned(), extent.to_owned(), took));
    }

    /// What was measured; else what is usual, on a machine as slow as what was measured shows.
    fn of(&self, kernel: &Kernel, extent: Extent) -> Duration {
        let wanted = (kernel.series, word(extent));
        let known = self
            .0
            .iter()
            .find(|(series, of, _)| (series.as_str(), of.as_str()) == wanted);
        if let Some((_, _, took)) = known {
            return *took;
        }
        let slowness = self.0.iter().map(|(_, of, took)| {
            let core = of == word(Extent::Core);
            let usual = usual(if core {
                Extent::Core
            } else {
                Extent::EachFault
            });
            took.as_secs_f64() / usual.as_secs_f64()
        });
        usual(extent).mul_f64(slowness.fold(1.0, f64::max))
    }

    /// How much of a kernel there is time for, if `others` are to have theirs as well.
    fn extent(&self, kernel: &Kernel, left: Duration, others: Duration) -> Option<Extent> {
        if self.of(kernel, Extent::EachFault) + others <= left {
            Some(Extent::EachFault)
        } else {
            (self.of(kernel, Extent::Core) <= left).then_some(Extent::Core)
        }
    }
}

const fn usual(extent: Extent) -> Duration {
    match extent {
        Extent::Core => CORE,
        Extent::EachFault | Extent::EveryRow => EACH_FAULT,
    }
}

const fn word(extent: Extent) -> &'static str {
    match extent {
        Extent::Core => "core",
        Extent::EachFault => "each-fault",
        Extent::EveryRow => "every-row",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn everyday() -> &'static Kernel {
        wish::kernel(Some(EVERYDAY)).unwrap()
    }

    #[test]
    fn what_there_is_time_for_is_run() {
        let times = Times::default();
        let extent = |left, others| times.extent(everyday(), left * MINUTE, others * MINUTE);
        assert_eq!(extent(60, 18), Some(Extent::EachFault));
        assert_eq!(extent(30, 18), Some(Extent::Core));
        assert_eq!(extent(5, 0), None);
    }

    #[test]
    fn a_slow_machine_is_known_by_its_first_kernel() {
        let mut times = Times::parse("7.x core 720\n");
        assert_eq!(times.of(everyday(), Extent::Core), 12 * MINUTE);
        assert_eq!(times.of(everyday(), Extent::EachFault), 40 * MINUTE);
        times.learn(EVERYDAY, Extent::Core, MINUTE);
        times.learn(EVERYDAY, Extent::Core, 2 * MINUTE);
        assert_eq!(times.of(everyday(), Extent::Core), 2 * MINUTE);
    }
}
