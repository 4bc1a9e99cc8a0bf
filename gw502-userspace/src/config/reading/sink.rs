//! `[sink.NAME]`: where to ship to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::header::{HeaderName, HeaderValue};
use toml::de::{DeTable, DeValue};

use super::section::{Book, Given, Section};
use super::words;
use crate::config::{
    FileConfig, JournaldConfig, OtlpConfig, OtlpProtocol, QueueConfig, SinkConfig, SyslogAddress,
    SyslogConfig, SyslogMessage, Way,
};
use crate::sink::ship::Kind;

/// Keys of every sink.
const COMMON: &[&str] = &["type", "records", "queue", "spool"];
const TYPES: &[&str] = &["file", "journald", "otlp", "stdout", "syslog"];
const RECORDS: &[&str] = &["diagnoses", "failures"];

/// RFC 5424, section 6.2.1, without those of the clocks and audits of the host.
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Bounds in memory and on disk. Where a sink has none of its own, those of `[limits]` hold.
pub(super) fn queue(
    book: &mut Book<'_>,
    section: &Section<'_>,
    default: QueueConfig,
) -> QueueConfig {
    let memory = section.size(book, "queue", (64 << 10)..=(4 << 30));
    let spool = section.size(book, "spool", (1 << 20)..=(1 << 40));
    QueueConfig {
        memory_bytes: memory.map_or(default.memory_bytes, |given| given.value),
        spool_bytes: spool.map_or(default.spool_bytes, |given| given.value),
    }
}

/// All sinks.
pub(super) fn all(
    book: &mut Book<'_>,
    table: &DeTable<'_>,
    default: QueueConfig,
) -> Vec<SinkConfig> {
    let mut sinks = Vec::new();
    let mut taken = BTreeSet::new();
    for (key, value) in table {
        let (name, at): (&str, usize) = (key.get_ref(), key.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            let name = words::short(name);
            let what = format!("`{name}` stands in [sink]; give the sink a name: [sink.NAME]");
            book.mistake(at, what);
            continue;
        };
        // It is part of the name of the spool's folder, and a label of metrics.
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !(1..=32).contains(&name.len()) || !name.chars().all(plain) {
            let name = words::short(name);
            let what = format!(
                "a sink cannot be called `{name}`; take 1 to 32 of a to z, 0 to 9, `-` and `_`"
            );
            book.mistake(at, what);
            continue;
        }
        let section = Section::new(format!("[sink.{name}]"), at, table);
        let Some(sink) = one(book, name, &section, default) else {
            continue;
        };
        let place = match &sink.way {
            Way::Stdout => Some(PathBuf::from("standard output")),
            Way::File(file) => Some(file.path.clone()),
            Way::Syslog(_) | Way::Journald(_) | Way::Otlp(_) => None,
        };
        if let Some(place) = place
            && !taken.insert(place.clone())
        {
            let place = words::short(&place.display().to_string());
            let what = format!("two sinks write to {place}; leave one, or give it another file");
            book.mistake(at, what);
        }
        sinks.push(sink);
    }
    sinks
}

fn one(
    book: &mut Book<'_>,
    name: &str,
    section: &Section<'_>,
    default: QueueConfig,
) -> Option<SinkConfig> {
    if !section.has("type") {
        let types = words::any_of(TYPES);
        let what = format!("{} has no `type`; write {types}", section.name());
        book.mistake(section.at("type"), what);
        return None;
    }
    let kind = section.one_of(book, "type", TYPES)?;
    let way = match kind.as_str() {
        "file" => file(book, section).map(Way::File),
        "journald" => Some(Way::Journald(journald(book, section))),
        "otlp" => otlp(book, section).map(Way::Otlp),
        "stdout" => {
            only(book, section, &[]);
            Some(Way::Stdout)
        }
        _ => syslog(book, section).map(Way::Syslog),
    };
    let records = records(book, section);
    let queue = queue(book, section, default);
    if let Some(way) = &way
        && !way.is_network()
        && section.has("spool")
    {
        let what = "`spool` is for receivers beyond this host; leave it out";
        book.mistake(section.at("spool"), what);
    }
    way.map(|way| SinkConfig {
        name: name.to_owned(),
        records,
        way,
        queue,
    })
}

fn only(book: &mut Book<'_>, section: &Section<'_>, own: &[&str]) {
    let known: Vec<_> = COMMON.iter().chain(own).copied().collect();
    section.only(book, &known);
}

