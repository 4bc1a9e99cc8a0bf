//! Tests of the spool.

mod kill;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::scratch::{Scratch, record, records, sequences};
use super::*;

const ALL: BatchLimits = BatchLimits {
    records: usize::MAX,
    bytes: u64::MAX,
};

fn push(spool: &mut Spool, numbers: std::ops::RangeInclusive<u64>) -> u64 {
    let records = records(numbers);
    let pushed = spool.push(&records);
    assert_eq!(pushed.written, records.len());
    assert!(pushed.failed.is_none(), "{pushed:?}");
    pushed.shed
}

/// Everything, and it is acknowledged; and how much was damaged.
fn drain(spool: &mut Spool) -> (Vec<u64>, u64) {
    let mut all = Vec::new();
    let mut damaged = 0;
    while !spool.is_empty() {
        let batch = spool.peek(BatchLimits { records: 7, ..ALL }).unwrap();
        assert!(batch.records.len() <= 7);
        all.extend(sequences(&batch.records));
        damaged += batch.damaged;
        spool.acknowledge().unwrap();
    }
    (all, damaged)
}

fn numbers(numbers: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    numbers.collect()
}

fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| Segment::number(path).is_some())
        .collect();
    files.sort();
    files
}

#[test]
fn what_goes_in_comes_out_in_order_over_many_segments() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 4 << 20).unwrap();
    for start in 0..40 {
        assert_eq!(push(&mut spool, start * 50 + 1..=start * 50 + 50), 0);
    }
    assert_eq!(spool.level().records, 2000);
    assert!(files(scratch.as_ref()).len() > 1);
    let first = spool.peek(ALL).unwrap();
    assert_eq!(sequences(&first.records)[0], 1);
    assert_eq!(first.records[9], record(10), "kind and JSON are the same");
    spool.release();
    assert_eq!(drain(&mut spool), (numbers(1..=2000), 0));
    assert_eq!(spool.level().records, 0);
    assert!(files(scratch.as_ref()).len() <= 1);
}

#[test]
fn the_next_run_goes_on_where_this_one_stopped() {
    let scratch = Scratch::new();
    for run in 0..20 {
        let mut spool = Spool::open(scratch.as_ref(), 4 << 20).unwrap();
        let waiting = run * 5;
        let expected = Found {
            records: waiting,
            ..Found::default()
        };
        assert_eq!(spool.found(), expected);
        push(&mut spool, run * 10 + 1..=run * 10 + 10);
        let five = BatchLimits { records: 5, ..ALL };
        let batch = spool.peek(five).unwrap();
        assert_eq!(
            sequences(&batch.records),
            numbers(run * 5 + 1..=run * 5 + 5)
        );
        spool.acknowledge().unwrap();
        if run % 2 == 0 {
            spool.peek(five).unwrap();
        }
    }
}

#[test]
fn the_limit_holds_and_the_oldest_go() {
    const LIMIT: u64 = 200_000;
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), LIMIT).unwrap();
    let mut shed = 0;
    for start in 0..500 {
        shed += push(&mut spool, start * 10 + 1..=start * 10 + 10);
        let on_disk: u64 = files(scratch.as_ref())
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .sum();
        assert!(on_disk <= LIMIT, "{on_disk}");
        assert_eq!(spool.level().bytes, on_disk);
    }
    assert!(spool.level().bytes > LIMIT / 10 * 8, "it is used well");
    assert!(shed > 0);
    assert_eq!(spool.level().records + shed, 5000);
    assert_eq!(drain(&mut spool), (numbers(shed + 1..=5000), 0));
}

