//! Builds the eBPF object with a tool chain that `toolchain` found.
//!
//! The inner cargo gets a target directory of its own: the outer one holds the lock of the
//! workspace's, and would wait for the inner for ever.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, io};

use anyhow::{Context as _, Result, bail};

use crate::pins;
use crate::toolchain::{self, Compiler, Toolchain};

/// Package of the eBPF programs.
pub const PACKAGE: &str = "gw502-ebpf";

/// Which object to build: the package has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// Those of gw502.
    Gw502,
    /// One that does nothing, for comparison.
    Empty,
}

impl Programs {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Gw502, Self::Empty];

    /// Name of the binary.
    const fn binary(self) -> &'static str {
        match self {
            Self::Gw502 => PACKAGE,
            Self::Empty => "gw502-empty",
        }
    }
}

/// What cargo or clippy set for the outer build and must not leak into the inner one: wrappers
/// and flags meant for the host's compiler, and the host's compiler itself.
const OUTER: &[&str] = &[
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "CLIPPY_CONF_DIR",
    "__CARGO_DEFAULT_LIB_METADATA",
];

/// One build of an eBPF object.
#[derive(Debug, Clone)]
pub struct Build<'a> {
    /// Which object.
    pub programs: Programs,
    /// Top of the workspace.
    pub workspace: &'a Path,
    /// Where the inner cargo may write; not the workspace's target directory.
    pub target_dir: &'a Path,
    /// The host's architecture in Rust's words, such as `x86_64`: what `struct pt_regs` looks like.
    pub arch: &'a str,
    /// With the kernel side's log messages.
    pub log: bool,
    /// Warnings are errors.
    pub deny_warnings: bool,
}

/// What a build gave.
#[derive(Debug)]
pub struct Built {
    /// The object file.
    pub object: PathBuf,
    /// What the compiler had to say although it was content; empty in the usual case.
    pub warnings: String,
}

/// The eBPF crate does not compile; the compiler's own words, for a person to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CompileError {
    /// Standard error of cargo and rustc.
    pub output: String,
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "the eBPF programs do not compile\n{}",
            self.output.trim_end()
        )
    }
}

impl std::error::Error for CompileError {}

impl Build<'_> {
    /// Compiles and links, and returns the object.
    ///
    /// # Errors
    ///
    /// [`CompileError`] when the code is at fault; anything else is the machine's.
    pub fn run(&self, tools: &Toolchain) -> Result<Built> {
        let output = self.command(tools).output();
        let Output {
            status,
            stdout: _,
            stderr,
        } = output.map_err(|error| missing(error, tools))?;
        let text = String::from_utf8_lossy(&stderr).trim_end().to_owned();
        if !status.success() {
            bail!(CompileError { output: text });
        }
        let object = self
            .target_dir
            .join(toolchain::target())
            .join("release")
            .join(self.programs.binary());
        if !object.is_file() {
            bail!(
                "cargo succeeded but left no object at `{}`",
                object.display()
            );
        }
        Ok(Built {
            object,
            warnings: text,
        })
    }

    fn command(&self, tools: &Toolchain) -> Command {
        let Self {
            programs,
            workspace,
            target_dir,
            arch: _,
            log,
            deny_warnings: _,
        } = self;
        let mut command = match &tools.compiler {
            Compiler::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", pins::NIGHTLY, "cargo"]);
                rustup
            }
            Compiler::Debian { .. } => Command::new(cargo()),
        };
        command.args([
            "build",
            "--quiet",
            "--release",
            "--package",
            PACKAGE,
            "--bin",
            programs.binary(),
        ]);
        command.args(["--target", toolchain::target()]);
        command
            .arg("--manifest-path")
            .arg(workspace.join("Cargo.toml"));
        command.arg("--target-dir").arg(target_dir);
        if *log {
            command.args(["--features", "log"]);
        }
        for name in OUTER {
            command.env_remove(name);
        }
        match &tools.compiler {
            Compiler::Nightly => {
                // `cargo` by its toolchain: rustup's choice for the outer build is not ours.
                command
                    .args(["-Z", "build-std=core"])
                    .env_remove("RUSTUP_TOOLCHAIN");
            }
            Compiler::Debian { rustc } => {
                // aya-ebpf asks for unstable features; the compiler is a stable one.
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            }
        }
        command
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(tools))
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            // BTF is made from DWARF.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
            .env("CARGO_PROFILE_RELEASE_LTO", "true")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .current_dir(workspace)
            .stdin(Stdio::null());
        command
    }

    fn flags(&self, tools: &Toolchain) -> OsString {
        let mut flags = OsString::from(format!("--cfg=bpf_target_arch=\"{}\"", self.arch));
        let mut add = |flag: &str| {
            flags.push("\u{1f}");
            flags.push(flag);
        };
        add("-Cdebuginfo=2");
        add("-Clink-arg=--btf");
        // Jumps and ALU on 32 bits: in every kernel since 5.1, and less for the verifier to walk.
        add("-Ctarget-cpu=v3");
        if self.deny_warnings {
            add("-Dwarnings");
        }
        add("-Clinker=");
        flags.push(&tools.linker);
        flags
    }
}

