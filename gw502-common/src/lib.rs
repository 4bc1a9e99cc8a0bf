//! What the kernel side and the user side of gw502 agree on.
//!
//! # Layout
//!
//! - [`wire`]: the records that cross the ring buffer and the values that live in BPF maps.
//! - [`ending`]: the pure rules that say, at a TCP state change, whether a connection failed and
//!   in which of a handful of shapes. The kernel side runs them to stay silent about healthy
//!   traffic; the user side runs them in its tests.
//! - [`kernel_fields`]: one table of the kernel's struct members that the BPF side reads.
//! - [`hooks`]: one table of the BPF programs and the tracepoints they attach to.
//! - [`settings`]: the values that the user side freezes into the BPF object before it is loaded.
//!
//! Nothing here parses, prints or allocates.
#![no_std]

pub mod ending;
pub mod hooks;
pub mod kernel_fields;
pub mod settings;
pub mod tcp;
pub mod wire;
