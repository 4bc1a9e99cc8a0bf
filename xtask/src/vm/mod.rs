//! `vm-test`: the faults on other kernels, through each backend, in an emulator.
//!
//! # Layout
//!
//! - `debian`, `fetch`: kernels and the emulator, as Debian packages that are fetched once.
//! - `modules`, `cpio`, `guest`: the guest's first file system; `init.sh`: its first process.
//! - `qemu`: runs a guest. `console`: what it says. `table`: what that means.

mod console;
mod cpio;
mod debian;
mod fetch;
mod guest;
mod modules;
mod qemu;
mod table;
mod trials;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use xtask::pins::{self, Kernel};

use self::guest::Guest;
use self::qemu::Machine;
use crate::{apt, run, setup};

/// The backends that `gw502 trace --hooks` takes.
const BACKENDS: &[&str] = &["fentry", "kprobe", "tracepoint"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    kernels: Vec<&'static Kernel>,
    backends: Vec<String>,
    filter: Option<String>,
    /// Every path and proxy of a fault, and not one of them.
    every_row: bool,
}

/// The verb.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let wish = parse(args)?;
    setup::ebpf()?;
    setup::tests()?;
    apt::install(pins::VM_PACKAGES).context("cannot install what `vm-test` takes")?;
    build(&["build", "--release", "--package", "gw502-userspace"])?;
    let live = live()?;
    let (good, bad) = test(&wish, &live)?;
    println!("{good} cells as expected, {bad} not");
    Ok(if bad == 0 && good > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn test(wish: &Wish, live: &Path) -> Result<(usize, usize)> {
    let listed = debian::output(Command::new(live).arg("--list"))?;
    let trials = trials::choose(&listed, wish.filter.as_deref(), wish.every_row);
    if trials.is_empty() {
        bail!("no trial is called so: `cargo xtask test --only live -- --list` lists them");
    }
    let emulator = fetch::emulator()?;
    let files = Guest {
        gw502: &run::gw502(),
        live,
        emulator: &emulator,
        backends: &wish.backends,
        trials: &trials,
    }
    .files()?;
    let results = run::target_dir().join("vm");
    fs::create_dir_all(&results)
        .with_context(|| format!("cannot create `{}`", results.display()))?;
    let mut guests = Vec::new();
    for kernel in &wish.kernels {
        let image = fetch::kernel(kernel)?;
        let mut files = files.clone();
        files.modules(modules::in_order(&image.modules, pins::GUEST_MODULES)?);
        let initrd = results.join(format!("{}.initrd", kernel.series));
        fs::write(&initrd, files.archive()).context("cannot write the guest's file system")?;
        let machine = Machine {
            emulator: &emulator,
            kernel: &image.vmlinuz,
            initrd: &initrd,
            log: results.join(format!("{}.log", kernel.series)),
        };
        let all = trials.len() * wish.backends.len();
        println!("== Linux {}: {all} trials", kernel.series);
        let report = machine.run(|_, line| show(line))?;
        fs::remove_file(&initrd).context("cannot remove the guest's file system")?;
        if let Some(doctor) = &report.doctor {
            let file = results.join(format!("{}.doctor.json", kernel.series));
            fs::write(&file, format!("{doctor}\n"))
                .with_context(|| format!("cannot write `{}`", file.display()))?;
        }
        guests.push(table::Guest {
            series: kernel.series,
            lacks: kernel.lacks,
            report,
        });
    }
    let (text, good, bad) = table::table(&guests, &wish.backends, &trials);
    println!("\n{text}");
    if bad > 0 {
        println!("what the guests said is in `{}`", results.display());
    }
    Ok((good, bad))
}

/// Shows a line of a guest as it comes: somebody watches.
fn show(line: &str) {
    if let Some((_, said)) = line.split_once("gw502-vm: ")
        && !said.starts_with("begin")
        && !said.starts_with("doctor")
    {
        println!("{}", said.trim_end());
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

fn build(args: &[&str]) -> Result<()> {
    let status = run::cargo(args).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("`cargo {}` failed", args.join(" "));
    }
    Ok(())
}

fn parse(args: &[String]) -> Result<Wish> {
    let mut wish = Wish {
        kernels: Vec::new(),
        backends: Vec::new(),
        filter: None,
        every_row: false,
    };
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--all" => wish.kernels = pins::KERNELS.iter().collect(),
            "--every-row" => wish.every_row = true,
            "--kernel" => match kernel(args.next()) {
                Some(kernel) => wish.kernels.push(kernel),
                None => bail!("`--kernel` takes 5.10, 6.1, 6.12 or 7.x"),
            },
            "--backend" => match args.next() {
                Some(name) if BACKENDS.contains(&name) => wish.backends.push(name.to_owned()),
                _ => bail!("`--backend` takes fentry, kprobe or tracepoint"),
            },
            filter if !filter.starts_with('-') && wish.filter.is_none() => {
                wish.filter = Some(filter.to_owned());
            }
            other => {
                bail!("`vm-test` does not know `{other}`: `cargo xtask help` says what it does")
            }
        }
    }
    if wish.kernels.is_empty() {
        wish.kernels = pins::KERNELS.iter().collect();
    }
    if wish.backends.is_empty() {
        wish.backends = BACKENDS.iter().map(ToString::to_string).collect();
    }
    Ok(wish)
}

fn kernel(series: Option<&str>) -> Option<&'static Kernel> {
    pins::KERNELS
        .iter()
        .find(|kernel| Some(kernel.series) == series)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Wish> {
        parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn without_arguments_every_kernel_and_backend_is_tested() {
        let wish = parsed(&[]).unwrap();
        assert_eq!(wish.kernels.len(), pins::KERNELS.len());
        assert_eq!(wish.backends, BACKENDS);
    }

    #[test]
    fn one_kernel_one_backend_one_fault() {
        let wish = parsed(&["--kernel", "6.1", "--backend", "kprobe", "refused"]).unwrap();
        assert_eq!(wish.kernels.len(), 1);
        assert_eq!(wish.backends, ["kprobe"]);
        assert_eq!(wish.filter.as_deref(), Some("refused"));
        assert!(parsed(&["--kernel", "2.4"]).is_err());
        assert!(parsed(&["--backend", "magic"]).is_err());
        assert!(parsed(&["--frobnicate"]).is_err());
    }

    #[test]
    fn cargo_says_where_the_suite_is() {
        let text = "{\"executable\":null}\n{\"executable\":\"/t/live-1\",\"fresh\":true}\n{}\n";
        assert_eq!(executable(text), Some(PathBuf::from("/t/live-1")));
    }
}
