//! `gw502 explain`: the runbook, page by page.

use crate::cli::Problem;
use crate::cli::args::{ExplainArgs, Output};
use crate::cli::exit::Exit;
use crate::event::Class;
use crate::render::explain::{json, list, list_of, text};
use crate::rule::{Topic, find, within};
use crate::sink::{Console, SinkError};

/// Shows the page asked for, or the list of all.
pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Problem> {
    let bytes = match args.page.as_deref() {
        None => match args.output {
            Output::Text => list().into_bytes(),
            Output::Json => lines(Topic::all()),
        },
        Some(name) => match (find(name), name.parse::<Class>(), args.output) {
            (Ok(topic), _, Output::Text) => text(topic).into_bytes(),
            (Ok(topic), _, Output::Json) => lines([topic]),
            (Err(_), Ok(class), Output::Text) => list_of(class).into_bytes(),
            (Err(_), Ok(class), Output::Json) => lines(within(class).map(Topic::Cause)),
            (Err(near), Err(_), _) => return Err(unknown(name, &near)),
        },
    };
    match Console::default().write(&bytes) {
        Ok(()) | Err(SinkError::Gone) => Ok(Exit::Ok),
        Err(error) => Err(Problem::new(
            Exit::Failed,
            "cannot show it",
            &error,
            "check where standard output goes",
        )),
    }
}

fn lines(topics: impl IntoIterator<Item = Topic>) -> Vec<u8> {
    topics.into_iter().flat_map(json).collect()
}

fn unknown(name: &str, near: &[Topic]) -> Problem {
    let known: Vec<_> = Topic::all().map(Topic::name).collect();
    Problem {
        what: format!("no cause is called `{name}`"),
        why: vec![format!("known are: {}", known.join(", "))],
        help: match near.first() {
            Some(topic) => format!("did you mean `gw502 explain {}`?", topic.name()),
            None => "see `gw502 explain` for the list, with a line on each".to_owned(),
        },
        exit: Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        let near = find("refusd").unwrap_err();
        let problem = unknown("refusd", &near);
        assert_eq!(problem.exit, Exit::Usage);
        let said = problem.to_string();
        assert!(
            said.starts_with("gw502: no cause is called `refusd`\n  why:  known are: refused, ")
        );
        assert!(said.ends_with("  do:   did you mean `gw502 explain refused`?\n"));
        assert!(unknown("zebra", &[]).help.contains("for the list"));
    }
}
