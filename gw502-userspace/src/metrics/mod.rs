//! What the agent counts, of the upstreams and of itself, and the page where that is read.
//!
//! - [`model`], [`upstreams`], [`listeners`], [`own`]: pure; what there is to measure.
//! - [`page`]: pure; the text that Prometheus reads.
//! - [`serve`]: `/metrics` and `/health` over HTTP; [`process`] is what the kernel says of us.

pub mod listeners;
pub mod model;
pub mod own;
pub mod page;
pub mod process;
pub mod serve;
pub mod upstreams;
