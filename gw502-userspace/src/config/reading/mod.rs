//! Text into [`Config`].
//!
//! By hand over the spanned tree of the TOML parser, and not by derive: so every mistake of a file
//! is found at once, has the line of the very value, and says what may stand there.

mod section;
mod sink;
mod units;
mod words;

pub(super) use self::units::{size_words, time_words};

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use toml::de::{DeTable, DeValue};

use self::section::{Book, Section};
use super::{Config, Limits, PageConfig, WatchConfig};

/// What is wrong in a line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong; what to do.
    pub what: String,
}

/// What is wrong in a file: at least one thing, by line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Mistake { line, what }) in self.list.iter().enumerate() {
            let feed = if at == 0 { "" } else { "\n" };
            write!(f, "{feed}{}:{line}: {what}", self.file)?;
        }
        Ok(())
    }
}

const SECTIONS: &[&str] = &["limits", "metrics", "sink", "spool", "watch"];

pub(super) fn config(file: &str, text: &str) -> Result<Config, Mistakes> {
    let mut book = Book::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        book.syntax(error);
    }
    let config = if errors.is_empty() {
        sections(&mut book, root.get_ref())
    } else {
        Config::default()
    };
    match book.finish() {
        list if list.is_empty() => Ok(config),
        list => Err(Mistakes {
            file: file.to_owned(),
            list,
        }),
    }
}

fn sections(book: &mut Book<'_>, root: &DeTable<'_>) -> Config {
    let mut config = Config::without_sinks();
    let mut sinks = None;
    for (key, value) in root {
        let name: &str = key.get_ref();
        let at = key.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            if SECTIONS.contains(&name) {
                let what = format!("`{name}` is a section; write [{name}] in a line of its own");
                book.mistake(at, what);
            } else {
                book.mistake(at, words::stray(name, SECTIONS));
            }
            continue;
        };
        let section = Section::new(format!("[{name}]"), at, table);
        match name {
            "watch" => config.watch = watch(book, &section),
            "limits" => config.limits = limits(book, &section),
            "metrics" => config.page = page(book, &section, config.page),
            "spool" => {
                section.only(book, &["directory"]);
                if let Some(directory) = section.path(book, "directory") {
                    config.spool = directory;
                }
            }
            // Its queues are those of [limits], which may come after it.
            "sink" => sinks = Some(table),
            _ => book.mistake(at, words::unknown_section(name, SECTIONS)),
        }
    }
    if let Some(table) = sinks {
        config.sinks = sink::all(book, table, config.limits.queue);
    } else {
        config.sinks = Config::default().sinks;
        for sink in &mut config.sinks {
            sink.queue = config.limits.queue;
        }
    }
    config
}

fn watch(book: &mut Book<'_>, section: &Section<'_>) -> WatchConfig {
    section.only(
        book,
        &[
            "aborted", "all", "cgroup", "hooks", "pid", "proxy", "ring", "syscalls", "upstream",
        ],
    );
    let mut watch = WatchConfig::default();
    for name in section.texts(book, "proxy") {
        if name.value.is_empty() || name.value.contains('\0') {
            book.mistake(
                name.at,
                "a process name is empty or has a NUL; write the name that `ps -o comm` shows",
            );
        } else {
            watch.proxy.push(name.value);
        }
    }
    for pid in section.wholes(book, "pid", 1..=u64::from(u32::MAX >> 1)) {
        watch.pid.extend(u32::try_from(pid).ok());
    }
    for filter in section.texts(book, "upstream") {
        match filter.value.parse() {
            Ok(upstream) => watch.upstream.push(upstream),
            Err(error) => book.mistake(filter.at, words::upstream(&error)),
        }
    }
    watch.cgroup = section.path(book, "cgroup");
    watch.all = section.flag(book, "all").unwrap_or(watch.all);
    watch.aborted = section.flag(book, "aborted").unwrap_or(watch.aborted);
    watch.hooks = choice(book, section, "hooks").unwrap_or(watch.hooks);
    watch.syscalls = choice(book, section, "syscalls").unwrap_or(watch.syscalls);
    if let Some(ring) = section.size(book, "ring", (4 << 10)..=(1 << 30)) {
        if ring.value.is_power_of_two() {
            watch.ring_kib = u32::try_from(ring.value >> 10).unwrap_or(watch.ring_kib);
        } else {
            let what =
                "`ring` is no power of two; write \"256KiB\", \"512KiB\", \"1MiB\" and so on";
            book.mistake(ring.at, what);
        }
    }
    if watch.all && !(watch.proxy.is_empty() && watch.pid.is_empty()) {
        let what = "`all` watches every process, and `proxy` or `pid` some; leave one of them out";
        book.mistake(section.at("all"), what);
    }
    watch
}

fn limits(book: &mut Book<'_>, section: &Section<'_>) -> Limits {
    section.only(book, &["idle", "queue", "series", "spool", "storm"]);
    let mut limits = Limits::default();
    if let Some(series) = section.whole(book, "series", 1..=100_000) {
        limits.series = usize::try_from(series).unwrap_or(limits.series);
    }
    if let Some(storm) = section.whole(book, "storm", 1..=1_000_000) {
        limits.storm = storm;
    }
    let idle = Duration::from_secs(1)..=Duration::from_hours(24 * 365);
    if let Some(idle) = section.time(book, "idle", idle) {
        limits.idle = idle;
    }
    limits.queue = sink::queue(book, section, limits.queue);
    limits
}

fn page(
    book: &mut Book<'_>,
    section: &Section<'_>,
    default: Option<PageConfig>,
) -> Option<PageConfig> {
    const WANT: &str = "an address with a port such as \"127.0.0.1:9502\", or false for no page";
    section.only(book, &["listen"]);
    if section.is_off("listen") {
        return None;
    }
    let Some(listen) = section.text_or(book, "listen", WANT) else {
        return default;
    };
    match listen.value.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Some(PageConfig { listen: address }),
        _ => {
            let what = format!(
                "`listen` is \"{}\"; write {WANT}",
                words::short(&listen.value)
            );
            book.mistake(listen.at, what);
            default
        }
    }
}

/// One of the words that an option of `trace` takes.
fn choice<T: ValueEnum>(book: &mut Book<'_>, section: &Section<'_>, key: &str) -> Option<T> {
    let values = T::value_variants().iter();
    let values = values.filter_map(ValueEnum::to_possible_value);
    let names: Vec<_> = values.map(|value| value.get_name().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = section.one_of(book, key, &names)?;
    T::from_str(&name, false).ok()
}
