//! The result: what the JSON has, and the tables show. No calculations here.

mod table;
pub(crate) mod text;

use serde::Serialize;

use crate::goals::Goal;
use crate::machine::Machine;
use crate::measure::healthy::Load;
use crate::statistics::Spread;

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: &'static str,
    pub(crate) date: String,
    pub(crate) gw502: String,
    /// The backends that it chose, without options.
    pub(crate) hooks: Vec<&'static str>,
    pub(crate) took_seconds: u64,
    pub(crate) machine_name: String,
    pub(crate) machine: Machine,
    pub(crate) healthy: HealthyReport,
    pub(crate) programs: Programs,
    pub(crate) latency: Vec<Latency>,
    pub(crate) start: Start,
    pub(crate) memory: Vec<Memory>,
    pub(crate) goals: Vec<Goal>,
}

/// The healthy path.
#[derive(Debug, Serialize)]
pub(crate) struct HealthyReport {
    /// With the short ones.
    pub(crate) rounds: usize,
    pub(crate) rows: Vec<Row>,
    /// Connections that gw502 counted; failures and losses among them, of which there were none.
    pub(crate) gw502_attempts: u64,
    pub(crate) gw502_failed: u64,
    pub(crate) gw502_lost: u64,
}

/// What one thing costs.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) configuration: String,
    /// Why it could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) absent: Option<String>,
    pub(crate) cells: Vec<Cell>,
}

/// What it costs one load.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) load: Load,
    /// One operation.
    pub(crate) microseconds: Spread,
    /// To the same load in the same round with nothing attached.
    pub(crate) ratio: Spread,
    /// Where that median would have been in 95 of 100 repetitions.
    pub(crate) ratio_interval: (f64, f64),
    /// One operation in each round.
    pub(crate) rounds_microseconds: Vec<f64>,
}

/// Each program by itself.
#[derive(Debug, Serialize)]
pub(crate) struct Programs {
    pub(crate) configuration: String,
    /// Whether others on this host passed the same hooks meanwhile, which are in the numbers.
    pub(crate) disturbed: bool,
    pub(crate) rows: Vec<ProgramReport>,
}

/// One program.
#[derive(Debug, Serialize)]
pub(crate) struct ProgramReport {
    pub(crate) program: &'static str,
    pub(crate) hook: &'static str,
    /// Linux 5.16+.
    pub(crate) verified_instructions: Option<u32>,
    /// In the connect loop.
    pub(crate) connect: Use,
    /// With nginx and a new connection for each request.
    pub(crate) proxy: Use,
}

/// What a program did during one load.
#[derive(Debug, Serialize)]
pub(crate) struct Use {
    pub(crate) runs: u64,
    pub(crate) runs_per_operation: f64,
    /// What an empty program on the same hook takes, which is the clock of the statistics.
    pub(crate) empty_nanoseconds: Option<f64>,
    /// What this one takes besides.
    pub(crate) net_nanoseconds: Option<f64>,
}

/// From failure to line.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) host: &'static str,
    pub(crate) failures: usize,
    pub(crate) p50_milliseconds: f64,
    pub(crate) p99_milliseconds: f64,
    pub(crate) max_milliseconds: f64,
}

/// From start to ready.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) starts: usize,
    pub(crate) median_milliseconds: f64,
    /// Of these it was on a CPU; the rest it waited for one, or for the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_milliseconds: Option<f64>,
    pub(crate) max_milliseconds: f64,
}

/// Memory at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) when: String,
    /// Of the process.
    pub(crate) resident_kib: u64,
    /// The most it ever was.
    pub(crate) peak_kib: u64,
    /// Of its maps in the kernel.
    pub(crate) maps_kib: u64,
    /// Of its programs in the kernel.
    pub(crate) programs_kib: u64,
}
