//! What is said about mistakes: what is wrong; what to do. One line each.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::cli::filter::FilterError;

/// What somebody wrote, without the line feeds and at no great length.
pub(super) fn short(text: &str) -> String {
    clip(text, 60)
}

fn clip(text: &str, longest: usize) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(longest).map(plain).collect();
    if text.chars().nth(longest).is_some() {
        short.push('…');
    }
    short
}

pub(super) fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    clip(&lines.join(", "), 200)
}

/// The one that was meant, if one is near enough.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// As in clap: what is less alike is no slip.
    const ALIKE: f64 = 0.7;
    // Its time grows with the square of the length.
    let name: String = name.chars().take(100).collect();
    let scored = known
        .iter()
        .map(|known| (strsim::jaro_winkler(&name, known), *known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > ALIKE)
        .map(|(_, name)| name)
}

fn meant(name: &str, known: &[&str], dress: impl Fn(&str) -> String) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("did you mean {}?", dress(near));
    }
    let known: Vec<_> = known.iter().map(|known| dress(known)).collect();
    format!("known are {}", known.join(", "))
}

fn ticks(name: &str) -> String {
    format!("`{name}`")
}

fn heading(name: &str) -> String {
    match name {
        "sink" => "[sink.NAME]".to_owned(),
        name => format!("[{name}]"),
    }
}

pub(super) fn unknown_key(name: &str, section: &str, known: &[&str]) -> String {
    let meant = meant(name, known, ticks);
    format!("unknown key `{}` in {section}; {meant}", short(name))
}

pub(super) fn unknown_section(name: &str, known: &[&str]) -> String {
    let meant = meant(name, known, heading);
    format!("unknown section [{}]; {meant}", short(name))
}

/// A key before the first section.
pub(super) fn stray(name: &str, sections: &[&str]) -> String {
    let sections: Vec<_> = sections.iter().map(|name| heading(name)).collect();
    format!(
        "`{}` stands in no section; move it below one of {}",
        short(name),
        sections.join(", ")
    )
}

pub(super) fn unknown_word(key: &str, given: &str, known: &[&str]) -> String {
    let quoted = |word: &str| format!("\"{word}\"");
    let meant = meant(given, known, quoted);
    format!("`{key}` cannot be \"{}\"; {meant}", short(given))
}

pub(super) fn any_of(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match names.as_slice() {
        [one] => one.clone(),
        _ => format!("one of {}", names.join(", ")),
    }
}

const fn a_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value of the wrong kind.
pub(super) fn kind(key: &str, value: &DeValue<'_>, want: &str) -> String {
    format!("`{key}` is {}; write {want}", a_kind(value))
}

/// A value of the wrong kind inside another.
pub(super) fn item(key: &str, value: &DeValue<'_>, want: &str) -> String {
    format!("`{key}` has {} in it; write {want}", a_kind(value))
}

/// A path that leads to the same place wherever the agent was started.
pub(super) fn path(key: &str, text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') {
        return Err(format!("`{key}` has a NUL in it; write a path"));
    }
    if !text.starts_with('/') {
        let given = short(text);
        return Err(format!(
            "`{key}` is \"{given}\", which depends on where gw502 starts; write the path from / on"
        ));
    }
    Ok(PathBuf::from(text))
}

/// Some of its words already say what to do.
pub(super) fn upstream(error: &FilterError) -> String {
    let words = clip(&error.to_string(), 300);
    if words.contains("; ") {
        words
    } else {
        format!("{words}; write ADDRESS, ADDRESS:PORT, [IPV6]:PORT, NETWORK/PREFIX or unix:PATH")
    }
}
