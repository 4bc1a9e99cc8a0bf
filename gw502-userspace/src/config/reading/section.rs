//! A section of the file: its keys, taken one by one with what may stand there.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue, Error};

use super::{Mistake, units, words};

/// The text of the file, and what is wrong in it.
pub(super) struct Book<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl<'t> Book<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self {
            text,
            mistakes: Vec::new(),
        }
    }

    /// Something is wrong at a byte of the text.
    pub(super) fn mistake(&mut self, at: usize, what: impl Into<String>) {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        // What is missing at the end is missing in the last line that there is.
        let lines = self.text.lines().count().max(1);
        self.mistakes.push(Mistake {
            line: line.min(lines),
            what: what.into(),
        });
    }

    /// The parser did not understand.
    pub(super) fn syntax(&mut self, error: &Error) {
        let at = error.span().map_or(0, |span| span.start);
        let message = words::one_line(error.message());
        let what = format!("this is not TOML ({message}); write `key = value`, and text in quotes");
        self.mistake(at, what);
    }

    /// Everything that is wrong, by line; of what is not even TOML, the first in a line: the rest
    /// follows from it.
    pub(super) fn finish(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes;
        mistakes.sort();
        let syntax = |mistake: &Mistake| mistake.what.starts_with("this is not TOML");
        mistakes.dedup_by(|b, a| a == b || a.line == b.line && syntax(a) && syntax(b));
        mistakes
    }
}

/// A value and where it stands.
pub(super) struct Given<T> {
    pub(super) value: T,
    /// Byte of the text.
    pub(super) at: usize,
}

