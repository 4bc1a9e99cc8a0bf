//! Each program by itself: how often it runs, how long, and how big it is.
//!
//! The kernel's own statistics. While they are on, the kernel reads a clock before and after each
//! run, and most of what it then notes for a short program is that clock. An empty program on the
//! same hook is nothing but that, so what it takes is subtracted.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use gw502_common::hooks::Hook;

use super::{Bench, pause};
use crate::attach::Configuration;
use crate::attach::empty::stand_in;
use crate::attach::gw502::{Stdout, Tracer};
use crate::attach::hooks::Variant;
use crate::held;
use crate::report::{ProgramReport, Programs, Use};
use crate::site::Upstream;
use crate::statistics::real64;

/// How long the loop runs here.
const TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// The loop passes the same hooks each time. Where the runs for a connection differ by more than this
/// share, others on this host passed them, too, and are in the numbers.
const DISTURBED: f64 = 0.02;

/// Bytes of a program's name that the kernel keeps.
const NAME: usize = 15;

/// A program's statistics at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reading {
    runs: u64,
    nanoseconds: u64,
    instructions: Option<u32>,
}

/// What the programs did in one burst of each load.
#[derive(Debug)]
struct Bursts {
    connections: u64,
    connect: Vec<Reading>,
    requests: u64,
    proxy: Vec<Reading>,
}

pub(super) fn measure(bench: &mut Bench) -> Result<Programs> {
    let variant = Variant::Auto;
    let hooks = bench.rack.hooks.of(variant);
    let _stats = enable_stats(Stats::RunTime).context("cannot turn on BPF statistics")?;

    let ids = bench.rack.empty.ids(&hooks)?;
    let attached = bench.rack.empty.attach(&hooks)?;
    let empty = Bursts::measure(bench, &ids)?;
    drop(attached);

    let (tracer, ids) = trace(bench, variant)?;
    let gw502 = Bursts::measure(bench, &ids)?;
    tracer.stop()?;

    let empty_connect = clock_cost(&hooks, &empty.connect);
    let empty_proxy = clock_cost(&hooks, &empty.proxy);
    let rows = hooks.iter().zip(gw502.connect.iter().zip(&gw502.proxy));
    let rows = rows.map(|(hook, (connect, proxy))| ProgramReport {
        program: hook.program,
        hook: hook.target,
        verified_instructions: connect.instructions,
        connect: usage(connect, gw502.connections, empty_connect.get(&key(hook))),
        proxy: usage(proxy, gw502.requests, empty_proxy.get(&key(hook))),
    });
    let of_empty = runs_each(&empty.connect, empty.connections);
    let of_gw502 = runs_each(&gw502.connect, gw502.connections);
    Ok(Programs {
        configuration: Configuration::Gw502(variant).name(),
        disturbed: (of_gw502 / of_empty - 1.0).abs() > DISTURBED,
        rows: rows.collect(),
    })
}

/// gw502 holds the programs that the empty ones stand for, and no others; with each of its variants.
pub(super) fn check(bench: &Bench) -> Result<()> {
    for variant in bench.rack.hooks.variants() {
        pause()?;
        let (tracer, _ids) = trace(bench, variant)?;
        tracer.stop()?;
    }
    Ok(())
}

/// Starts gw502; with the id of each of its hooks' programs.
fn trace(bench: &Bench, variant: Variant) -> Result<(Tracer, Vec<u32>)> {
    let output = Stdout::File(bench.scratch.path("gw502.out"));
    let tracer = bench.rack.gw502.trace(variant, output)?;
    let ids = match_up(&bench.rack.hooks.of(variant), &programs_of(tracer.pid())?)
        .with_context(|| format!("{} is not as planned", Configuration::Gw502(variant).name()))?;
    Ok((tracer, ids))
}

