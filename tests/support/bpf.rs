//! eBPF programs, maps and links that nobody holds: what a process that ended left in the kernel.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::process::run;

/// What there is of each: how bpftool lists it, and how the descriptors that hold one name it.
const KINDS: [(&str, &str); 3] = [
    ("prog", "prog_id:"),
    ("map", "map_id:"),
    ("link", "link_id:"),
];

/// Those that no process holds, by itself or through what attaches them, as `prog 17`.
///
/// Whoever holds one is somebody else's test, or still runs. What has just lost its owner goes a
/// moment later.
#[must_use]
#[track_caller]
pub fn unheld() -> BTreeSet<String> {
    let all: BTreeSet<String> = KINDS
        .into_iter()
        .flat_map(|(kind, _)| listed(kind).into_iter().map(move |id| name(kind, id)))
        .collect();
    // After the list: what is made meanwhile is in neither.
    &all - &held()
}

fn name(kind: &str, id: u64) -> String {
    format!("{kind} {id}")
}

#[track_caller]
fn listed(kind: &str) -> Vec<u64> {
    let text = run("bpftool", &["-j", kind, "show"]);
    // It prints nothing at all where there are no links.
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|one| one.get("id")?.as_u64()).collect()
}

fn held() -> BTreeSet<String> {
    let tables = entries("/proc").into_iter();
    tables
        .map(|process| format!("/proc/{process}/fdinfo"))
        .flat_map(|table| {
            let descriptors = entries(&table).into_iter();
            descriptors.map(move |descriptor| format!("{table}/{descriptor}"))
        })
        .filter_map(|descriptor| fs::read_to_string(descriptor).ok())
        .flat_map(|lines| named(&lines))
        .collect()
}

/// What a descriptor holds, by its file in `fdinfo`.
fn named(lines: &str) -> Vec<String> {
    let pairs = lines
        .lines()
        .flat_map(|line| KINDS.map(|(kind, field)| (kind, line.strip_prefix(field))));
    pairs
        .filter_map(|(kind, id)| Some(name(kind, id?.trim().parse().ok()?)))
        .collect()
}

fn entries(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_descriptor_names_what_it_holds() {
        let link = "pos:\t0\nlink_type:\ttracing\nlink_id:\t7\nprog_id:\t12\n";
        assert_eq!(named(link), ["link 7", "prog 12"]);
        assert_eq!(named("pos:\t0\nmap_type:\t1\nmap_id:\t3\n"), ["map 3"]);
    }
}
