//! Loads the BPF object with this kernel's offsets frozen in, and attaches its programs.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{MapData, RingBuf};
use aya::{Btf, Ebpf, EbpfLoader, Endianness};
use gw502_common::settings;
use gw502_common::wire::{Call, Clients, ListenKey, Pair, ProxyKey, Turns};

use super::ProbeError;
use super::fill::{
    comm, empty, fill_set, insert_new, leave_out_services, make_room_for_others, take, want,
};
use super::needs;
use super::programs::{self, Links};
use super::trial::{Extent, Kernel, trials};
use crate::cli::filter::UpstreamFilter;
use crate::intake::calls::Calls;
use crate::intake::counters::Counters;
use crate::intake::servers::Servers;
use crate::kernel::cgroup::Cgroup;
use crate::kernel::layout::KernelLayout;
use crate::kernel::listeners::Listener;
use crate::kernel::preemption;
use crate::kernel::processes::same_name;
use crate::kernel::root::KernelRoot;
use crate::kernel::symbols::Symbols;
use crate::plan::{self, Examined, Plan, Preemption, Wish, plan};

/// The object that the build script made. 32-byte alignment is what the parser asks for.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/gw502.bpf.o"));

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
    /// Bytes of the ring of failure records: a power of two, a page at least.
    pub ring_bytes: u32,
}

impl Watch {
    /// Whether a process is watched.
    pub fn includes(&self, pid: u32, comm: &str) -> bool {
        self.all_processes
            || self.pids.contains(&pid)
            || self.names.iter().any(|name| same_name(name, comm))
    }
}

/// The programs in the kernel. Dropping it takes them out.
#[derive(Debug)]
pub struct Probe {
    links: Links,
    ebpf: Ebpf,
    plan: Plan,
    /// Why a RST is sent, by number.
    reset_reasons: BTreeMap<u32, String>,
}

impl Probe {
    /// Loads what `wish` and the kernel agree on, and attaches nothing yet.
    pub fn load(
        root: &KernelRoot,
        layout: &KernelLayout,
        watch: &Watch,
        wish: Wish,
    ) -> Result<Self, ProbeError> {
        let btf = btf(root)?;
        let symbols = Symbols::read(root);
        let code = neighbour_code(&symbols);
        let preemption = Preemption::of(&preemption::facts(root, layout, &symbols));
        log::debug!("tasks can be preempted inside programs: {preemption:?}");
        let mut ebpf = open(&btf, code, layout, watch, preemption)?;
        let names = watch.names.iter().map(|name| comm(name));
        fill_set(&mut ebpf, "PROXIES", names)?;
        fill_set(&mut ebpf, "PIDS", watch.pids.iter().copied())?;
        want(&mut ebpf, &watch.upstreams)?;
        leave_out_services(&mut ebpf)?;
        make_room_for_others(&mut ebpf)?;
        let kernel = Kernel {
            root,
            layout,
            symbols: &symbols,
            knows_neighbour_code: code.iter().any(|address| *address > 0),
            unusable: unusable(layout)?,
            preemption,
        };
        let examined = trials(&mut ebpf, &btf, &kernel, wish, Extent::Enough)?;
        let plan = plan(&examined.trials, wish)
            .map_err(ProbeError::Impossible)?
            .with(preemption);
        // Calls that were seen to begin when programs were tried out, and not to end.
        empty::<u32, Call>(&mut ebpf, "CALLS")?;
        #[cfg(feature = "ebpf-log")]
        super::log::forward(&mut ebpf);
        Ok(Self {
            links: Links::default(),
            ebpf,
            plan,
            reset_reasons: layout.reset_reasons.clone(),
        })
    }

    /// What the kernel says to every program that there is. Nothing is attached, and nothing stays
    /// loaded.
    pub fn try_all(root: &KernelRoot, layout: &KernelLayout) -> Result<Examined, ProbeError> {
        let btf = btf(root)?;
        let watch = Watch {
            ring_bytes: 4096,
            ..Watch::default()
        };
        let symbols = Symbols::read(root);
        let code = neighbour_code(&symbols);
        let preemption = Preemption::of(&preemption::facts(root, layout, &symbols));
        let mut ebpf = open(&btf, code, layout, &watch, preemption)?;
        let wish = Wish::default();
        let kernel = Kernel {
            root,
            layout,
            symbols: &symbols,
            knows_neighbour_code: code.iter().any(|address| *address > 0),
            unusable: unusable(layout)?,
            preemption,
        };
        Ok(Examined {
            object_bytes: OBJECT.len(),
            ..trials(&mut ebpf, &btf, &kernel, wish, Extent::Everything)?
        })
    }

