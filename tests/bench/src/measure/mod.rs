//! What is measured, one file each, and the order in which it is.

pub(crate) mod healthy;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod programs;
pub(crate) mod start;

use anyhow::{Context as _, Result};

use crate::agent::Agent;
use crate::attach::Rack;
use crate::attach::empty::Empty;
use crate::attach::gw502::{Gw502, UNWATCHED, WATCHED};
use crate::attach::hooks::Variant;
use crate::child::Place;
use crate::goals;
use crate::machine::{self, Machine};
use crate::options::{Options, Size};
use crate::report::Report;
use crate::site::Site;
use crate::stage::{self, Scratch};
use crate::{clock, interrupt};

/// What every measurement uses.
#[derive(Debug)]
pub(crate) struct Bench {
    size: Size,
    rack: Rack,
    watched: Agent,
    unwatched: Agent,
    site: Site,
    /// Last, for it is dropped last: the others have files in it.
    scratch: Scratch,
}

impl Bench {
    fn set_up(options: &Options) -> Result<Self> {
        if let Err(error) = stage::own_tracefs() {
            eprintln!("bench: {error:#}; other tools may not start");
        }
        stage::own_network()?;
        let scratch = Scratch::new()?;
        // Each loop and the proxy on one CPU, all that serves them on another.
        let cpus = machine::cpus()?;
        let (main, others) = match cpus.as_slice() {
            [main, others, ..] => (Place::Cpu(*main), Place::Cpu(*others)),
            _ => (Place::Any, Place::Any),
        };
        let gw502 = Gw502::new(&options.gw502)?;
        let hooks = gw502.hooks()?;
        Ok(Self {
            size: options.size,
            rack: Rack {
                empty: Empty::load(&options.empty, &hooks.of(Variant::Auto))?,
                gw502,
                hooks,
            },
            watched: Agent::start(WATCHED, main)?,
            unwatched: Agent::start(UNWATCHED, main)?,
            site: Site::start(&scratch, main, others)?,
            scratch,
        })
    }
}

/// Measures everything.
pub(crate) fn everything(options: &Options) -> Result<Report> {
    let start = clock::now()?;
    let machine = Machine::look()?;
    let date = clock::date();
    progress("setting up");
    let mut bench = Bench::set_up(options)?;
    programs::check(&bench)?;
    let minutes = options.size.healthy.as_secs().div_ceil(60);
    progress(&format!("the healthy path, about {minutes} min"));
    let healthy = healthy::measure(&mut bench).context("cannot measure the healthy path")?;
    progress("each program");
    let programs = programs::measure(&mut bench).context("cannot measure the programs")?;
    progress("from failure to line");
    let latency = latency::measure(&mut bench).context("cannot time the lines")?;
    progress("from start to ready");
    let start_up = start::measure(&bench).context("cannot time the start")?;
    progress("memory");
    let memory = memory::measure(&mut bench).context("cannot measure memory")?;
    let goals = goals::judge(&healthy, &programs, &latency, &start_up)?;
    Ok(Report {
        schema: "gw502.bench/1",
        date,
        gw502: bench.rack.gw502.version().to_owned(),
        hooks: bench.rack.hooks.backends(),
        took_seconds: clock::since(start)?.as_secs(),
        machine_name: machine.name(),
        machine,
        healthy: healthy.report(),
        programs,
        latency,
        start: start_up,
        memory,
        goals,
    })
}

/// To stderr: stdout has the result alone.
fn progress(what: &str) {
    eprintln!("measuring: {what}");
}

/// Between two bursts.
fn pause() -> Result<()> {
    interrupt::check()
}
