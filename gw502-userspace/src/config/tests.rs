//! What is understood, and what is said about the rest.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Config {
    Config::parse("agent.toml", text).unwrap()
}

fn said(text: &str) -> String {
    Config::parse("agent.toml", text).unwrap_err().to_string()
}

/// Malformed files, and all that is said about each.
const MALFORMED: &[(&str, &str)] = &[
    (
        "[limits]\nseris = 5\n",
        "agent.toml:2: unknown key `seris` in [limits]; did you mean `series`?",
    ),
    (
        "[limits]\nzzz = 5\n",
        "agent.toml:2: unknown key `zzz` in [limits]; known are `idle`, `queue`, `series`, `spool`, `storm`",
    ),
    (
        "[limit]\nseries = 5\n",
        "agent.toml:1: unknown section [limit]; did you mean [limits]?",
    ),
    (
        "[sinks.a]\ntype = \"stdout\"\n",
        "agent.toml:1: unknown section [sinks]; did you mean [sink.NAME]?",
    ),
    (
        "series = 5\n",
        "agent.toml:1: `series` stands in no section; move it below one of [limits], [metrics], [sink.NAME], [spool], [watch]",
    ),
    (
        "watch = true\n",
        "agent.toml:1: `watch` is a section; write [watch] in a line of its own",
    ),
    (
        "\n\n[limits]\nseries = \"many\"\n",
        "agent.toml:4: `series` is text; write a number from 1 to 100000",
    ),
    (
        "[limits]\nseries = 0\n",
        "agent.toml:2: `series` is 0; write a number from 1 to 100000",
    ),
    (
        "[limits]\nstorm = -1\n",
        "agent.toml:2: `storm` is -1; write a number from 1 to 1000000",
    ),
    (
        "[limits]\nqueue = \"64MB\"\n",
        "agent.toml:2: `queue` is \"64MB\"; write a size from \"64KiB\" to \"4GiB\"",
    ),
    (
        "[limits]\nspool = 1048576\n",
        "agent.toml:2: `spool` is a number; write a size from \"1MiB\" to \"1TiB\"",
    ),
    (
        "[metrics]\nlisten = \"localhost\"\n",
        "agent.toml:2: `listen` is \"localhost\"; write an address with a port such as \"127.0.0.1:9502\", or false for no page",
    ),
    (
        "[metrics]\nlisten = true\n",
        "agent.toml:2: `listen` is true; write an address with a port such as \"127.0.0.1:9502\", or false for no page",
    ),
    (
        "[spool]\ndirectory = \"spool\"\n",
        "agent.toml:2: `directory` is \"spool\", which depends on where gw502 starts; write the path from / on",
    ),
    (
        "[watch]\nproxy = \"nginx\"\n",
        "agent.toml:2: `proxy` is text; write a list of texts such as [\"one\", \"two\"]",
    ),
    (
        "[watch]\nproxy = [\"nginx\", 5]\n",
        "agent.toml:2: `proxy` has a number in it; write a list of texts such as [\"one\", \"two\"]",
    ),
    (
        "[watch]\nupstream = [\n  \"10.0.0.1\",\n  \"example.com\",\n]\n",
        "agent.toml:4: `example.com` is no address; write ADDRESS, ADDRESS:PORT, [IPV6]:PORT, NETWORK/PREFIX or unix:PATH",
    ),
    (
        "[watch]\nall = true\npid = [1]\n",
        "agent.toml:2: `all` watches every process, and `proxy` or `pid` some; leave one of them out",
    ),
    (
        "[watch]\nhooks = \"kprobes\"\n",
        "agent.toml:2: `hooks` cannot be \"kprobes\"; did you mean \"kprobe\"?",
    ),
    (
        "[watch]\nring = \"300KiB\"\n",
        "agent.toml:2: `ring` is no power of two; write \"256KiB\", \"512KiB\", \"1MiB\" and so on",
    ),
    (
        "[sink.a]\npath = \"/a\"\n",
        "agent.toml:1: [sink.a] has no `type`; write one of \"file\", \"journald\", \"otlp\", \"stdout\", \"syslog\"",
    ),
    (
        "[sink.a]\ntype = \"fiel\"\n",
        "agent.toml:2: `type` cannot be \"fiel\"; did you mean \"file\"?",
    ),
    (
        "[sink.a]\ntype = \"file\"\n",
        "agent.toml:1: [sink.a] has no `path`; write path = \"/var/log/gw502/failures.jsonl\"",
    ),
    (
        "[sink]\ntype = \"stdout\"\n",
        "agent.toml:2: `type` stands in [sink]; give the sink a name: [sink.NAME]",
    ),
    (
        "[sink.\"A B\"]\ntype = \"stdout\"\n",
        "agent.toml:1: a sink cannot be called `A B`; take 1 to 32 of a to z, 0 to 9, `-` and `_`",
    ),
    (
        "[sink.a]\ntype = \"stdout\"\nrecords = [\"failure\"]\n",
        "agent.toml:3: `records` cannot be \"failure\"; did you mean \"failures\"?",
    ),
    (
        "[sink.a]\ntype = \"stdout\"\nspool = \"1GiB\"\n",
        "agent.toml:3: `spool` is for receivers beyond this host; leave it out",
    ),
    (
        "[sink.a]\ntype = \"stdout\"\n[sink.b]\ntype = \"stdout\"\n",
        "agent.toml:3: two sinks write to standard output; leave one, or give it another file",
    ),
    (
        "[sink.a]\ntype = \"file\"\npath = \"/a\"\nmax_age = \"1s\"\n",
        "agent.toml:4: `max_age` is \"1s\"; write a time from \"1m\" to \"366d\"",
    ),
    (
        "[sink.s]\ntype = \"syslog\"\naddress = \"loghost:514\"\n",
        "agent.toml:3: `address` is \"loghost:514\"; write \"unix:/dev/log\", \"udp:HOST:PORT\" or \"tcp:HOST:PORT\"",
    ),
    (
        "[sink.s]\ntype = \"syslog\"\naddress = \"unix:/dev/log\"\nfacility = \"deamon\"\n",
        "agent.toml:4: `facility` cannot be \"deamon\"; did you mean \"daemon\"?",
    ),
    (
        "[sink.o]\ntype = \"otlp\"\nendpoint = \"collector:4317\"\n",
        "agent.toml:3: `endpoint` is \"collector:4317\"; write \"http://HOST:PORT\" or \"https://HOST:PORT\"",
    ),
    (
        "[sink.o]\ntype = \"otlp\"\nendpoint = \"http://c:4317/v1/logs\"\n",
        "agent.toml:3: `endpoint` is \"http://c:4317/v1/logs\", and gRPC has no use for a path; leave it out",
    ),
    (
        "[sink.o]\ntype = \"otlp\"\nendpoint = \"http://u:p@c:4317\"\n",
        "agent.toml:3: `endpoint` has a password in it; put it in a file, and that in `header_files`",
    ),
    (
        "[sink.o]\ntype = \"otlp\"\nendpoint = \"http://c:4317\"\nheaders = { Authorization = \"Bearer x\" }\n",
        "agent.toml:4: header `Authorization` is a secret; put its value in a file, and that in `header_files`",
    ),
    (
        "[sink.o]\ntype = \"otlp\"\nendpoint = \"http://c:4317\"\nclient_key = \"/k\"\n",
        "agent.toml:4: `client_key` needs `client_certificate`; write both, each with the path of a file",
    ),
    (
        "[limits]\nseries = 5\nseries = 6\n",
        "agent.toml:3: this is not TOML (duplicate key); write `key = value`, and text in quotes",
    ),
    (
        "[limits]\nseries 5\n",
        "agent.toml:2: this is not TOML (key with no value, expected `=`); write `key = value`, and text in quotes",
    ),
    (
        "[watch]\nall = yes\nstorm = 1\n[lim\n",
        "agent.toml:2: this is not TOML (string values must be quoted, expected literal string); write `key = value`, and text in quotes\n\
         agent.toml:4: this is not TOML (unclosed table, expected `]`); write `key = value`, and text in quotes",
    ),
    // All of a file at once, by line.
    (
        "[sink.a]\ntype = \"stdout\"\nrecord = 1\n[limits]\nstorm = 0\n[wach]\n",
        "agent.toml:3: unknown key `record` in [sink.a]; did you mean `records`?\n\
         agent.toml:5: `storm` is 0; write a number from 1 to 1000000\n\
         agent.toml:6: unknown section [wach]; did you mean [watch]?",
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_to_do() {
    let mut wrong = Vec::new();
    for (text, expected) in MALFORMED {
        let said = said(text);
        if said != *expected {
            wrong.push(format!(
                "{text}\n  said:     {said}\n  expected: {expected}"
            ));
        }
        for line in said.lines() {
            assert!(line.contains("; "), "what to do? {line}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(MALFORMED.len() >= 20);
}

#[test]
fn no_file_and_an_empty_one_are_the_same() {
    let config = Config::default();
    assert_eq!(parsed(""), config);
    assert_eq!(config.page.unwrap().listen.to_string(), "127.0.0.1:9502");
    assert_eq!(config.sinks.len(), 1);
    assert_eq!(config.sinks[0].way, Way::Stdout);
    assert_eq!(config.sinks[0].records, [Kind::Failure, Kind::Diagnosis]);
    assert_eq!((config.limits.series, config.limits.storm), (1000, 1000));
}

#[test]
fn no_page_and_no_sinks_can_be_asked_for() {
    assert_eq!(parsed("[metrics]\nlisten = false").page, None);
    assert_eq!(parsed("[sink]").sinks, []);
}

#[test]
fn limits_hold_for_sinks_that_have_none_of_their_own_wherever_they_stand() {
    let config = parsed(
        "[sink.a]\ntype = \"stdout\"\n[sink.b]\ntype = \"journald\"\nqueue = \"1MiB\"\n\
         [limits]\nqueue = \"2MiB\"\n",
    );
    let queues: Vec<_> = config.sinks.iter().map(|s| s.queue.memory_bytes).collect();
    assert_eq!(queues, [2 << 20, 1 << 20]);
    assert_eq!(
        parsed("[limits]\nqueue = \"2MiB\"").sinks[0]
            .queue
            .memory_bytes,
        2 << 20
    );
}

#[test]
fn each_key_of_each_sink_is_read() {
    let config = parsed(
        r#"
        [sink.otel]
        type = "otlp"
        records = ["diagnoses"]
        endpoint = "https://c:4318/otlp"
        protocol = "http"
        headers = { X-Scope = "a" }
        header_files = { Authorization = "/run/secret" }
        ca_file = "/ca.pem"
        client_certificate = "/c.pem"
        client_key = "/k.pem"
        timeout = "5s"
        metrics = false
        resource = { "service.namespace" = "edge" }
        queue = "1MiB"
        spool = "2MiB"
        [sink.sys]
        type = "syslog"
        address = "tcp:[::1]:601"
        facility = "local7"
        message = "json"
        max_datagram = "2KiB"
        [sink.out]
        type = "file"
        path = "/var/log/gw502.jsonl"
        max_size = "10MiB"
        max_age = "24h"
        keep = 3
        [sink.j]
        type = "journald"
        socket = "/j"
        "#,
    );
    let path = |path: &str| PathBuf::from(path);
    let way = |name: &str| {
        let sink = config.sinks.iter().find(|sink| sink.name == name);
        sink.unwrap().way.clone()
    };
    let otlp = OtlpConfig {
        endpoint: "https://c:4318/otlp".to_owned(),
        protocol: OtlpProtocol::Http,
        headers: [("X-Scope".to_owned(), "a".to_owned())].into(),
        header_files: [("Authorization".to_owned(), path("/run/secret"))].into(),
        ca_file: Some(path("/ca.pem")),
        client_certificate: Some((path("/c.pem"), path("/k.pem"))),
        timeout: Duration::from_secs(5),
        metrics_every: None,
        resource: [("service.namespace".to_owned(), "edge".to_owned())].into(),
    };
    assert_eq!(way("otel"), Way::Otlp(otlp));
    let otel = config
        .sinks
        .iter()
        .find(|sink| sink.name == "otel")
        .unwrap();
    assert_eq!(otel.records, [Kind::Diagnosis]);
    let queue = QueueConfig {
        memory_bytes: 1 << 20,
        spool_bytes: 2 << 20,
    };
    assert_eq!(otel.queue, queue);
    let syslog = SyslogConfig {
        address: SyslogAddress::Tcp("[::1]:601".to_owned()),
        facility: 23,
        message: SyslogMessage::Json,
        max_datagram: 2048,
    };
    assert_eq!(way("sys"), Way::Syslog(syslog));
    let file = FileConfig {
        path: path("/var/log/gw502.jsonl"),
        max_bytes: Some(10 << 20),
        max_age: Some(Duration::from_hours(24)),
        keep: 3,
    };
    assert_eq!(way("out"), Way::File(file));
    let journald = JournaldConfig { socket: path("/j") };
    assert_eq!(way("j"), Way::Journald(journald));
}

#[test]
fn what_to_watch_is_what_trace_would() {
    let config = parsed(
        "[watch]\nproxy = [\"a\"]\npid = [7]\ncgroup = \"/x\"\nupstream = [\"10.0.0.0/8\"]\n\
         aborted = true\nhooks = \"kprobe\"\nsyscalls = \"off\"\nring = \"1MiB\"\n",
    );
    let selection = config.watch.selection();
    assert_eq!(
        (selection.proxy, selection.pid),
        (vec!["a".to_owned()], vec![7])
    );
    assert_eq!(selection.cgroup, Some(PathBuf::from("/x")));
    assert_eq!(selection.upstream[0].to_string(), "10.0.0.0/8");
    assert_eq!(selection.ways.hooks, Hooks::Kprobe);
    assert_eq!(selection.ways.syscalls, Syscalls::Off);
    assert_eq!((selection.ring_size, selection.duration), (1024, None));
    assert!(config.watch.aborted && !selection.all_processes);
}

#[test]
fn the_bounds_are_those_of_the_parts() {
    let config = parsed(
        "[sink.a]\ntype = \"otlp\"\nendpoint = \"http://c:1\"\nqueue = \"1GiB\"\nspool = \"3GiB\"\n\
         [sink.b]\ntype = \"stdout\"\nqueue = \"2GiB\"\n",
    );
    assert_eq!(spool_bytes(&config), 3 << 30);
    let without = parsed("[sink]");
    assert_eq!(memory_bytes(&config) - memory_bytes(&without), 3 << 30);
    assert_eq!(spool_bytes(&without), 0);
    let more = parsed("[sink]\n[limits]\nseries = 2000\n");
    assert!(memory_bytes(&more) > memory_bytes(&without));
}

#[test]
fn what_it_comes_to_can_be_read() {
    let text = Config::default().to_string();
    println!("{text}");
    assert!(
        text.contains("sink     stdout: failures and diagnoses to standard output · queue 8MiB\n")
    );
    assert!(
        text.contains("metrics  http://127.0.0.1:9502/metrics, http://127.0.0.1:9502/health\n")
    );
    assert!(text.contains("series   at most 1000 upstreams"));
    assert!(text.contains("spool    at most 0 MiB\n"));
}

#[test]
fn what_is_said_is_one_line_and_of_bounded_length_whatever_was_written() {
    let long = "x".repeat(10_000);
    let said = said(&format!("[limits]\n\"a\\nb{long}\" = 1\n"));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.len() < 400, "{said}");
}

/// Pieces of files, so that more than the first token is reached.
fn pieces() -> impl Strategy<Value = String> {
    let lines: Vec<String> = MALFORMED
        .iter()
        .flat_map(|(text, _)| text.lines().map(str::to_owned))
        .collect();
    let any = "\\PC{0,12}";
    let line = prop_oneof![
        4 => proptest::sample::select(lines),
        1 => any.prop_map(|text| text),
        1 => (proptest::sample::select(vec!["series", "queue", "type", "timeout", "listen"]), any)
            .prop_map(|(key, value)| format!("{key} = {value}")),
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_panics_and_every_mistake_has_a_line_of_it(text in prop_oneof![pieces(), ".{0,200}"]) {
        match Config::parse("f", &text) {
            Ok(config) => prop_assert!(!config.to_string().is_empty()),
            Err(mistakes) => {
                prop_assert!(!mistakes.list.is_empty());
                let lines = text.lines().count().max(1);
                for mistake in &mistakes.list {
                    prop_assert!((1..=lines).contains(&mistake.line), "{mistake:?}");
                    prop_assert_eq!(mistake.what.lines().count(), 1);
                }
            }
        }
    }
}

const SAMPLE: &str = include_str!("../../../docs/agent/agent.toml");

/// The sample with every line that shows a setting taken in: `#key = …`, and not `# words`.
fn whole_sample() -> String {
    let lines = SAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => rest,
        _ => line,
    });
    // These watch someone else each.
    let lines = lines.filter(|line| !line.starts_with("all = "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_is_what_holds_without_it() {
    assert_eq!(parsed(SAMPLE), Config::default());
}

#[test]
fn the_sample_shows_every_key_and_each_is_taken() {
    let config = parsed(&whole_sample());
    assert_eq!(config.sinks.len(), 5);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.page, Config::default().page);
    assert_eq!(config.watch.ring_kib, WatchConfig::default().ring_kib);
    // What there is to know is what a mistake says is known.
    let file = "type = \"file\"\npath = \"/a\"";
    let syslog = "type = \"syslog\"\naddress = \"unix:/dev/log\"";
    let otlp = "type = \"otlp\"\nendpoint = \"http://c:1\"";
    for (section, rest) in [
        ("watch", ""),
        ("limits", ""),
        ("metrics", ""),
        ("spool", ""),
        ("sink.a", "type = \"stdout\""),
        ("sink.a", file),
        ("sink.a", syslog),
        ("sink.a", "type = \"journald\""),
        ("sink.a", otlp),
    ] {
        let said = said(&format!("[{section}]\n{rest}\n\"0\" = 0\n"));
        let (_, known) = said.split_once("known are ").unwrap();
        for key in known.split(", ").map(|key| key.trim_matches('`')) {
            let shown = SAMPLE
                .lines()
                .any(|line| line.starts_with(&format!("#{key} = ")));
            assert!(shown, "`{key}` of [{section}] is not in the sample");
        }
    }
}
