//! Why the kernel side could not be set up.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

use crate::plan::Impossible;

/// Why the kernel side could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The binary was built without its BPF object.
    #[error("this build of gw502 holds no eBPF programs")]
    NoObject,
    /// The binary's BPF object cannot be read.
    #[error("this build of gw502 holds a damaged eBPF object")]
    Damaged(#[source] object::Error),
    /// The kernel's BTF is unusable for aya.
    #[error("cannot use the kernel's type information in `{}`", path.display())]
    Btf {
        /// Where it was read.
        path: PathBuf,
        /// What aya said.
        #[source]
        source: aya::BtfError,
    },
    /// The object or its maps were refused.
    #[error("the kernel refused the eBPF object")]
    Object(#[source] EbpfError),
    /// A program was refused.
    #[error("the kernel refused the program `{program}` on `{target}`")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// What it attaches to.
        target: &'static str,
        /// What the kernel said.
        #[source]
        source: ProgramError,
    },
    /// What was asked for cannot be had.
    #[error("this kernel does not show what was asked for")]
    Impossible(#[source] Impossible),
    /// A map is not as the programs need it.
    #[error("cannot set up the eBPF map `{map}`")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What aya said.
        #[source]
        source: MapError,
    },
    /// The object and this program do not fit together.
    #[error("the eBPF object has no `{name}`")]
    Missing {
        /// Name of the map or program.
        name: &'static str,
    },
}

impl ProbeError {
    /// Whether the kernel said that we may not, rather than that it cannot. EPERM is the one;
    /// EACCES is how the verifier refuses a program that it does not like.
    pub fn is_permission(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return io.raw_os_error() == Some(libc::EPERM);
            }
            cause = error.source();
        }
        false
    }
}
