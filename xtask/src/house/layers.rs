//! The layer rule: the pure core knows no files, sockets, clocks, processes and no runtime.
//!
//! What decides from events must decide the same from a recording, years later, elsewhere. The
//! check reads paths out of the source, in `use` trees and in code alike; tests at the end of a
//! file (`#[cfg(test)]`) may do as they like.

use super::Breach;

const SOURCES: &str = "gw502-userspace/src/";

/// Modules of the pure core, as a file or a folder.
const PURE: &[&str] = &[
    "event",
    "classify",
    "aggregate",
    "diagnose",
    "rule",
    "render",
    "config",
    "metrics/model",
    "metrics/own",
    "metrics/page",
    "metrics/upstreams",
    "pipeline/agent/storm",
    "sink/fields",
    "sink/syslog/message",
    "intake/decode",
    "sink/otlp/answer",
    "sink/otlp/attributes",
    "sink/otlp/logs",
    "sink/otlp/metrics",
    "sink/otlp/payload",
    "sink/otlp/sentence",
    "enrich/names/address",
    "enrich/names/nginx/tokens",
];

/// What they must not name.
const FORBIDDEN: &[&[&str]] = &[
    &["tokio"],
    &["aya"],
    &["aya_log"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "net", "UdpSocket"],
    &["std", "os", "unix", "net"],
];

pub(super) fn check(file: &str, text: &str) -> Vec<Breach> {
    let Some(module) = file.strip_prefix(SOURCES) else {
        return Vec::new();
    };
    if module.ends_with("/tests.rs") {
        return Vec::new();
    }
    let inside = |pure: &&&str| {
        module
            .strip_prefix(**pure)
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    let Some(pure) = PURE.iter().find(inside) else {
        return Vec::new();
    };
    let tokens = tokens(text);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = path(&tokens, at, &mut Vec::new(), &mut paths);
    }
    paths
        .iter()
        .filter_map(|(line, path)| complaint(path).map(|what| (*line, what)))
        .map(|(line, what)| {
            let what = format!("`{pure}` is pure: {what}");
            Breach {
                file: file.to_owned(),
                line,
                what,
            }
        })
        .collect()
}

fn complaint(path: &[&str]) -> Option<String> {
    let name = path.join("::");
    if FORBIDDEN.iter().any(|bad| path.starts_with(bad)) {
        return Some(format!(
            "it must not use `{name}`; take the value as an argument"
        ));
    }
    // `use std::time;` would hide `time::Instant` from us.
    let whole = path
        .strip_suffix(&["*"])
        .or_else(|| path.strip_suffix(&["self"]))
        .unwrap_or(path);
    let hides = |bad: &&[&str]| bad.len() > whole.len() && bad.starts_with(whole);
    (!whole.is_empty() && path.first() == Some(&"std") && FORBIDDEN.iter().any(hides)).then(|| {
        format!(
            "name what you use of `{}`, not the module",
            whole.join("::")
        )
    })
}

type Token<'a> = (usize, &'a str);

/// Reads one path or use tree from `at` on, and returns where to go on.
fn path<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    paths: &mut Vec<(usize, Vec<&'a str>)>,
) -> usize {
    let depth = prefix.len();
    let Some((line, _)) = tokens.get(at).copied() else {
        return at;
    };
    let mut group = false;
    while let Some((_, token)) = tokens.get(at).copied() {
        at += 1;
        if token == "{" && !prefix.is_empty() {
            group = true;
            while let Some((_, next)) = tokens.get(at).copied() {
                match next {
                    "}" => {
                        at += 1;
                        break;
                    }
                    "," => at += 1,
                    _ => at = path(tokens, at, prefix, paths),
                }
            }
            break;
        }
        prefix.push(token);
        if tokens.get(at).is_some_and(|(_, next)| *next == "::") {
            at += 1;
        } else {
            break;
        }
    }
    if !group {
        paths.push((line, prefix.clone()));
    }
    prefix.truncate(depth);
    at
}

/// Words, `::` and single signs with their lines; no comments, no strings, no tests.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut quoted = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let word = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let size = match first {
                // An escape is of no interest, but its quote does not end the string.
                '\\' => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
                '"' => {
                    quoted = !quoted;
                    1
                }
                _ if quoted => first.len_utf8(),
                '/' if rest.starts_with("//") => break,
                '\'' if rest.starts_with("'\"'") => 3,
                ':' if rest.starts_with("::") => 2,
                _ if word > 0 => word,
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(size);
            if !quoted && first != '"' && first != '\\' && !first.is_whitespace() {
                tokens.push((index + 1, token));
            }
            rest = after;
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let file = "gw502-userspace/src/classify/rules.rs";
        check(file, text)
            .into_iter()
            .map(|breach| breach.line)
            .collect()
    }

    #[test]
    fn values_are_welcome() {
        let text = "use std::net::{IpAddr, SocketAddr};\nuse std::time::Duration;\n\
                    use crate::event::Failure;\nfn a(x: std::net::IpAddr) {}\n";
        assert_eq!(lines(text), [0; 0]);
    }

    #[test]
    fn the_world_is_not() {
        let text = "use tokio::sync::mpsc;\nuse aya::maps::RingBuf;\nuse std::{fmt, fs};\n\
                    fn a() { std::process::abort() }\nuse std::time::{Duration, Instant};\n\
                    use std::net::{\n    IpAddr,\n    TcpStream,\n};\n";
        assert_eq!(lines(text), [1, 2, 3, 4, 5, 8]);
    }

    #[test]
    fn a_module_that_would_hide_the_world_is_not_welcome_either() {
        let text = "use std::time;\nuse std::net::*;\nuse std::time::{self, Duration};\n";
        assert_eq!(lines(text), [1, 2, 3]);
    }

    #[test]
    fn comments_strings_and_tests_are_left_alone() {
        let text = "//! std::fs\nlet a = \"std::fs \\\" std::process\"; // tokio::spawn\n\
                    let b = '\"'; let c = b'\"';\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(lines(text), [0; 0]);
    }

    #[test]
    fn only_the_pure_modules_are_bound() {
        let text = "use std::fs;\n";
        assert_eq!(check("gw502-userspace/src/intake/ring.rs", text), []);
        assert_eq!(check("gw502-userspace/src/events_log.rs", text), []);
        assert_eq!(check("gw502-userspace/src/intake/decode.rs", text).len(), 1);
        assert_eq!(check("gw502-userspace/src/render/text.rs", text).len(), 1);
    }
}
