//! What was typed. No effects.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use gw502_common::hooks::Backend;

use super::filter::UpstreamFilter;
use crate::event::{Cause, Class, Failure};
use crate::plan::{self, Wish};

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well (also when the reader of stdout went away)
  1  failed while running
  2  wrong usage or configuration
  3  this kernel cannot do what was asked
  4  not permitted
  5  failures were seen, and --fail-on-failures was given; or --until-healthy ended before that";

/// Says why a proxy answers 502: every failed connection to an upstream, and its cause.
#[derive(Debug, Parser)]
#[command(name = "gw502", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Verb,

    /// More messages on stderr (of `agent` from the second on); repeat for more (`GW502_LOG` gives
    /// finer control).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show each failure as it happens, and a table per upstream at the end.
    #[command(after_help = TRACE_EXAMPLES)]
    Trace(Box<TraceArgs>),
    /// Watch for a while, then say what is wrong with which upstream, why, and what to do.
    #[command(after_help = DIAGNOSE_EXAMPLES)]
    Diagnose(Box<DiagnoseArgs>),
    /// Run for months: ship failures, diagnoses and metrics to where logs and metrics go.
    #[command(after_help = AGENT_EXAMPLES)]
    Agent(AgentArgs),
    /// Record an incident to a file, to be looked at later or elsewhere.
    #[command(after_help = RECORD_EXAMPLES)]
    Record(Box<RecordArgs>),
    /// Show a recording as `trace` would have shown it, on any machine, without root.
    Replay(Box<ReplayArgs>),
    /// What this kernel lets us see, how, and why not better.
    Doctor(DoctorArgs),
    /// The runbook page of a cause: what to check, and how to fix it.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Show six failures live, with upstreams, a proxy and a network namespace of its own (about 15 s).
    Demo,
    /// The demo's own proxy process.
    #[command(hide = true)]
    DemoProxy {
        /// Passed on as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

const TRACE_EXAMPLES: &str = "\
Examples:
  gw502 trace                                   the known proxies of this host
  gw502 trace --upstream 10.0.0.0/8             only upstreams in that network
  gw502 trace --proxy my-gateway --class timeout
  gw502 trace --output json --duration 30s      for a pipe; the last line is the summary";

const DIAGNOSE_EXAMPLES: &str = "\
Examples:
  gw502 diagnose                                30 s, then the diagnosis
  gw502 diagnose --follow                       each change of state as it happens, until Ctrl-C
  gw502 diagnose --until-healthy 5m             the last step of a repair: ends once nothing failed for 5 min
  gw502 diagnose --replay incident.gw502        of a recording, on any machine, without root";

const RECORD_EXAMPLES: &str = "\
Everything is written unless --class, --cause or --count choose; what they leave out is counted all
the same, and a replay says how many. What the proxy cancelled itself is written too: `replay
--include-aborted` shows it, and --include-aborted here makes it count for --count.

Examples:
  gw502 record incident.gw502 --duration 10m
  gw502 replay incident.gw502
  gw502 replay incident.gw502 --class timeout --output json";

const AGENT_EXAMPLES: &str = "\
Without --config: JSON lines to stdout, and metrics on http://127.0.0.1:9502/metrics. SIGHUP reads the
file anew and opens log files anew; SIGTERM delivers what it can in 5 s,
and ends: the rest waits in the spool, or without one is lost and counted.

Examples:
  gw502 agent | jq -c .
  gw502 agent --config /etc/gw502/agent.toml
  gw502 agent --config /etc/gw502/agent.toml --check-config";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  gw502 explain                     all causes, a line each
  gw502 explain upstream-exited     symptom, likely reasons, what to check, how to fix it
  gw502 explain timeout             the causes of a class
  gw502 explain not-visible         what a proxy answers 502 for, and TCP cannot show";

/// `gw502 trace`.
#[derive(Args, Debug)]
pub struct TraceArgs {
    /// What to watch.
    #[command(flatten)]
    pub selection: Selection,
    /// What to show of it.
    #[command(flatten)]
    pub view: View,
}

/// `gw502 diagnose`.
#[derive(Args, Debug)]
pub struct DiagnoseArgs {
    /// What to watch. Without --duration it is for 30 s, or as long as --follow or --until-healthy
    /// take.
    #[command(flatten)]
    pub selection: Selection,
    /// Which failures to diagnose, and how to show it.
    #[command(flatten)]
    pub view: View,

    /// Show each change of state as it happens, and the diagnosis at the end.
    #[arg(long)]
    pub follow: bool,

    /// End once nothing has failed for so long; with 5 if --duration or a signal ends it before.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub until_healthy: Option<Duration>,

    /// Diagnose a recording made by `gw502 record` instead of this host.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "until_healthy", "proxy", "all_processes", "pid", "cgroup", "upstream", "duration", "hooks",
        "syscalls", "ring_size", "btf"
    ])]
    pub replay: Option<PathBuf>,
}

/// `gw502 agent`.
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// What to watch, and where to ship to (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Say what is wrong with the configuration, or what it comes to and its limits; then end.
    #[arg(long)]
    pub check_config: bool,
}

/// `gw502 record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Where to write the recording; an existing file is replaced.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to watch.
    #[command(flatten)]
    pub selection: Selection,
    /// Which events to write.
    #[command(flatten)]
    pub filter: Filter,
}

/// `gw502 replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// A recording made by `gw502 record`.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to show of it.
    #[command(flatten)]
    pub view: View,
}

