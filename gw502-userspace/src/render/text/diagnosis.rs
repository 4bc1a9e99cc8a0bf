//! The diagnosis for people: the worst upstreams in full, the others in a line each.

use super::{Style, notes, percent, printable, push, time_of_day, wrap};
use crate::diagnose::{Confidence, Diagnosis, Report, Span};
use crate::render::{Origin, Summary};

/// Upstreams shown in full; of the others there is a line each.
const IN_FULL: usize = 10;
/// Where a line of text is broken when nobody says how wide the terminal is.
const WIDTH: usize = 100;
/// Where the numbers begin.
const NUMBERS: usize = 60;

/// Everything. `options` is what a recording was to hold.
pub fn report(
    report: &Report,
    options: &str,
    aborted_shown: bool,
    origin: &Origin,
    style: &Style,
) -> String {
    let mut text = String::new();
    for shared in &report.shared {
        paragraph(&mut text, "", &shared.summary, style);
        text.push('\n');
    }
    for diagnosis in report.diagnoses.iter().take(IN_FULL) {
        in_full(&mut text, diagnosis, report, origin, style);
        text.push('\n');
    }
    let rest = report.diagnoses.get(IN_FULL..).unwrap_or_default();
    for diagnosis in rest {
        push(
            &mut text,
            format_args!("{}\n", headline(diagnosis, report, origin)),
        );
    }
    if !rest.is_empty() {
        push(
            &mut text,
            format_args!(
                "{} more in full: --output json, or --upstream\n\n",
                rest.len()
            ),
        );
    }
    healthy(&mut text, report);
    let notes = notes(&Summary::of(report, options, aborted_shown));
    push(&mut text, format_args!("{}\n", notes.join(" · ")));
    text
}

/// One change of state as it happens: a line and its reason.
pub fn change(diagnosis: &Diagnosis, origin: &Origin, style: &Style) -> String {
    let at_ns = diagnosis.until_ns.or(diagnosis.since_ns).unwrap_or(0);
    let mut text = format!(
        "{}  {} is {}: {}\n",
        time_of_day(at_ns, origin),
        name(diagnosis),
        diagnosis.state.code(),
        numbers(diagnosis)
    );
    if diagnosis.state.is_active() {
        paragraph(&mut text, "          ", &diagnosis.summary, style);
    }
    text
}

fn in_full(
    text: &mut String,
    diagnosis: &Diagnosis,
    report: &Report,
    origin: &Origin,
    style: &Style,
) {
    push(
        text,
        format_args!("{}\n", headline(diagnosis, report, origin)),
    );
    paragraph(text, "  ", &diagnosis.summary, style);
    let evidence = match diagnosis.confidence {
        Some(Confidence::Certain) => "Certain. Evidence:",
        Some(Confidence::Likely) => "Likely. Evidence:",
        Some(Confidence::Possible) => "Possible: TCP shows no more than this. Evidence:",
        None => "Evidence:",
    };
    if !diagnosis.evidence.is_empty() {
        push(text, format_args!("  {evidence}\n"));
    }
    for fact in &diagnosis.evidence {
        paragraph(text, "    · ", fact, style);
    }
    if !diagnosis.next_steps.is_empty() {
        text.push_str("  Next:\n");
    }
    for (number, step) in (1..).zip(&diagnosis.next_steps) {
        push(
            text,
            format_args!(
                "    {number}. {}\n         {}\n",
                printable(&step.command),
                printable(&step.why)
            ),
        );
    }
    if let Some((comm, status)) = &diagnosis.answers {
        push(
            text,
            format_args!("  {comm} answers {status} meanwhile, unless it has another upstream.\n"),
        );
    }
}

/// `127.0.0.1:9000  failing since 14:03:07 (22 s)      35 of 36 attempts failed`.
fn headline(diagnosis: &Diagnosis, report: &Report, origin: &Origin) -> String {
    let (_, now_ns) = report.span_ns.unwrap_or_default();
    let time = |at_ns| time_of_day(at_ns, origin);
    let when = match (diagnosis.since_ns, diagnosis.until_ns) {
        (Some(since), None) => {
            let lasts = Span(now_ns.saturating_sub(since));
            format!(" since {} ({lasts})", time(since))
        }
        (Some(since), Some(until)) => format!(", failed {}–{}", time(since), time(until)),
        (None, _) => String::new(),
    };
    let state = format!("{}  {}{when}", name(diagnosis), diagnosis.state.code());
    format!("{state:NUMBERS$}  {}", numbers(diagnosis))
}

