//! errno by name.

use std::fmt;

use serde::{Serialize, Serializer};

/// A positive errno value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    /// The name that `errno(3)` knows, or `errno N`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => write!(f, "errno {}", self.0),
            known => write!(f, "{known:?}"),
        }
    }
}

impl Serialize for Errno {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_have_their_names() {
        assert_eq!(Errno(111).to_string(), "ECONNREFUSED");
        assert_eq!(Errno(99).to_string(), "EADDRNOTAVAIL");
        assert_eq!(Errno(9999).to_string(), "errno 9999");
    }
}