#[test]
fn what_is_shed_while_it_is_out_counts_only_if_it_does_not_arrive() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 100_000).unwrap();
    push(&mut spool, 1..=10);
    let batch = spool.peek(BatchLimits { records: 4, ..ALL }).unwrap();
    assert_eq!(batch.records.len(), 4);
    let mut shed = push(&mut spool, 11..=2000);
    spool.acknowledge().unwrap();
    assert_eq!(shed + 4 + spool.level().records, 2000);
    let (left, _) = drain(&mut spool);
    assert_eq!(left, numbers(2000 - left.len() as u64 + 1..=2000));

    push(&mut spool, 2001..=2010);
    assert_eq!(spool.peek(ALL).unwrap().records.len(), 10);
    shed = push(&mut spool, 2011..=4000);
    assert_eq!(spool.release(), 10);
    assert_eq!(shed + 10 + spool.level().records, 2000);
}

#[test]
fn a_record_longer_than_everything_is_lost_alone() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 8192).unwrap();
    let long = Record {
        kind: crate::sink::ship::Kind::Failure,
        json: vec![b'x'; 10_000].into(),
    };
    push(&mut spool, 1..=3);
    let pushed = spool.push(&[record(4), long, record(5)]);
    assert_eq!((pushed.written, pushed.shed), (3, 1));
    assert_eq!(drain(&mut spool), (numbers(1..=5), 0));
}

#[test]
fn two_do_not_share_a_spool() {
    let scratch = Scratch::new();
    let spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
    let second = Spool::open(scratch.as_ref(), 1 << 20).unwrap_err();
    assert!(matches!(second, SpoolError::Busy(_)), "{second}");
    assert!(second.to_string().contains("in use by another gw502"));
    drop(spool);
    Spool::open(scratch.as_ref(), 1 << 20).unwrap();
}

#[test]
fn strangers_cannot_read_it() {
    let scratch = Scratch::new();
    let dir = scratch.dir.join("spool").join("sink");
    let mut spool = Spool::open(&dir, 1 << 20).unwrap();
    push(&mut spool, 1..=1);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&dir) & !0o750, 0);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & !0o640, 0, "{}", path.display());
    }
}

#[test]
fn a_lower_limit_sheds_the_oldest() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
    push(&mut spool, 1..=3000);
    drop(spool);
    let mut spool = Spool::open(scratch.as_ref(), 200_000).unwrap();
    let found = spool.found();
    assert!(found.shed > 0 && found.records > 0, "{found:?}");
    assert_eq!(found.shed + found.records, 3000);
    let more = spool.set_limit(100_000);
    assert!(more > 0);
    let from = found.shed + more + 1;
    assert_eq!(drain(&mut spool), (numbers(from..=3000), 0));
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_tore() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
    push(&mut spool, 1..=3);
    drop(spool);
    let path = files(scratch.as_ref()).remove(0);
    let whole = fs::read(&path).unwrap();
    let two = whole.len() / 3 * 2;
    for cut in two..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
        let torn = u64::from(cut > two);
        let expected = Found {
            records: 2,
            torn,
            shed: 0,
        };
        assert_eq!(spool.found(), expected, "{cut}");
        push(&mut spool, 4..=4);
        let batch = spool.peek(ALL).unwrap();
        assert_eq!(
            (sequences(&batch.records), batch.damaged),
            (vec![1, 2, 4], 0)
        );
    }
}

#[test]
fn damage_anywhere_loses_that_record_alone_and_is_counted() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
    push(&mut spool, 1..=5);
    drop(spool);
    let path = files(scratch.as_ref()).remove(0);
    let whole = fs::read(&path).unwrap();
    let ends: Vec<_> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for at in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        drop(fs::remove_file(scratch.dir.join("acknowledged")));
        let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
        let (left, mut lost) = drain(&mut spool);
        lost += spool.found().torn;
        assert!(left.len() >= 3 && lost >= 1, "{at}: {left:?}");
        if !ends.contains(&at) && damaged[at] != b'\n' {
            assert_eq!((left.len(), lost), (4, 1), "{at}");
        }
        drop(spool);
        assert!(scratch.dir.join("damaged").metadata().unwrap().len() > 0);
    }
}

