//! Loads the BPF object with this kernel's offsets frozen in, and attaches its programs.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuHashMap, PerCpuValues, RingBuf};
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, Endianness};
use gw502_common::hooks::{Backend, HOOKS, Hook};
use gw502_common::settings;
use gw502_common::wire::{Clients, ListenKey, Pair, ProxyKey, UpstreamCounts, UpstreamKey};

use crate::cli::filter::UpstreamFilter;
use crate::intake::calls::Calls;
use crate::intake::counters::Counters;
use crate::kernel::cgroup::Cgroup;
use crate::kernel::layout::KernelLayout;
use crate::kernel::listeners::Listener;
use crate::kernel::processes::same_name;

/// The object that the build script made. 32-byte alignment is what the parser asks for.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/gw502.bpf.o"));

/// Whose connections to watch. Decided in the kernel, at connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Every process of the host.
    pub all_processes: bool,
    /// Names of thread-group leaders; the kernel keeps 15 bytes of each.
    pub names: Vec<String>,
    /// Thread-group ids.
    pub pids: Vec<u32>,
    /// Only processes in this cgroup and below it.
    pub cgroup: Option<Cgroup>,
    /// Only these upstreams; empty means any.
    pub upstreams: Vec<UpstreamFilter>,
    /// Also what `connect()` returns: unix sockets, and attempts that TCP never hears of.
    pub calls: bool,
    /// Bytes of the ring of failure records: a power of two, a page at least.
    pub ring_bytes: u32,
}

/// Why the kernel side could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The binary was built without its BPF object.
    #[error("this build of gw502 holds no eBPF programs")]
    NoObject,
    /// The kernel's BTF is unusable for aya.
    #[error("cannot use the kernel's type information in `{}`", path.display())]
    Btf {
        /// Where it was read.
        path: PathBuf,
        /// What aya said.
        #[source]
        source: aya::BtfError,
    },
    /// The object or its maps were refused.
    #[error("the kernel refused the eBPF object")]
    Object(#[source] EbpfError),
    /// A program was refused.
    #[error("the kernel refused the program `{program}` on `{target}`")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// What it attaches to.
        target: &'static str,
        /// What the kernel said.
        #[source]
        source: ProgramError,
    },
    /// A map is not as the programs need it.
    #[error("cannot set up the eBPF map `{map}`")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What aya said.
        #[source]
        source: MapError,
    },
    /// The object and this program do not fit together.
    #[error("the eBPF object has no `{name}`")]
    Missing {
        /// Name of the map or program.
        name: &'static str,
    },
}

impl Watch {
    /// Whether a process is watched.
    pub fn includes(&self, pid: u32, comm: &str) -> bool {
        self.all_processes
            || self.pids.contains(&pid)
            || self.names.iter().any(|name| same_name(name, comm))
    }
}

impl ProbeError {
    /// Whether the kernel said that we may not, rather than that it cannot. EPERM is the one;
    /// EACCES is how the verifier refuses a program that it does not like.
    pub fn is_permission(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return io.raw_os_error() == Some(libc::EPERM);
            }
            cause = error.source();
        }
        false
    }
}

/// The programs in the kernel. Dropping it takes them out.
#[derive(Debug)]
pub struct Probe {
    links: Vec<BtfTracePointLink>,
    ebpf: Ebpf,
    calls: bool,
}

