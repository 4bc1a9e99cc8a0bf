//! HAProxy's configuration: `server` lines of `backend` and `listen` sections.

use super::files::Files;
use super::{Found, address, process};
use crate::event::Upstream;
use crate::kernel::root::KernelRoot;

/// Where distributions have it, and their units name it.
const USUAL: &str = "/etc/haproxy/haproxy.cfg";

/// Reads the configuration of the HAProxy `pid`: its workers keep the arguments.
pub(super) fn read(root: &KernelRoot, pid: u32, found: &mut Found) {
    let Some(mut files) = Files::of(root, pid) else {
        return;
    };
    let directory = process::directory(root, pid);
    for path in paths(&process::arguments(root, pid), &directory) {
        match files.read(&path) {
            Some(text) => parse(&text, found),
            // A directory: its files in the order of their names.
            None => {
                for path in files.matching(&format!("{path}/*.cfg")) {
                    if let Some(text) = files.read(&path) {
                        parse(&text, found);
                    }
                }
            }
        }
    }
}

/// The files and directories that it was started with.
fn paths(arguments: &[String], directory: &str) -> Vec<String> {
    let mut directory = directory.to_owned();
    let mut paths = Vec::new();
    let mut words = arguments.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-f" => paths.extend(words.next().cloned()),
            "-C" => directory = words.next().cloned().unwrap_or(directory),
            "--" => paths.extend(words.by_ref().cloned()),
            _ => {}
        }
    }
    if paths.is_empty() {
        paths.push(USUAL.to_owned());
    }
    paths
        .into_iter()
        .map(|path| match path.strip_prefix('/') {
            Some(_) => path,
            None => format!("{}/{path}", directory.trim_end_matches('/')),
        })
        .collect()
}

/// Reads a configuration, line by line.
fn parse(text: &str, found: &mut Found) {
    const SECTIONS: [&str; 20] = [
        "acme",
        "backend",
        "cache",
        "crt-store",
        "defaults",
        "fcgi-app",
        "frontend",
        "global",
        "http-errors",
        "listen",
        "log-forward",
        "log-profile",
        "mailers",
        "peers",
        "program",
        "resolvers",
        "ring",
        "traces",
        "userlist",
        "namespace_list",
    ];
    let mut backend = None;
    for line in text.lines() {
        let words = words(line);
        match words.as_slice() {
            [section, name, ..] if section == "backend" || section == "listen" => {
                backend = Some(name.clone());
            }
            [section, ..] if SECTIONS.contains(&section.as_str()) => backend = None,
            [server, name, at, ..] if server == "server" => {
                let Some(backend) = &backend else { continue };
                for upstream in addresses(at) {
                    found.name(upstream, &format!("{backend}/{name}"));
                }
            }
            _ => {}
        }
    }
}

/// The words of a line; a comment ends it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(rest.next()),
            ('#', None) => break,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The address of a `server` line. Variables, host names, ports that follow the client's and other
/// kinds of sockets are none.
fn addresses(text: &str) -> Vec<Upstream> {
    if text.contains('$') {
        return Vec::new();
    }
    let (family, rest) = text.split_once('@').unwrap_or(("", text));
    match family {
        "unix" => vec![Upstream::Unix {
            path: rest.to_owned(),
        }],
        "" if rest.starts_with('/') => vec![Upstream::Unix {
            path: rest.to_owned(),
        }],
        "" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" => tcp(rest),
        _ => Vec::new(),
    }
}

/// `ADDRESS:PORT`, where the last colon comes before the port, also without brackets.
fn tcp(text: &str) -> Vec<Upstream> {
    match text.rsplit_once(':') {
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => {
            address::tcp(&format!("[{host}]:{port}"), None)
        }
        _ => address::tcp(text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::super::Names;
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let mut found = Found::default();
        parse(text, &mut found);
        let Names { by_upstream } = found.into();
        by_upstream
            .iter()
            .map(|(upstream, name)| format!("{upstream} {name}"))
            .collect()
    }

    #[test]
    fn servers_go_by_their_backends_and_their_own_name() {
        let text = "
global
    log /dev/log local0
defaults
    mode http
    default-server check inter 2s
frontend www
    bind :80
    default_backend api
backend api from http
    balance roundrobin
    server web1 10.2.0.7:8080 check weight 10   # the old one
    server web2 ipv4@10.2.0.8:8080 backup
    server \"web 3\" 2001:db8::1:8080
    server web4 [2001:db8::2]:8080
    server sock unix@/run/api.sock
    server plain /run/plain.sock send-proxy-v2
    server here localhost:3000
    server name api.internal:8080
    server same 10.2.0.9
    server env ${HOST}:80
    server abstract abns@name
    server-template t 3 _http._tcp.example:80
peers mine
    server edge1 10.9.9.9:1024
listen stats
    bind :9000
    server only 10.3.0.1:443 ssl verify none
";
        assert_eq!(
            named(text),
            [
                "10.2.0.7:8080 api/web1",
                "10.2.0.8:8080 api/web2",
                "10.3.0.1:443 stats/only",
                "127.0.0.1:3000 api/here",
                "[::1]:3000 api/here",
                "[2001:db8::1]:8080 api/web 3",
                "[2001:db8::2]:8080 api/web4",
                "unix:/run/api.sock api/sock",
                "unix:/run/plain.sock api/plain",
            ]
        );
    }

    #[test]
    fn files_are_those_it_was_started_with() {
        let of = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            paths(&words, "/srv/")
        };
        assert_eq!(
            of(&[
                "haproxy",
                "-Ws",
                "-f",
                "/etc/a.cfg",
                "-f",
                "conf.d",
                "-p",
                "x"
            ]),
            ["/etc/a.cfg", "/srv/conf.d"]
        );
        assert_eq!(
            of(&["haproxy", "-C", "/etc", "-D", "--", "a", "/b"]),
            ["/etc/a", "/b"]
        );
        assert_eq!(of(&["haproxy"]), [USUAL]);
    }

    proptest! {
        #[test]
        fn nothing_written_panics(text in "(backend|listen|server|peers|unix@|[ a\\\\'\"#$@\\[\\]:/0-9.\n]){0,60}") {
            named(&text);
        }

        #[test]
        fn nothing_at_all_panics(text in "\\PC{0,200}") {
            named(&text);
        }
    }
}