#[test]
fn rubbish_in_every_file_is_survived() {
    let scratch = Scratch::new();
    let rubbish: &[&[u8]] = &[
        b"",
        b"\n",
        b"\n\n\n",
        &[0; 10_000],
        b"F 00000000 {}\nx",
        &[0xff; 300],
    ];
    for (at, ack) in rubbish.iter().enumerate() {
        for content in rubbish {
            let dir = scratch.dir.join(format!("{at}"));
            drop(Spool::open(&dir, 1 << 20).unwrap());
            fs::write(dir.join("acknowledged"), ack).unwrap();
            fs::write(dir.join(format!("{:020}.segment", 3)), content).unwrap();
            fs::write(dir.join(format!("{:020}.segment", u64::MAX / 2)), content).unwrap();
            fs::write(dir.join("notes.txt"), content).unwrap();
            let mut spool = Spool::open(&dir, 1 << 20).unwrap();
            let (none, _) = drain(&mut spool);
            assert_eq!(none, [0; 0]);
            drop(spool);
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}

#[test]
fn an_acknowledgement_beyond_the_file_hides_nothing_new() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
    push(&mut spool, 1..=5);
    drain(&mut spool);
    drop(spool);
    // As after a power failure: the acknowledgement was on the disk, the records were not.
    let path = files(scratch.as_ref()).remove(0);
    fs::write(&path, b"").unwrap();
    let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
    push(&mut spool, 6..=8);
    drop(spool);
    let mut spool = Spool::open(scratch.as_ref(), 1 << 20).unwrap();
    assert_eq!(drain(&mut spool), (numbers(6..=8), 0));
}

#[test]
fn files_that_vanish_or_shrink_are_counted() {
    let scratch = Scratch::new();
    let mut spool = Spool::open(scratch.as_ref(), 64 << 10).unwrap();
    push(&mut spool, 1..=100);
    let files = files(scratch.as_ref());
    assert!(files.len() > 3);
    fs::remove_file(&files[0]).unwrap();
    let half = files[1].metadata().unwrap().len() / 2;
    let shrunk = fs::OpenOptions::new().write(true).open(&files[1]).unwrap();
    shrunk.set_len(half).unwrap();
    let (left, lost) = drain(&mut spool);
    assert!(lost > 0);
    assert_eq!(left.len() as u64 + lost, 100);
    assert_eq!(left.last(), Some(&100));
}

#[test]
fn a_full_disk_fails_the_push_tears_nothing_and_recovers() {
    let Some(scratch) = Scratch::disk(256 << 10) else {
        return;
    };
    let dir = scratch.dir.join("a");
    let mut spool = Spool::open(&dir, 64 << 20).unwrap();
    push(&mut spool, 1..=10);
    let ballast = scratch.fill();
    let mut next = 11;
    let failed = loop {
        let pushed = spool.push(&records(next..=next + 6));
        next += pushed.written as u64;
        if let Some(failed) = pushed.failed {
            break failed;
        }
        assert!(next < 100_000, "the disk never was full");
    };
    assert!(failed.to_string().contains("No space left"), "{failed}");
    for _ in 0..20 {
        assert!(spool.push(&records(next..=next + 6)).failed.is_some());
    }
    let sizes = files(&dir).into_iter();
    let on_disk: u64 = sizes.map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(
        on_disk,
        spool.level().bytes,
        "what was cut short is taken back"
    );
    let batch = spool.peek(BatchLimits { records: 5, ..ALL }).unwrap();
    assert_eq!(sequences(&batch.records), [1, 2, 3, 4, 5]);
    spool.acknowledge().expect("acknowledging takes no room");
    fs::remove_file(ballast).unwrap();
    push(&mut spool, next..=next + 6);
    drop(spool);
    let mut spool = Spool::open(&dir, 64 << 20).unwrap();
    assert_eq!(spool.found().torn, 0);
    assert_eq!(drain(&mut spool), (numbers(6..=next + 6), 0));
}
