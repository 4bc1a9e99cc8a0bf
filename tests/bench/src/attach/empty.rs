//! Empty programs on the hooks of gw502: as many on each as gw502 has there.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::programs::Program;
use aya::programs::fentry::FEntryLink;
use aya::programs::fexit::FExitLink;
use aya::programs::kprobe::KProbeLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::trace_point::TracePointLink;
use aya::{Btf, Ebpf, EbpfLoader};
use gw502_common::hooks::{Backend, Hook, Place};

/// The loaded programs.
#[derive(Debug)]
pub(crate) struct Empty(Vec<(&'static Hook, Ebpf)>);

/// A program on its hook. Dropping it takes the program off.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what dropping it does")]
pub(crate) enum Link {
    Tracepoint(BtfTracePointLink),
    Entry(FEntryLink),
    Return(FExitLink),
    Kprobe(KProbeLink),
    SystemCall(TracePointLink),
}

/// Name of the program in the object that stands for the one of `hook`.
pub(crate) const fn stand_in(hook: &Hook) -> &'static str {
    match (hook.backend, hook.place) {
        (Backend::SyscallTracepoint, _) => "empty_tp",
        (_, Place::Tracepoint) => "empty_tpbtf",
        (Backend::Fentry, Place::Entry) => "empty_fentry",
        (Backend::Fentry, Place::Return) => "empty_fexit",
        (_, Place::Entry) => "empty_kprobe",
        (_, Place::Return) => "empty_kretprobe",
    }
}

impl Empty {
    /// Loads one for each hook. Each comes from an object of its own, because aya loads a program of
    /// an object once.
    pub(crate) fn load(object: &Path, hooks: &[&'static Hook]) -> Result<Self> {
        let bytes =
            std::fs::read(object).with_context(|| format!("cannot read `{}`", object.display()))?;
        let btf = Btf::from_sys_fs().context("cannot read the kernel's type information")?;
        let load = |hook: &'static Hook| -> Result<_> {
            let mut ebpf = EbpfLoader::new().btf(Some(&btf)).load(&bytes)?;
            match program(&mut ebpf, hook)? {
                Program::BtfTracePoint(program) => program.load(hook.target, &btf)?,
                Program::FEntry(program) => program.load(hook.target, &btf)?,
                Program::FExit(program) => program.load(hook.target, &btf)?,
                Program::KProbe(program) => program.load()?,
                Program::TracePoint(program) => program.load()?,
                other => bail!("a {:?} is on no hook of gw502", other.prog_type()),
            }
            Ok((hook, ebpf))
        };
        let loaded = hooks.iter().map(|hook| {
            load(hook)
                .with_context(|| format!("cannot load an empty program for `{}`", hook.target))
        });
        loaded.collect::<Result<_>>().map(Self)
    }

    /// Attaches those on these hooks, in gw502's order.
    pub(crate) fn attach(&mut self, hooks: &[&'static Hook]) -> Result<Vec<Link>> {
        let wanted = self.0.iter_mut().filter(|(hook, _)| hooks.contains(hook));
        wanted
            .map(|(hook, ebpf)| {
                attach(ebpf, hook).with_context(|| format!("cannot attach to `{}`", hook.target))
            })
            .collect()
    }

    /// The kernel's ids of those on these hooks, in the same order.
    pub(crate) fn ids(&mut self, hooks: &[&'static Hook]) -> Result<Vec<u32>> {
        let wanted = self.0.iter_mut().filter(|(hook, _)| hooks.contains(hook));
        wanted
            .map(|(hook, ebpf)| Ok(program(ebpf, hook)?.info()?.id()))
            .collect()
    }
}

fn attach(ebpf: &mut Ebpf, hook: &Hook) -> Result<Link> {
    Ok(match program(ebpf, hook)? {
        Program::BtfTracePoint(program) => {
            let id = program.attach()?;
            Link::Tracepoint(program.take_link(id)?)
        }
        Program::FEntry(program) => {
            let id = program.attach()?;
            Link::Entry(program.take_link(id)?)
        }
        Program::FExit(program) => {
            let id = program.attach()?;
            Link::Return(program.take_link(id)?)
        }
        Program::KProbe(program) => {
            let id = program.attach(hook.target, 0)?;
            Link::Kprobe(program.take_link(id)?)
        }
        Program::TracePoint(program) => {
            let id = program.attach("syscalls", hook.target)?;
            Link::SystemCall(program.take_link(id)?)
        }
        other => bail!("a {:?} is on no hook of gw502", other.prog_type()),
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, hook: &Hook) -> Result<&'a mut Program> {
    let name = stand_in(hook);
    ebpf.program_mut(name)
        .with_context(|| format!("the object has no `{name}`"))
}
