//! What both syslog receivers are put through. They write alike: see `docs/pipeline.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use gw502_tests::deadline;
use gw502_tests::netns::Namespace;
use gw502_tests::process::Process;
use gw502_tests::scratch::Scratch;
use gw502_userspace::config::{SyslogAddress, SyslogConfig, SyslogMessage};
use gw502_userspace::sink::syslog::Syslog;
use serde_json::Value;

use crate::pipe::Pipe;
use crate::records::{self, Sample};

/// The port of `docs/pipeline.md`.
pub(crate) const PORT: u16 = 5140;

/// For what a receiver may take to start, and to write.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A way to a receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Unix,
    Udp,
    Tcp,
}

/// Starts a receiver in the namespace of this thread, with its files in the folder, and returns once
/// it listens.
pub(crate) type Start = fn(&Path) -> Process;

/// A receiver in a namespace of its own.
pub(crate) struct Receiver {
    start: Start,
    pub(crate) process: Option<Process>,
    namespace: Namespace,
    scratch: Scratch,
}

impl Receiver {
    pub(crate) fn new(start: Start) -> Self {
        let mut receiver = Self {
            start,
            process: None,
            namespace: Namespace::new(),
            scratch: Scratch::new(),
        };
        receiver.start();
        receiver
    }

    /// Starts it, again.
    pub(crate) fn start(&mut self) {
        let folder = self.scratch.path();
        self.process = Some(self.namespace.enter(|| (self.start)(folder)));
    }

    pub(crate) fn config(&self, way: Way, message: SyslogMessage) -> SyslogConfig {
        let address = match way {
            Way::Unix => SyslogAddress::Unix(socket(self.scratch.path())),
            Way::Udp => SyslogAddress::Udp(format!("127.0.0.1:{PORT}")),
            Way::Tcp => SyslogAddress::Tcp(format!("127.0.0.1:{PORT}")),
        };
        SyslogConfig {
            address,
            facility: 3,
            message,
            max_datagram: 65_507,
        }
    }

    /// Runs `work` where it can be reached.
    pub(crate) fn beside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.enter(work)
    }

    /// What it has written so far.
    pub(crate) fn wrote(&self) -> Vec<Written> {
        let text = fs::read_to_string(file(self.scratch.path())).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| text.split_at(end).0);
        whole.lines().map(Written::read).collect()
    }

    /// Waits until it has written so many.
    #[track_caller]
    pub(crate) fn wait(&self, count: usize) -> Vec<Written> {
        let enough = deadline::holds_within(LONG, || self.wrote().len() >= count);
        let wrote = self.wrote();
        assert!(enough, "{} of {count} arrived: {wrote:#?}", wrote.len());
        wrote
    }
}

/// Where it writes to.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("gw502.json")
}

/// Where it listens.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("gw502.sock")
}

/// A line that a receiver wrote.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) fields: BTreeMap<String, String>,
    /// Time, host, severity, MSGID.
    header: [String; 4],
    message: String,
}

impl Written {
    #[track_caller]
    fn read(line: &str) -> Self {
        let json: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let fields = json["fields"].as_object().expect("fields");
        Self {
            fields: fields
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            header: ["time", "host", "severity", "kind"].map(|name| text(&json[name])),
            message: text(&json["message"]),
        }
    }

    #[track_caller]
    fn is(&self, sample: &Sample, message: SyslogMessage) {
        let kind = if sample.severity == 3 {
            ["err", "failure"]
        } else {
            ["crit", "diagnosis"]
        };
        let microseconds = format!("{}Z", sample.time.split_at(26).0);
        let header = self.header.clone().map(|word| word.replace("+00:00", "Z"));
        assert_eq!(header, [&microseconds, "edge-1", kind[0], kind[1]]);
        let fields = sample.fields.iter();
        let fields: BTreeMap<_, _> = fields
            .map(|(name, value)| ((*name).to_owned(), octal(value)))
            .collect();
        assert_eq!(self.fields, fields);
        let expected = match message {
            SyslogMessage::Text => &sample.line,
            SyslogMessage::Json => sample.json(),
        };
        // rsyslog hands the mark on, syslog-ng takes it off.
        let text = self.message.strip_prefix('\u{feff}');
        let text = text.unwrap_or(&self.message);
        assert!(text == expected, "{text}\nis not\n{expected}");
    }
}

/// Control characters as they are sent.
fn octal(value: &str) -> String {
    let octal = |one: char| match one {
        '\0'..=' ' | '\x7f' if one != ' ' => format!("#{:03o}", u32::from(one)),
        _ => one.to_string(),
    };
    value.chars().map(octal).collect()
}

/// Every sample arrives once, in order, and every field of it.
pub(crate) fn every_field_arrives(start: Start, way: Way) {
    let receiver = Receiver::new(start);
    let samples = records::all();
    let batch = records::records(&samples);
    for (number, message) in (1..).zip([SyslogMessage::Text, SyslogMessage::Json]) {
        let config = receiver.config(way, message);
        receiver.beside(|| {
            let sink = Syslog::new(config).expect("a facility");
            let cut = sink.cut();
            let mut pipe = Pipe::new(sink);
            // Two batches: the second goes over a connection that stands.
            let (first, second) = batch.split_at(7);
            pipe.deliver(first).expect("delivered");
            pipe.deliver(second).expect("delivered");
            assert_eq!(cut.load(Ordering::Relaxed), 0);
        });
        // Two connections: what comes over one may be written before what the other brought.
        receiver.wait(number * samples.len());
    }
    let wrote = receiver.wait(2 * samples.len());
    assert_eq!(wrote.len(), 2 * samples.len());
    let (text, json) = wrote.split_at(samples.len());
    for (wrote, message) in [(text, SyslogMessage::Text), (json, SyslogMessage::Json)] {
        for (sample, wrote) in samples.iter().zip(wrote) {
            wrote.is(sample, message);
        }
    }
}

/// A datagram that is too long loses the end of its text and no field, and is counted.
pub(crate) fn a_long_datagram_is_cut(start: Start) {
    let receiver = Receiver::new(start);
    let samples = records::all();
    let long = samples.last().expect("the long one");
    let config = SyslogConfig {
        max_datagram: 2048,
        ..receiver.config(Way::Udp, SyslogMessage::Json)
    };
    receiver.beside(|| {
        let sink = Syslog::new(config).expect("a facility");
        let cut = sink.cut();
        let mut pipe = Pipe::new(sink);
        pipe.deliver(&[samples[0].record.clone(), long.record.clone()])
            .expect("delivered");
        assert_eq!(cut.load(Ordering::Relaxed), 1);
    });
    let mut wrote = receiver.wait(2).pop().expect("the long one");
    let lost = wrote.fields.remove("cut").expect("it says that it is cut");
    let lost: usize = lost.parse().expect("a number");
    assert!(long.json().starts_with(&wrote.message));
    assert_eq!(wrote.message.len() + lost, long.json().len());
    assert_eq!(wrote.fields.len(), long.fields.len());
}
