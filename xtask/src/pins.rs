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
    package("nftables", "firewall rules under test"),
    package("iproute2", "network namespaces for the tests"),
    package("bpftool", "looks at loaded programs"),
];

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
