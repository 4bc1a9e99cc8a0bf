use std::collections::BTreeMap;

use gw502_common::ending::Ending;
use gw502_common::wire::{FailureRecord, RecordHeader};

use super::failure as line_of;
use super::*;
use crate::aggregate::{Tally, Totals, UpstreamId};
use crate::classify::Classifier;
use crate::intake::decode::{Decoded, Ended};

fn style(colour: bool, width: Option<usize>) -> Style {
    Style { colour, width }
}

fn refused() -> Failure {
    let mut record = FailureRecord {
        header: RecordHeader {
            at_ns: 1_412_000_000,
            ..RecordHeader::default()
        },
        ..FailureRecord::default()
    };
    record.connection.start_ns = 1_411_788_000;
    record.connection.daddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    record.connection.dport = 9000;
    record.connection.tgid = 4121;
    record.connection.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
    Classifier::default().classify(
        &Decoded::Ended(Ended {
            ending: Ending::Refused,
            record,
        }),
        0,
    )
}

#[test]
fn a_line_stands_under_its_header() {
    let text = header() + &line_of(&refused(), &Origin::sample(), &style(false, None));
    let expected = "\
TIME          CLASS        CAUSE                   PROXY               UPSTREAM                      AFTER  EVIDENCE
22:13:21.412  refused      refused                 nginx[4121]         127.0.0.1:9000               0.2 ms  RST answered the SYN (ECONNREFUSED)
";
    assert_eq!(text, expected);
}

#[test]
fn colour_changes_no_width() {
    let plain = line_of(&refused(), &Origin::sample(), &style(false, None));
    let coloured = line_of(&refused(), &Origin::sample(), &style(true, None));
    assert_eq!(
        coloured.replace("\x1b[31m", "").replace("\x1b[0m", ""),
        plain
    );
}

#[test]
fn lost_events_are_said_on_the_next_line_that_came() {
    let failure = Failure {
        lost_before: 12,
        ..refused()
    };
    let line = line_of(&failure, &Origin::sample(), &style(false, None));
    assert!(
        line.ends_with(" [12 events lost before this one]\n"),
        "{line}"
    );
}

#[test]
fn a_process_name_cannot_command_the_terminal() {
    let mut failure = refused();
    failure.proxy.comm = "\x1b[2Jx".to_owned();
    let line = line_of(&failure, &Origin::sample(), &style(false, None));
    assert!(line.contains("?[2Jx[4121]"), "{line}");
}

#[test]
fn long_upstreams_lose_their_middle_on_a_terminal_only() {
    assert_eq!(
        cut_middle("[2001:db8:0:1:2:3:4:5]:8080", 12),
        "[2001…]:8080"
    );
    assert_eq!(cut_middle("short", 12), "short");
    let mut failure = refused();
    failure.upstream = crate::event::Upstream::Tcp(crate::event::Endpoint {
        address: "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap(),
        port: 9000,
    });
    let full = line_of(&failure, &Origin::sample(), &style(false, None));
    let cut = line_of(&failure, &Origin::sample(), &style(false, Some(120)));
    assert!(
        full.contains("[2001:db8:1111:2222:3333:4444:5555:6666]:9000"),
        "{full}"
    );
    assert!(cut.contains("[2001:db8:1…5:6666]:9000"), "{cut}");
}

#[test]
fn the_table_names_the_worst_and_what_was_lost() {
    let failure = refused();
    let id = UpstreamId {
        upstream: failure.upstream.clone(),
        netns: failure.netns,
    };
    let mut tally = Tally::default();
    tally.add(&failure);
    let counted = [(
        Some(id),
        Totals {
            attempts: 36,
            established: 1,
            ended: 35,
        },
    )]
    .to_vec();
    let upstreams = tally.summarise(&counted);
    let losses = BTreeMap::from([("ring_full".to_owned(), 34)]);
    let summary = Summary {
        upstreams,
        losses,
        skips: BTreeMap::new(),
        aborted_shown: false,
        unrecorded: None,
    };
    let expected = "\
UPSTREAM         ATTEMPTS     FAILED     RATE  TOP CAUSE               SINCE
127.0.0.1:9000         36         35    97.2%  refused                 22:13:21.412
LOST: ring_full 34 · `gw502 diagnose` says why, and what to do
";
    assert_eq!(
        super::summary(&summary, &Origin::sample(), &style(false, None)),
        expected
    );
}

#[test]
fn an_empty_run_says_so() {
    let summary = Summary {
        upstreams: Vec::new(),
        losses: BTreeMap::new(),
        skips: BTreeMap::new(),
        aborted_shown: false,
        unrecorded: None,
    };
    let text = super::summary(&summary, &Origin::sample(), &style(false, None));
    assert_eq!(
        text,
        "no watched process opened a connection\nnothing lost\n"
    );
}

#[test]
fn durations_have_the_unit_that_suits_them() {
    assert_eq!(duration(212), "0.2 ms");
    assert_eq!(duration(999_999), "999.9 ms");
    assert_eq!(duration(60_001_000), "60.00 s");
}

#[test]
fn evidence_stays_in_its_column_or_goes_below_when_the_terminal_is_narrow() {
    let mut failure = refused();
    failure.evidence = vec![crate::event::Evidence::NoLocalPort; 2];
    let evidence = |width| {
        let line = line_of(&failure, &Origin::sample(), &style(false, width));
        line.lines()
            .map(|line| line.chars().skip(108).collect::<String>())
            .collect::<Vec<_>>()
    };
    let half = "no local port is free towards this upstream";
    assert_eq!(evidence(None), [format!("{half}, {half} (ECONNREFUSED)")]);
    assert_eq!(
        evidence(Some(152)),
        [&format!("{half},"), half, "(ECONNREFUSED)"]
    );
    let narrow = line_of(&failure, &Origin::sample(), &style(false, Some(110)));
    let below: Vec<_> = narrow.lines().skip(1).collect();
    assert_eq!(
        below,
        [
            format!("{:14}{half}, {half}", ""),
            format!("{:14}(ECONNREFUSED)", "")
        ]
    );
}

#[test]
fn a_name_stands_behind_its_address_as_far_as_there_is_room() {
    let mut failure = refused();
    let of = |name: &str, failure: &mut Failure, width| {
        failure.upstream_name = Some(name.to_owned());
        upstream(failure, &style(false, width))
    };
    assert_eq!(of("php", &mut failure, Some(120)), "127.0.0.1:9000 (php)");
    assert_eq!(
        of("php_backend", &mut failure, Some(120)),
        "127.0.0.1:9000 (php…end)"
    );
    assert_eq!(
        of("php_backend", &mut failure, None),
        "127.0.0.1:9000 (php_backend)"
    );
    assert_eq!(of("a\x1bb", &mut failure, None), "127.0.0.1:9000 (a?b)");
    let path = "/run/somewhere/else/app.sock".to_owned();
    failure.upstream = crate::event::Upstream::Unix { path };
    assert_eq!(
        of("php", &mut failure, Some(120)),
        "unix:/run/s…lse/app.sock"
    );
    assert_eq!(
        of("php", &mut failure, None),
        "unix:/run/somewhere/else/app.sock (php)"
    );
}