impl Probe {
    /// Loads everything and attaches nothing yet.
    pub fn load(btf_path: &Path, layout: &KernelLayout, watch: &Watch) -> Result<Self, ProbeError> {
        if OBJECT.is_empty() {
            return Err(ProbeError::NoObject);
        }
        let btf =
            Btf::parse_file(btf_path, Endianness::default()).map_err(|source| ProbeError::Btf {
                path: btf_path.to_owned(),
                source,
            })?;
        let all_processes = u32::from(watch.all_processes);
        let send_reset_reason = u32::from(layout.send_reset_reason);
        let upstreams = u32::from(!watch.upstreams.is_empty());
        let calls = u32::from(watch.calls);
        let Cgroup { id, level } = watch.cgroup.unwrap_or(Cgroup { id: 0, level: 0 });
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .map_max_entries("FAILURES", watch.ring_bytes)
            .override_global(settings::ALL_PROCESSES, &all_processes, true)
            .override_global(settings::UPSTREAMS, &upstreams, true)
            .override_global(settings::CALLS, &calls, true)
            .override_global(settings::CGROUP_ID, &id, true)
            .override_global(settings::CGROUP_LEVEL, &level, true)
            .override_global(settings::SEND_RESET_REASON, &send_reset_reason, true);
        for (global, offset) in &layout.offsets {
            loader.override_global(global, offset, true);
        }
        let mut ebpf = loader.load(OBJECT).map_err(ProbeError::Object)?;

        fill_set(
            &mut ebpf,
            "PROXIES",
            watch.names.iter().map(|name| comm(name)),
        )?;
        fill_set(&mut ebpf, "PIDS", watch.pids.iter().copied())?;
        want(&mut ebpf, &watch.upstreams)?;
        make_room_for_others(&mut ebpf)?;
        for hook in chosen(watch.calls) {
            let failed = |source| program_error(hook, source);
            program(&mut ebpf, hook)?
                .load(hook.target, &btf)
                .map_err(failed)?;
        }
        #[cfg(feature = "ebpf-log")]
        super::log::forward(&mut ebpf);
        Ok(Self {
            links: Vec::new(),
            ebpf,
            calls: watch.calls,
        })
    }

    /// Attaches every program. From here on nothing is missed.
    pub fn attach(&mut self) -> Result<(), ProbeError> {
        for hook in chosen(self.calls) {
            let failed = |source| program_error(hook, source);
            let program = program(&mut self.ebpf, hook)?;
            let id = program.attach().map_err(failed)?;
            self.links.push(program.take_link(id).map_err(failed)?);
        }
        Ok(())
    }

    /// Tells the kernel side where watched processes listen that did so before it was attached.
    pub fn know_listeners(
        &mut self,
        listeners: impl IntoIterator<Item = Listener>,
    ) -> Result<(), ProbeError> {
        for Listener {
            netns,
            port,
            comm: name,
        } in listeners
        {
            let proxy = ProxyKey {
                comm: comm(&name),
                netns,
            };
            let listen = ListenKey {
                netns,
                port,
                pad: [0; 2],
            };
            insert_new(&mut self.ebpf, "CLIENTS", proxy, Clients::default())?;
            insert_new(&mut self.ebpf, "LISTENING", listen, proxy)?;
        }
        Ok(())
    }

    /// Detaches every program; what they left in the maps can still be read.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// The ring of failure records. Can be taken once.
    pub fn ring(&mut self) -> Result<RingBuf<MapData>, ProbeError> {
        let map = take(&mut self.ebpf, "FAILURES")?;
        RingBuf::try_from(map).map_err(|source| ProbeError::Map {
            map: "FAILURES",
            source,
        })
    }

    /// The counting maps. Can be taken once.
    pub fn counters(&mut self) -> Result<Counters, ProbeError> {
        let upstreams = take(&mut self.ebpf, "UPSTREAMS")?;
        let unix = take(&mut self.ebpf, "UNIX_UPSTREAMS")?;
        let losses = take(&mut self.ebpf, "LOSSES")?;
        let skips = take(&mut self.ebpf, "SKIPS")?;
        let covered = take(&mut self.ebpf, "COVERED")?;
        Counters::new(upstreams, unix, losses, skips, covered).map_err(|source| ProbeError::Map {
            map: "UPSTREAMS",
            source,
        })
    }

    /// `connect()` calls that have not returned. Can be taken once.
    pub fn calls(&mut self) -> Result<Calls, ProbeError> {
        let open = take(&mut self.ebpf, "CALLS")?;
        let reported = take(&mut self.ebpf, "REPORTED_CALLS")?;
        Calls::new(open, reported).map_err(|source| ProbeError::Map {
            map: "CALLS",
            source,
        })
    }

