//! Which trials of the live suite a guest runs.

use std::collections::BTreeMap;

/// Besides the table of faults: dialogues that make one, and what gw502 declares not to see.
const ALSO: &[&str] = &[
    "reuse::request_on_a_closed",
    "sockets::",
    "blind::",
    "queues::",
    "fastopen::",
];

/// The trials to run, by the list that the suite prints: each fault once, or in every row.
pub(super) fn choose(listed: &str, filter: Option<&str>, every_row: bool) -> Vec<String> {
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|name| name.starts_with("faults::") || ALSO.iter().any(|one| name.starts_with(one)))
        .filter(|name| filter.is_none_or(|filter| name.contains(filter)));
    if every_row {
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
                          demo::x: test\nblind::c: test\n";

    #[test]
    fn each_fault_is_run_once() {
        assert_eq!(
            choose(LISTED, None, false),
            [
                "faults::a::veth::nginx",
                "faults::b::delayed::haproxy",
                "blind::c"
            ]
        );
        assert_eq!(choose(LISTED, None, true).len(), 5);
        assert_eq!(choose(LISTED, Some("haproxy"), false).len(), 2);
    }
}
