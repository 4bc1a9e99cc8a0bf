//! The owned model: what a failure is once it has left the kernel. Pure values, no I/O.

mod cause;
mod endpoint;
mod errno;
mod evidence;
mod failure;
mod tcp_state;
mod upstream;

pub use cause::{Cause, Class, UnknownName};
pub use endpoint::{Endpoint, address};
pub use errno::Errno;
pub use evidence::{Evidence, Exit, Owner, Party};
pub use failure::{EventId, Failure, Phase, Proxy};
pub use tcp_state::TcpState;
pub use upstream::Upstream;
