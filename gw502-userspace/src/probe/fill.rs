//! What the kernel side is told through its maps.

use std::io;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, Map, MapError, PerCpuHashMap, PerCpuValues};
use gw502_common::tcp::SUN_PATH;
use gw502_common::wire::{UpstreamCounts, UpstreamKey};

use super::ProbeError;
use crate::cli::filter::UpstreamFilter;

/// The map `name`, which can be taken once.
pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, ProbeError> {
    ebpf.take_map(name).ok_or(ProbeError::Missing { name })
}

/// Puts every key into the map `name`, which is used as a set.
pub(super) fn fill_set<K: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
    keys: impl Iterator<Item = K>,
) -> Result<(), ProbeError> {
    let failed = |source| ProbeError::Map { map: name, source };
    let map = ebpf.map_mut(name).ok_or(ProbeError::Missing { name })?;
    let mut set: HashMap<_, K, u8> = HashMap::try_from(map).map_err(failed)?;
    for key in keys {
        set.insert(key, 1, 0).map_err(failed)?;
    }
    Ok(())
}

/// Takes everything out of the map `name`.
pub(super) fn empty<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<(), ProbeError> {
    let failed = |source| ProbeError::Map { map: name, source };
    let map = ebpf.map_mut(name).ok_or(ProbeError::Missing { name })?;
    let mut map: HashMap<_, K, V> = HashMap::try_from(map).map_err(failed)?;
    let keys: Vec<K> = map.keys().collect::<Result<_, _>>().map_err(failed)?;
    for key in keys {
        match map.remove(&key) {
            Ok(()) | Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Tells the kernel side which upstreams are wanted: whole addresses and unix sockets by look-up,
/// networks by longest prefix.
pub(super) fn want(ebpf: &mut Ebpf, upstreams: &[UpstreamFilter]) -> Result<(), ProbeError> {
    let sockets = upstreams.iter().filter_map(UpstreamFilter::socket);
    fill_set(ebpf, "WANTED_UNIX", sockets)?;
    let (networks, addresses): (Vec<_>, Vec<_>) = upstreams
        .iter()
        .filter_map(UpstreamFilter::network)
        .partition(|(_, bits, _)| *bits < 128);
    let keys = addresses.into_iter().map(|(address, _, port)| UpstreamKey {
        address,
        port: port.unwrap_or(0),
        ..UpstreamKey::default()
    });
    fill_set(ebpf, "WANTED", keys)?;
    let name = "NETWORKS";
    let failed = |source| ProbeError::Map { map: name, source };
    let map = ebpf.map_mut(name).ok_or(ProbeError::Missing { name })?;
    let mut trie: LpmTrie<_, [u8; 16], u8> = LpmTrie::try_from(map).map_err(failed)?;
    for (network, bits, _) in networks {
        trie.insert(&Key::new(bits, network), 1, 0)
            .map_err(failed)?;
    }
    Ok(())
}

/// Where the host's own services listen, by how their paths begin: users and names (nscd, systemd's
/// userdb and resolved), the bus, the log. The C library and its modules connect to them for any
/// process; no proxy has an upstream there.
const SERVICES: [&str; 10] = [
    "/run/nscd/",
    "/var/run/nscd/",
    "/run/systemd/",
    "/var/run/systemd/",
    "/run/dbus/",
    "/var/run/dbus/",
    "/run/sssd/",
    "/var/lib/sss/",
    "/run/avahi-daemon/",
    "/dev/log",
];

/// Tells the kernel side which unix sockets are no upstreams, unless they are asked for by name.
pub(super) fn leave_out_services(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
    let name = "SERVICES";
    let failed = |source| ProbeError::Map { map: name, source };
    let map = ebpf.map_mut(name).ok_or(ProbeError::Missing { name })?;
    let mut trie: LpmTrie<_, [u8; SUN_PATH], u8> = LpmTrie::try_from(map).map_err(failed)?;
    for service in SERVICES {
        let mut path = [0; SUN_PATH];
        let mut bits = 0;
        for (to, from) in path.iter_mut().zip(service.bytes()) {
            *to = from;
            bits += 8;
        }
        trie.insert(&Key::new(bits, path), 1, 0).map_err(failed)?;
    }
    Ok(())
}

/// Puts an entry into the map `name`, unless the kernel side was quicker.
pub(super) fn insert_new<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
    key: K,
    value: V,
) -> Result<(), ProbeError> {
    /// `include/uapi/linux/bpf.h`
    const BPF_NOEXIST: u64 = 1;
    let failed = |source| ProbeError::Map { map: name, source };
    let map = ebpf.map_mut(name).ok_or(ProbeError::Missing { name })?;
    let mut map: HashMap<_, K, V> = HashMap::try_from(map).map_err(failed)?;
    match map.insert(key, value, BPF_NOEXIST) {
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == io::ErrorKind::AlreadyExists =>
        {
            Ok(())
        }
        other => other.map_err(failed),
    }
}

/// Puts the slot of "every other upstream" in place before the first connect is counted.
pub(super) fn make_room_for_others(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
    let name = "UPSTREAMS";
    let failed = |source| ProbeError::Map { map: name, source };
    let map = ebpf.map_mut(name).ok_or(ProbeError::Missing { name })?;
    let mut upstreams: PerCpuHashMap<_, UpstreamKey, UpstreamCounts> =
        PerCpuHashMap::try_from(map).map_err(failed)?;
    let cpus = aya::util::nr_cpus().map_err(|(_file, error)| failed(error.into()))?;
    let nothing = PerCpuValues::try_from(vec![UpstreamCounts::default(); cpus])
        .map_err(|error| failed(error.into()))?;
    upstreams
        .insert(UpstreamKey::default(), nothing, 0)
        .map_err(failed)
}

/// A process name as the kernel keeps it: 15 bytes, then NULs.
pub(super) fn comm(name: &str) -> [u8; 16] {
    let mut comm = [0; 16];
    for (to, from) in comm.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    comm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_as_the_kernel_cuts_it() {
        assert_eq!(&comm("nginx"), b"nginx\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(&comm("a-very-long-proxy-name"), b"a-very-long-pro\0");
    }
}
