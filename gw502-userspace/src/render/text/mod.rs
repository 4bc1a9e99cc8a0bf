//! Lines and tables for people. Colour only repeats what the words say.

mod diagnosis;

use std::fmt::Write as _;

pub use self::diagnosis::{change, report};
use super::{Origin, Summary, Unrecorded};
use crate::aggregate::UpstreamSummary;
use crate::event::{Class, Failure, Phase};

/// How to write for this reader.
#[derive(Clone, Debug)]
pub struct Style {
    /// Whether to colour.
    pub colour: bool,
    /// Columns of the terminal; `None` when lines may be as long as they need.
    pub width: Option<usize>,
}

/// Widths of the columns before the last.
mod column {
    pub(super) const TIME: usize = 12;
    pub(super) const CLASS: usize = 11;
    pub(super) const CAUSE: usize = 22;
    pub(super) const PROXY: usize = 18;
    pub(super) const UPSTREAM: usize = 24;
    pub(super) const AFTER: usize = 9;
}

/// The line above the failures.
pub fn header() -> String {
    format!(
        "{:time$}  {:class$}  {:cause$}  {:proxy$}  {:upstream$}  {:>after$}  EVIDENCE\n",
        "TIME",
        "CLASS",
        "CAUSE",
        "PROXY",
        "UPSTREAM",
        "AFTER",
        time = column::TIME,
        class = column::CLASS,
        cause = column::CAUSE,
        proxy = column::PROXY,
        upstream = column::UPSTREAM,
        after = column::AFTER,
    )
}

/// One failure as a line.
pub fn failure(failure: &Failure, origin: &Origin, style: &Style) -> String {
    let upstream = upstream(failure, style);
    let proxy = format!("{}[{}]", failure.proxy.comm, failure.proxy.pid);
    let mut line = format!(
        "{:time$}  {}  {:cause$}  {:proxy_width$}  {upstream:upstream_width$}  {:>after$}  ",
        clock_time(failure.at_ns, origin),
        class(failure.class, style),
        failure.cause,
        cut_middle(&printable(&proxy), column::PROXY),
        duration(failure.elapsed_us),
        time = column::TIME,
        cause = column::CAUSE,
        proxy_width = column::PROXY,
        upstream_width = column::UPSTREAM,
        after = column::AFTER,
    );
    line.push_str(&beside_or_below(&evidence(failure), style.width));
    line.push('\n');
    line
}

/// The upstream and its name: `10.2.0.7:8080 (api)`. Where room is short, the name gives way.
fn upstream(failure: &Failure, style: &Style) -> String {
    /// Less of a name than this says nothing.
    const SHORTEST: usize = 3;
    let address = printable(&failure.upstream.to_string());
    let name = failure.upstream_name.as_deref().map(printable);
    let Some(_terminal) = style.width else {
        return match name {
            Some(name) => format!("{address} ({name})"),
            None => address,
        };
    };
    let room = column::UPSTREAM.saturating_sub(address.chars().count() + 3);
    match name {
        Some(name) if room >= SHORTEST || room >= name.chars().count() => {
            format!("{address} ({})", cut_middle(&name, room))
        }
        _ => cut_middle(&address, column::UPSTREAM),
    }
}

/// The evidence in the room that a terminal leaves: beside the other columns, in several lines if
/// need be, or below them where hardly any room is left.
fn beside_or_below(evidence: &str, width: Option<usize>) -> String {
    const COLUMNS: usize = column::TIME
        + column::CLASS
        + column::CAUSE
        + column::PROXY
        + column::UPSTREAM
        + column::AFTER
        + 6 * 2;
    /// Less room than this is not worth writing in.
    const NARROW: usize = 30;
    let Some(width) = width.filter(|width| COLUMNS + evidence.chars().count() > *width) else {
        return evidence.to_owned();
    };
    let (indent, first) = match width.saturating_sub(COLUMNS) {
        0..NARROW => (
            column::TIME + 2,
            "\n".to_owned() + &" ".repeat(column::TIME + 2),
        ),
        _ => (COLUMNS, String::new()),
    };
    let room = width.saturating_sub(indent).max(NARROW);
    first + &wrap(evidence, room).join(&format!("\n{}", " ".repeat(indent)))
}

/// `text` in lines of at most `room` characters, broken at blanks; a longer word keeps its line.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The facts in a phrase. What was lost before is said here too: it is never silent.
fn evidence(failure: &Failure) -> String {
    let mut phrase = failure
        .evidence
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(errno) = failure.errno.filter(|_| failure.phase == Phase::Connect) {
        push(&mut phrase, format_args!(" ({errno})"));
    }
    if failure.lost_before > 0 {
        push(
            &mut phrase,
            format_args!(" [{} events lost before this one]", failure.lost_before),
        );
    }
    phrase
}

