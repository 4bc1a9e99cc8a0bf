//! BPF objects that a process holds open, as /proc tells.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

/// A BPF object that a process holds open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    /// The kernel's id of it.
    pub(crate) id: u32,
    /// Bytes of kernel memory that it takes.
    pub(crate) memlock: u64,
}

/// The BPF objects that a process holds whose id is called `kind`: `prog_id` or `map_id`; each once.
pub(crate) fn objects(pid: u32, kind: &str) -> Result<Vec<Object>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list `{folder}`"))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot list `{folder}`"))?
            .path();
        // It may have been closed since.
        let Ok(info) = fs::read_to_string(path) else {
            continue;
        };
        found.extend(parse(&info, kind).map(|object| (object.id, object)));
    }
    Ok(found.into_values().collect())
}

/// `None` for links, too, which name the program they attach.
fn parse(info: &str, kind: &str) -> Option<Object> {
    let field = |name: &str| {
        info.lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| (key == name).then_some(value.trim()))
    };
    Some(Object {
        id: field(kind)?.parse().ok()?,
        memlock: field("memlock")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_links_and_maps() {
        let program = "pos:\t0\nprog_type:\t26\nmemlock:\t4096\nprog_id:\t31\n";
        let link = "pos:\t0\nlink_type:\traw_tracepoint\nlink_id:\t4\nprog_id:\t31\n";
        let map = "pos:\t0\nmap_type:\t1\nmemlock:\t8192\nmap_id:\t7\n";
        let object = parse(program, "prog_id").unwrap();
        assert_eq!((object.id, object.memlock), (31, 4096));
        assert_eq!(parse(link, "prog_id"), None);
        assert_eq!(parse(map, "prog_id"), None);
        assert_eq!(
            parse(map, "map_id").map(|object| object.memlock),
            Some(8192)
        );
    }
}
