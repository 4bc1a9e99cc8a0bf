//! What was measured on, so that a number can be quoted with it.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::Serialize;

/// The facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Machine {
    /// As the kernel names it.
    pub(crate) cpu: String,
    /// How many of them we may use.
    pub(crate) cpus: usize,
    /// Whether we run in a virtual machine.
    pub(crate) is_virtual: bool,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// Release of Linux.
    pub(crate) linux: String,
    /// Distribution.
    pub(crate) system: String,
    /// Congestion control of new connections.
    pub(crate) congestion_control: String,
    /// Load average of the minute before: what else ran.
    pub(crate) load_before: f64,
}

impl Machine {
    pub(crate) fn look() -> Result<Self> {
        let cpuinfo = read("/proc/cpuinfo")?;
        let meminfo = read("/proc/meminfo")?;
        let memory_kib = field(&meminfo, "MemTotal")
            .and_then(|value| value.split(' ').next()?.parse::<u64>().ok())
            .context("`/proc/meminfo` does not say how much memory there is")?;
        Ok(Self {
            cpu: field(&cpuinfo, "model name")
                .unwrap_or("unnamed CPU")
                .to_owned(),
            cpus: cpus()?.len(),
            is_virtual: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            memory_mib: memory_kib / 1024,
            linux: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            system: system(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control")?
                .trim()
                .to_owned(),
            load_before: read("/proc/loadavg")?
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .context("`/proc/loadavg` is not as expected")?,
        })
    }

    /// One line.
    pub(crate) fn name(&self) -> String {
        let Self {
            cpu,
            cpus,
            is_virtual,
            memory_mib,
            linux,
            system,
            congestion_control: _,
            load_before: _,
        } = self;
        let kind = if *is_virtual { " (virtual)" } else { "" };
        format!("{cpus} CPUs {cpu}{kind}, {memory_mib} MiB, {system}, Linux {linux}")
    }
}

/// The CPUs we may use, by number.
pub(crate) fn cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for our CPUs")?;
    Ok((0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .collect())
}

/// The value of the first line `key: value`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| (name.trim() == key).then_some(value.trim()))
}

fn system(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| "unnamed system".to_owned(), |name| name.replace('"', ""))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 6\nmodel name\t: Fast CPU\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(text, "model name"), Some("Fast CPU"));
        assert_eq!(field(text, "model"), Some("6"));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn the_system_loses_its_quotes() {
        assert_eq!(
            system("ID=debian\nPRETTY_NAME=\"Debian 12\"\n"),
            "Debian 12"
        );
        assert_eq!(system(""), "unnamed system");
    }

    #[test]
    fn this_machine_has_a_name() {
        let machine = Machine::look().unwrap();
        assert!(machine.cpus > 0 && machine.memory_mib > 0, "{machine:?}");
        assert!(machine.name().contains(&machine.linux));
    }
}