fn name(diagnosis: &Diagnosis) -> String {
    match (&diagnosis.id, &diagnosis.name) {
        (Some(id), Some(name)) => printable(&format!("{} ({name})", id.upstream)),
        (Some(id), None) => printable(&id.upstream.to_string()),
        (None, _) => "other upstreams".to_owned(),
    }
}

/// An attempt fails once; a connection that is used again may fail later, and is no failed attempt.
fn numbers(diagnosis: &Diagnosis) -> String {
    let (failed, attempts) = (diagnosis.failed(), diagnosis.attempts);
    if diagnosis.reused == 0 && failed <= attempts {
        let share = percent(failed, attempts);
        format!("{failed} of {attempts} attempts failed ({share})")
    } else {
        format!("{failed} failures, {attempts} attempts")
    }
}

fn healthy(text: &mut String, report: &Report) {
    /// Names that fit into a line.
    const NAMED: usize = 4;
    let attempts = report.healthy.iter().map(|row| row.attempts);
    let attempts = attempts.fold(0, u64::saturating_add);
    let names: Vec<_> = report
        .healthy
        .iter()
        .take(NAMED)
        .map(|row| match &row.id {
            Some(id) => printable(&id.upstream.to_string()),
            None => "other upstreams".to_owned(),
        })
        .collect();
    let more = report.healthy.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    match (report.healthy.is_empty(), report.diagnoses.is_empty()) {
        (true, true) => text.push_str("no watched process opened a connection\n"),
        (true, false) => {}
        (false, _) => push(
            text,
            format_args!(
                "healthy: {}{more} ({attempts} attempts, none failed)\n",
                names.join(", ")
            ),
        ),
    }
    if report.diagnoses.is_empty() && !report.healthy.is_empty() {
        text.push_str(
            "If clients see a 502 all the same, TCP does not show why: gw502 explain not-visible\n",
        );
    }
}

/// A text in lines that begin with `lead`, the ones after the first with as many blanks.
fn paragraph(text: &mut String, lead: &str, words: &str, style: &Style) {
    let indent = lead.chars().count();
    let room = style.width.unwrap_or(WIDTH).saturating_sub(indent).max(30);
    let blanks = " ".repeat(indent);
    for (number, line) in wrap(&printable(words), room).iter().enumerate() {
        let lead = if number == 0 { lead } else { &blanks };
        push(text, format_args!("{lead}{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::clock::TimeAnchor;
    use crate::diagnose::{Engine, Place};

    fn shown(engine: &Engine) -> String {
        let origin = Origin {
            host: "edge-1".to_owned(),
            kernel: "Linux 6.1.0".to_owned(),
            id: 7,
            anchor: TimeAnchor { offset_ns: 0 },
            zone: TimeZone::UTC,
        };
        let style = Style {
            colour: false,
            width: None,
        };
        let time = |at_ns| time_of_day(at_ns, &origin);
        let place = Place {
            time: &time,
            host_netns: None,
        };
        report(
            &engine.report(place, &|_, _| true),
            "",
            false,
            &origin,
            &style,
        )
    }

    #[test]
    fn an_upstream_that_was_killed_reads_as_it_should() {
        let text = shown(&crate::diagnose::tests::killed().engine);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "127.0.0.1:9000  failing since 00:00:02 (4.0 s)                35 of 36 attempts failed \
             (97.2%)"
        );
        for line in [
            "  Certain. Evidence:",
            "  Next:",
            "  nginx answers 502 meanwhile, unless it has another upstream.",
            "healthy: 127.0.0.1:9001 (7 attempts, none failed)",
            "nothing lost",
        ] {
            assert!(lines.contains(&line), "`{line}` is missing:\n{text}");
        }
        assert!(text.contains("app[4090]"), "{text}");
    }

    #[test]
    fn nothing_wrong_is_two_lines_and_where_to_look_then() {
        let text = shown(&crate::diagnose::tests::well().engine);
        assert_eq!(
            text,
            "healthy: 127.0.0.1:9000 (300 attempts, none failed)\n\
             If clients see a 502 all the same, TCP does not show why: gw502 explain not-visible\n\
             nothing lost\n"
        );
    }

    #[test]
    fn of_many_the_worst_are_in_full_and_the_others_in_a_line() {
        let text = shown(&crate::diagnose::tests::many(25).engine);
        let headlines = text.lines().filter(|line| line.starts_with("127.0.0.1:"));
        assert_eq!(headlines.count(), 25, "{text}");
        assert_eq!(text.matches("  Next:").count(), IN_FULL, "{text}");
        assert!(
            text.starts_with("All 25 upstreams that were tried here fail alike"),
            "{text}"
        );
        assert!(
            text.contains("15 more in full: --output json, or --upstream"),
            "{text}"
        );
    }
}