impl Bursts {
    fn measure(bench: &mut Bench, ids: &[u32]) -> Result<Self> {
        pause()?;
        let before = read(ids)?;
        let connections = bench.watched.connect(TIME)?.count;
        let between = read(ids)?;
        let requests = bench.site.measure(Upstream::Fresh, 1)?.requests;
        let after = read(ids)?;
        Ok(Self {
            connections,
            connect: difference(&before, &between),
            requests,
            proxy: difference(&between, &after),
        })
    }
}

/// The statistics of the programs with these ids.
fn read(ids: &[u32]) -> Result<Vec<Reading>> {
    // One that ends while we look, of somebody else, is an error here and no matter.
    let all: BTreeMap<u32, Reading> = loaded_programs()
        .filter_map(Result::ok)
        .map(|info| {
            let reading = Reading {
                runs: info.run_count(),
                nanoseconds: u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX),
                instructions: info.verified_instruction_count(),
            };
            (info.id(), reading)
        })
        .collect();
    ids.iter()
        .map(|id| {
            let reading = all.get(id).copied();
            reading.with_context(|| format!("the kernel has no program {id} any more"))
        })
        .collect()
}

fn difference(before: &[Reading], after: &[Reading]) -> Vec<Reading> {
    let both = before.iter().zip(after);
    both.map(|(before, after)| Reading {
        runs: after.runs.saturating_sub(before.runs),
        nanoseconds: after.nanoseconds.saturating_sub(before.nanoseconds),
        instructions: after.instructions,
    })
    .collect()
}

/// Ids and names of the programs that a process holds, in the order in which they were loaded.
fn programs_of(pid: u32) -> Result<Vec<(u32, String)>> {
    let held: Vec<u32> = held::objects(pid, "prog_id")?
        .iter()
        .map(|object| object.id)
        .collect();
    let mut programs: Vec<(u32, String)> = loaded_programs()
        .filter_map(Result::ok)
        .filter(|info| held.contains(&info.id()))
        .map(|info| (info.id(), info.name_as_str().unwrap_or_default().to_owned()))
        .collect();
    programs.sort();
    Ok(programs)
}

/// The id of each hook's program. Their names are cut, and the two of a pair may then be the same; but
/// gw502 loads the first of a pair first.
fn match_up(hooks: &[&Hook], programs: &[(u32, String)]) -> Result<Vec<u32>> {
    let mut left = programs.to_vec();
    let ids = hooks.iter().map(|hook| {
        let name = hook.program.get(..NAME).unwrap_or(hook.program);
        let at = left.iter().position(|(_, held)| held == name);
        let at = at.with_context(|| format!("gw502 did not load `{}`", hook.program))?;
        Ok(left.remove(at).0)
    });
    let ids = ids.collect::<Result<_>>()?;
    if let Some((id, name)) = left.first() {
        bail!(
            "gw502 holds the program {id} `{name}`, which `gw502 doctor` does not lead to expect"
        );
    }
    Ok(ids)
}

/// Hooks of one key cost the same.
const fn key(hook: &Hook) -> Key {
    (stand_in(hook), hook.target)
}

type Key = (&'static str, &'static str);

/// Nanoseconds of a run in which nothing is done, by hook.
fn clock_cost(hooks: &[&Hook], readings: &[Reading]) -> BTreeMap<Key, f64> {
    let mut sums: BTreeMap<_, Reading> = BTreeMap::new();
    for (hook, reading) in hooks.iter().zip(readings) {
        let sum = sums.entry(key(hook)).or_default();
        sum.runs += reading.runs;
        sum.nanoseconds += reading.nanoseconds;
    }
    sums.into_iter()
        .filter(|(_, sum)| sum.runs > 0)
        .map(|(key, sum)| (key, real64(sum.nanoseconds) / real64(sum.runs)))
        .collect()
}

/// Runs of all programs for one operation.
fn runs_each(readings: &[Reading], operations: u64) -> f64 {
    let runs: u64 = readings.iter().map(|reading| reading.runs).sum();
    real64(runs) / real64(operations.max(1))
}

