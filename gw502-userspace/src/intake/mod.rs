//! Bytes in: the ring buffer, the counters, and the decoder between bytes and values.

pub mod calls;
pub mod counters;
pub mod decode;
pub mod recording;
pub mod ring;
pub mod servers;