/// The cargo that runs us, or the one on `PATH`.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn missing(error: io::Error, tools: &Toolchain) -> anyhow::Error {
    let program = match &tools.compiler {
        Compiler::Nightly => "rustup",
        Compiler::Debian { .. } => "cargo",
    };
    anyhow::Error::new(error).context(format!("cannot run `{program}` to build the eBPF programs"))
}

/// Copies the object of a build to `to`.
///
/// # Errors
///
/// When either path cannot be read or written.
pub fn copy(built: &Built, to: &Path) -> Result<()> {
    std::fs::copy(&built.object, to)
        .map(drop)
        .with_context(|| format!("cannot write the eBPF object to `{}`", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(deny_warnings: bool) -> Build<'static> {
        Build {
            programs: Programs::Gw502,
            workspace: Path::new("/src"),
            target_dir: Path::new("/out"),
            arch: "x86_64",
            log: true,
            deny_warnings,
        }
    }

    fn debian() -> Toolchain {
        let compiler = Compiler::Debian {
            rustc: "/usr/bin/rustc".into(),
        };
        Toolchain {
            compiler,
            linker: "/cache/bpf linker".into(),
        }
    }

    fn value(command: &Command, name: &str) -> Option<String> {
        command
            .get_envs()
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value)
            .map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn flags_survive_spaces_in_paths() {
        let flags = build(false).flags(&debian()).into_string().unwrap();
        let flags: Vec<_> = flags.split('\u{1f}').collect();
        assert_eq!(
            flags,
            [
                "--cfg=bpf_target_arch=\"x86_64\"",
                "-Cdebuginfo=2",
                "-Clink-arg=--btf",
                "-Ctarget-cpu=v3",
                "-Clinker=/cache/bpf linker",
            ]
        );
    }

    #[test]
    fn warnings_become_errors_only_when_asked() {
        let flags = build(true).flags(&debian()).into_string().unwrap();
        assert!(flags.contains("-Dwarnings"), "{flags}");
    }

    #[test]
    fn debian_bootstraps_and_the_wrapper_of_clippy_stays_outside() {
        let command = build(false).command(&debian());
        assert_eq!(value(&command, "RUSTC").as_deref(), Some("/usr/bin/rustc"));
        assert_eq!(value(&command, "RUSTC_BOOTSTRAP").as_deref(), Some("1"));
        assert!(
            command
                .get_envs()
                .any(|(k, v)| k == "RUSTC_WORKSPACE_WRAPPER" && v.is_none()),
            "{command:?}"
        );
        assert!(command.get_args().any(|arg| arg == "log"), "{command:?}");
    }

    #[test]
    fn nightly_compiles_core_itself() {
        let tools = Toolchain {
            compiler: Compiler::Nightly,
            linker: "/bin/bpf-linker".into(),
        };
        let command = build(false).command(&tools);
        assert!(
            command.get_args().any(|arg| arg == "build-std=core"),
            "{command:?}"
        );
        assert_eq!(value(&command, "RUSTC_BOOTSTRAP"), None);
    }
}
