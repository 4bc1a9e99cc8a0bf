//! One program: into the kernel, onto its hook, and off again.

use aya::programs::fentry::FEntryLink;
use aya::programs::fexit::FExitLink;
use aya::programs::kprobe::KProbeLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::trace_point::TracePointLink;
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};
use gw502_common::hooks::Hook;

use super::{ProbeError, tracefs};

/// The category of system calls' tracepoints.
const SYSTEM_CALLS: &str = "syscalls";

/// A program on its hook. Dropping it takes the program off.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what dropping it does")]
pub(super) enum Attached {
    Tracepoint(BtfTracePointLink),
    Entry(FEntryLink),
    Return(FExitLink),
    Kprobe(KProbeLink),
    SystemCall(TracePointLink),
}

/// Programs on their hooks. They are taken off in turn, the last first: what sees a call return is
/// there as long as what sees it begin.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Attached>);

impl Links {
    pub(super) fn push(&mut self, attached: Attached) {
        self.0.push(attached);
    }

    pub(super) fn clear(&mut self) {
        while let Some(last) = self.0.pop() {
            drop(last);
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Has the kernel accept the program of `hook`.
pub(super) fn load(ebpf: &mut Ebpf, btf: &Btf, hook: &Hook) -> Result<(), ProbeError> {
    let loaded = match program(ebpf, hook)? {
        Program::BtfTracePoint(program) => program.load(hook.target, btf),
        Program::FEntry(program) => program.load(hook.target, btf),
        Program::FExit(program) => program.load(hook.target, btf),
        Program::KProbe(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        _ => return Err(missing(hook)),
    };
    loaded.map_err(|source| error(hook, source))
}

/// Takes the program out of the kernel again, if it is there.
pub(super) fn unload(ebpf: &mut Ebpf, hook: &Hook) -> Result<(), ProbeError> {
    let unloaded = match program(ebpf, hook)? {
        Program::BtfTracePoint(program) => program.unload(),
        Program::FEntry(program) => program.unload(),
        Program::FExit(program) => program.unload(),
        Program::KProbe(program) => program.unload(),
        Program::TracePoint(program) => program.unload(),
        _ => return Err(missing(hook)),
    };
    match unloaded {
        Ok(()) | Err(ProgramError::NotLoaded) => Ok(()),
        Err(source) => Err(error(hook, source)),
    }
}

/// Puts the program on its hook.
pub(super) fn attach(ebpf: &mut Ebpf, hook: &Hook) -> Result<Attached, ProbeError> {
    let attached = match program(ebpf, hook)? {
        Program::BtfTracePoint(program) => program
            .attach()
            .and_then(|id| program.take_link(id))
            .map(Attached::Tracepoint),
        Program::FEntry(program) => program
            .attach()
            .and_then(|id| program.take_link(id))
            .map(Attached::Entry),
        Program::FExit(program) => program
            .attach()
            .and_then(|id| program.take_link(id))
            .map(Attached::Return),
        Program::KProbe(program) => program
            .attach(hook.target, 0)
            .and_then(|id| program.take_link(id))
            .map(Attached::Kprobe),
        Program::TracePoint(program) => tracefs::with(hook.target, || {
            program
                .attach(SYSTEM_CALLS, hook.target)
                .and_then(|id| program.take_link(id))
                .map(Attached::SystemCall)
        }),
        _ => return Err(missing(hook)),
    };
    attached.map_err(|source| error(hook, source))
}

/// How many instructions the verifier looked at until it accepted the program of `hook` (Linux
/// 5.16+); `None` when it is not loaded, or the kernel does not say.
pub(super) fn verified(ebpf: &mut Ebpf, hook: &Hook) -> Option<u32> {
    let info = match program(ebpf, hook).ok()? {
        Program::BtfTracePoint(program) => program.info(),
        Program::FEntry(program) => program.info(),
        Program::FExit(program) => program.info(),
        Program::KProbe(program) => program.info(),
        _ => return None,
    };
    info.ok()?.verified_instruction_count()
}

fn program<'a>(ebpf: &'a mut Ebpf, hook: &Hook) -> Result<&'a mut Program, ProbeError> {
    ebpf.program_mut(hook.program).ok_or_else(|| missing(hook))
}

const fn missing(hook: &Hook) -> ProbeError {
    ProbeError::Missing { name: hook.program }
}

const fn error(hook: &Hook, source: ProgramError) -> ProbeError {
    ProbeError::Program {
        program: hook.program,
        target: hook.target,
        source,
    }
}
