//! Putting the BPF programs in the kernel, and taking them out.

mod load;
#[cfg(feature = "ebpf-log")]
mod log;

pub use load::{Probe, ProbeError, Watch};
