//! Records with awkward values, and what a receiver must make of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use gw502_userspace::sink::ship::{Kind, Record};
use serde_json::{Value, json};

/// What a name may hold that some parser somewhere takes for its own.
const AWKWARD: [&str; 20] = [
    "plain",
    "quo\"te",
    "brac]ket[",
    "back\\slash",
    "\\\"]",
    "line\nfeed",
    "tab\tand\u{1}",
    "ünïcödé → 日本語 🦀",
    " around ",
    "%msg% $HOST ${MSG} $(echo)",
    "a=b c=\"d\"",
    "'single'",
    "<13>1 - - fake",
    "[gw502@32473 id=\"x\"]",
    "del\u{7f}",
    "#012",
    "back\\nslash",
    "null",
    "\u{85}\u{2028}\u{feff}",
    "ends with \\",
];

/// A record, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) record: Record,
    /// The exact values.
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) line: String,
    /// With nine digits.
    pub(crate) time: String,
    pub(crate) severity: u8,
}

impl Sample {
    pub(crate) fn id(&self) -> &str {
        &self.fields["id"]
    }

    pub(crate) fn json(&self) -> &str {
        std::str::from_utf8(&self.record.json).expect("JSON is UTF-8")
    }
}

/// One for each awkward value as a failure, one as a diagnosis, and a failure of 60 KB.
pub(crate) fn all() -> Vec<Sample> {
    let mut all = Vec::new();
    for (number, value) in (0..).zip(AWKWARD) {
        all.push(failure(2 * number, value, 0));
        all.push(diagnosis(2 * number + 1, value));
    }
    all.push(failure(99, "long", 60_000));
    all
}

/// One whose JSON is longer than so many bytes.
pub(crate) fn huge(bytes: usize) -> Sample {
    failure(101, "huge", bytes)
}

/// Plain ones, numbered from `first`.
pub(crate) fn plain(first: u64, count: u64) -> Vec<Sample> {
    let numbers = first..first + count;
    numbers.map(|number| failure(number, "app", 0)).collect()
}

/// The records alone.
pub(crate) fn records(samples: &[Sample]) -> Vec<Record> {
    samples.iter().map(|one| one.record.clone()).collect()
}

fn failure(number: u64, value: &str, filling: usize) -> Sample {
    let unix = number.is_multiple_of(4);
    let (upstream, address) = if unix {
        let path = format!("/run/{value}.sock");
        let name = json!({"path": path, "name": value});
        (name, format!("unix:{path}"))
    } else {
        let name = json!({"address": "2001:db8::5", "port": 8080, "name": value});
        (name, "[2001:db8::5]:8080".to_owned())
    };
    let (id, time) = (id(number), time(number));
    let json = json!({
        "schema": "gw502.failure/1", "id": id, "run": "R1", "sequence": number, "time": time,
        "host": "edge-1", "class": "timeout", "cause": "firewall-dropped", "errno": "ETIMEDOUT",
        "upstream": upstream, "netns": 4_026_531_840_u32, "elapsed_us": 2_000_000,
        "proxy": {"pid": 123, "comm": value}, "evidence": [{"what": "ä".repeat(filling / 2)}],
    });
    let fields = [
        ("id", id),
        ("run", "R1".to_owned()),
        ("sequence", number.to_string()),
        ("class", "timeout".to_owned()),
        ("cause", "firewall-dropped".to_owned()),
        ("errno", "ETIMEDOUT".to_owned()),
        ("upstream", address.clone()),
        ("upstream_name", value.to_owned()),
        ("netns", "4026531840".to_owned()),
        ("elapsed_us", "2000000".to_owned()),
        ("proxy", value.to_owned()),
        ("proxy_pid", "123".to_owned()),
    ];
    Sample {
        record: record(Kind::Failure, &json),
        line: seen(&format!(
            "timeout/firewall-dropped {value}[123] -> {address} ({value}) after 2.00 s"
        )),
        fields: fields.into(),
        time,
        severity: 3,
    }
}

fn diagnosis(number: u64, value: &str) -> Sample {
    let (id, since) = (id(number), time(number));
    let json = json!({
        "schema": "gw502.diagnosis/1", "id": id, "run": "R1", "sequence": number, "host": "edge-1",
        "state": "failing", "since": since, "cause": "refused", "confidence": "possible",
        "upstream": {"address": "10.0.0.5", "port": 80}, "netns": 7, "summary": value,
    });
    let fields = [
        ("id", id),
        ("run", "R1".to_owned()),
        ("sequence", number.to_string()),
        ("state", "failing".to_owned()),
        ("cause", "refused".to_owned()),
        ("confidence", "possible".to_owned()),
        ("upstream", "10.0.0.5:80".to_owned()),
        ("netns", "7".to_owned()),
        ("since", since.clone()),
        ("summary", value.to_owned()),
    ];
    Sample {
        record: record(Kind::Diagnosis, &json),
        line: seen(&format!("10.0.0.5:80 is failing: {value}")),
        fields: fields.into(),
        time: since,
        severity: 2,
    }
}

fn id(number: u64) -> String {
    format!("01JD{number:06}")
}

fn time(number: u64) -> String {
    format!("2026-11-22T23:40:{:02}.123456789Z", number % 60)
}

fn record(kind: Kind, json: &Value) -> Record {
    let json = Bytes::from(json.to_string());
    Record { kind, json }
}

/// A line shows no control characters.
fn seen(line: &str) -> String {
    line.replace(char::is_control, "?")
}
