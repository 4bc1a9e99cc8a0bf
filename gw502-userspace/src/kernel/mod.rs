//! Looking at the machine, changing nothing.

pub mod cgroup;
pub mod layout;
pub mod listeners;
pub mod netns;
pub mod preemption;
pub mod privilege;
pub mod processes;
pub mod root;
pub mod sock_diag;
pub mod switches;
pub mod symbols;
