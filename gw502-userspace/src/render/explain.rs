//! `gw502 explain`: runbook pages for people, for machines, and for docs/runbook.md.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Serialize;

use super::json::line;
use crate::event::{Cause, Class};
use crate::rule::{Audience, Step, Topic, of_class, shown, within};

/// Columns of a line of text.
const WIDTH: usize = 96;

/// What the words in capitals are.
const CAPITALS: &str =
    "Words in capitals stand for what your failure has; `gw502 diagnose` fills them in.";

/// A page for people.
pub fn text(topic: Topic) -> String {
    let page = topic.page();
    let classes = codes(topic).join(", ");
    let mut text = match topic {
        Topic::Cause(_) => format!("{} ({classes})\n{}\n", topic.name(), page.title),
        Topic::NotVisible => format!("{}\n{}\n", topic.name(), page.title),
    };
    for (heading, lines) in [
        ("Symptom", page.symptom),
        ("What the kernel saw", page.kernel_saw),
        ("Likely reasons", page.reasons),
    ] {
        push(&mut text, format_args!("\n{heading}\n"));
        for item in lines {
            wrap(&mut text, "  · ", item);
        }
    }
    for (heading, steps) in [("Check", page.check), ("Fix", page.fix)] {
        push(&mut text, format_args!("\n{heading}\n"));
        for (number, step) in steps.iter().enumerate() {
            push(
                &mut text,
                format_args!("  {:>2}. {}\n", number + 1, shown(step)),
            );
            wrap(&mut text, "        ", step.why);
        }
    }
    push(&mut text, format_args!("\n{CAPITALS}\n"));
    text
}

/// All causes, a line each.
pub fn list() -> String {
    let mut text = String::new();
    for class in Class::ALL {
        causes(&mut text, *class, of_class(*class));
    }
    text.push_str("and no event at all:\n");
    row(&mut text, Topic::NotVisible);
    text.push_str("\ngw502 explain CAUSE shows a page: what to check, and how to fix it.\n");
    text
}

/// The causes of a class, a line each.
pub fn list_of(class: Class) -> String {
    let mut text = String::new();
    causes(&mut text, class, within(class));
    text.push_str("gw502 explain CAUSE shows a page: what to check, and how to fix it.\n");
    text
}

fn causes(text: &mut String, class: Class, causes: impl Iterator<Item = Cause>) {
    push(text, format_args!("{class}: {}\n", in_words(class)));
    for cause in causes {
        row(text, Topic::Cause(cause));
    }
    text.push('\n');
}

fn row(text: &mut String, topic: Topic) {
    push(
        text,
        format_args!("  {:22}  {}\n", topic.name(), topic.page().title),
    );
}

/// A class in a line.
const fn in_words(class: Class) -> &'static str {
    match class {
        Class::Refused => "the attempt was turned down",
        Class::Reset => "the upstream reset the connection before an answer",
        Class::Timeout => "somebody waited in vain",
        Class::Unreachable => "the network says that there is no way to the upstream",
        Class::Closed => "the upstream closed the connection in good order, before an answer",
        Class::Local => "this host could not even try",
        Class::Aborted => "the proxy gave up by itself: no failure",
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StepLine {
    /// A command or a line of configuration. Words in capitals stand for values.
    command: String,
    /// What it shows, or does.
    why: &'static str,
    /// The proxy that it is for; absent when for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<&'static str>,
    /// How the process names of the upstreams begin that it is for; absent when for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'static str>,
}

impl From<&Step> for StepLine {
    fn from(step: &Step) -> Self {
        let (proxy, program) = match step.audience {
            Audience::All => (None, None),
            Audience::Proxy(name) => (Some(name), None),
            Audience::App(name) => (None, Some(name)),
        };
        Self {
            command: shown(step),
            why: step.why,
            proxy,
            program,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExplanationLine {
    /// Always `gw502.explanation/1`.
    schema: &'static str,
    /// Its name on the command line: a cause, or `not-visible`.
    page: &'static str,
    /// The cause; absent for `not-visible`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    /// The classes of events that have this cause, its own first.
    classes: Vec<Class>,
    /// The cause in a line.
    title: &'static str,
    /// What is noticed without gw502.
    symptom: &'static [&'static str],
    /// What the kernel saw, and why that means this cause.
    kernel_saw: &'static [&'static str],
    /// Likely reasons.
    reasons: &'static [&'static str],
    /// How to find out which one it is.
    check: Vec<StepLine>,
    /// What to do about it.
    fix: Vec<StepLine>,
}

/// A page as a line of JSON, newline included.
pub fn json(topic: Topic) -> Bytes {
    let page = topic.page();
    line(&ExplanationLine {
        schema: "gw502.explanation/1",
        page: topic.name(),
        cause: match topic {
            Topic::Cause(cause) => Some(cause),
            Topic::NotVisible => None,
        },
        classes: topic.classes(),
        title: page.title,
        symptom: page.symptom,
        kernel_saw: page.kernel_saw,
        reasons: page.reasons,
        check: page.check.iter().map(Into::into).collect(),
        fix: page.fix.iter().map(Into::into).collect(),
    })
}

/// All pages in one Markdown document.
pub fn markdown() -> String {
    let mut text = format!(
        "# Runbook\n\nA page for each cause that gw502 names, as `gw502 explain CAUSE` shows it.\n\
         {CAPITALS}\n\n| class | cause | in a line |\n|---|---|---|\n"
    );
    for topic in Topic::all() {
        let name = topic.name();
        let title = escaped(topic.page().title);
        let classes = codes(topic).join(", ");
        push(
            &mut text,
            format_args!("| {classes} | [`{name}`](#{name}) | {title} |\n"),
        );
    }
    for topic in Topic::all() {
        section(&mut text, topic);
    }
    text
}

fn section(text: &mut String, topic: Topic) {
    let page = topic.page();
    push(
        text,
        format_args!("\n## {}\n\n{}\n", topic.name(), escaped(page.title)),
    );
    for (heading, lines) in [
        ("Symptom", page.symptom),
        ("What the kernel saw", page.kernel_saw),
        ("Likely reasons", page.reasons),
    ] {
        push(text, format_args!("\n**{heading}**\n\n"));
        for item in lines {
            push(text, format_args!("- {}\n", escaped(item)));
        }
    }
    for (heading, steps) in [("Check", page.check), ("Fix", page.fix)] {
        push(text, format_args!("\n**{heading}**\n"));
        for step in steps {
            let (why, command) = (escaped(step.why), shown(step));
            push(text, format_args!("\n- {why}\n  ```\n  {command}\n  ```\n"));
        }
    }
}

fn codes(topic: Topic) -> Vec<&'static str> {
    topic.classes().into_iter().map(Class::code).collect()
}

