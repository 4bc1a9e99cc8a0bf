//! What the running kernel says of preemption.

use std::fs;

use super::layout::KernelLayout;
use super::root::KernelRoot;
use super::symbols::Symbols;
use crate::plan::Facts;

/// What guards the calls of a tracepoint's programs. Kernels up to 6.12 have one of this name too,
/// for other uses, but not of the fast flavour, which came later.
const GUARD: &str = "tracepoint_srcu";

/// What runs the programs on a system call's tracepoint with preemption on, where it does.
const FAULTABLE: &str = "trace_call_bpf_faultable";

/// The facts, for [`crate::plan::Preemption`].
pub fn facts(root: &KernelRoot, layout: &KernelLayout, symbols: &Symbols) -> Facts {
    let said = fs::read_to_string(&root.preemption).ok();
    let line = fs::read_to_string(root.proc("cmdline")).unwrap_or_default();
    Facts {
        preemptible_rcu: layout.preemptible_rcu,
        preemptible_system_calls: symbols.has(FAULTABLE),
        preemptible_tracepoints: layout.fast_srcu && symbols.has(GUARD),
        model: said
            .as_deref()
            .and_then(in_force)
            .or_else(|| asked_for(&line))
            .map(str::to_owned),
    }
}

/// The model in parentheses: `none voluntary (full) lazy`.
fn in_force(said: &str) -> Option<&str> {
    let mut words = said.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix('(')?.strip_suffix(')'))
}

/// `preempt=` of the kernel's command line; the last one counts.
fn asked_for(line: &str) -> Option<&str> {
    let words = line.split_ascii_whitespace();
    words.rev().find_map(|word| word.strip_prefix("preempt="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_what_is_in_force_or_was_asked_for() {
        assert_eq!(in_force("none voluntary (full)\n"), Some("full"));
        assert_eq!(in_force("full (lazy)\n"), Some("lazy"));
        assert_eq!(in_force(""), None);
        assert_eq!(
            asked_for("quiet preempt=full preempt=none ro\n"),
            Some("none")
        );
        assert_eq!(asked_for("quiet preempt_x=1\n"), None);
    }
}
