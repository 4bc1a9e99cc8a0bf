//! Processes in evidence: who, and how one ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process that has to do with an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Owner {
    /// Thread-group id in the initial pid namespace.
    pub pid: u32,
    /// Name of the thread-group leader.
    pub comm: String,
    /// Path of the executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The systemd unit, from the cgroup path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Container id, from the cgroup path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.comm, self.pid)
    }
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Exit {
    /// Its exit code, when it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// The signal that ended it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Whether the OOM killer had marked it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oom: bool,
}

impl Exit {
    /// Whether that is not how a program ends that was asked to: by a signal other than SIGTERM,
    /// SIGINT, SIGHUP and SIGQUIT, or with an exit code other than 0 and those that programs make of
    /// these signals, 128 more than their numbers (a JVM ends so).
    pub fn is_abnormal(&self) -> bool {
        let asked = |signal: &str| matches!(signal, "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT");
        match (&self.signal, self.code) {
            (Some(signal), _) => !asked(signal),
            (None, Some(code)) => !matches!(code, 0 | 129 | 130 | 131 | 143),
            (None, None) => false,
        }
    }
}

impl fmt::Display for Exit {
    /// After the name of the process: `killed by SIGKILL (OOM)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.signal, self.code) {
            (Some(signal), _) => write!(f, "killed by {signal}")?,
            (None, Some(code)) => write!(f, "exited with code {code}")?,
            (None, None) => f.write_str("ended")?,
        }
        if self.oom {
            f.write_str(" (OOM)")?;
        }
        Ok(())
    }
}
