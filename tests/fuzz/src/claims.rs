//! What must hold of everything that we print.

use std::error::Error;
use std::sync::LazyLock;

use gw502_userspace::diagnose::{Engine, Place};
use gw502_userspace::event::Failure;
use gw502_userspace::intake::recording::{Header, Line, Reader};
use gw502_userspace::render::text::Style;
use gw502_userspace::render::{Origin, Summary, json, text};
use jsonschema::Validator;
use serde_json::Value;

static FAILURE: LazyLock<Validator> =
    LazyLock::new(|| validator(include_str!("../../../docs/gw502.failure.1.schema.json")));
static DIAGNOSIS: LazyLock<Validator> =
    LazyLock::new(|| validator(include_str!("../../../docs/gw502.diagnosis.1.schema.json")));
static SUMMARY: LazyLock<Validator> =
    LazyLock::new(|| validator(include_str!("../../../docs/gw502.summary.1.schema.json")));

const PLAIN: Style = Style {
    colour: false,
    width: None,
};
/// Every code path of a terminal: colour, cut columns, evidence below.
const TERMINALS: [Style; 2] = [
    Style {
        colour: true,
        width: Some(80),
    },
    Style {
        colour: true,
        width: Some(160),
    },
];

fn validator(schema: &str) -> Validator {
    let schema = serde_json::from_str(schema).expect("the schema in docs/ is JSON");
    jsonschema::validator_for(&schema).expect("the schema in docs/ is one")
}

/// A failure is one line of JSON as its schema says, and one line of text that a terminal does not
/// obey.
pub(crate) fn failure(failure: &Failure, origin: &Origin) {
    json_line(&json::failure(failure, origin), &FAILURE);
    let line = text::failure(failure, origin, &PLAIN);
    let inside = line.strip_suffix('\n').expect("a line ends as one");
    tame(inside);
    for style in &TERMINALS {
        let lines = text::failure(failure, origin, style);
        assert!(lines.ends_with('\n'), "{lines:?}");
        tame(&uncoloured(&lines.replace('\n', " ")));
    }
}

/// So does a summary, but of more lines of text.
pub(crate) fn summary(summary: &Summary, origin: &Origin) {
    json_line(&json::summary(summary, origin), &SUMMARY);
    let lines = text::summary(summary, origin, &PLAIN);
    assert!(lines.ends_with('\n'), "{lines:?}");
    tame(&lines.replace('\n', " "));
    for style in &TERMINALS {
        tame(&uncoloured(
            &text::summary(summary, origin, style).replace('\n', " "),
        ));
    }
}

/// A diagnosis is one line of JSON an upstream, and text that a terminal does not obey; its failures
/// are those of its upstreams, and it says the same when asked again.
pub(crate) fn diagnosis(engine: &mut Engine, origin: &Origin) {
    let time = |at_ns| text::time_of_day(at_ns, origin);
    let place = Place {
        time: &time,
        host_netns: None,
    };
    let all = |_, _| true;
    let report = engine.report(place, &all);
    for diagnosis in &report.diagnoses {
        json_line(&json::diagnosis(diagnosis, origin), &DIAGNOSIS);
    }
    let lines = text::report(&report, "", false, origin, &PLAIN);
    assert!(lines.ends_with('\n'), "{lines:?}");
    tame(&lines.replace('\n', " "));
    for style in &TERMINALS {
        let lines = text::report(&report, "", true, origin, style);
        tame(&uncoloured(&lines.replace('\n', " ")));
    }
    for diagnosis in engine.changes(place, &all) {
        tame(&text::change(&diagnosis, origin, &PLAIN).replace('\n', " "));
    }
    let again = engine.report(place, &all);
    assert_eq!(again.diagnoses, report.diagnoses, "the same again");
}

/// Nor does a terminal obey an error, or any of its causes.
pub(crate) fn error(error: &(dyn Error + 'static)) {
    let mut reason = Some(error);
    while let Some(error) = reason {
        tame(&error.to_string());
        reason = error.source();
    }
}

/// What is recorded reads the same when it is replayed.
pub(crate) fn comes_back(failure: &Failure, origin: &Origin) {
    let header = Line::Header(Header::of(origin)).to_bytes();
    let line = Line::Failure(failure.clone()).to_bytes();
    let bytes = [&header[..], &line[..]].concat();
    let mut reader = Reader::new(&bytes[..]).expect("our own header");
    let origin = reader.header().origin();
    let Ok(Line::Failure(replayed)) = reader.next_line() else {
        unreachable!("a failure cannot be replayed: {failure:?}");
    };
    assert_eq!(
        json::failure(&replayed, &origin),
        json::failure(failure, &origin)
    );
    assert_eq!(
        text::failure(&replayed, &origin, &PLAIN),
        text::failure(failure, &origin, &PLAIN)
    );
}

#[track_caller]
fn json_line(bytes: &[u8], schema: &Validator) {
    let line = bytes.strip_suffix(b"\n").expect("a line ends as one");
    assert!(!line.contains(&b'\n'), "more than one line");
    let value: Value = serde_json::from_slice(line).expect("JSON");
    if let Err(error) = schema.validate(&value) {
        unreachable!("{value} does not fit its schema: {error}");
    }
}

/// Without the colours that are ours.
fn uncoloured(text: &str) -> String {
    let mut plain = text.replace("\x1b[0m", "");
    for colour in ["31", "33", "34", "35", "36", "37;41", "2"] {
        plain = plain.replace(&format!("\x1b[{colour}m"), "");
    }
    plain
}

#[track_caller]
fn tame(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
