//! Which hooks gw502 attaches here: what `gw502 doctor` found that the kernel accepts, through
//! gw502's own plan. `measure/programs` checks it against what a running gw502 holds.

use anyhow::{Context as _, Result, bail};
use gw502_common::hooks::Hook;
use gw502_userspace::plan::{self, Plan, Syscalls, Trial, Wish};
use serde::Deserialize;

/// How gw502 is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// With no option: as most will run it.
    Auto,
    /// With `--syscalls off`.
    SyscallsOff,
}

impl Variant {
    /// Its options.
    pub(crate) const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Auto => &[],
            Self::SyscallsOff => &["--syscalls", "off"],
        }
    }

    /// The same, as gw502 understands it.
    const fn wish(self) -> Wish {
        Wish {
            backend: None,
            syscalls: match self {
                Self::Auto => Syscalls::Auto,
                Self::SyscallsOff => Syscalls::Off,
            },
        }
    }
}

/// The hooks of each variant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hooks {
    auto: Plan,
    syscalls_off: Plan,
}

/// What we want to know of `gw502.doctor`.
#[derive(Deserialize)]
struct Doctor {
    schema: String,
    trials: Vec<Trial>,
}

impl Hooks {
    /// Reads what `gw502 doctor --output json` prints.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let Doctor { schema, trials } =
            serde_json::from_str(line).context("what `gw502 doctor` prints is not as expected")?;
        if schema != "gw502.doctor/1" {
            bail!("`gw502 doctor` prints a `{schema}`, which this benchmark does not know");
        }
        let of = |variant: Variant| {
            plan::plan(&trials, variant.wish()).context("gw502 does not work on this kernel")
        };
        let hooks = Self {
            auto: of(Variant::Auto)?,
            syscalls_off: of(Variant::SyscallsOff)?,
        };
        if hooks.of(Variant::Auto).is_empty() {
            bail!("`gw502 doctor` knows of no hook");
        }
        Ok(hooks)
    }

    /// The variants that differ here.
    pub(crate) fn variants(&self) -> Vec<Variant> {
        if self.of(Variant::Auto) == self.of(Variant::SyscallsOff) {
            vec![Variant::Auto]
        } else {
            vec![Variant::Auto, Variant::SyscallsOff]
        }
    }

    /// What a variant attaches, in gw502's order.
    pub(crate) fn of(&self, variant: Variant) -> Vec<&'static Hook> {
        let plan = match variant {
            Variant::Auto => &self.auto,
            Variant::SyscallsOff => &self.syscalls_off,
        };
        plan.programs().collect()
    }

    /// The backends of the first variant, for people.
    pub(crate) fn backends(&self) -> Vec<&'static str> {
        self.auto.backends()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use gw502_common::hooks::{Backend, Capability};

    use super::*;

    /// As of a kernel that accepts this backend, and for what is not `connect()` all tracepoints.
    pub(crate) fn with(connects: Backend) -> Hooks {
        let trials: Vec<String> = Capability::ALL
            .iter()
            .flat_map(|capability| {
                plan::backends(*capability).map(|backend| (*capability, backend))
            })
            .map(|(capability, backend)| {
                let by_tracepoint =
                    capability != Capability::ConnectResults && backend == Backend::Tracepoint;
                let accepted = backend == connects || by_tracepoint;
                let refused = if accepted { "" } else { r#","refused":"no""# };
                let (capability, backend) = (capability.name(), backend.name());
                format!(r#"{{"capability":"{capability}","backend":"{backend}"{refused}}}"#)
            })
            .collect();
        let trials = trials.join(",");
        let line = format!(r#"{{"schema":"gw502.doctor/1","kernel":"k","trials":[{trials}]}}"#);
        Hooks::parse(&line).unwrap()
    }

    fn backends(hooks: &[&Hook]) -> Vec<Backend> {
        let mut backends: Vec<_> = hooks.iter().map(|hook| hook.backend).collect();
        backends.sort_unstable();
        backends.dedup();
        backends
    }

    #[test]
    fn hooks_on_system_calls_are_a_variant_where_they_are_used() {
        let hooks = with(Backend::SyscallTracepoint);
        assert_eq!(hooks.variants(), [Variant::Auto, Variant::SyscallsOff]);
        let auto = backends(&hooks.of(Variant::Auto));
        assert_eq!(auto, [Backend::Tracepoint, Backend::SyscallTracepoint]);
        let off = backends(&hooks.of(Variant::SyscallsOff));
        assert_eq!(off, [Backend::Tracepoint]);
    }

    #[test]
    fn where_they_are_not_used_leaving_them_out_is_no_variant() {
        let hooks = with(Backend::Fentry);
        assert_eq!(hooks.variants(), [Variant::Auto]);
        let auto = backends(&hooks.of(Variant::Auto));
        assert_eq!(auto, [Backend::Fentry, Backend::Tracepoint]);
    }

    #[test]
    fn another_line_is_no_doctor() {
        assert!(Hooks::parse("all 6 capabilities").is_err());
        assert!(Hooks::parse(r#"{"schema":"gw502.summary/1","trials":[]}"#).is_err());
        let nothing = r#"{"schema":"gw502.doctor/1","trials":[]}"#;
        assert!(Hooks::parse(nothing).is_err());
    }
}