/// A section.
pub(super) struct Section<'a> {
    /// `[sink.NAME]`.
    name: String,
    at: usize,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    pub(super) const fn new(name: String, at: usize, table: &'a DeTable<'a>) -> Self {
        Self { name, at, table }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Complains of every other key.
    pub(super) fn only(&self, book: &mut Book<'_>, known: &[&str]) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let what = words::unknown_key(name, &self.name, known);
                book.mistake(key.span().start, what);
            }
        }
    }

    /// Where a key stands, or the section when it has none.
    pub(super) fn at(&self, key: &str) -> usize {
        let entry = self.table.get_key_value(key);
        entry.map_or(self.at, |(key, _)| key.span().start)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn get(&self, key: &str) -> Option<Given<&'a DeValue<'a>>> {
        let value = self.table.get(key)?;
        Some(Given {
            value: value.get_ref(),
            at: value.span().start,
        })
    }

    /// Whether it says `key = false`.
    pub(super) fn is_off(&self, key: &str) -> bool {
        matches!(self.get(key), Some(given) if given.value.as_bool() == Some(false))
    }

    pub(super) fn flag(&self, book: &mut Book<'_>, key: &str) -> Option<bool> {
        let Given { value, at } = self.get(key)?;
        if value.as_bool().is_none() {
            book.mistake(at, words::kind(key, value, "true or false"));
        }
        value.as_bool()
    }

    /// Text; `want` says what may stand there.
    pub(super) fn text_or(
        &self,
        book: &mut Book<'_>,
        key: &str,
        want: &str,
    ) -> Option<Given<String>> {
        let Given { value, at } = self.get(key)?;
        let text = value.as_str();
        if text.is_none() {
            book.mistake(at, words::kind(key, value, want));
        }
        text.map(|text| Given {
            value: text.to_owned(),
            at,
        })
    }

    /// One of some words.
    pub(super) fn one_of(&self, book: &mut Book<'_>, key: &str, names: &[&str]) -> Option<String> {
        let want = words::any_of(names);
        let given = self.text_or(book, key, &want)?;
        if names.contains(&given.value.as_str()) {
            return Some(given.value);
        }
        let what = words::unknown_word(key, &given.value, names);
        book.mistake(given.at, what);
        None
    }

    /// A path from the root.
    pub(super) fn path(&self, book: &mut Book<'_>, key: &str) -> Option<PathBuf> {
        let given = self.text_or(book, key, "a path in quotes")?;
        words::path(key, &given.value)
            .map_err(|what| book.mistake(given.at, what))
            .ok()
    }

    pub(super) fn whole(
        &self,
        book: &mut Book<'_>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let given = self.get(key)?;
        whole(book, key, &given, range)
    }

    /// A list of numbers.
    pub(super) fn wholes(
        &self,
        book: &mut Book<'_>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Vec<u64> {
        let items = self.list(book, key, "a list of numbers such as [4711]");
        let items = items.into_iter();
        items
            .filter_map(|given| whole(book, key, &given, range.clone()))
            .collect()
    }

    /// A list of texts.
    pub(super) fn texts(&self, book: &mut Book<'_>, key: &str) -> Vec<Given<String>> {
        const WANT: &str = "a list of texts such as [\"one\", \"two\"]";
        let mut texts = Vec::new();
        for Given { value, at } in self.list(book, key, WANT) {
            match value.as_str() {
                Some(text) => texts.push(Given {
                    value: text.to_owned(),
                    at,
                }),
                None => book.mistake(at, words::item(key, value, WANT)),
            }
        }
        texts
    }

    fn list(&self, book: &mut Book<'_>, key: &str, want: &str) -> Vec<Given<&'a DeValue<'a>>> {
        let Some(Given { value, at }) = self.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.as_array() else {
            book.mistake(at, words::kind(key, value, want));
            return Vec::new();
        };
        let items = array.iter().map(|item| Given {
            value: item.get_ref(),
            at: item.span().start,
        });
        items.collect()
    }

    /// A table of texts.
    pub(super) fn pairs(&self, book: &mut Book<'_>, key: &str) -> BTreeMap<String, Given<String>> {
        const WANT: &str = "a table of texts such as { name = \"value\" }";
        let mut pairs = BTreeMap::new();
        let Some(Given { value, at }) = self.get(key) else {
            return pairs;
        };
        let Some(table) = value.as_table() else {
            book.mistake(at, words::kind(key, value, WANT));
            return pairs;
        };
        for (name, value) in table {
            let at = value.span().start;
            if let Some(text) = value.get_ref().as_str() {
                let value = text.to_owned();
                pairs.insert(name.get_ref().to_string(), Given { value, at });
            } else {
                let what = words::item(key, value.get_ref(), WANT);
                book.mistake(at, what);
            }
        }
        pairs
    }

    /// Bytes.
    pub(super) fn size(
        &self,
        book: &mut Book<'_>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Given<u64>> {
        let want = format!(
            "a size from \"{}\" to \"{}\"",
            units::size_words(*range.start()),
            units::size_words(*range.end())
        );
        let given = self.text_or(book, key, &want)?;
        let value = units::size(&given.value).filter(|bytes| range.contains(bytes));
        if value.is_none() {
            let what = format!(
                "`{key}` is \"{}\"; write {want}",
                words::short(&given.value)
            );
            book.mistake(given.at, what);
        }
        value.map(|value| Given {
            value,
            at: given.at,
        })
    }

    /// A time.
    pub(super) fn time(
        &self,
        book: &mut Book<'_>,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let want = format!(
            "a time from \"{}\" to \"{}\"",
            units::time_words(*range.start()),
            units::time_words(*range.end())
        );
        let given = self.text_or(book, key, &want)?;
        let value = units::time(&given.value).filter(|time| range.contains(time));
        if value.is_none() {
            let what = format!(
                "`{key}` is \"{}\"; write {want}",
                words::short(&given.value)
            );
            book.mistake(given.at, what);
        }
        value
    }
}

fn whole(
    book: &mut Book<'_>,
    key: &str,
    given: &Given<&DeValue<'_>>,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    let want = format!("a number from {} to {}", range.start(), range.end());
    let Some(integer) = given.value.as_integer() else {
        book.mistake(given.at, words::kind(key, given.value, &want));
        return None;
    };
    let number = i128::from_str_radix(integer.as_str(), integer.radix());
    let number = number.ok().and_then(|number| u64::try_from(number).ok());
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let what = format!(
            "`{key}` is {}; write {want}",
            words::short(integer.as_str())
        );
        book.mistake(given.at, what);
    }
    number
}
