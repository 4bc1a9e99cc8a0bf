//! Processes that run now, by the name of their thread-group leader.

use std::collections::BTreeMap;
use std::fs;

use super::root::KernelRoot;

/// How many processes carry each of `names`; names that no process carries are left out.
pub fn running(root: &KernelRoot, names: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let Ok(entries) = fs::read_dir(&root.proc) else {
        return counts;
    };
    for entry in entries.flatten() {
        if !entry
            .file_name()
            .to_string_lossy()
            .bytes()
            .all(|byte| byte.is_ascii_digit())
        {
            continue;
        }
        // A process may end while we look; then it does not run.
        let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else {
            continue;
        };
        let comm = comm.trim_end_matches('\n');
        if names.iter().any(|name| name == comm) {
            *counts.entry(comm.to_owned()).or_default() += 1;
        }
    }
    counts
}