/// The table at the end.
pub fn summary(summary: &Summary, origin: &Origin, style: &Style) -> String {
    let mut text = String::new();
    if summary.upstreams.is_empty() {
        text.push_str("no watched process opened a connection\n");
    } else {
        table(&mut text, summary, origin, style);
    }
    let mut notes = notes(summary);
    if summary.failed() > 0 {
        notes.push("`gw502 diagnose` says why, and what to do".to_owned());
    }
    push(&mut text, format_args!("{}\n", notes.join(" · ")));
    text
}

/// What was lost, and what was left out.
fn notes(summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    let lost: Vec<_> = summary
        .losses
        .iter()
        .map(|(reason, count)| format!("{} {count}", printable(reason)))
        .collect();
    if lost.is_empty() {
        notes.push("nothing lost".to_owned());
    } else {
        notes.push(format!("LOST: {}", lost.join(", ")));
    }
    match (summary.aborted(), summary.aborted_shown) {
        (0, _) => {}
        (count, true) => notes.push(format!("{count} cancelled by the proxy itself")),
        (count, false) => notes.push(format!(
            "{count} cancelled by the proxy itself (--include-aborted shows them)"
        )),
    }
    let skipped = super::sum(summary.skips.values().copied());
    if skipped > 0 {
        notes.push(format!("{skipped} attempts outside the filter"));
    }
    if let Some(Unrecorded { events, options }) = &summary.unrecorded {
        notes.push(format!(
            "{events} events counted, not recorded (record {options})"
        ));
    }
    notes
}

fn table(text: &mut String, summary: &Summary, origin: &Origin, style: &Style) {
    let name = |row: &UpstreamSummary| match &row.id {
        Some(id) => printable(&id.upstream.to_string()),
        None => "other upstreams".to_owned(),
    };
    let longest = summary
        .upstreams
        .iter()
        .map(|row| name(row).len())
        .max()
        .unwrap_or(0);
    let width = match style.width {
        Some(_) => longest.clamp(8, 40),
        None => longest.max(8),
    };
    push(
        text,
        format_args!(
            "{:width$}  {:>9}  {:>9}  {:>7}  {:22}  SINCE\n",
            "UPSTREAM", "ATTEMPTS", "FAILED", "RATE", "TOP CAUSE"
        ),
    );
    for row in &summary.upstreams {
        let failed = row.failed();
        let since = row
            .since_ns
            .map(|at_ns| clock_time(at_ns, origin))
            .unwrap_or_default();
        let cause = row.top_cause().map_or("-", crate::event::Cause::code);
        let mut line = format!(
            "{:width$}  {:>9}  {:>9}  {:>7}  {:22}  {since}",
            cut_middle(&name(row), width),
            row.attempts,
            failed,
            percent(failed, row.attempts),
            cause,
        );
        line.truncate(line.trim_end().len());
        push(text, format_args!("{line}\n"));
    }
}

/// A class, padded to its column; the colour does not count as width.
fn class(class: Class, style: &Style) -> String {
    let padded = format!("{class:width$}", width = column::CLASS);
    if !style.colour {
        return padded;
    }
    let code = match class {
        Class::Refused => "31",
        Class::Reset => "35",
        Class::Timeout => "33",
        Class::Closed => "34",
        Class::Unreachable => "36",
        Class::Local => "37;41",
        Class::Aborted => "2",
    };
    let name = padded.trim_end();
    let blanks = " ".repeat(padded.len() - name.len());
    format!("\x1b[{code}m{name}\x1b[0m{blanks}")
}

/// Time of day in the zone of the run, to the second.
pub fn time_of_day(at_ns: u64, origin: &Origin) -> String {
    let time = origin.anchor.wall(at_ns).to_zoned(origin.zone.clone());
    time.strftime("%H:%M:%S").to_string()
}

/// Time of day in the zone of the run, to the millisecond.
fn clock_time(at_ns: u64, origin: &Origin) -> String {
    origin
        .anchor
        .wall(at_ns)
        .to_zoned(origin.zone.clone())
        .strftime("%H:%M:%S.%3f")
        .to_string()
}

/// A duration in the unit that suits it.
pub fn duration(us: u64) -> String {
    match us {
        0..1_000_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// A share in percent, one decimal; more failures than attempts (connects from before the start)
/// are no share.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part > whole {
        return "-".to_owned();
    }
    let permille = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{}%", permille / 10, permille % 10)
}

/// Shortens `text` to `width` characters by taking out its middle: both ends tell upstreams apart.
fn cut_middle(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(1);
    let tail = keep.div_ceil(2);
    let start: String = text.chars().take(keep - tail).collect();
    let end: String = text.chars().skip(length - tail).collect();
    format!("{start}…{end}")
}

/// A process name may hold any byte; a terminal must not obey it.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).unwrap_or(());
}

#[cfg(test)]
mod tests;
