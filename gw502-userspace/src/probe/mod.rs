//! Putting the BPF programs in the kernel, and taking them out.

mod error;
mod fill;
mod load;
#[cfg(feature = "ebpf-log")]
mod log;
mod needs;
mod programs;
mod tracefs;
mod trial;

pub use error::ProbeError;
pub use load::{Probe, Watch};