/// `gw502 doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Text for people, or JSON.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,

    /// What `trace` would do with the same options.
    #[command(flatten)]
    pub ways: Ways,

    /// Where the kernel's type information (BTF) is.
    #[arg(long, value_name = "FILE", env = "GW502_BTF", hide = true)]
    pub btf: Option<PathBuf>,
}

/// `gw502 explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A cause, a class, or `not-visible`; without it, the list of all.
    #[arg(value_name = "CAUSE")]
    pub page: Option<String>,

    /// Text for people, or JSON, one page a line.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
}

/// By which backends to see.
#[derive(Args, Clone, Debug)]
pub struct Ways {
    /// How to see what can be seen in several ways; `gw502 doctor` says what this kernel has.
    #[arg(long, value_enum, value_name = "BACKEND", default_value_t = Hooks::Auto)]
    pub hooks: Hooks,

    /// Whether to look at system calls for what `connect()` returns (unix sockets, and connects that
    /// this host refuses by itself). It makes every system call of the host a little slower.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Syscalls::Auto)]
    pub syscalls: Syscalls,
}

/// What to watch, and for how long.
#[derive(Args, Clone, Debug)]
pub struct Selection {
    /// Watch processes of this name (repeatable) instead of the known proxies.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub proxy: Vec<String>,

    /// Watch every process of the host.
    #[arg(long, conflicts_with_all = ["proxy", "pid"])]
    pub all_processes: bool,

    /// Watch this process (repeatable); pids are those of the initial pid namespace.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,

    /// Only processes in this cgroup (v2) and below it, such as /system.slice/nginx.service.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,

    /// Only this upstream (repeatable): ADDRESS, ADDRESS:PORT, [IPV6]:PORT, NETWORK/PREFIX,
    /// unix:PATH or unix:@NAME (abstract).
    #[arg(long, value_name = "UPSTREAM")]
    pub upstream: Vec<UpstreamFilter>,

    /// Stop after this time, such as 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// By which backends.
    #[command(flatten)]
    pub ways: Ways,

    /// Size of the ring buffer of failures in KiB, a power of two; a storm that outruns it is
    /// counted, and shown as lost.
    #[arg(long, value_name = "KIB", default_value_t = 256, value_parser = parse_ring, hide_short_help = true)]
    pub ring_size: u32,

    /// Where the kernel's type information (BTF) is.
    #[arg(long, value_name = "FILE", env = "GW502_BTF", hide = true)]
    pub btf: Option<PathBuf>,
}

/// Which of the events seen are meant.
#[derive(Args, Clone, Debug)]
pub struct Filter {
    /// Only failures of this class (repeatable).
    #[arg(long, value_name = "CLASS")]
    pub class: Vec<Class>,

    /// Only failures of this cause (repeatable).
    #[arg(long, value_name = "CAUSE")]
    pub cause: Vec<Cause>,

    /// Also attempts that the proxy cancelled itself. They are no failures.
    #[arg(long)]
    pub include_aborted: bool,

    /// Stop after this many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

impl Filter {
    /// Whether an event is one of those meant.
    pub fn wants(&self, failure: &Failure) -> bool {
        self.wants_kind(failure) && (self.include_aborted || failure.is_failure())
    }

    /// Whether its class and cause are meant.
    pub fn wants_kind(&self, failure: &Failure) -> bool {
        let class = self.class.is_empty() || self.class.contains(&failure.class);
        let cause = self.cause.is_empty() || self.cause.contains(&failure.cause);
        class && cause
    }
}

/// What to show of what is seen, and how.
#[derive(Args, Clone, Debug)]
pub struct View {
    /// Which events.
    #[command(flatten)]
    pub filter: Filter,

    /// Exit with 5 when failures were seen.
    #[arg(long)]
    pub fail_on_failures: bool,

    /// Text for people, or JSON, one object a line.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,

    /// Colour: on a terminal unless `NO_COLOR` is set, always, or never.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    pub color: Colour,
}

/// `--hooks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The best that this kernel has.
    Auto,
    /// Trampolines on functions.
    Fentry,
    /// Breakpoints on functions.
    Kprobe,
    /// Tracepoints.
    Tracepoint,
}

/// `--syscalls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Syscalls {
    /// If this kernel shows it in no cheaper way.
    Auto,
    /// In any case.
    On,
    /// Never.
    Off,
}

impl Ways {
    /// What these options ask of the kernel side.
    pub const fn wish(&self) -> Wish {
        Wish {
            backend: match self.hooks {
                Hooks::Auto => None,
                Hooks::Fentry => Some(Backend::Fentry),
                Hooks::Kprobe => Some(Backend::Kprobe),
                Hooks::Tracepoint => Some(Backend::Tracepoint),
            },
            syscalls: match self.syscalls {
                Syscalls::Auto => plan::Syscalls::Auto,
                Syscalls::On => plan::Syscalls::On,
                Syscalls::Off => plan::Syscalls::Off,
            },
        }
    }
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned lines.
    Text,
    /// One object a line.
    Json,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("a process name has at least one character and no NUL".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_ring(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kib) if kib.is_power_of_two() && (4..=1_048_576).contains(&kib) => Ok(kib),
        _ => Err("a ring has a power of two of KiB, from 4 to 1048576".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text
        .parse()
        .map_err(|_error| "write a time such as 500ms, 30s, 5m or 1h30m".to_owned())?;
    match Duration::try_from(duration) {
        Ok(duration) if duration > Duration::ZERO => Ok(duration),
        _ => Err("a duration is longer than zero".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("0s").is_err());
        assert!(parse_duration("soon").is_err());
    }
}
