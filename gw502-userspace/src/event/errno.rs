//! errno by name.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A positive errno value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Whether no file descriptor was left: of the host (ENFILE), or of the process (EMFILE).
    pub const fn means_no_descriptor(self) -> bool {
        matches!(self.0, libc::ENFILE | libc::EMFILE)
    }
}

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

impl<'de> Deserialize<'de> for Errno {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// `MAX_ERRNO`, `include/linux/err.h`.
        const HIGHEST: i32 = 4095;
        let name = String::deserialize(deserializer)?;
        let nameless = name.strip_prefix("errno ").and_then(|n| n.parse().ok());
        nameless
            .map(Self)
            .into_iter()
            .chain((1..=HIGHEST).map(Self))
            .find(|errno| errno.to_string() == name)
            .ok_or_else(|| D::Error::custom(format!("no errno is called `{name}`")))
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

    #[test]
    fn every_errno_comes_back_from_its_name() {
        let odd = [i32::MIN, -1, 0, 4096, i32::MAX];
        for errno in (1..=140).chain(odd).map(Errno) {
            let text = serde_json::to_string(&errno).unwrap();
            assert_eq!(serde_json::from_str::<Errno>(&text).unwrap(), errno);
        }
        for none in ["ENOSUCH", "errno", "errno 111", "errno  0", "errno +0"] {
            let text = format!("\"{none}\"");
            assert!(serde_json::from_str::<Errno>(&text).is_err(), "{none}");
        }
    }
}
