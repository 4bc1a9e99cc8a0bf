//! Looking at the machine, changing nothing.

pub mod layout;
pub mod privilege;
pub mod processes;
pub mod root;
