//! What the agent counts, of the upstreams and of itself.

pub mod model;