    /// How everything is seen.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Attaches every program. From here on nothing is missed.
    pub fn attach(&mut self) -> Result<(), ProbeError> {
        for hook in self.plan.programs() {
            self.links.push(programs::attach(&mut self.ebpf, hook)?);
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
        let turns = take(&mut self.ebpf, "TURNS")?;
        let queues = take(&mut self.ebpf, "QUEUES")?;
        let counters = Counters::new(upstreams, unix, losses, skips, turns, queues);
        counters.map_err(|source| ProbeError::Map {
            map: "UPSTREAMS",
            source,
        })
    }

    /// `connect()` calls that have not returned. Can be taken once.
    pub fn calls(&mut self, root: KernelRoot) -> Result<Calls, ProbeError> {
        let open = take(&mut self.ebpf, "CALLS")?;
        let reported = take(&mut self.ebpf, "REPORTED_CALLS")?;
        Calls::new(root, open, reported).map_err(|source| ProbeError::Map {
            map: "CALLS",
            source,
        })
    }

    /// What is remembered of upstreams on this host. Can be taken once.
    pub fn servers(&mut self) -> Result<Servers, ProbeError> {
        let listeners = take(&mut self.ebpf, "LISTENERS")?;
        let ended = take(&mut self.ebpf, "SERVERS_ENDED")?;
        let unaccepted = take(&mut self.ebpf, "UNACCEPTED")?;
        let resets = take(&mut self.ebpf, "RESETS_SENT")?;
        let reasons = std::mem::take(&mut self.reset_reasons);
        let servers = Servers::new(listeners, ended, unaccepted, resets, reasons);
        servers.map_err(|source| ProbeError::Map {
            map: "LISTENERS",
            source,
        })
    }

    /// Events that no program saw: the kernel skips one that is already running on that CPU
    /// (`recursion_misses` of `bpf_prog_info`, Linux 5.12+; zero before). `turns` is what the
    /// programs behind it did in its place.
    pub fn recursion_misses(&self, turns: &[Turns]) -> u64 {
        let used: Vec<_> = self.plan.programs().map(|hook| hook.program).collect();
        let rows = Pair::ALL.iter().zip(turns).map(|((_, programs), turns)| {
            let here = programs.iter().filter(|program| used.contains(program));
            let misses: Vec<_> = here.map(|program| misses(&self.ebpf, program)).collect();
            log::debug!("{programs:?}: {misses:?} runs skipped, {turns:?}");
            plan::lost(&misses, turns.covered, turns.overwritten)
        });
        // The kernel counts for each program on a kprobe, too (6.7+).
        let alone = used.iter().filter(|program| {
            let is_row = |(_, row): &(Pair, [&str; 3])| row.contains(program);
            !Pair::ALL.iter().any(is_row) && !program.starts_with("dropped")
        });
        rows.sum::<u64>()
            + alone
                .map(|program| misses(&self.ebpf, program))
                .sum::<u64>()
    }
}

/// Where the kernel's two functions that give up a neighbour begin and end; zeros where it does not
/// tell.
fn neighbour_code(symbols: &Symbols) -> [u64; 4] {
    let ndisc = symbols.addresses("ndisc_error_report").unwrap_or_default();
    let neigh = symbols.addresses("neigh_invalidate").unwrap_or_default();
    [ndisc.start, ndisc.end, neigh.start, neigh.end]
}

fn unusable(layout: &KernelLayout) -> Result<BTreeMap<String, String>, ProbeError> {
    needs::unusable(OBJECT, &layout.lacking).map_err(ProbeError::Damaged)
}

fn btf(root: &KernelRoot) -> Result<Btf, ProbeError> {
    Btf::parse_file(&root.btf, Endianness::default()).map_err(|source| ProbeError::Btf {
        path: root.btf.clone(),
        source,
    })
}

/// The object with everything that is fixed from now on; its maps exist, its programs do not yet.
fn open(
    btf: &Btf,
    neighbour_code: [u64; 4],
    layout: &KernelLayout,
    watch: &Watch,
    preemption: Preemption,
) -> Result<Ebpf, ProbeError> {
    if OBJECT.is_empty() {
        return Err(ProbeError::NoObject);
    }
    let all_processes = u32::from(watch.all_processes);
    let send_reset_reason = u32::from(layout.send_reset_reason);
    let neighbour_failed = layout.neighbour_failed.unwrap_or(0);
    let netfilter_drop = layout.netfilter_drop.unwrap_or(0);
    let listen_overflow = layout.listen_overflow.unwrap_or(0);
    let abort_on_overflow = layout.abort_on_overflow.unwrap_or(0);
    let tracepoints_preempted = u32::from(preemption.tracepoints);
    let functions_preempted = u32::from(preemption.functions);
    let upstreams = u32::from(!watch.upstreams.is_empty());
    let Cgroup { id, level } = watch.cgroup.unwrap_or(Cgroup { id: 0, level: 0 });
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .map_max_entries("FAILURES", watch.ring_bytes)
        .override_global(settings::ALL_PROCESSES, &all_processes, true)
        .override_global(settings::UPSTREAMS, &upstreams, true)
        .override_global(settings::CGROUP_ID, &id, true)
        .override_global(settings::CGROUP_LEVEL, &level, true)
        .override_global(settings::NEIGHBOUR_FAILED, &neighbour_failed, true)
        .override_global(settings::NEIGHBOUR_CODE, &neighbour_code, true)
        .override_global(settings::NETFILTER_DROP, &netfilter_drop, true)
        .override_global(settings::LISTEN_OVERFLOW, &listen_overflow, true)
        .override_global(settings::ABORT_ON_OVERFLOW, &abort_on_overflow, true)
        .override_global(
            settings::TRACEPOINTS_PREEMPTED,
            &tracepoints_preempted,
            true,
        )
        .override_global(settings::FUNCTIONS_PREEMPTED, &functions_preempted, true)
        .override_global(settings::SEND_RESET_REASON, &send_reset_reason, true);
    for (global, offset) in &layout.offsets {
        loader.override_global(global, offset, true);
    }
    loader.load(OBJECT).map_err(ProbeError::Object)
}

fn misses(ebpf: &Ebpf, program: &str) -> u64 {
    let read = || -> Option<u64> {
        let fd = ebpf.program(program)?.fd().ok()?.as_fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("recursion_misses:"))?;
        line.trim().parse().ok()
    };
    read().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gw502_common::hooks::{Backend, HOOKS, Place};
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
        for (section, backend, place) in [
            ("tp_btf", Backend::Tracepoint, Place::Tracepoint),
            ("tracepoint", Backend::SyscallTracepoint, Place::Tracepoint),
            ("fentry", Backend::Fentry, Place::Entry),
            ("fexit", Backend::Fentry, Place::Return),
            ("kprobe", Backend::Kprobe, Place::Entry),
            ("kretprobe", Backend::Kprobe, Place::Return),
        ] {
            let hooks = HOOKS.iter();
            let here = hooks.filter(|hook| hook.backend == backend && hook.place == place);
            let table: BTreeSet<_> = here.map(|hook| hook.program.to_owned()).collect();
            assert_eq!(symbols(section, SymbolKind::Text), table, "{section}");
        }
    }

    #[test]
    fn the_object_holds_a_global_for_each_kernel_field_and_setting() {
        let fields = KERNEL_FIELDS.iter();
        let fields = fields.map(|field| field.global);
        let table: BTreeSet<_> = fields.chain(settings::ALL).map(str::to_owned).collect();
        let globals: BTreeSet<_> = symbols(".rodata", SymbolKind::Data)
            .into_iter()
            .filter(|name| name.starts_with("OFF_") || name.starts_with("CFG_"))
            .collect();
        assert_eq!(globals, table);
    }
}