fn records(book: &mut Book<'_>, section: &Section<'_>) -> Vec<Kind> {
    if !section.has("records") {
        return vec![Kind::Failure, Kind::Diagnosis];
    }
    let mut kinds = BTreeSet::new();
    for Given { value, at } in section.texts(book, "records") {
        match value.as_str() {
            "failures" => drop(kinds.insert(Kind::Failure)),
            "diagnoses" => drop(kinds.insert(Kind::Diagnosis)),
            other => book.mistake(at, words::unknown_word("records", other, RECORDS)),
        }
    }
    kinds.into_iter().collect()
}

fn missing(book: &mut Book<'_>, section: &Section<'_>, key: &str, example: &str) {
    // Of the wrong kind: that is said already.
    if !section.has(key) {
        let what = format!("{} has no `{key}`; write {key} = {example}", section.name());
        book.mistake(section.at(key), what);
    }
}

fn file(book: &mut Book<'_>, section: &Section<'_>) -> Option<FileConfig> {
    only(book, section, &["path", "max_size", "max_age", "keep"]);
    let path = section.path(book, "path");
    if path.is_none() {
        missing(book, section, "path", "\"/var/log/gw502/failures.jsonl\"");
    }
    let max_bytes = section.size(book, "max_size", (64 << 10)..=(1 << 40));
    let max_age = section.time(
        book,
        "max_age",
        Duration::from_mins(1)..=Duration::from_hours(24 * 366),
    );
    let keep = section.whole(book, "keep", 1..=1000);
    Some(FileConfig {
        path: path?,
        max_bytes: max_bytes.map(|given| given.value),
        max_age,
        keep: keep.and_then(|keep| u32::try_from(keep).ok()).unwrap_or(5),
    })
}

fn journald(book: &mut Book<'_>, section: &Section<'_>) -> JournaldConfig {
    only(book, section, &["socket"]);
    let socket = section.path(book, "socket");
    JournaldConfig {
        socket: socket.unwrap_or_else(|| PathBuf::from("/run/systemd/journal/socket")),
    }
}

fn syslog(book: &mut Book<'_>, section: &Section<'_>) -> Option<SyslogConfig> {
    const WANT: &str = "\"unix:/dev/log\", \"udp:HOST:PORT\" or \"tcp:HOST:PORT\"";
    only(
        book,
        section,
        &["address", "facility", "message", "max_datagram"],
    );
    let given = section.text_or(book, "address", WANT);
    if given.is_none() {
        missing(book, section, "address", "\"unix:/dev/log\"");
    }
    let names: Vec<_> = FACILITIES.iter().map(|(name, _)| *name).collect();
    let facility = section.one_of(book, "facility", &names);
    let facility = facility.as_deref().unwrap_or("daemon");
    let number = FACILITIES.iter().find(|(name, _)| *name == facility);
    let message = section.one_of(book, "message", &["json", "text"]);
    let datagram = section.size(book, "max_datagram", 480..=65_507);
    let given = given?;
    let Some(address) = address(&given.value) else {
        let what = format!(
            "`address` is \"{}\"; write {WANT}",
            words::short(&given.value)
        );
        book.mistake(given.at, what);
        return None;
    };
    Some(SyslogConfig {
        address,
        facility: number.map_or(3, |(_, number)| *number),
        message: match message.as_deref() {
            Some("json") => SyslogMessage::Json,
            _ => SyslogMessage::Text,
        },
        max_datagram: datagram
            .and_then(|given| u32::try_from(given.value).ok())
            .unwrap_or(SyslogConfig::DATAGRAM),
    })
}

fn address(text: &str) -> Option<SyslogAddress> {
    let (scheme, rest) = text.split_once(':')?;
    if scheme == "unix" {
        let path = words::path("address", rest).ok()?;
        return Some(SyslogAddress::Unix(path));
    }
    let (host, port) = rest.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let space = |c: char| c.is_whitespace() || c.is_control();
    if port == 0 || bare.is_empty() || bare.contains(space) {
        return None;
    }
    match scheme {
        "udp" => Some(SyslogAddress::Udp(rest.to_owned())),
        "tcp" => Some(SyslogAddress::Tcp(rest.to_owned())),
        _ => None,
    }
}

