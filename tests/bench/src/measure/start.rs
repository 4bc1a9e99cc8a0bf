//! From start to ready: until gw502 says that every hook is attached.

use anyhow::{Context as _, Result};

use super::{Bench, pause};
use crate::attach::gw502::Stdout;
use crate::attach::hooks::Variant;
use crate::report::Start;
use crate::statistics::{median, quantile, real64};

pub(super) fn measure(bench: &Bench) -> Result<Start> {
    let mut milliseconds = Vec::new();
    let mut working = Vec::new();
    for _ in 0..bench.size.starts {
        pause()?;
        let output = Stdout::File(bench.scratch.path("gw502.out"));
        let tracer = bench.rack.gw502.trace(Variant::Auto, output)?;
        milliseconds.push(tracer.ready_after.as_secs_f64() * 1e3);
        working.extend(worked(tracer.pid()));
        tracer.stop()?;
    }
    let at = |share| quantile(&milliseconds, share).context("there were no starts");
    Ok(Start {
        starts: milliseconds.len(),
        median_milliseconds: at(0.5)?,
        max_milliseconds: at(1.0)?,
        working_milliseconds: median(&working),
    })
}

/// Milliseconds that the process's main thread, which does all of the start, was on a CPU. A kernel
/// without that statistic (`CONFIG_SCHED_INFO`) does not say.
fn worked(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let nanoseconds: u64 = text.split(' ').next()?.parse().ok()?;
    Some(real64(nanoseconds) / 1e6)
}
