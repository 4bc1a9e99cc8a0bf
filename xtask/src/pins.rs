//! Versions and package names: the only place they are written down.

/// bpf-linker release that `cargo xtask setup` builds.
pub const BPF_LINKER_VERSION: &str = "0.13.0";

/// LLVM that bpf-linker links with. It must not be older than the one inside the compiler.
pub const LLVM_MAJOR: u32 = 22;

/// rustup toolchain of the usual aya route.
pub const NIGHTLY: &str = "nightly";

/// Where Debian's compiler is. Never looked up on `PATH`: there it may be hidden by rustup's.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A Debian package and why we want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Its name in the archive.
    pub name: &'static str,
    /// What it is for, as the person reads it while it installs.
    pub why: &'static str,
}

const fn package(name: &'static str, why: &'static str) -> Package {
    Package { name, why }
}

/// What building the eBPF object takes on Debian or Ubuntu.
pub const EBPF_PACKAGES: &[Package] = &[
    package("rustc-web", "the compiler for the eBPF programs"),
    package("libstd-rust-web-dev-bpf", "Rust's core library for eBPF"),
    package("llvm-22-dev", "LLVM, which bpf-linker is built on"),
    package(
        "libpolly-22-dev",
        "a part of LLVM that llvm-config asks for",
    ),
    package("zlib1g-dev", "compression, for LLVM"),
    package("libzstd-dev", "compression, for LLVM"),
];

/// What fuzzing takes: libFuzzer is C++.
pub const FUZZ_PACKAGES: &[Package] = &[package("g++", "compiles libFuzzer")];

/// What the live tests take besides.
pub const TEST_PACKAGES: &[Package] = &[
    package("nginx-light", "a proxy under test"),
    package("libnginx-mod-stream", "nginx as a TCP proxy"),
    package("haproxy", "a proxy under test"),
    // The server and its modules without the service.
    package("apache2-bin", "a proxy under test"),
    package("nodejs", "an app server under test"),
    package("gunicorn", "an app server under test"),
    package("php-fpm", "an app server under test"),
    package("nftables", "firewall rules under test"),
    package("iproute2", "network namespaces for the tests"),
    package("bpftool", "looks at loaded programs"),
    package("prometheus", "its promtool checks the page with metrics"),
    package("python3-grpcio", "an OTLP receiver"),
    package("python3-protobuf", "an OTLP receiver"),
    package("openssl", "certificates for the receivers"),
    package("curl", "asks receivers what they got"),
    package("debian-archive-keyring", "Debian's signatures"),
];

/// A package that is unpacked and never installed.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked {
    /// The package.
    pub package: Package,
    /// Whether it takes what it depends on from there, too: its libraries are not the machine's.
    pub whole: bool,
}

const fn unpacked(name: &'static str, whole: bool, why: &'static str) -> Unpacked {
    let package = package(name, why);
    Unpacked { package, whole }
}

/// What the sinks are tested against. Unpacked and never installed: some of them exclude each other,
/// and a machine has a logger of its own.
pub const RECEIVERS: (Suite, &[Unpacked]) = (
    TRIXIE,
    &[
        unpacked("rsyslog", true, "a syslog receiver under test"),
        unpacked("syslog-ng-core", true, "a syslog receiver under test"),
        unpacked("systemd", true, "the journal under test"),
        unpacked("victoria-metrics", false, "takes OTLP metrics"),
        unpacked(
            "python3-opentelemetry-proto",
            false,
            "the official protobufs",
        ),
    ],
);

/// What the benchmark takes.
pub const BENCH_PACKAGES: &[Package] = &[
    package("nginx-light", "the proxy that is measured"),
    package("wrk", "the clients of that proxy"),
];

/// What the benchmark compares with; it goes on without.
pub const PEER_PACKAGES: &[Package] = &[package(
    "libbpf-tools",
    "tcpstates and tcplife, to compare with",
)];

/// What `vm-test` takes of this machine besides.
pub const VM_PACKAGES: &[Package] = &[
    package("debian-archive-keyring", "Debian's signatures"),
    package("xz-utils", "unpacks kernel modules"),
    package("zstd", "unpacks kernels"),
    package("lz4", "unpacks kernels"),
    package("binutils", "strips what goes into the guest"),
];

/// Part of the Debian archive, as apt's sources write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// Below <http://deb.debian.org/>.
    pub archive: &'static str,
    /// Its name there.
    pub name: &'static str,
}

/// A kernel to test on: the newest package of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// What the series is called.
    pub series: &'static str,
    /// Where its packages are.
    pub suite: Suite,
    /// How their names begin.
    pub stem: &'static str,
    /// Backends that it does not have, and what gw502 must say why.
    pub lacks: &'static [(&'static str, &'static str)],
}

/// How the name of a kernel package ends.
pub const KERNEL_FLAVOUR: &str = "-cloud-amd64";

/// The kernels of `vm-test`.
pub const KERNELS: &[Kernel] = &[
    Kernel {
        series: "5.10",
        suite: Suite {
            archive: "debian-security",
            name: "bullseye-security",
        },
        stem: "linux-image-5.10.",
        lacks: &[],
    },
    Kernel {
        series: "6.1",
        suite: Suite {
            archive: "debian",
            name: "bookworm",
        },
        stem: "linux-image-6.1.",
        lacks: &[("fentry", "tasks_rcu_exit_srcu")],
    },
    Kernel {
        series: "6.12",
        suite: TRIXIE,
        stem: "linux-image-6.12.",
        lacks: &[],
    },
    Kernel {
        series: "7.x",
        suite: Suite {
            archive: "debian",
            name: "trixie-backports",
        },
        stem: "linux-image-7.",
        lacks: &[],
    },
];

const TRIXIE: Suite = Suite {
    archive: "debian",
    name: "trixie",
};

/// The emulator and the guest's shell. Unpacked beside the kernels and never installed: a machine
/// may hold other versions of their parts.
pub const EMULATOR: (Suite, &[&str]) = (TRIXIE, &["qemu-system-x86", "busybox-static"]);

/// The guest's programs, from this machine; of a folder, everything in it.
pub const GUEST_FILES: &[&str] = &[
    "/usr/sbin/nginx",
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "/usr/sbin/haproxy",
    "/usr/sbin/apache2",
    "/usr/lib/apache2/modules",
    "/usr/sbin/nft",
    "/usr/sbin/ip",
    "/usr/sbin/bpftool",
    "/usr/bin/setpriv",
    "/usr/bin/taskset",
];

/// The guest's kernel modules, and with each what it depends on. What is built into a kernel is no
/// module of it.
pub const GUEST_MODULES: &[&str] = &[
    "veth",
    "tun",
    "nf_tables",
    "nft_ct",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_limit",
    "nft_counter",
    "tcp_diag",
    "unix_diag",
];
