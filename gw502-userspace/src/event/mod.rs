//! The owned model: what a failure is once it has left the kernel. Pure values, no I/O.

mod cause;
mod endpoint;
mod errno;
mod evidence;
mod failure;

pub use cause::{Cause, Class, UnknownName};
pub use endpoint::{Endpoint, address};
pub use errno::Errno;
pub use evidence::{Evidence, Party, tcp_state_name};
pub use failure::{EventId, Failure, Phase, Proxy};
