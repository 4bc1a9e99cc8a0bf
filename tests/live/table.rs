//! The table of rows, as the last trial of every run.
//!
//! libtest-mimic prints its result line right after the last trial, and `cargo xtask test` reads
//! that line, so the table has to come from a trial.
#![expect(clippy::print_stdout, reason = "the table is the suite's output")]

use std::collections::BTreeSet;

use gw502_tests::proxy::Kind;
use gw502_tests::report;
use libtest_mimic::{Arguments, Trial};

/// Applies the filters of the command line, and appends the table's trial, which no filter hides.
pub(crate) fn with_table(arguments: &mut Arguments, mut trials: Vec<Trial>) -> Vec<Trial> {
    let filter = arguments.filter.take();
    let skip = std::mem::take(&mut arguments.skip);
    let exact = std::mem::take(&mut arguments.exact);
    let matches = |name: &str, wanted: &str| {
        if exact {
            name == wanted
        } else {
            name.contains(wanted)
        }
    };
    trials.retain(|trial| {
        filter
            .as_deref()
            .is_none_or(|wanted| matches(trial.name(), wanted))
            && !skip.iter().any(|unwanted| matches(trial.name(), unwanted))
    });
    trials.push(Trial::test("table::every_row_agrees", print));
    trials
}

/// Prints the table. It fails with the rows, so that the rows of a failed trial are not missed.
fn print() -> Result<(), libtest_mimic::Failed> {
    let rows = report::rows();
    if rows.is_empty() {
        return Ok(());
    }
    let (failed, events) = rows.iter().fold((0, 0), |(failed, events), row| {
        (failed + row.failed, events + row.events)
    });
    println!("\n\n{}", report::table(&rows));
    for kind in [Kind::Nginx, Kind::Haproxy, Kind::Apache] {
        let program = kind.program();
        let of_it = rows
            .iter()
            .filter(|row| row.failed > 0 && row.proxy.program() == program);
        let faults: BTreeSet<_> = of_it.map(|row| row.fault).collect();
        println!("{} faults through {program}", faults.len());
    }
    println!(
        "{} rows, {failed} attempts failed, {events} events seen\n",
        rows.len()
    );
    let differing = rows.iter().filter(|row| !row.agrees).count();
    if differing > 0 {
        return Err(format!("{differing} rows differ from what the proxies did").into());
    }
    Ok(())
}
