//! Pure: what the agent was told in its file.

mod sinks;

pub use sinks::{
    FileConfig, JournaldConfig, OtlpConfig, OtlpProtocol, PageConfig, QueueConfig, SinkConfig,
    SyslogAddress, SyslogConfig, SyslogMessage, Way,
};
