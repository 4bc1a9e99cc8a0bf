//! Which trials of the live suite a guest runs.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// The table of faults, dialogues that make one, and what gw502 declares not to see.
const ALSO: &[&str] = &[
    "faults::",
    "reuse::request_on_a_closed",
    "sockets::",
    "blind::",
    "queues::",
    "fastopen::",
    "privilege::",
];

/// What takes minutes in an emulator: run when asked for, by `--long` or by name.
const LONG: &[&str] = &["attach::"];

/// What tells most in few minutes: each way in which a backend could fail, once.
const CORE: &[&str] = &[
    "faults::no_listener::",
    "faults::icmp_port_unreachable::",
    "faults::icmp_host_unreachable::",
    "faults::icmp_admin_prohibited::",
    "faults::ports_exhausted::",
    "faults::reset_after_request::",
    "faults::close_after_request::",
    "faults::hang::",
    "faults::accept_queue_full::",
    "faults::no_route::",
    "faults::unix_missing::",
    "faults::unix_stale::",
    "faults::unix_permission::",
    "faults::unix_backlog_full::",
    "reuse::request_on_a_closed_connection::veth::",
    "blind::io_uring",
    "blind::process_of_32_bits",
    "blind::mptcp_socket",
    "privilege::",
];

/// Which of the trials to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// [`CORE`].
    Core,
    /// Each fault once.
    EachFault,
    /// Each fault over each path and through each proxy.
    EveryRow,
}

/// The trials to run, by the list that the suite prints.
pub(super) fn choose(
    listed: &str,
    filter: Option<&str>,
    extent: Extent,
    long: bool,
) -> Result<Vec<String>> {
    let begins = |name: &str, list: &[&str]| list.iter().any(|one| name.starts_with(one));
    let is_meant = |name: &&str| {
        let is_long = begins(name, LONG);
        match filter {
            Some(filter) => name.contains(filter) && (is_long || begins(name, ALSO)),
            None if is_long => long,
            None if extent == Extent::Core => begins(name, CORE),
            None => begins(name, ALSO),
        }
    };
    let all = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    if let (Extent::Core, None) = (extent, filter) {
        let is_there = |one: &&&str| all.clone().any(|name| name.starts_with(**one));
        if let Some(gone) = CORE.iter().find(|one| !is_there(one)) {
            bail!("no trial is called `{gone}…` any more: mend `CORE` in xtask/src/vm/trials.rs");
        }
    }
    let names = all.filter(is_meant);
    let chosen = once(&names.collect::<Vec<_>>(), extent);
    if chosen.is_empty() {
        bail!("no trial is called so: `cargo xtask test --only live -- --list` lists them");
    }
    Ok(chosen)
}

fn once(names: &[&str], extent: Extent) -> Vec<String> {
    let names = names.iter().copied();
    if extent == Extent::EveryRow {
        return names.map(str::to_owned).collect();
    }
    // By fault, in the suite's order: the row that comes first in `preference`.
    let mut faults: Vec<&str> = Vec::new();
    let mut rows: BTreeMap<&str, &str> = BTreeMap::new();
    for name in names {
        let fault = fault(name);
        match rows.get(fault) {
            None => {
                faults.push(fault);
                rows.insert(fault, name);
            }
            Some(row) if preference(name) < preference(row) => {
                rows.insert(fault, name);
            }
            Some(_) => {}
        }
    }
    faults
        .iter()
        .filter_map(|fault| rows.get(fault))
        .map(ToString::to_string)
        .collect()
}

/// A trial's name without path and proxy: `faults::<fault>` of `faults::<fault>::<path>::<proxy>`.
fn fault(name: &str) -> &str {
    let end = name.match_indices("::").nth(1).map(|(at, _)| at);
    name.get(..end.unwrap_or(name.len())).unwrap_or(name)
}

/// Two hosts before one, nginx before others: the lower, the better.
fn preference(name: &str) -> (usize, usize) {
    let path = ["::veth", "::delayed", "::loopback"];
    let proxy = ["::nginx", "::haproxy"];
    let first = |words: &[&str]| words.iter().position(|word| name.contains(word));
    (
        first(&path).unwrap_or(path.len()),
        first(&proxy).unwrap_or(proxy.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "faults::a::loopback::nginx: test\nfaults::a::veth::haproxy: test\n\
                          faults::a::veth::nginx: test\nfaults::b::delayed::haproxy: test\n\
                          demo::x: test\nblind::c: test\nattach::long_one: test\n";

    fn chosen(filter: Option<&str>, extent: Extent) -> Vec<String> {
        choose(LISTED, filter, extent, false).unwrap()
    }

    #[test]
    fn each_fault_is_run_once() {
        assert_eq!(
            chosen(None, Extent::EachFault),
            [
                "faults::a::veth::nginx",
                "faults::b::delayed::haproxy",
                "blind::c"
            ]
        );
        assert_eq!(chosen(None, Extent::EveryRow).len(), 5);
        assert_eq!(chosen(Some("haproxy"), Extent::EachFault).len(), 2);
    }

    #[test]
    fn what_takes_long_is_run_when_asked_for() {
        assert_eq!(
            chosen(Some("attach"), Extent::EachFault),
            ["attach::long_one"]
        );
        let with_long = choose(LISTED, None, Extent::EachFault, true).unwrap();
        assert!(with_long.contains(&"attach::long_one".to_owned()));
    }

    #[test]
    fn a_core_of_trials_that_are_not_there_is_refused() {
        assert!(choose(LISTED, None, Extent::Core, false).is_err());
        assert!(choose(LISTED, Some("nonsense"), Extent::EachFault, false).is_err());
        let all: String = CORE.iter().flat_map(|one| [one, "x: test\n"]).collect();
        let chosen = choose(&all, None, Extent::Core, false).unwrap();
        assert_eq!(chosen.len(), CORE.len());
    }
}
