//! What the kernel says of this process.

use std::fs;
use std::io;

use super::own::Process;

/// As it is now. `boot_s` is when the host started, seconds since 1970.
pub fn read(boot_s: f64) -> io::Result<Process> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    let tick = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?;
    let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let page = positive(page).unwrap_or(4096);
    let tick = positive(tick).unwrap_or(100);
    // proc(5): the second number of statm, and the 22nd of stat, whose second may have blanks in it.
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let ticks: Option<u64> = after
        .split(' ')
        .nth(19)
        .and_then(|ticks| ticks.parse().ok());
    let milliseconds = ticks.unwrap_or(0).saturating_mul(1000) / tick;
    let since_boot = std::time::Duration::from_millis(milliseconds).as_secs_f64();
    // The descriptor that reads the list is in it.
    let open = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
    Ok(Process {
        resident_bytes: pages.unwrap_or(0).saturating_mul(page),
        open_fds: u64::try_from(open).unwrap_or(u64::MAX),
        started_s: boot_s + since_boot,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_descriptors_and_a_start() {
        let here = read(0.0).unwrap();
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!(here.resident_bytes > 1 << 20, "{here:?}");
        assert!((3..100_000).contains(&here.open_fds), "{here:?}");
        assert!(here.started_s > 0.0 && here.started_s <= uptime, "{here:?}");
    }
}
