// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Every map, with its size and the reason for it. The user side may change each size.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use gw502_common::tcp::SUN_PATH;
use gw502_common::wire::{
    AcceptFacts, Attempt, Call, Clients, Connection, Departure, Dismissal, Flow, IcmpError,
    ListenKey, Listening, LossReason, Pair, ProxyKey, QueueCounts, ResetSent, SkipReason, Turns,
    Unaccepted, UnixAddress, UnixKey, UpstreamCounts, UpstreamKey,
};

use crate::again::Event;
use crate::capability::drops::Lately;

/// Failure records on their way to user space. 256 KiB hold over a thousand: some seconds of a
/// storm even if the reader is scheduled late.
#[map]
pub(crate) static FAILURES: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// Open connections of watched processes, by the address of their `struct sock`.
///
/// A plain hash and no LRU: an LRU forgets silently, a full hash says so. Entries go when the
/// socket leaves for CLOSE, which every socket does before its memory is used again. 65,536 is
/// the number of ephemeral ports towards one upstream, twice over.
#[map]
pub(crate) static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(65_536, 0);

/// Counts per upstream. 4,096 upstreams, then [`UpstreamKey::default`] collects the rest.
#[map]
pub(crate) static UPSTREAMS: PerCpuHashMap<UpstreamKey, UpstreamCounts> =
    PerCpuHashMap::with_max_entries(4096, 0);

/// Counts per unix socket. What finds no room is counted in [`UPSTREAMS`], with the rest.
#[map]
pub(crate) static UNIX_UPSTREAMS: PerCpuHashMap<UnixKey, UpstreamCounts> =
    PerCpuHashMap::with_max_entries(1024, 0);

/// `connect()` calls of watched processes that have not returned, by thread. More threads than this
/// hardly block in `connect()` at once.
#[map]
pub(crate) static CALLS: HashMap<u32, Call> = HashMap::with_max_entries(16_384, 0);

/// Those that the user side has reported because they do not return: by thread, the start of the
/// call. What becomes of them later is no second failure.
#[map]
pub(crate) static REPORTED_CALLS: HashMap<u32, u64> = HashMap::with_max_entries(16_384, 0);

/// Process names to watch, NUL-padded.
#[map]
pub(crate) static PROXIES: HashMap<[u8; 16], u8> = HashMap::with_max_entries(256, 0);

/// Thread-group ids to watch.
#[map]
pub(crate) static PIDS: HashMap<u32, u8> = HashMap::with_max_entries(1024, 0);

/// Upstreams to watch: an address with its port, or with port 0 for any; `netns` is 0.
#[map]
pub(crate) static WANTED: HashMap<UpstreamKey, u8> = HashMap::with_max_entries(1024, 0);

/// Unix sockets to watch.
#[map]
pub(crate) static WANTED_UNIX: HashMap<UnixAddress, u8> = HashMap::with_max_entries(1024, 0);

/// Unix sockets of the host's own services, by how their path begins. What the C library connects
/// to on behalf of a proxy (users, names, the log) is no upstream.
#[map]
pub(crate) static SERVICES: LpmTrie<[u8; SUN_PATH], u8> = LpmTrie::with_max_entries(64, 0);

/// Networks to watch, over the 16 bytes of an address: IPv4 prefixes are 96 bits longer.
#[map]
pub(crate) static NETWORKS: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(1024, 0);

/// Attempts of watched processes that were not looked at, by [`SkipReason`].
#[map]
pub(crate) static SKIPS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(SkipReason::ALL.len() as u32, 0);

/// What could not be kept, by [`LossReason`].
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(LossReason::ALL.len() as u32, 0);

/// Failure records lost on all CPUs together, so that the next record that gets through can say
/// how many are missing before it. One slot.
#[map]
pub(crate) static LOST_TOTAL: Array<u64> = Array::with_max_entries(1, 0);

/// Ports that watched proxies listen on, and whose they are.
#[map]
pub(crate) static LISTENING: HashMap<ListenKey, ProxyKey> = HashMap::with_max_entries(4096, 0);

/// Proxies whose ports are known.
#[map]
pub(crate) static CLIENTS: HashMap<ProxyKey, Clients> = HashMap::with_max_entries(1024, 0);

/// What threads of proxies did last about clients that left. An LRU: only what happened within
/// milliseconds is asked for.
#[map]
pub(crate) static DISMISSALS: LruHashMap<u32, Dismissal> = LruHashMap::with_max_entries(4096, 0);

/// Sockets of clients that left, by address, until the proxy closes them. Only the few that are
/// being dealt with at one moment, and clients that only closed their sending side.
#[map]
pub(crate) static LEAVING: HashMap<u64, ProxyKey> = HashMap::with_max_entries(16_384, 0);

/// Connections that a full accept queue dropped a segment of. An LRU: clients of any kind fill it, and
/// only those of watched proxies are ever asked for, a minute or so later. One that is forgotten keeps
/// its plain cause.
#[map]
pub(crate) static OVERFLOWED: LruHashMap<Attempt, AcceptFacts> =
    LruHashMap::with_max_entries(16_384, 0);

/// Listeners whose accept queue was full: a local address with its port. An LRU: one that comes when
/// it is full takes the place of one that has been at peace.
#[map]
pub(crate) static QUEUES: LruHashMap<UpstreamKey, QueueCounts> =
    LruHashMap::with_max_entries(1024, 0);

/// ICMP errors that answered a SYN. An LRU, as above: they are rare.
#[map]
pub(crate) static ICMP_ERRORS: LruHashMap<Attempt, IcmpError> =
    LruHashMap::with_max_entries(4096, 0);

/// Connects of which netfilter dropped a SYN, or the answer to one. An LRU, as above.
#[map]
pub(crate) static FILTERED: LruHashMap<Attempt, u8> = LruHashMap::with_max_entries(4096, 0);

/// Second by second, how many SYNs that netfilter dropped were looked at on this CPU: a flood of them
/// must not cost more than a glance each. One slot.
#[map]
pub(crate) static FILTERED_LATELY: PerCpuArray<Lately> = PerCpuArray::with_max_entries(1, 0);

/// Where sockets began and stopped to listen on this host, by address. An LRU, like the two below:
/// what is too old to be found explains nothing, and the plain cause stands.
#[map]
pub(crate) static LISTENERS: LruHashMap<UpstreamKey, Listening> =
    LruHashMap::with_max_entries(4096, 0);

/// Connections that a process on this host served and lost by ending.
#[map]
pub(crate) static SERVERS_ENDED: LruHashMap<Flow, Departure> =
    LruHashMap::with_max_entries(8192, 0);

/// Connections whose client left before a process on this host accepted them.
#[map]
pub(crate) static UNACCEPTED: LruHashMap<Flow, Unaccepted> = LruHashMap::with_max_entries(8192, 0);

/// RSTs that this host's sockets sent on connections that no watched process opened.
#[map]
pub(crate) static RESETS_SENT: LruHashMap<Flow, ResetSent> = LruHashMap::with_max_entries(8192, 0);

/// The event that the programs of a [`Pair`] run for on this CPU: the note of the first of them.
#[map]
pub(crate) static DONE: PerCpuArray<Event> =
    PerCpuArray::with_max_entries(Pair::ALL.len() as u32, 0);

/// How the programs of a [`Pair`] took turns.
#[map]
pub(crate) static TURNS: PerCpuArray<Turns> =
    PerCpuArray::with_max_entries(Pair::ALL.len() as u32, 0);
