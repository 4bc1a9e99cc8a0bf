//! An error as a person sees it: what, why, what to do.

use std::fmt;

use super::exit::Exit;

/// An error that ends the run.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// What could not be done.
    pub what: String,
    /// Why, outermost reason first.
    pub why: Vec<String>,
    /// What to do about it.
    pub help: String,
    /// The exit code.
    pub exit: Exit,
}

impl Problem {
    /// A problem whose reasons are the chain of `error`.
    pub fn new(
        exit: Exit,
        what: impl Into<String>,
        error: &(dyn std::error::Error + 'static),
        help: impl Into<String>,
    ) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let mut why: Vec<String> = Vec::new();
        for reason in chain.map(|error| last_lines(&error.to_string())) {
            // Some libraries repeat their source in their own words.
            if why.last().is_none_or(|last| !last.contains(&reason)) {
                why.push(reason);
            }
        }
        Self {
            what: what.into(),
            why,
            help: help.into(),
            exit,
        }
    }
}

/// A verifier log has thousands of lines; what went wrong stands at its end.
fn last_lines(text: &str) -> String {
    const KEEP: usize = 20;
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(KEEP)..)
        .unwrap_or_default()
        .join("\n        ")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "gw502: {}", self.what)?;
        for why in &self.why {
            writeln!(f, "  why:  {why}")?;
        }
        writeln!(f, "  do:   {}", self.help)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_why_and_what_to_do() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let problem = Problem::new(Exit::Unsupported, "cannot see", &source, "open your eyes");
        assert_eq!(
            problem.to_string(),
            "gw502: cannot see\n  why:  entity not found\n  do:   open your eyes\n"
        );
    }
}
