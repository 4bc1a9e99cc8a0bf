//! Pure: what syslog, the journal and their readers want of a record: flat fields, a line, a severity.

use jiff::Timestamp;
use serde_json::Value;

use super::ship::{Kind, Record};
use crate::render::text::{duration, printable};

/// How bad it is: the numbers of RFC 5424, section 6.2.1, table 2, which the journal shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// An upstream is failing: nothing gets through, somebody should look now.
    Critical,
    /// A failure: a client got an error, or another upstream had to answer. `local` ones too.
    Error,
    /// An upstream is degraded.
    Warning,
    /// An upstream recovers or is healthy: normal, but worth knowing.
    Notice,
    /// The proxy took back a healthy attempt: no failure.
    Info,
}

impl Severity {
    /// Its number: 2 to 6.
    pub const fn number(self) -> u8 {
        match self {
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }
}

/// A record, flat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// When it happened; of a diagnosis, when it was made, or else its last moment.
    pub time: Option<Timestamp>,
    /// Name of the host that saw it.
    pub host: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Names (`[a-z_]{1,32}`) and values, what matters most first. What is unknown is absent.
    pub pairs: Vec<(&'static str, String)>,
    /// All of it for people, in one line without control characters.
    pub line: String,
}

/// A field's name, and where it stands in the JSON.
type Place = (&'static str, &'static str);

const BOTH: &[Place] = &[("id", "/id"), ("run", "/run"), ("sequence", "/sequence")];

const FAILURE: &[Place] = &[
    ("class", "/class"),
    ("cause", "/cause"),
    ("upstream", ""),
    ("upstream_name", "/upstream/name"),
    ("netns", "/netns"),
    ("proxy", "/proxy/comm"),
    ("proxy_pid", "/proxy/pid"),
    ("errno", "/errno"),
    ("elapsed_us", "/elapsed_us"),
];

const DIAGNOSIS: &[Place] = &[
    ("state", "/state"),
    ("cause", "/cause"),
    ("confidence", "/confidence"),
    ("upstream", ""),
    ("upstream_name", "/upstream/name"),
    ("netns", "/netns"),
    ("since", "/since"),
    ("until", "/until"),
    ("summary", "/summary"),
];

impl Fields {
    /// Reads a record. One that is no JSON, as only a damaged spool could hold, has no fields, and
    /// all of it is the line.
    pub fn of(record: &Record) -> Self {
        let Ok(json) = serde_json::from_slice::<Value>(&record.json) else {
            let text = String::from_utf8_lossy(&record.json);
            return Self {
                time: None,
                host: None,
                severity: Severity::Error,
                pairs: Vec::new(),
                line: printable(&format!("unreadable record: {text}")),
            };
        };
        let (own, line) = match record.kind {
            Kind::Failure => (FAILURE, failure(&json)),
            Kind::Diagnosis => (DIAGNOSIS, diagnosis(&json)),
        };
        let pairs = BOTH.iter().chain(own).filter_map(|(name, place)| {
            let value = match *name {
                "upstream" => upstream(&json),
                _ => text(&json, place),
            };
            value.map(|value| (*name, value))
        });
        let mut times = ["/time", "/until", "/since"].iter();
        Self {
            time: times.find_map(|place| text(&json, place)?.parse().ok()),
            host: text(&json, "/host"),
            severity: severity(record.kind, &json),
            pairs: pairs.collect(),
            line: printable(&line),
        }
    }
}

/// What a client did not notice is milder than what it did. An unknown class or state, of another
/// version, is a failure or a change like any other.
fn severity(kind: Kind, json: &Value) -> Severity {
    let word = |place| json.pointer(place).and_then(Value::as_str);
    match kind {
        Kind::Failure if word("/class") == Some("aborted") => Severity::Info,
        Kind::Failure => Severity::Error,
        Kind::Diagnosis => match word("/state") {
            Some("failing") => Severity::Critical,
            Some("degraded") => Severity::Warning,
            _ => Severity::Notice,
        },
    }
}

/// `timeout/firewall-dropped nginx[123] -> 10.0.0.5:8080 (api) after 2.00 s`.
fn failure(json: &Value) -> String {
    let mut line = match (text(json, "/class"), text(json, "/cause")) {
        (Some(class), Some(cause)) if class != cause => format!("{class}/{cause}"),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => "failure".to_owned(),
    };
    let comm = text(json, "/proxy/comm").map(|comm| format!(" {comm}"));
    let pid = text(json, "/proxy/pid").map(|pid| format!("[{pid}]"));
    let elapsed_us = json.pointer("/elapsed_us").and_then(Value::as_u64);
    let after = elapsed_us.map(|elapsed_us| format!(" after {}", duration(elapsed_us)));
    let to = Some(format!(" -> {}", named(json)));
    line.extend([comm, pid, to, after].into_iter().flatten());
    line
}

/// `10.0.0.5:8080 (api) is failing: …`.
fn diagnosis(json: &Value) -> String {
    let state = text(json, "/state").unwrap_or_else(|| "in an unknown state".to_owned());
    let line = format!("{} is {state}", named(json));
    match text(json, "/summary") {
        Some(summary) if !summary.is_empty() => format!("{line}: {summary}"),
        _ => line,
    }
}

/// `10.0.0.5:8080 (api)`.
pub(super) fn named(json: &Value) -> String {
    let upstream = upstream(json).unwrap_or_else(|| "other upstreams".to_owned());
    match text(json, "/upstream/name") {
        Some(name) => format!("{upstream} ({name})"),
        None => upstream,
    }
}

/// `10.0.0.5:8080`, `[2001:db8::1]:80` or `unix:/run/php.sock`, as it is typed for `--upstream`.
fn upstream(json: &Value) -> Option<String> {
    if let Some(path) = text(json, "/upstream/path") {
        return Some(format!("unix:{path}"));
    }
    let address = text(json, "/upstream/address")?;
    let port = text(json, "/upstream/port")?;
    Some(if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    })
}