/// Text that Markdown leaves as it is. Between backticks it does so by itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut code = false;
    for c in text.chars() {
        code ^= c == '`';
        if !code && "<*|[".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// An item in lines of at most [`WIDTH`] columns, broken at blanks, under its first word.
fn wrap(text: &mut String, lead: &str, item: &str) {
    let indent = lead.chars().count();
    let mut column = indent;
    text.push_str(lead);
    for (index, word) in item.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            push(text, format_args!("\n{:indent$}", ""));
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).unwrap_or(());
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path};

    use super::*;
    use crate::rule::find;

    /// What docs/ has, which is what the code says; or becomes so, when told to.
    fn shipped(file: &str, generated: &str) {
        let path = path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(file);
        if env::var_os("GW502_BLESS").is_some() {
            fs::write(&path, generated).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == generated,
            "docs/{file} is not what the code says: run the tests with GW502_BLESS=1 and read the \
             difference"
        );
    }

    #[test]
    fn the_runbook_in_docs_is_that_of_the_code() {
        shipped("runbook.md", &markdown());
    }

    #[test]
    fn every_page_validates_against_the_schema_in_docs() {
        let schema = serde_json::to_value(schemars::schema_for!(ExplanationLine)).unwrap();
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        shipped("gw502.explanation.1.schema.json", &text);
        let validator = jsonschema::validator_for(&schema).unwrap();
        for topic in Topic::all() {
            let line: serde_json::Value = serde_json::from_slice(&json(topic)).unwrap();
            assert!(validator.is_valid(&line), "{line}");
            assert_eq!(line["page"], topic.name());
        }
        let codes = &schema["properties"]["cause"];
        for cause in Cause::ALL {
            assert!(
                codes.to_string().contains(&format!("\"{cause}\"")),
                "{cause}: {codes}"
            );
        }
    }

    #[test]
    fn a_page_has_all_its_parts_and_no_hole() {
        let text = text(find("upstream-exited").unwrap());
        let start =
            "upstream-exited (refused)\nthe process that listened there has ended\n\nSymptom\n";
        assert!(text.starts_with(start), "{text}");
        let headings = [
            "\nSymptom\n",
            "\nWhat the kernel saw\n",
            "\nLikely reasons\n",
            "\nCheck\n",
            "\nFix\n",
        ];
        let at: Vec<_> = headings.iter().map(|heading| text.find(heading)).collect();
        assert!(at.is_sorted() && !at.contains(&None), "{at:?}");
        assert!(text.contains("   1. journalctl -u UNIT --since TIME --no-pager\n"));
    }

    #[test]
    fn lines_fit_a_terminal() {
        for topic in Topic::all() {
            for line in text(topic).lines() {
                // Commands are not broken: they are to be copied.
                assert!(line.chars().count() <= 106, "{}: {line}", topic.name());
            }
        }
        let mut text = String::new();
        wrap(&mut text, "  · ", &"word ".repeat(40));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(
            text.lines().nth(1).map(|line| line.starts_with("    word")),
            Some(true)
        );
    }

    #[test]
    fn the_list_names_every_page_under_its_class() {
        let list = list();
        for topic in Topic::all() {
            assert_eq!(
                list.matches(&format!("\n  {} ", topic.name())).count(),
                1,
                "{topic:?}"
            );
        }
        assert!(list.starts_with("refused: the attempt was turned down\n  refused "));
    }

    #[test]
    fn a_class_has_the_causes_that_its_events_may_have() {
        let closed = list_of(Class::Closed);
        for name in [
            "closed-before-response",
            "upstream-crashed",
            "keepalive-race",
        ] {
            assert!(closed.contains(&format!("\n  {name} ")), "{closed}");
        }
        assert!(!closed.contains("firewall-dropped"));
    }

    #[test]
    fn markdown_shows_signs_as_they_are() {
        assert_eq!(escaped("503 <NOSRV> `a < b` *"), r"503 \<NOSRV> `a < b` \*");
    }
}
