//! The comparison has to see what is wrong, or every row is green for nothing.

use std::time::Duration;

use super::{Expected, compare};
use crate::address::Address;
use crate::agent::{Event, Session, Summary};
use crate::proxy::Log;

const EVENT: &str = r#"{"schema":"gw502.failure/1","time":"2026-11-22T23:40:12Z","host":"edge-1",
    "id":"ID","class":"refused","cause":"refused","errno":"ECONNREFUSED","phase":"connect",
    "upstream":{"address":"10.50.2.2","port":80},"netns":7,"proxy":{"pid":3,"comm":"nginx"},
    "elapsed_us":90,"expect":502,"evidence":[{"what":"rst_received"}],"hook":"tracepoint"}"#;

/// What gw502 would say about two refused attempts, with one text replaced in the second event.
fn session(from: &str, to: &str) -> Session {
    let event = |id: &str| EVENT.replace("\"ID\"", &format!("\"{id}\""));
    let lines = [event("01A"), event("01B").replace(from, to)];
    let summary = r#"{"schema":"gw502.summary/1","upstreams":[
        {"upstream":{"address":"10.50.2.2","port":80},"netns":7,"attempts":2}]}"#;
    Session {
        code: 0,
        events: lines.iter().filter_map(|line| Event::parse(line)).collect(),
        summary: Summary::parse(summary),
        stdout: String::new(),
        stderr: String::new(),
    }
}

fn differences(attempts: usize, session: &Session) -> String {
    let expected = Expected {
        verdict: "refused/refused",
        upstream: &Address::Tcp("10.50.2.2:80".parse().expect("an address")),
        netns: 7,
        workers: &[3, 4],
        comm: "nginx",
        status: Some(502),
        errno: Some("ECONNREFUSED"),
        waited: Duration::from_micros(80),
    };
    let log = Log {
        requests: attempts,
        attempts,
        complaints: Vec::new(),
    };
    compare(&expected, &log, session).to_string()
}

#[test]
fn what_agrees_has_no_differences() {
    assert_eq!(differences(2, &session("", "")), "");
}

#[test]
fn each_wrong_field_is_named_once() {
    let wrong = [
        (
            "\"cause\":\"refused\"",
            "\"cause\":\"icmp-rejected\"",
            "class/cause",
        ),
        ("10.50.2.2", "10.50.2.3", "upstream"),
        ("\"pid\":3", "\"pid\":5", "proxy.pid"),
        ("nginx", "swapper/0", "proxy.comm"),
        ("502,", "503,", "expect"),
        ("\"elapsed_us\":90", "\"elapsed_us\":70", "elapsed_us"),
        ("ECONNREFUSED", "EACCES", "errno"),
        ("\"connect\"", "\"request\"", "phase"),
        (
            "\"netns\"",
            "\"local\":{\"address\":\"10.50.2.1\",\"port\":4000},\"netns\"",
            "local",
        ),
        ("\"hook\"", "\"hooks\"", "fields"),
        ("01B", "01A", "number of different ids"),
    ];
    for (from, to, named) in wrong {
        let differences = differences(2, &session(from, to));
        assert_eq!(
            differences.lines().count(),
            1,
            "{from} to {to}: {differences}"
        );
        assert!(differences.contains(named), "{from} to {to}: {differences}");
    }
}

#[test]
fn a_missing_event_and_one_too_many_are_seen() {
    assert!(differences(3, &session("", "")).contains("number of events: expected 3, seen 2"));
    assert!(differences(1, &session("", "")).contains("number of events: expected 1, seen 2"));
}

#[test]
fn an_event_of_another_namespace_is_not_ours() {
    let other = differences(2, &session("\"netns\":7", "\"netns\":8"));
    assert!(
        other.contains("number of events: expected 2, seen 1"),
        "{other}"
    );
}

#[test]
fn a_missing_summary_and_a_bad_exit_are_seen() {
    let mut session = session("", "");
    session.summary = None;
    session.code = 1;
    let differences = differences(2, &session);
    assert!(
        differences.contains("attempts in the summary"),
        "{differences}"
    );
    assert!(differences.contains("exit code"), "{differences}");
}
