//! What can go wrong with the demo, in the words of the person who ran it.

use std::error::Error;
use std::fmt;
use std::io;

/// Why the demo could not be shown.
///
/// `Display` says what failed; [`why`](Self::why) and [`help`](Self::help) are the other two lines
/// of the message.
#[derive(Debug)]
#[non_exhaustive]
pub enum DemoError {
    /// We may not do what the demo needs: exit code 4.
    NotPermitted {
        /// What we tried, as in "cannot …".
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
    /// This kernel, as it is now, cannot do what the demo needs: exit code 3.
    Unsupported {
        /// What we tried, as in "cannot …".
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
        /// What makes it possible.
        help: &'static str,
    },
    /// `gw502 trace` ended with this exit code; it has said why on stderr. To be passed on.
    TraceEnded {
        /// Its exit code, never 0.
        code: i32,
    },
    /// Anything else: exit code 1.
    Failed(anyhow::Error),
}

impl DemoError {
    /// Sorts the kernel's refusal of one set-up step; `help` is for a kernel that lacks something.
    pub(super) fn refused(what: &'static str, error: io::Error, help: &'static str) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { what, error },
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::EINVAL | libc::ENOSYS) => {
                Self::Unsupported { what, error, help }
            }
            _ => Self::Failed(anyhow::Error::new(error).context(what)),
        }
    }

    /// The second line: the reason, if one is known beyond the message itself.
    pub fn why(&self) -> Option<String> {
        match self {
            Self::NotPermitted { error, .. } | Self::Unsupported { error, .. } => {
                Some(error.to_string())
            }
            Self::TraceEnded { .. } => Some("its own message is above".to_owned()),
            Self::Failed(error) => {
                let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
                (!causes.is_empty()).then(|| causes.join(": "))
            }
        }
    }

    /// The third line: what to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NotPermitted { .. } => {
                "run `gw502 demo` as root; in a container, start that one with --privileged"
            }
            Self::Unsupported { help, .. } => help,
            Self::TraceEnded { .. } => "run `gw502 trace` by itself to see what it needs",
            Self::Failed(_) => "run it again with GW502_LOG=debug to see each step",
        }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted { what, .. } => write!(f, "{what}: not permitted"),
            Self::Unsupported { what, .. } => f.write_str(what),
            Self::TraceEnded { code } => write!(f, "`gw502 trace` ended with exit code {code}"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl Error for DemoError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotPermitted { error, .. } | Self::Unsupported { error, .. } => Some(error),
            Self::TraceEnded { .. } => None,
            Self::Failed(error) => error.source(),
        }
    }
}

impl From<anyhow::Error> for DemoError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_kernels_errno_decides_the_kind() {
        let kind = |errno| {
            DemoError::refused(
                "cannot x",
                io::Error::from_raw_os_error(errno),
                "modprobe x",
            )
        };
        assert!(matches!(kind(libc::EPERM), DemoError::NotPermitted { .. }));
        assert!(matches!(kind(libc::ENOENT), DemoError::Unsupported { .. }));
        assert!(matches!(kind(libc::ENOMEM), DemoError::Failed(_)));
        assert_eq!(kind(libc::ENOENT).help(), "modprobe x");
    }

    #[test]
    fn a_failure_says_its_causes_apart_from_itself() {
        let error = DemoError::Failed(anyhow!("no memory").context("no thread").context("no demo"));
        assert_eq!(error.to_string(), "no demo");
        assert_eq!(error.why().as_deref(), Some("no thread: no memory"));
        assert_eq!(DemoError::Failed(anyhow!("no demo")).why(), None);
    }
}
