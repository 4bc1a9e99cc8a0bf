use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn record(kind: Kind, json: &serde_json::Value) -> Record {
    Record {
        kind,
        json: Bytes::from(json.to_string()),
    }
}

fn form(message: SyslogMessage) -> Form {
    Form {
        facility: Facility::Daemon,
        pid: 99,
        message,
    }
}

fn failure() -> serde_json::Value {
    json!({
        "time": "2026-11-22T23:40:12.123456789Z", "host": "edge-1", "id": "01JD", "run": "R1",
        "sequence": 7, "class": "refused", "cause": "refused",
        "upstream": {"path": "/run/a]\"\\b.sock"}, "proxy": {"pid": 12, "comm": "ng\nx"},
    })
}

/// A message taken apart, by the letter of RFC 5424, section 6.
#[derive(Debug, PartialEq)]
struct Parsed {
    header: Vec<String>,
    element: Option<String>,
    values: BTreeMap<String, String>,
    text: Vec<u8>,
}

fn parse(bytes: &[u8]) -> Parsed {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let mut rest = text;
    let mut header = Vec::new();
    for _ in 0..6 {
        let (word, after) = rest.split_once(' ').expect("six words of the header");
        assert!(!word.is_empty(), "two spaces in {text:?}");
        header.push(word.to_owned());
        rest = after;
    }
    let mut parsed = Parsed {
        header,
        element: None,
        values: BTreeMap::new(),
        text: Vec::new(),
    };
    if let Some(after) = rest.strip_prefix('-') {
        rest = after;
    } else {
        let end = rest.find(' ').expect("an element has values");
        let (name, after) = rest.split_at(end);
        parsed.element = Some(name.strip_prefix('[').expect("`[`").to_owned());
        rest = after;
        while let Some(after) = rest.strip_prefix(' ') {
            let (name, after) = after.split_once("=\"").expect("name=\"");
            let mut value = String::new();
            let mut letters = after.char_indices();
            let end = loop {
                match letters.next().expect("a closing quote") {
                    (_, '\\') => match letters.next().expect("something escaped").1 {
                        escaped @ ('"' | '\\' | ']') => value.push(escaped),
                        other => value.extend(['\\', other]),
                    },
                    (at, '"') => break at,
                    (_, ']') => panic!("a bare bracket in {text:?}"),
                    (_, other) => value.push(other),
                }
            };
            let twice = parsed.values.insert(name.to_owned(), value);
            assert_eq!(twice, None, "{name} twice");
            rest = after.split_at(end + 1).1;
        }
        rest = rest.strip_prefix(']').expect("`]`");
    }
    parsed.text = rest.strip_prefix(' ').unwrap_or("").as_bytes().to_vec();
    parsed
}

#[test]
fn a_failure_is_this_to_the_byte() {
    let record = record(Kind::Failure, &failure());
    let message = form(SyslogMessage::Text)
        .message(&record, usize::MAX)
        .unwrap();
    let expected = concat!(
        "<27>1 2026-11-22T23:40:12.123456Z edge-1 gw502 99 failure ",
        r#"[gw502@32473 id="01JD" run="R1" sequence="7" class="refused" cause="refused" "#,
        r#"upstream="unix:/run/a\]\"\\b.sock" proxy="ng#012x" proxy_pid="12"] "#,
        "refused ng?x[12] -> unix:/run/a]\"\\b.sock",
    );
    assert_eq!(String::from_utf8(message.bytes).unwrap(), expected);
    assert!(!message.cut);
}

#[test]
fn json_has_no_mark_and_is_the_record() {
    let record = record(Kind::Failure, &failure());
    let message = form(SyslogMessage::Json)
        .message(&record, usize::MAX)
        .unwrap();
    assert_eq!(parse(&message.bytes).text, record.json);
}

