//! How gw502's eBPF object gets built: the part of xtask that build scripts share.
//!
//! # Layout
//!
//! - `pins`: versions and package names; nowhere else are they written down.
//! - `toolchain`: which compiler and linker of this machine can build eBPF, and why others cannot.
//! - `ebpf`: builds the object with them.
//!
//! Called by `gw502-userspace/build.rs` and by the `xtask` binary. Nothing here installs anything:
//! a build that changes the machine behind your back is a build you cannot trust. `cargo xtask
//! setup` does that, when asked.

#![cfg_attr(
    feature = "cli",
    expect(unused_crate_dependencies, reason = "the commands use them")
)]

pub mod ebpf;
pub mod pins;
pub mod toolchain;
