//! What the running kernel accepts, found out by offering it.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;

use aya::programs::ProgramError;
use aya::sys::SyscallError;
use aya::{Btf, Ebpf};
use gw502_common::hooks::{Backend, Capability, Hook};

use super::ProbeError;
use super::programs::{self, Links};
use crate::kernel::layout::KernelLayout;
use crate::kernel::root::KernelRoot;
use crate::kernel::symbols::Symbols;
use crate::plan::{self, Accepted, Examined, Preemption, Trial, Wish};

/// Kernels from about 5.7 to 6.8 can lock up for good when a trampoline is taken out while a
/// process exits (`synchronize_rcu_tasks()` waits for what `do_exit()` holds). They are known by
/// this symbol, which went with the repair.
const DETACH_HANGS: &str = "tasks_rcu_exit_srcu";

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// For each capability, up to the first backend that is accepted; its programs stay loaded.
    Enough,
    /// All of them; nothing stays loaded.
    Everything,
}

/// What is known of the running kernel beforehand.
pub(super) struct Kernel<'a> {
    pub(super) root: &'a KernelRoot,
    pub(super) layout: &'a KernelLayout,
    pub(super) symbols: &'a Symbols,
    /// Whether it is known where the kernel gives up neighbours, by which a drop is judged.
    pub(super) knows_neighbour_code: bool,
    /// Programs that read what this kernel does not have, and what that is.
    pub(super) unusable: BTreeMap<String, String>,
    pub(super) preemption: Preemption,
}

/// Offers the kernel the programs that `wish` allows.
pub(super) fn trials(
    ebpf: &mut Ebpf,
    btf: &Btf,
    kernel: &Kernel<'_>,
    wish: Wish,
    extent: Extent,
) -> Result<Examined, ProbeError> {
    let mut examined = Examined::default();
    for capability in Capability::ALL {
        for backend in plan::backends(capability) {
            if wish.excludes(capability, backend).is_some() {
                continue;
            }
            let refused = offer(ebpf, btf, kernel, capability, backend)?;
            let accepted = refused.is_none();
            examined.trials.push(Trial {
                capability,
                backend,
                refused,
            });
            if accepted && extent == Extent::Enough {
                break;
            }
            for hook in needed(kernel, capability, backend) {
                if accepted {
                    let verified_instructions = programs::verified(ebpf, hook);
                    examined.accepted.push(Accepted {
                        hook,
                        verified_instructions,
                    });
                }
                programs::unload(ebpf, hook)?;
            }
        }
    }
    Ok(examined)
}

/// The programs of a backend that this kernel needs.
fn needed(
    kernel: &Kernel<'_>,
    capability: Capability,
    backend: Backend,
) -> impl Iterator<Item = &'static Hook> {
    let preemption = kernel.preemption;
    plan::programs(capability, backend).filter(move |hook| preemption.needs(hook))
}

/// Loads the programs of a backend; why not, when one is refused. Only what we are to blame for, or
/// may not do, is an error.
fn offer(
    ebpf: &mut Ebpf,
    btf: &Btf,
    kernel: &Kernel<'_>,
    capability: Capability,
    backend: Backend,
) -> Result<Option<String>, ProbeError> {
    if let Some(why) = known_trouble(kernel, capability, backend) {
        return Ok(Some(why));
    }
    let mut attached = Links::default();
    for hook in needed(kernel, capability, backend) {
        match programs::load(ebpf, btf, hook) {
            // These are only known to be possible once they were there.
            Ok(()) if matches!(backend, Backend::Kprobe | Backend::SyscallTracepoint) => {
                match programs::attach(ebpf, hook) {
                    Ok(link) => attached.push(link),
                    Err(ProbeError::Program { target, source, .. }) => {
                        return Ok(Some(words(target, &source)));
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(()) => {}
            Err(ProbeError::Program { target, source, .. }) if !capability.is_essential() => {
                log::debug!("{} refused: {source:#?}", hook.program);
                return Ok(Some(words(target, &source)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What is known to go wrong although the kernel would accept it.
fn known_trouble(kernel: &Kernel<'_>, capability: Capability, backend: Backend) -> Option<String> {
    if capability == Capability::Drops && kernel.layout.neighbour_failed.is_none() {
        return Some("the kernel does not say why it drops a packet".to_owned());
    }
    let by_tracepoint = backend == Backend::Tracepoint;
    if capability == Capability::AcceptQueues
        && by_tracepoint
        && kernel.layout.listen_overflow.is_none()
    {
        return Some("the kernel does not say that an accept queue was full".to_owned());
    }
    if capability == Capability::Drops && !kernel.knows_neighbour_code {
        return Some(
            "the kernel does not tell where its functions are (CAP_SYSLOG, kernel.kptr_restrict)"
                .to_owned(),
        );
    }
    let lacks = |hook: &Hook| kernel.unusable.get(hook.program).cloned();
    if let Some(lack) = plan::programs(capability, backend).find_map(lacks) {
        return Some(lack);
    }
    match backend {
        Backend::Kprobe if !kernel.root.kprobes.exists() => {
            Some("the kernel has no kprobes (CONFIG_KPROBES)".to_owned())
        }
        Backend::Fentry if kernel.symbols.has(DETACH_HANGS) => Some(format!(
            "taking trampolines out can lock this kernel up (it has {DETACH_HANGS})"
        )),
        _ => None,
    }
}

/// Why a program was refused, in a line.
fn words(target: &str, error: &ProgramError) -> String {
    match error {
        ProgramError::Btf(_) => format!("the kernel has no {target}"),
        ProgramError::LoadError { io_error, .. }
            if io_error.raw_os_error() == Some(libc::EPERM) =>
        {
            "the kernel does not permit it (EPERM: lockdown or policy)".to_owned()
        }
        // Debian's kernels ask for more than CAP_PERFMON where the setting is 3, as it is there.
        ProgramError::SyscallError(SyscallError { call, io_error })
            if *call == "perf_event_open"
                && matches!(io_error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) =>
        {
            "the kernel does not permit it (CAP_SYS_ADMIN, or kernel.perf_event_paranoid below 3)"
                .to_owned()
        }
        ProgramError::LoadError { io_error, .. } => {
            format!(
                "the kernel refused the program on {target}: {}",
                plain(io_error)
            )
        }
        other => {
            let cause = other.source().map(|cause| format!(": {cause}"));
            format!("{other}{}", cause.unwrap_or_default())
        }
    }
}

fn plain(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |errno| nix::errno::Errno::from_raw(errno).to_string(),
    )
}