#[test]
fn a_diagnosis_without_time_or_name_has_dashes() {
    let record = record(Kind::Diagnosis, &json!({"state": "failing", "host": "ä b"}));
    let message = form(SyslogMessage::Text)
        .message(&record, usize::MAX)
        .unwrap();
    let parsed = parse(&message.bytes);
    assert_eq!(
        parsed.header,
        ["<26>1", "-", "?\u{3f}b", "gw502", "99", "diagnosis"]
    );
}

#[test]
fn what_is_no_json_has_no_element_and_is_all_there() {
    let record = Record {
        kind: Kind::Failure,
        json: Bytes::from_static(b"{\"id"),
    };
    let message = form(SyslogMessage::Text)
        .message(&record, usize::MAX)
        .unwrap();
    let text = String::from_utf8(message.bytes).unwrap();
    assert_eq!(
        text,
        "<27>1 - - gw502 99 failure - unreadable record: {\"id"
    );
}

#[test]
fn a_long_message_is_cut_between_characters_and_says_so() {
    let mut json = failure();
    json["upstream"] = json!({"path": "/ä".repeat(40), "name": "ö".repeat(3000)});
    let record = record(Kind::Failure, &json);
    let form = form(SyslogMessage::Json);
    let whole = parse(&form.message(&record, usize::MAX).unwrap().bytes);
    // Room for all fields, and then not even for those.
    for (limit, fields) in [(8000, whole.values.len()), (480, 6), (481, 6)] {
        let message = form.message(&record, limit).unwrap();
        assert!(message.cut);
        assert!(message.bytes.len() <= limit);
        let mut parsed = parse(&message.bytes);
        let lost: usize = parsed.values.remove(CUT).unwrap().parse().unwrap();
        assert_eq!(parsed.text.len() + lost, record.json.len(), "at {limit}");
        assert!(record.json.starts_with(&parsed.text));
        assert_eq!(parsed.values.len(), fields, "{:?}", parsed.values);
        for (name, value) in parsed.values {
            assert_eq!(Some(&value), whole.values.get(&name));
        }
    }
}

proptest! {
    /// Whatever a field holds comes back from a parser, control characters as they are written.
    #[test]
    fn any_value_comes_back(
        comm in any::<String>(), path in any::<String>(), name in any::<String>(),
        json_message in any::<bool>(),
    ) {
        let json = json!({
            "id": "01", "class": "refused", "cause": "no-listener", "host": &name,
            "upstream": {"path": &path, "name": &name}, "proxy": {"pid": 1, "comm": &comm},
        });
        let record = record(Kind::Failure, &json);
        let sort = if json_message { SyslogMessage::Json } else { SyslogMessage::Text };
        let message = form(sort).message(&record, usize::MAX).unwrap();
        let parsed = parse(&message.bytes);
        prop_assert!(!message.bytes.iter().any(u8::is_ascii_control));
        prop_assert_eq!(parsed.element.as_deref(), Some(SD_ID));
        let get = |name: &str| parsed.values.get(name).cloned();
        prop_assert_eq!(get("proxy"), Some(escaped(&comm).into_owned()));
        prop_assert_eq!(get("upstream"), Some(escaped(&format!("unix:{path}")).into_owned()));
        prop_assert_eq!(get("upstream_name"), Some(escaped(&name).into_owned()));
        if json_message {
            prop_assert_eq!(parsed.text, record.json.to_vec());
        }
    }

    /// Whatever the limit, it is kept, and the id is there.
    #[test]
    fn a_limit_is_kept(name in any::<String>(), summary in any::<String>(), limit in 480_usize..2000) {
        let json = json!({
            "id": "01JDABCDEF", "host": &name, "state": "failing", "summary": summary.repeat(20),
            "upstream": {"address": "::1", "port": 1, "name": &name},
        });
        let record = record(Kind::Diagnosis, &json);
        let message = form(SyslogMessage::Text).message(&record, limit).unwrap();
        prop_assert!(message.bytes.len() <= limit);
        let parsed = parse(&message.bytes);
        prop_assert_eq!(parsed.values.get("id").map(String::as_str), Some("01JDABCDEF"));
        prop_assert_eq!(parsed.values.contains_key(CUT), message.cut);
    }
}
