//! Which compiler and linker of this machine can build eBPF, and why others cannot.
//!
//! [`Facts::gather`] looks, [`choose`] decides; the second is pure and tested without a machine.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::pins;

/// What was found on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Sysroot of rustup's nightly toolchain, when there is one.
    pub nightly_sysroot: Option<PathBuf>,
    /// That sysroot has the sources of `core` (component rust-src), which `build-std` compiles.
    pub nightly_has_sources: bool,
    /// Debian's compiler, when there is one.
    pub debian_rustc: Option<PathBuf>,
    /// Debian's compiler has `core` for the BPF target.
    pub debian_has_bpf: bool,
    /// bpf-linker on `PATH`.
    pub path_linker: Option<PathBuf>,
    /// bpf-linker that `cargo xtask setup` built.
    pub cached_linker: Option<PathBuf>,
}

/// A compiler and a linker that fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Who compiles.
    pub compiler: Compiler,
    /// The bpf-linker to link with.
    pub linker: PathBuf,
}

/// Who compiles the eBPF crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// rustup's nightly, which compiles `core` itself.
    Nightly,
    /// The distribution's stable compiler with a precompiled `core`.
    Debian {
        /// Path of the compiler.
        rustc: PathBuf,
    },
}

/// No tool chain: what each of the two routes lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What rustup's nightly route lacks.
    pub nightly: &'static str,
    /// What the Debian route lacks.
    pub debian: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nightly, debian } = self;
        write!(
            out,
            "no tool chain for eBPF found (rustup's nightly: {nightly}; Debian's rustc: {debian}): \
             run `cargo xtask setup`, which installs it"
        )
    }
}

impl std::error::Error for Missing {}

/// Picks the usual aya route when it is complete, Debian's otherwise.
///
/// Debian's compiler takes only the linker we built: one from `PATH` may have an older LLVM than
/// the compiler, and then fails on every object with a message nobody understands.
///
/// # Errors
///
/// [`Missing`] when neither route is complete.
pub fn choose(facts: &Facts) -> Result<Toolchain, Missing> {
    let nightly_linker = facts.path_linker.as_ref().or(facts.cached_linker.as_ref());
    let nightly = match (
        &facts.nightly_sysroot,
        facts.nightly_has_sources,
        nightly_linker,
    ) {
        (None, _, _) => "not installed",
        (Some(_), false, _) => "without rust-src",
        (Some(_), true, None) => "without bpf-linker",
        (Some(_), true, Some(linker)) => {
            let linker = linker.clone();
            return Ok(Toolchain {
                compiler: Compiler::Nightly,
                linker,
            });
        }
    };
    let debian = match (
        &facts.debian_rustc,
        facts.debian_has_bpf,
        &facts.cached_linker,
    ) {
        (None, _, _) => "not installed",
        (Some(_), false, _) => "without core for BPF",
        (Some(_), true, None) => "without bpf-linker",
        (Some(rustc), true, Some(linker)) => {
            let (rustc, linker) = (rustc.clone(), linker.clone());
            return Ok(Toolchain {
                compiler: Compiler::Debian { rustc },
                linker,
            });
        }
    };
    Err(Missing { nightly, debian })
}

impl Facts {
    /// Looks at this machine; a few milliseconds and no network.
    pub fn gather() -> Self {
        let nightly_sysroot = sysroot(
            Command::new("rustup")
                .args(["run", pins::NIGHTLY, "rustc"])
                // rustup would fetch a missing toolchain: that is for a person to decide.
                .env("RUSTUP_AUTO_INSTALL", "0"),
        );
        let nightly_has_sources = nightly_sysroot
            .as_ref()
            .is_some_and(|root| root.join("lib/rustlib/src/rust/library/core").is_dir());
        let debian_rustc = Some(PathBuf::from(pins::DEBIAN_RUSTC)).filter(|rustc| rustc.is_file());
        let debian_has_bpf = debian_rustc
            .as_ref()
            .and_then(|rustc| sysroot(&mut Command::new(rustc)))
            .is_some_and(|root| has_target(&root));
        Self {
            nightly_sysroot,
            nightly_has_sources,
            debian_rustc,
            debian_has_bpf,
            path_linker: env::var_os("PATH").and_then(|path| find_in(&path, "bpf-linker")),
            cached_linker: linker_root()
                .map(|root| root.join("bin/bpf-linker"))
                .filter(|linker| linker.is_file()),
        }
    }
}