fn text(json: &Value, place: &str) -> Option<String> {
    match json.pointer(place)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(one) => Some(one.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn of(kind: Kind, json: &str) -> Fields {
        Fields::of(&Record {
            kind,
            json: Bytes::copy_from_slice(json.as_bytes()),
        })
    }

    fn pairs(fields: &Fields) -> Vec<(&str, &str)> {
        let pairs = fields.pairs.iter();
        pairs.map(|(name, value)| (*name, value.as_str())).collect()
    }

    #[test]
    fn a_failure_is_flat_and_a_line() {
        let fields = of(
            Kind::Failure,
            r#"{"schema":"gw502.failure/1","time":"2026-11-22T23:40:12.123456789Z","host":"edge-1",
                "id":"01JD","run":"R1","sequence":7,"class":"timeout","cause":"firewall-dropped",
                "errno":"ETIMEDOUT","upstream":{"address":"10.0.0.5","port":8080,"name":"api"},
                "netns":4026531840,"proxy":{"pid":123,"comm":"nginx"},"elapsed_us":2000000}"#,
        );
        assert_eq!(
            pairs(&fields),
            [
                ("id", "01JD"),
                ("run", "R1"),
                ("sequence", "7"),
                ("class", "timeout"),
                ("cause", "firewall-dropped"),
                ("upstream", "10.0.0.5:8080"),
                ("upstream_name", "api"),
                ("netns", "4026531840"),
                ("proxy", "nginx"),
                ("proxy_pid", "123"),
                ("errno", "ETIMEDOUT"),
                ("elapsed_us", "2000000"),
            ]
        );
        assert_eq!(
            fields.line,
            "timeout/firewall-dropped nginx[123] -> 10.0.0.5:8080 (api) after 2.00 s"
        );
        assert_eq!(fields.severity, Severity::Error);
        assert_eq!(fields.host.as_deref(), Some("edge-1"));
        let time = fields.time.unwrap();
        assert_eq!(time.to_string(), "2026-11-22T23:40:12.123456789Z");
    }

    #[test]
    fn a_diagnosis_has_its_last_moment_and_its_sentence() {
        let fields = of(
            Kind::Diagnosis,
            r#"{"id":"D1","state":"recovering","cause":"refused","confidence":"likely",
                "upstream":{"path":"/run/php.sock"},"since":"2026-11-22T23:40:12Z",
                "until":"2026-11-22T23:41:00Z","summary":"It was away."}"#,
        );
        assert_eq!(
            pairs(&fields),
            [
                ("id", "D1"),
                ("state", "recovering"),
                ("cause", "refused"),
                ("confidence", "likely"),
                ("upstream", "unix:/run/php.sock"),
                ("since", "2026-11-22T23:40:12Z"),
                ("until", "2026-11-22T23:41:00Z"),
                ("summary", "It was away."),
            ]
        );
        assert_eq!(
            fields.line,
            "unix:/run/php.sock is recovering: It was away."
        );
        assert_eq!(fields.time.unwrap().to_string(), "2026-11-22T23:41:00Z");
    }

    #[test]
    fn severities_follow_what_a_client_notices() {
        let failure = |class| of(Kind::Failure, &format!(r#"{{"class":"{class}"}}"#)).severity;
        let state = |state| of(Kind::Diagnosis, &format!(r#"{{"state":"{state}"}}"#)).severity;
        let numbers = [
            state("failing"),
            failure("refused"),
            failure("local"),
            state("degraded"),
            state("recovering"),
            state("healthy"),
            failure("aborted"),
        ]
        .map(Severity::number);
        assert_eq!(numbers, [2, 3, 3, 4, 5, 5, 6]);
    }

    #[test]
    fn what_is_unknown_is_absent_and_the_line_is_one() {
        let fields = of(
            Kind::Failure,
            r#"{"class":"refused","cause":"refused","errno":null,
                "upstream":{"address":"2001:db8::1","port":80},"proxy":{"comm":"a\nb\u001b"}}"#,
        );
        assert_eq!(fields.line, "refused a?b? -> [2001:db8::1]:80");
        assert!(fields.pairs.contains(&("proxy", "a\nb\u{1b}".to_owned())));
        assert!(!fields.pairs.iter().any(|(name, _)| *name == "errno"));
        assert_eq!((fields.time, fields.host), (None, None));
    }

    #[test]
    fn what_is_no_json_is_shown_and_not_thrown_away() {
        let fields = of(Kind::Failure, "{\"id\":");
        assert_eq!(fields.line, "unreadable record: {\"id\":");
        assert_eq!(fields.pairs, []);
    }
}
