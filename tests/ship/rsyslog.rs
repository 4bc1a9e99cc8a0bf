//! rsyslog 8.

use std::path::Path;

use gw502_tests::deadline;
use gw502_tests::process::Process;
use libtest_mimic::Trial;

use crate::syslog::{LONG, PORT, Way, file, socket};
use crate::{loss, receiver, snippet, syslog, trial};

const PACKAGE: &str = "rsyslog";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("rsyslog::unix", || {
            syslog::every_field_arrives(start, Way::Unix);
        }),
        trial("rsyslog::udp", || {
            syslog::every_field_arrives(start, Way::Udp);
        }),
        trial("rsyslog::tcp", || {
            syslog::every_field_arrives(start, Way::Tcp);
        }),
        trial("rsyslog::cut", || syslog::a_long_datagram_is_cut(start)),
        trial("rsyslog::restart::tcp", || {
            loss::a_restart_loses_nothing(start, Way::Tcp);
        }),
        trial("rsyslog::restart::unix", || {
            loss::a_restart_loses_nothing(start, Way::Unix);
        }),
        trial("rsyslog::killed::tcp", || {
            loss::what_was_not_read_comes_again(start, Way::Tcp);
        }),
        trial("rsyslog::stall", || {
            loss::a_receiver_that_stalls_gets_nothing_twice(start);
        }),
    ]
}

fn start(folder: &Path) -> Process {
    let shown = |path: &Path| path.display().to_string();
    let block = snippet::with(
        "rsyslog",
        &[
            ("/var/log/gw502.json", shown(&file(folder))),
            ("/run/gw502.sock", shown(&socket(folder))),
        ],
    );
    // Every rsyslog.conf has that module; here without the host's own socket.
    let before = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n",
        folder.display()
    );
    let path = folder.join("rsyslog.conf");
    std::fs::write(&path, before + &block).expect("a file in our own folder");
    let mut command = receiver::command(PACKAGE, "usr/sbin/rsyslogd", &[]);
    command.arg("-n").arg("-f").arg(path);
    command.arg("-i").arg(folder.join("rsyslog.pid"));
    command.arg("-M");
    command.arg(receiver::file(PACKAGE, "usr/lib/x86_64-linux-gnu/rsyslog"));
    let process = Process::start(&mut command);
    let listens = deadline::holds_within(LONG, || {
        receiver::listens("tcp", PORT) && receiver::listens("udp", PORT) && socket(folder).exists()
    });
    let said = process.stderr.text() + &process.stdout.text();
    assert!(listens, "rsyslog does not listen: {said}");
    process
}
