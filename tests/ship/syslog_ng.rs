//! syslog-ng 4.

use std::path::Path;

use gw502_tests::deadline;
use gw502_tests::process::Process;
use libtest_mimic::Trial;

use crate::syslog::{LONG, PORT, Way, file, socket};
use crate::{loss, receiver, snippet, syslog, trial};

const PACKAGE: &str = "syslog-ng-core";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("syslog_ng::unix", || {
            syslog::every_field_arrives(start, Way::Unix);
        }),
        trial("syslog_ng::unix_stream", || {
            syslog::every_field_arrives(start_stream, Way::Unix);
        }),
        trial("syslog_ng::udp", || {
            syslog::every_field_arrives(start, Way::Udp);
        }),
        trial("syslog_ng::tcp", || {
            syslog::every_field_arrives(start, Way::Tcp);
        }),
        trial("syslog_ng::cut", || syslog::a_long_datagram_is_cut(start)),
        trial("syslog_ng::restart::tcp", || {
            loss::a_restart_loses_nothing(start, Way::Tcp);
        }),
        trial("syslog_ng::restart::unix_stream", || {
            loss::a_restart_loses_nothing(start_stream, Way::Unix);
        }),
        trial("syslog_ng::killed::tcp", || {
            loss::what_was_not_read_comes_again(start, Way::Tcp);
        }),
    ]
}

fn start(folder: &Path) -> Process {
    launch(folder, "unix-dgram")
}

fn start_stream(folder: &Path) -> Process {
    launch(folder, "unix-stream")
}

fn launch(folder: &Path, socket_driver: &str) -> Process {
    let shown = |path: &Path| path.display().to_string();
    let block = snippet::with(
        "syslog-ng",
        &[
            ("/var/log/gw502.json", shown(&file(folder))),
            ("/run/gw502.sock", shown(&socket(folder))),
            ("unix-dgram", socket_driver.to_owned()),
        ],
    );
    let path = folder.join("syslog-ng.conf");
    // The first line of every syslog-ng.conf.
    let text = format!("@version: 4.8\n{block}");
    std::fs::write(&path, text).expect("a file in our own folder");
    let mut command = receiver::command(PACKAGE, "usr/sbin/syslog-ng", &["usr/lib/syslog-ng"]);
    command
        .args(["--foreground", "--no-caps", "--cfgfile"])
        .arg(path);
    for (option, name) in [
        ("--pidfile", "syslog-ng.pid"),
        ("--persist-file", "syslog-ng.persist"),
        ("--control", "syslog-ng.ctl"),
    ] {
        command.arg(option).arg(folder.join(name));
    }
    command.arg("--module-path");
    command.arg(receiver::file(PACKAGE, "usr/lib/syslog-ng/4.8"));
    let process = Process::start(&mut command);
    let listens = deadline::holds_within(LONG, || {
        receiver::listens("tcp", PORT) && receiver::listens("udp", PORT) && socket(folder).exists()
    });
    let said = process.stderr.text() + &process.stdout.text();
    assert!(listens, "syslog-ng does not listen: {said}");
    process
}