    /// Runs that the kernel skipped because the program was already running on that CPU
    /// (`recursion_misses` of `bpf_prog_info`, Linux 5.12+; zero before), and that the second
    /// program of its pair did not do in its place either. `covered` is what those did.
    pub fn recursion_misses(&mut self, covered: &[u64]) -> u64 {
        let pairs = Pair::ALL.iter().zip(covered);
        pairs
            .map(|((_, first), done)| misses(&mut self.ebpf, first).saturating_sub(*done))
            .sum()
    }
}

/// The programs to load, in the order in which they attach.
fn chosen(calls: bool) -> impl Iterator<Item = &'static Hook> {
    HOOKS
        .iter()
        .filter(move |hook| calls || hook.backend != Backend::SyscallTracepoint)
}

fn misses(ebpf: &mut Ebpf, program: &str) -> u64 {
    let mut read = || -> Option<u64> {
        let program: &mut BtfTracePoint = ebpf.program_mut(program)?.try_into().ok()?;
        let fd = program.fd().ok()?.as_fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("recursion_misses:"))?;
        line.trim().parse().ok()
    };
    let misses = read().unwrap_or(0);
    log::debug!("{program}: {misses} runs skipped by the kernel");
    misses
}

fn program<'a>(ebpf: &'a mut Ebpf, hook: &Hook) -> Result<&'a mut BtfTracePoint, ProbeError> {
    let missing = ProbeError::Missing { name: hook.program };
    let program = ebpf.program_mut(hook.program).ok_or(missing)?;
    program
        .try_into()
        .map_err(|source| program_error(hook, source))
}

const fn program_error(hook: &Hook, source: ProgramError) -> ProbeError {
    ProbeError::Program {
        program: hook.program,
        target: hook.target,
        source,
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, ProbeError> {
    ebpf.take_map(name).ok_or(ProbeError::Missing { name })
}

/// Puts every key into the map `name`, which is used as a set.
fn fill_set<K: aya::Pod>(
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

/// Tells the kernel side which upstreams are wanted: whole addresses and unix sockets by look-up,
/// networks by longest prefix.
fn want(ebpf: &mut Ebpf, upstreams: &[UpstreamFilter]) -> Result<(), ProbeError> {
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

/// Puts an entry into the map `name`, unless the kernel side was quicker.
fn insert_new<K: aya::Pod, V: aya::Pod>(
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
fn make_room_for_others(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
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
fn comm(name: &str) -> [u8; 16] {
    let mut comm = [0; 16];
    for (to, from) in comm.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    comm
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gw502_common::kernel_fields::KERNEL_FIELDS;
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

    use super::*;

    /// Names of the symbols of `kind` in sections whose name starts with `section`.
    fn symbols(section: &str, kind: SymbolKind) -> BTreeSet<String> {
        let file = object::File::parse(OBJECT).expect("the build script wrote an ELF object");
        file.symbols()
            .filter(|symbol| symbol.kind() == kind)
            .filter(|symbol| {
                symbol
                    .section_index()
                    .and_then(|index| file.section_by_index(index).ok())
                    .and_then(|found| found.name().ok().map(|name| name.starts_with(section)))
                    .unwrap_or(false)
            })
            .filter_map(|symbol| symbol.name().ok().map(str::to_owned))
            .collect()
    }

    #[test]
    fn the_object_holds_the_programs_of_the_table_and_no_others() {
        let table: BTreeSet<_> = HOOKS.iter().map(|hook| hook.program.to_owned()).collect();
        assert_eq!(symbols("tp_btf", SymbolKind::Text), table);
    }

    #[test]
    fn the_object_holds_a_global_for_each_kernel_field_and_setting() {
        let fields = KERNEL_FIELDS.into_iter().flatten();
        let fields = fields.map(|field| field.global);
        let table: BTreeSet<_> = fields.chain(settings::ALL).map(str::to_owned).collect();
        let globals: BTreeSet<_> = symbols(".rodata", SymbolKind::Data)
            .into_iter()
            .filter(|name| name.starts_with("OFF_") || name.starts_with("CFG_"))
            .collect();
        assert_eq!(globals, table);
    }

    #[test]
    fn a_long_name_is_cut_as_the_kernel_cuts_it() {
        assert_eq!(&comm("nginx"), b"nginx\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(&comm("a-very-long-proxy-name"), b"a-very-long-pro\0");
    }
}
