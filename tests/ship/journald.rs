//! systemd-journald, in a mount namespace with a `/run` of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gw502_tests::deadline;
use gw502_tests::process::{self, Process};
use gw502_userspace::config::JournaldConfig;
use gw502_userspace::sink::journald::{DIAGNOSIS_ID, FAILURE_ID, Journald};
use gw502_userspace::sink::ship::DeliverError;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::pipe::Pipe;
use crate::records::{self, Sample};
use crate::{receiver, snippet, trial};

const PACKAGE: &str = "systemd";
const LIBRARIES: &[&str] = &["usr/lib/x86_64-linux-gnu/systemd"];
const LONG: Duration = Duration::from_secs(20);

/// Nothing on disk, and nothing of the host: an empty `Audit=` leaves the kernel's as it is.
const SETTINGS: &str = "[Journal]\\nStorage=volatile\\nAudit=\\nReadKMsg=no\\n";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("journald::fields", every_field_arrives),
        trial("journald::restart", a_journal_that_is_away_gets_it_later),
    ]
}

/// A journal, seen through its root.
struct Journal {
    process: Process,
    run: PathBuf,
}

impl Journal {
    fn start() -> Self {
        let words = receiver::words(PACKAGE, "usr/lib/systemd/systemd-journald", LIBRARIES);
        let script = format!(
            "mount -t tmpfs gw502 /run && mkdir -p /run/systemd/journald.conf.d \
             /run/systemd/journal && printf '{SETTINGS}' > /run/systemd/journald.conf.d/gw502.conf \
             && exec {}",
            words.join(" ")
        );
        let mut command = Command::new("/usr/bin/unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            &script,
        ]);
        let process = Process::start(&mut command);
        let run = PathBuf::from(format!("/proc/{}/root/run", process.pid()));
        let journal = Self { process, run };
        let runs = deadline::holds_within(LONG, || {
            // Before the mount that is the host's own.
            journal.is_ours() && journal.socket().exists()
        });
        assert!(runs, "no journal: {}", journal.process.stderr.text());
        journal
    }

    fn is_ours(&self) -> bool {
        self.run.join("systemd/journald.conf.d/gw502.conf").exists()
    }

    fn socket(&self) -> PathBuf {
        self.run.join("systemd/journal/socket")
    }

    /// What `journalctl` prints with the options that the documentation has.
    fn read(&self, id: &str) -> Vec<BTreeMap<String, String>> {
        let line = snippet::with("journald", &[(FAILURE_ID, id.to_owned())]);
        let options = line.split_whitespace().skip(1).map(str::to_owned);
        let folder = self.run.join("log/journal").display().to_string();
        let mut words = receiver::words(PACKAGE, "usr/bin/journalctl", LIBRARIES);
        words.extend(options);
        words.extend(["--no-pager".to_owned(), "-D".to_owned(), folder]);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        process::run(words[0], &words[1..])
            .lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).expect("JSON");
                let entry = entry.as_object().expect("an object");
                let values = entry.iter();
                values
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect()
            })
            .collect()
    }
}

/// What is no printable text is an array of bytes.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => {
            let byte = |one: &Value| u8::try_from(one.as_u64().expect("a byte")).expect("a byte");
            String::from_utf8(bytes.iter().map(byte).collect()).expect("UTF-8")
        }
        other => panic!("neither text nor bytes: {other}"),
    }
}

fn pipe(socket: &Path) -> Pipe<Journald> {
    Pipe::new(Journald::new(JournaldConfig {
        socket: socket.to_owned(),
    }))
}

fn every_field_arrives() {
    let journal = Journal::start();
    let mut samples = records::all();
    // More than a datagram carries, so that the entry goes in a file.
    samples.push(records::huge(1 << 20));
    let mut pipe = pipe(&journal.socket());
    pipe.deliver(&records::records(&samples))
        .expect("delivered");
    for (id, severity) in [(FAILURE_ID, 3), (DIAGNOSIS_ID, 2)] {
        let expected: Vec<_> = samples
            .iter()
            .filter(|one| one.severity == severity)
            .map(entry)
            .collect();
        let mut read = Vec::new();
        let all = deadline::holds_within(LONG, || {
            read = journal.read(id);
            read.len() >= expected.len()
        });
        assert!(all, "{} of {} arrived", read.len(), expected.len());
        for entry in &mut read {
            // What the journal adds itself.
            entry.retain(|name, _| !name.starts_with('_'));
            assert_eq!(entry.remove("MESSAGE_ID").as_deref(), Some(id));
        }
        assert!(read == expected, "{read:#?}\nis not\n{expected:#?}");
    }
}

fn entry(sample: &Sample) -> BTreeMap<String, String> {
    let fields = sample.fields.iter();
    let fields =
        fields.map(|(name, value)| (format!("GW502_{}", name.to_uppercase()), value.clone()));
    let fixed = [
        ("MESSAGE", sample.line.clone()),
        ("PRIORITY", sample.severity.to_string()),
        ("SYSLOG_IDENTIFIER", "gw502".to_owned()),
        ("SYSLOG_FACILITY", "3".to_owned()),
        ("GW502_TIME", sample.time.clone()),
        ("GW502_JSON", sample.json().to_owned()),
    ];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
    fields.chain(fixed).collect()
}

fn a_journal_that_is_away_gets_it_later() {
    let mut journal = Journal::start();
    // A link, so that the path stays the same.
    let scratch = gw502_tests::scratch::Scratch::new();
    let path = scratch.join("journal");
    let link = |to: &Path| std::os::unix::fs::symlink(to, &path).expect("a link");
    link(&journal.socket());
    let mut pipe = pipe(&path);
    let samples = records::plain(0, 30);
    let batch = records::records(&samples);
    pipe.deliver(&batch[..10]).expect("delivered");
    journal.process.signal(Signal::SIGTERM);
    journal.process.wait(LONG);
    let away = pipe.deliver(&batch[10..20]);
    assert!(matches!(away, Err(DeliverError::Later { .. })), "{away:?}");
    fs::remove_file(&path).expect("the link");
    let away = pipe.deliver(&batch[10..20]);
    assert!(matches!(away, Err(DeliverError::Later { .. })), "{away:?}");
    journal = Journal::start();
    link(&journal.socket());
    pipe.deliver(&batch[10..]).expect("delivered");
    let all = deadline::holds_within(LONG, || journal.read(FAILURE_ID).len() == 20);
    assert!(all, "{} of 20 arrived", journal.read(FAILURE_ID).len());
}