/// Gathers and chooses.
///
/// # Errors
///
/// [`Missing`] when this machine has no complete tool chain.
pub fn find() -> Result<Toolchain, Missing> {
    choose(&Facts::gather())
}

/// Where `cargo xtask` keeps what is made or fetched once.
///
/// `None` when neither `XDG_CACHE_HOME` nor `HOME` says where a cache may be.
pub fn cache() -> Option<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("gw502"))
}

/// Where `cargo xtask setup` keeps its bpf-linker: `bin/bpf-linker` below it.
pub fn linker_root() -> Option<PathBuf> {
    let name = format!("bpf-linker-{}", pins::BPF_LINKER_VERSION);
    Some(cache()?.join(name))
}

/// The BPF target with this machine's byte order.
pub const fn target() -> &'static str {
    if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    }
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(target())
        .join("lib")
        .is_dir()
}

fn find_in(path: &OsStr, program: &str) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Asks a compiler for its sysroot; `None` when it cannot be run.
fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    let output = rustc
        .args(["--print", "sysroot"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Facts {
        Facts {
            nightly_sysroot: Some("/nightly".into()),
            nightly_has_sources: true,
            debian_rustc: Some("/usr/bin/rustc".into()),
            debian_has_bpf: true,
            path_linker: Some("/bin/bpf-linker".into()),
            cached_linker: Some("/cache/bpf-linker".into()),
        }
    }

    #[test]
    fn a_complete_nightly_comes_first_with_the_linker_of_the_path() {
        let chosen = choose(&complete()).unwrap();
        assert_eq!(chosen.compiler, Compiler::Nightly);
        assert_eq!(chosen.linker, Path::new("/bin/bpf-linker"));
    }

    #[test]
    fn nightly_takes_our_linker_when_the_path_has_none() {
        let chosen = choose(&Facts {
            path_linker: None,
            ..complete()
        })
        .unwrap();
        assert_eq!(chosen.compiler, Compiler::Nightly);
        assert_eq!(chosen.linker, Path::new("/cache/bpf-linker"));
    }

    #[test]
    fn nightly_without_sources_is_rejected() {
        let chosen = choose(&Facts {
            nightly_has_sources: false,
            ..complete()
        })
        .unwrap();
        assert_eq!(
            chosen.compiler,
            Compiler::Debian {
                rustc: "/usr/bin/rustc".into()
            }
        );
        assert_eq!(chosen.linker, Path::new("/cache/bpf-linker"));
    }

    #[test]
    fn debian_never_takes_the_linker_of_the_path() {
        let facts = Facts {
            nightly_sysroot: None,
            cached_linker: None,
            ..complete()
        };
        let missing = choose(&facts).unwrap_err();
        assert_eq!(
            missing,
            Missing {
                nightly: "not installed",
                debian: "without bpf-linker"
            }
        );
    }

    #[test]
    fn what_is_missing_is_said_in_one_line_with_the_command_that_helps() {
        let text = choose(&Facts::default()).unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
        assert!(text.contains("cargo xtask setup"), "{text}");
    }

    #[test]
    fn a_compiler_without_core_for_bpf_is_named_as_such() {
        let facts = Facts {
            nightly_sysroot: None,
            debian_has_bpf: false,
            ..complete()
        };
        assert_eq!(choose(&facts).unwrap_err().debian, "without core for BPF");
    }
}
