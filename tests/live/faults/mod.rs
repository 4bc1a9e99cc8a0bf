//! Each fault, through each proxy, over each path: one row of the table.
//!
//! A row makes the fault, sends requests, counts the attempts in the proxy's own log, and expects
//! gw502 to have reported exactly those.

mod case;
mod cases;
mod evidence;
mod row;

use gw502_tests::lab::Path;
use gw502_tests::proxy::Kind;
use libtest_mimic::Trial;

use crate::steady;

pub(crate) use self::case::{Case, Fault};
pub(crate) use self::cases::BUSY;
pub(crate) use self::evidence::queue_full;
pub(crate) use self::row::{Load, measure};

/// One trial for each row, named `faults::<fault>::<path>::<proxy>`.
pub(crate) fn trials() -> Vec<Trial> {
    let rows = cases::ALL.iter().flat_map(|case| {
        case.paths
            .iter()
            .flat_map(move |&path| case.proxies.iter().map(move |&kind| (case, path, kind)))
    });
    rows.map(|(case, path, kind)| {
        steady::trial(name(case, path, kind), move || {
            measure(case, path, kind, Load::usual())
        })
    })
    .collect()
}

fn name(case: &Case, path: Path, kind: Kind) -> String {
    format!("faults::{}::{path}::{kind}", case.name)
}