fn otlp(book: &mut Book<'_>, section: &Section<'_>) -> Option<OtlpConfig> {
    only(
        book,
        section,
        &[
            "endpoint",
            "protocol",
            "headers",
            "header_files",
            "ca_file",
            "client_certificate",
            "client_key",
            "timeout",
            "metrics",
            "resource",
        ],
    );
    let endpoint = section.text_or(book, "endpoint", "\"http://HOST:PORT\"");
    if endpoint.is_none() {
        missing(book, section, "endpoint", "\"http://127.0.0.1:4317\"");
    }
    let protocol = match section
        .one_of(book, "protocol", &["grpc", "http"])
        .as_deref()
    {
        Some("http") => OtlpProtocol::Http,
        _ => OtlpProtocol::Grpc,
    };
    let timeout = section.time(
        book,
        "timeout",
        Duration::from_millis(100)..=Duration::from_mins(5),
    );
    let metrics_every = if section.is_off("metrics") {
        None
    } else {
        let range = Duration::from_secs(1)..=Duration::from_hours(1);
        let every = section.time(book, "metrics", range);
        Some(every.unwrap_or(Duration::from_mins(1)))
    };
    let (headers, header_files) = headers(book, section);
    let ca_file = section.path(book, "ca_file");
    let certificate = section.path(book, "client_certificate");
    let key = section.path(book, "client_key");
    if section.has("client_certificate") != section.has("client_key") {
        let (here, there) = if section.has("client_key") {
            ("client_key", "client_certificate")
        } else {
            ("client_certificate", "client_key")
        };
        let what = format!("`{here}` needs `{there}`; write both, each with the path of a file");
        book.mistake(section.at(here), what);
    }
    let resource = section.pairs(book, "resource");
    let endpoint = endpoint?;
    if let Err(what) = self::endpoint(&endpoint.value, protocol) {
        book.mistake(endpoint.at, what);
        return None;
    }
    Some(OtlpConfig {
        endpoint: endpoint.value,
        protocol,
        headers,
        header_files,
        ca_file,
        client_certificate: certificate.zip(key),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        metrics_every,
        resource: resource
            .into_iter()
            .map(|(name, given)| (name, given.value))
            .collect(),
    })
}

fn endpoint(text: &str, protocol: OtlpProtocol) -> Result<(), String> {
    let given = || words::short(text);
    if text.contains('@') {
        let what = "`endpoint` has a password in it; put it in a file, and that in `header_files`";
        return Err(what.to_owned());
    }
    let no_url = || {
        let given = given();
        format!("`endpoint` is \"{given}\"; write \"http://HOST:PORT\" or \"https://HOST:PORT\"")
    };
    let uri: Uri = text.parse().map_err(|_not| no_url())?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    if !scheme || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        return Err(no_url());
    }
    if protocol == OtlpProtocol::Grpc && !matches!(uri.path(), "" | "/") {
        let given = given();
        return Err(format!(
            "`endpoint` is \"{given}\", and gRPC has no use for a path; leave it out"
        ));
    }
    Ok(())
}

type Headers = (BTreeMap<String, String>, BTreeMap<String, PathBuf>);

/// Headers, and those whose values are secrets: these are in files of their own.
fn headers(book: &mut Book<'_>, section: &Section<'_>) -> Headers {
    /// What such names are called whose values open doors.
    const SECRET: &[&str] = &["auth", "cookie", "key", "secret", "token", "password"];
    let (mut headers, mut files) = (BTreeMap::new(), BTreeMap::new());
    for (name, given) in section.pairs(book, "headers") {
        let lower = name.to_ascii_lowercase();
        let fits = name.parse::<HeaderName>().is_ok() && given.value.parse::<HeaderValue>().is_ok();
        let shown = words::short(&name);
        if SECRET.iter().any(|word| lower.contains(word)) {
            let what = format!(
                "header `{shown}` is a secret; put its value in a file, and that in `header_files`"
            );
            book.mistake(given.at, what);
        } else if fits {
            headers.insert(name, given.value);
        } else {
            book.mistake(given.at, no_header(&shown));
        }
    }
    for (name, given) in section.pairs(book, "header_files") {
        match words::path("header_files", &given.value) {
            Ok(path) if name.parse::<HeaderName>().is_ok() => drop(files.insert(name, path)),
            Ok(_) => book.mistake(given.at, no_header(&words::short(&name))),
            Err(what) => book.mistake(given.at, what),
        }
    }
    (headers, files)
}

fn no_header(name: &str) -> String {
    format!("`{name}` cannot be a header; take characters that HTTP allows")
}
