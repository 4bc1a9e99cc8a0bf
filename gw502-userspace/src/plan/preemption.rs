//! Where a task can be preempted inside a BPF program. The kernel then skips that program, for every
//! other task of the CPU, until that task runs again; so more than one must stand there.

use gw502_common::hooks::{Backend, Hook};

/// What is known of the running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Reading under RCU, as programs do, leaves preemption on (`CONFIG_PREEMPT_RCU`).
    pub preemptible_rcu: bool,
    /// Calling a tracepoint's programs does, too (SRCU-fast guards them; 7.0+).
    pub preemptible_tracepoints: bool,
    /// Calling those of one system call's tracepoint does (they may fault; 7.2+).
    pub preemptible_system_calls: bool,
    /// The model of preemption that is in force (`none`, `voluntary`, `full`, `lazy`), as far as
    /// that is known. The first two preempt nothing in the kernel.
    pub model: Option<String>,
}

/// Where a task can be preempted inside a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preemption {
    /// In programs on trampolines.
    pub functions: bool,
    /// In BTF-typed programs on tracepoints.
    pub tracepoints: bool,
    /// In classic programs on the tracepoints of system calls.
    pub system_calls: bool,
}

impl Preemption {
    /// As the facts say; what is not known is possible.
    pub fn of(facts: &Facts) -> Self {
        let model = facts.model.as_deref();
        let functions = facts.preemptible_rcu && !matches!(model, Some("none" | "voluntary"));
        Self {
            functions,
            tracepoints: functions && facts.preemptible_tracepoints,
            system_calls: functions && facts.preemptible_system_calls,
        }
    }

    /// Whether this kernel needs the program.
    pub const fn needs(self, hook: &Hook) -> bool {
        !hook.if_preempted
            || match hook.backend {
                Backend::Fentry => self.functions,
                Backend::Tracepoint => self.tracepoints,
                Backend::SyscallTracepoint => self.system_calls,
                // With preemption off, always.
                Backend::Kprobe => false,
            }
    }
}

/// Runs of a row of programs that all of them missed: events that nobody saw. `misses` is what the
/// kernel skipped of each.
///
/// Exact, but for what cannot be told apart; then too many and never too few. A later program did
/// what the first missed (`covered`), or what it had done, if its note was gone (`overwritten`, at
/// most so often). And what all missed, each did.
pub fn lost(misses: &[u64], covered: u64, overwritten: u64) -> u64 {
    let Some(first) = misses.first() else {
        return 0;
    };
    let uncovered = (first + overwritten).saturating_sub(covered);
    misses
        .iter()
        .fold(uncovered, |lost, missed| lost.min(*missed))
}

#[cfg(test)]
mod tests {
    use gw502_common::hooks::{Capability, HOOKS};

    use super::*;

    fn facts(rcu: bool, tracepoints: bool, model: Option<&str>) -> Preemption {
        Preemption::of(&Facts {
            preemptible_rcu: rcu,
            preemptible_tracepoints: tracepoints,
            preemptible_system_calls: tracepoints,
            model: model.map(str::to_owned),
        })
    }

    #[test]
    fn what_cannot_be_ruled_out_is_possible() {
        let nowhere = Preemption::default();
        let functions = Preemption {
            functions: true,
            ..nowhere
        };
        let everywhere = Preemption {
            functions: true,
            tracepoints: true,
            system_calls: true,
        };
        assert_eq!(facts(false, false, None), nowhere);
        assert_eq!(facts(true, false, Some("voluntary")), nowhere);
        assert_eq!(facts(true, true, Some("none")), nowhere);
        assert_eq!(facts(true, false, Some("full")), functions);
        assert_eq!(facts(true, false, None), functions);
        assert_eq!(facts(true, true, Some("lazy")), everywhere);
        // Without preemptible RCU nothing that a program does can be preempted.
        assert_eq!(facts(false, true, None), nowhere);
    }

    fn on(capability: Capability, backend: Backend, target: &str, preemption: Preemption) -> usize {
        let here = HOOKS.iter().filter(|hook| {
            (hook.capability, hook.backend, hook.target) == (capability, backend, target)
        });
        here.filter(|hook| preemption.needs(hook)).count()
    }

    #[test]
    fn only_kernels_that_preempt_programs_get_more_of_them() {
        let state = |preemption| {
            let capability = Capability::ConnectionState;
            on(
                capability,
                Backend::Tracepoint,
                "inet_sock_set_state",
                preemption,
            )
        };
        let unix = |backend, preemption| {
            let capability = Capability::ConnectResults;
            on(capability, backend, "unix_stream_connect", preemption)
        };
        let nowhere = Preemption::default();
        assert_eq!((state(nowhere), unix(Backend::Fentry, nowhere)), (2, 1));
        let functions = facts(true, false, None);
        assert_eq!((state(functions), unix(Backend::Fentry, functions)), (2, 3));
        let everywhere = facts(true, true, None);
        assert_eq!(
            (state(everywhere), unix(Backend::Fentry, everywhere)),
            (3, 3)
        );
        assert_eq!(unix(Backend::Kprobe, everywhere), 1);
    }

    #[test]
    fn what_no_program_of_a_row_saw_is_lost() {
        assert_eq!(lost(&[5, 0], 5, 0), 0);
        assert_eq!(lost(&[5, 2], 3, 0), 2);
        // Alone, there is nobody to do it.
        assert_eq!(lost(&[7], 0, 0), 7);
        // A later one did four that the first had missed, and one that it had done: so that one which
        // all missed is not hidden, what was overwritten counts.
        assert_eq!(lost(&[5, 1, 1], 5, 1), 1);
        // But nobody missed what the last one saw.
        assert_eq!(lost(&[5, 3, 0], 4, 9), 0);
        assert_eq!(lost(&[], 0, 0), 0);
    }
}