fn usage(reading: &Reading, operations: u64, clock: Option<&f64>) -> Use {
    let gross = (reading.runs > 0).then(|| real64(reading.nanoseconds) / real64(reading.runs));
    Use {
        runs: reading.runs,
        runs_per_operation: real64(reading.runs) / real64(operations.max(1)),
        empty_nanoseconds: clock.copied(),
        // Not below zero by noise of the clock alone: shown as it is.
        net_nanoseconds: gross.zip(clock).map(|(gross, clock)| gross - clock),
    }
}

/// Nanoseconds that all programs take for one connection, without the clock.
pub(crate) fn net_per_connection(programs: &Programs) -> f64 {
    let each = programs.rows.iter().map(|row| &row.connect);
    each.filter_map(|used| Some(used.runs_per_operation * used.net_nanoseconds?))
        .sum()
}

/// Runs of all programs for one connection.
pub(crate) fn runs_per_connection(programs: &Programs) -> f64 {
    let each = programs.rows.iter().map(|row| &row.connect);
    each.map(|used| used.runs_per_operation).sum()
}

/// Whether the programs measured are those of this variant.
pub(crate) fn is_of(programs: &Programs, variant: Variant) -> bool {
    programs.configuration == Configuration::Gw502(variant).name()
}

#[cfg(test)]
mod tests {
    use gw502_common::hooks::Backend;

    use super::*;
    use crate::attach::hooks::tests::with;

    fn hooks() -> Vec<&'static Hook> {
        with(Backend::SyscallTracepoint).of(Variant::Auto)
    }

    fn reading(runs: u64, nanoseconds: u64) -> Reading {
        Reading {
            runs,
            nanoseconds,
            instructions: None,
        }
    }

    fn cut(program: &str) -> String {
        program.get(..NAME).unwrap_or(program).to_owned()
    }

    #[test]
    fn programs_of_one_name_are_told_apart_by_their_order() {
        let hooks = hooks();
        let mut loaded: Vec<(u32, String)> = (100..)
            .zip(hooks.iter().map(|hook| cut(hook.program)))
            .collect();
        let expected: Vec<u32> = loaded.iter().map(|(id, _)| *id).collect();
        assert_eq!(match_up(&hooks, &loaded).unwrap(), expected);
        // Capabilities are loaded in an order of their own.
        loaded.rotate_left(4);
        assert_eq!(match_up(&hooks, &loaded).unwrap(), expected);
    }

    #[test]
    fn a_program_that_is_missing_or_too_many_is_named() {
        let hooks = hooks();
        let mut loaded: Vec<(u32, String)> = (1..)
            .zip(hooks.iter().map(|hook| cut(hook.program)))
            .collect();
        loaded.push((7000, "somebody".to_owned()));
        let error = match_up(&hooks, &loaded).unwrap_err();
        assert!(error.to_string().contains("somebody"), "{error}");
        let error = match_up(&hooks, &loaded[1..]).unwrap_err();
        assert!(error.to_string().contains(hooks[0].program), "{error}");
    }

    #[test]
    fn the_clock_is_subtracted_by_hook() {
        // Two on `kfree_skb`.
        let hooks: Vec<&Hook> = hooks()
            .into_iter()
            .filter(|hook| hook.target == "kfree_skb")
            .collect();
        let clock = clock_cost(&hooks, &[reading(10, 400), reading(10, 600)]);
        assert_eq!(clock.get(&key(hooks[0])), Some(&50.0));
        let used = usage(&reading(20, 3000), 5, clock.get(&key(hooks[0])));
        assert_eq!(used.net_nanoseconds, Some(100.0));
        assert!((used.runs_per_operation - 4.0).abs() < 1e-9);
    }

    #[test]
    fn a_program_that_never_ran_has_no_time() {
        let hooks: Vec<&Hook> = hooks().into_iter().take(1).collect();
        let clock = clock_cost(&hooks, &[reading(0, 0)]);
        let used = usage(&reading(0, 0), 5, clock.get(&key(hooks[0])));
        assert_eq!(used.net_nanoseconds, None);
        assert_eq!(used.empty_nanoseconds, None);
    }
}
