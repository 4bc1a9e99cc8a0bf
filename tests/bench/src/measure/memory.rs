//! Memory of gw502: its own, and what it holds in the kernel.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Bench, pause};
use crate::attach::gw502::Stdout;
use crate::attach::hooks::Variant;
use crate::held;
use crate::report::Memory;
use crate::site::Upstream;

/// Failures of the load: so many at a time, so many times.
const FAILURES: u32 = 500;
const TIMES: u32 = 20;

pub(super) fn measure(bench: &mut Bench) -> Result<Vec<Memory>> {
    pause()?;
    let output = Stdout::File(bench.scratch.path("gw502.out"));
    let tracer = bench.rack.gw502.trace(Variant::Auto, output)?;
    let idle = look(tracer.pid(), "when ready".to_owned())?;
    let connections = bench.watched.connect(Duration::from_secs(1))?.count;
    let requests = bench.site.measure(Upstream::Fresh, 1)?.requests;
    for _ in 0..TIMES {
        bench.watched.refused(FAILURES, Duration::ZERO)?;
    }
    let when = format!(
        "after {} good connections and {} failures",
        connections + requests,
        FAILURES * TIMES
    );
    let loaded = look(tracer.pid(), when)?;
    tracer.stop()?;
    Ok(vec![idle, loaded])
}

fn look(pid: u32, when: String) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let field = |name: &str| {
        kibibytes(&status, name).with_context(|| format!("`{path}` has no line `{name}`"))
    };
    let sum = |what| -> Result<u64> {
        let bytes: u64 = held::objects(pid, what)?
            .iter()
            .map(|object| object.memlock)
            .sum();
        Ok(bytes.div_ceil(1024))
    };
    Ok(Memory {
        when,
        resident_kib: field("VmRSS:")?,
        peak_kib: field("VmHWM:")?,
        maps_kib: sum("map_id")?,
        programs_kib: sum("prog_id")?,
    })
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_status_are_read() {
        let status = "Name:\tgw502\nVmHWM:\t    9120 kB\nVmRSS:\t    8844 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(8844));
        assert_eq!(kibibytes(status, "VmHWM:"), Some(9120));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }

    #[test]
    fn a_process_without_bpf_holds_none() {
        let memory = look(std::process::id(), String::new()).unwrap();
        assert!(memory.resident_kib > 0);
        assert_eq!(memory.maps_kib, 0);
    }
}
