//! `vm-test`: the faults on other kernels, through each backend, in an emulator.
//!
//! # Layout
//!
//! - `wish`: what was asked for. `trials`: which of the live suite's trials that is.
//! - `fetch`: kernels and the emulator, as Debian packages that are fetched once.
//! - `modules`, `cpio`, `guest`: the guest's first file system; `init.sh`: its first process.
//! - `qemu`: runs a guest. `console`: what it says. `table`: what that means. `facts`: what its kernel
//!   is like, compared with what is on file.
//! - `repeat`: cells that are not the same each time.
//! - `step`: the part of `test`.

mod console;
mod cpio;
mod facts;
mod fetch;
mod guest;
mod modules;
mod qemu;
mod repeat;
mod step;
mod table;
mod trials;
mod wish;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use xtask::pins::{self, Kernel};

use self::guest::{Files, Guest};
use self::qemu::Machine;
use self::wish::Wish;
use crate::tally::Tally;
use crate::{apt, debian, run, setup};

pub(crate) use self::step::step;

/// The verb.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let wish = Wish::parse(args)?;
    setup::ebpf()?;
    setup::tests()?;
    let sum = Bench::prepare()?.test(&wish)?.sum;
    println!("{} cells as expected, {} not", sum.passed, sum.failed);
    Ok(if sum.failed == 0 && sum.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The image of a kernel, fetched if it is not there.
pub(crate) fn image(kernel: &Kernel) -> Result<PathBuf> {
    fetch::kernel(kernel).map(|image| image.vmlinuz)
}

/// Everything that guests are made of.
struct Bench {
    live: PathBuf,
    /// The names of the trials in it.
    listed: String,
    emulator: PathBuf,
    /// Where logs go.
    results: PathBuf,
}

/// How it went.
struct Outcome {
    /// A cell is a test.
    sum: Tally,
    /// How long each kernel took.
    took: Vec<(&'static str, Duration)>,
}

impl Bench {
    /// Builds gw502 and the live suite, and fetches the emulator if it is not there.
    fn prepare() -> Result<Self> {
        apt::install(pins::VM_PACKAGES).context("cannot install what `vm-test` takes")?;
        run::release(&["gw502-userspace"])?;
        let live = live()?;
        let results = run::target_dir().join("vm");
        fs::create_dir_all(&results)
            .with_context(|| format!("cannot create `{}`", results.display()))?;
        Ok(Self {
            listed: debian::output(Command::new(&live).arg("--list"))?,
            live,
            emulator: fetch::emulator()?,
            results,
        })
    }

    /// Runs what was asked for, and prints what became of it.
    fn test(&self, wish: &Wish) -> Result<Outcome> {
        let Wish { extent, long, .. } = *wish;
        let trials = trials::choose(&self.listed, wish.filter.as_deref(), extent, long)?;
        let files = Guest {
            gw502: &run::gw502(),
            live: &self.live,
            emulator: &self.emulator,
            backends: &wish.backends,
            trials: &trials,
        }
        .files()?;
        let mut sum = Tally::default();
        let mut words = Vec::new();
        let mut took = Vec::new();
        for round in 1..=wish.repeat {
            if wish.repeat > 1 {
                println!("== round {round} of {}", wish.repeat);
            }
            let guests = self.guests(wish, &files, trials.len(), round)?;
            let (table, good, bad) = table::table(&guests, &wish.backends, &trials);
            if env::var_os("GW502_BLESS").is_some() {
                facts::bless(&guests)?;
            }
            let (facts, known, unknown) = facts::facts(&guests);
            println!("\n{table}\n{facts}");
            sum.passed += good + known;
            sum.failed += bad + unknown;
            words.push(table::words(&guests, &wish.backends, &trials));
            took.extend(guests.iter().map(|guest| (guest.series, guest.took)));
        }
        let flaky = repeat::flaky(&words);
        for line in &flaky {
            println!("not the same each time: {line}");
        }
        sum.failed += flaky.len() as u64;
        if sum.failed > 0 {
            println!("what the guests said is in `{}`", self.results.display());
        }
        Ok(Outcome { sum, took })
    }

    /// One guest for each kernel, so many at once.
    fn guests(
        &self,
        wish: &Wish,
        files: &Files,
        trials: usize,
        round: usize,
    ) -> Result<Vec<table::Guest>> {
        let waiting = Mutex::new(wish.kernels.iter().copied());
        let next = || waiting.lock().ok().and_then(|mut kernels| kernels.next());
        let many = wish.at_once > 1 && wish.kernels.len() > 1;
        let all = trials * wish.backends.len();
        let work = || -> Result<Vec<table::Guest>> {
            let mut guests = Vec::new();
            while let Some(kernel) = next() {
                println!("== Linux {}: {all} trials", kernel.series);
                let name = match wish.repeat {
                    1 => kernel.series.to_owned(),
                    _ => format!("{}.{round}", kernel.series),
                };
                guests.push(self.guest(kernel, files.clone(), &name, many)?);
            }
            Ok(guests)
        };
        let mut guests: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..wish.at_once).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| match worker.join() {
                Ok(guests) => guests,
                Err(_panic) => bail!("a thread that runs guests has panicked"),
            });
            joined.collect::<Result<Vec<_>>>()
        })?
        .into_iter()
        .flatten()
        .collect();
        guests.sort_by_key(|guest| {
            wish.kernels
                .iter()
                .position(|kernel| kernel.series == guest.series)
        });
        Ok(guests)
    }

    /// Runs a guest to its end. `name` is what its files are called.
    fn guest(
        &self,
        kernel: &'static Kernel,
        mut files: Files,
        name: &str,
        many: bool,
    ) -> Result<table::Guest> {
        let image = fetch::kernel(kernel)?;
        files.modules(modules::in_order(&image.modules, pins::GUEST_MODULES)?);
        let initrd = self.results.join(format!("{name}.initrd"));
        fs::write(&initrd, files.archive()).context("cannot write the guest's file system")?;
        let machine = Machine {
            emulator: &self.emulator,
            kernel: &image.vmlinuz,
            initrd: &initrd,
            log: self.results.join(format!("{name}.log")),
        };
        let prefix = if many {
            format!("{}: ", kernel.series)
        } else {
            String::new()
        };
        let started = run::now();
        let report = machine.run(|_, line| show(&prefix, line))?;
        let took = started.elapsed();
        fs::remove_file(&initrd).context("cannot remove the guest's file system")?;
        if let Some(doctor) = &report.doctor {
            let file = self.results.join(format!("{name}.doctor.json"));
            fs::write(&file, format!("{doctor}\n"))
                .with_context(|| format!("cannot write `{}`", file.display()))?;
        }
        Ok(table::Guest {
            series: kernel.series,
            lacks: kernel.lacks,
            report,
            took,
        })
    }
}

/// What a guest says for the host alone.
const QUIET: &[&str] = &["begin", "doctor", "links", "programs"];

/// Shows a line of a guest as it comes: somebody watches.
fn show(prefix: &str, line: &str) {
    if let Some((_, said)) = line.split_once("gw502-vm: ")
        && !QUIET.iter().any(|quiet| said.starts_with(quiet))
    {
        println!("{prefix}{}", said.trim_end());
    }
}

/// Builds the live suite. Returns where it is.
fn live() -> Result<PathBuf> {
    let output = run::cargo(["test", "--package", "gw502-tests", "--features", "live"])
        .args(["--test", "live", "--no-run", "--message-format=json"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the live suite does not build: what the compiler said is above");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    executable(&text).context("cargo does not say where the live suite is")
}

/// The last `"executable":"…"` in cargo's messages: the one that was asked for.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.rsplit_once("\"executable\":\"")?;
    rest.split('"').next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_the_suite_is() {
        let text = "{\"executable\":null}\n{\"executable\":\"/t/live-1\",\"fresh\":true}\n{}\n";
        assert_eq!(executable(text), Some(PathBuf::from("/t/live-1")));
    }
}
