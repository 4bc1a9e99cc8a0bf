//! nginx's configuration: `upstream` blocks, and `…_pass` to literal addresses.

mod tokens;

use self::tokens::{Token, Tokens};
use super::files::Files;
use super::{Found, address, process};
use crate::event::Upstream;
use crate::kernel::root::KernelRoot;

/// Where distributions and nginx's own build have it.
const USUAL: [&str; 4] = [
    "/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/usr/local/openresty/nginx/conf/nginx.conf",
    "/opt/nginx/conf/nginx.conf",
];
/// Files that include files that include files.
const DEPTH: usize = 8;

/// Reads the configuration of the nginx that `pid` is a process of.
pub(super) fn read(root: &KernelRoot, pid: u32, found: &mut Found) {
    // A worker's title says nothing of the arguments; its master's has them all.
    let parent =
        process::parent(root, pid).filter(|parent| process::comm(root, *parent) == "nginx");
    let options = Options::of(&process::arguments(root, parent.unwrap_or(pid)));
    let Some(mut files) = Files::of(root, pid) else {
        return;
    };
    let file = options.candidates().into_iter().find_map(|path| {
        let text = files.read(&path)?;
        Some((path, text))
    });
    if let Some((path, text)) = file {
        let mut include = |pattern: &str| {
            let pattern = below(directory(&path), pattern);
            files
                .matching(&pattern)
                .iter()
                .filter_map(|path| files.read(path))
                .collect()
        };
        parse(&text, found, &mut include);
    }
}

/// What nginx was started with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    file: Option<String>,
    prefix: Option<String>,
}

impl Options {
    /// From its arguments, or from the title that it has written over them.
    fn of(arguments: &[String]) -> Self {
        let title = arguments
            .first()
            .and_then(|title| title.strip_prefix("nginx: master process "));
        let words: Vec<String> = match title {
            Some(words) => words.split(' ').map(str::to_owned).collect(),
            None => arguments.to_vec(),
        };
        let mut options = Self::default();
        let mut words = words.into_iter().skip(1);
        while let Some(word) = words.next() {
            let mut value = |inline: &str| match inline {
                "" => words.next(),
                inline => Some(inline.to_owned()),
            };
            if let Some(inline) = word.strip_prefix("-c") {
                options.file = value(inline);
            } else if let Some(inline) = word.strip_prefix("-p") {
                options.prefix = value(inline);
            } else if let Some(inline) = word.strip_prefix("-g").or(word.strip_prefix("-e")) {
                value(inline);
            }
        }
        options
    }

    /// Where the file may be, the likeliest first.
    fn candidates(&self) -> Vec<String> {
        match (&self.file, &self.prefix) {
            (Some(file), _) if file.starts_with('/') => vec![file.clone()],
            (Some(file), Some(prefix)) => vec![below(prefix, file)],
            // Relative to a prefix that is compiled in: nothing says which.
            (Some(_), None) => Vec::new(),
            (None, Some(prefix)) => {
                let own = below(prefix, "conf/nginx.conf");
                [own].into_iter().chain(USUAL.map(str::to_owned)).collect()
            }
            (None, None) => USUAL.map(str::to_owned).to_vec(),
        }
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn below(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", directory.trim_end_matches('/'))
}

/// Reads a configuration. `include` gives the texts of the files that a pattern means.
fn parse(text: &str, found: &mut Found, include: &mut dyn FnMut(&str) -> Vec<String>) {
    let mut blocks = Vec::new();
    read_into(text, &mut blocks, found, include, DEPTH);
    // A file that ends too soon: what was read counts.
    while let Some(block) = blocks.pop() {
        block.close(found);
    }
}

/// A block that is open.
enum Block {
    Upstream(String),
    Server {
        name: Option<String>,
        passes_to: Vec<Upstream>,
    },
    Other,
}

impl Block {
    fn open(words: &[String]) -> Self {
        match words {
            [kind, name] if kind == "upstream" => Self::Upstream(name.clone()),
            [kind] if kind == "server" => Self::Server {
                name: None,
                passes_to: Vec::new(),
            },
            _ => Self::Other,
        }
    }

    fn close(self, found: &mut Found) {
        if let Self::Server {
            name: Some(name),
            passes_to,
        } = self
        {
            for upstream in passes_to {
                found.site(upstream, &name);
            }
        }
    }
}

fn read_into(
    text: &str,
    blocks: &mut Vec<Block>,
    found: &mut Found,
    include: &mut dyn FnMut(&str) -> Vec<String>,
    depth: usize,
) {
    let outside = blocks.len();
    let mut tokens = Tokens::of(text);
    let mut words: Vec<String> = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => words.push(word),
            Token::Open => {
                if words
                    .first()
                    .is_some_and(|word| word.ends_with("_by_lua_block"))
                {
                    tokens.skip_block();
                } else {
                    blocks.push(Block::open(&words));
                }
                words.clear();
            }
            Token::Close => {
                // A file cannot close what the one that includes it has opened.
                if blocks.len() > outside
                    && let Some(block) = blocks.pop()
                {
                    block.close(found);
                }
                words.clear();
            }
            Token::End => {
                match words.as_slice() {
                    [name, pattern] if name == "include" && depth > 0 => {
                        for text in include(pattern) {
                            read_into(&text, blocks, found, include, depth - 1);
                        }
                    }
                    words => directive(words, blocks, found),
                }
                words.clear();
            }
        }
    }
    while blocks.len() > outside
        && let Some(block) = blocks.pop()
    {
        block.close(found);
    }
}

fn directive(words: &[String], blocks: &mut [Block], found: &mut Found) {
    let [name, value, ..] = words else {
        return;
    };
    if let Some(Block::Upstream(upstream)) = blocks.last() {
        if name == "server" {
            for address in addresses(value, Some(80)) {
                found.name(address, upstream);
            }
        }
        return;
    }
    let server = blocks.iter_mut().rev().find_map(|block| match block {
        Block::Server { name, passes_to } => Some((name, passes_to)),
        _ => None,
    });
    let Some((server_name, passes_to)) = server else {
        return;
    };
    match name.as_str() {
        // `_` and the like are no names of anything.
        "server_name" if value.contains('.') || value.chars().all(char::is_alphanumeric) => {
            server_name.get_or_insert_with(|| value.clone());
        }
        "proxy_pass" | "fastcgi_pass" | "uwsgi_pass" | "scgi_pass" | "grpc_pass"
        | "memcached_pass" => passes_to.extend(passed_to(value)),
        _ => {}
    }
}

/// The address that a `…_pass` names, if it is a literal one.
fn passed_to(value: &str) -> Vec<Upstream> {
    let (default_port, rest) = match value.split_once("://") {
        Some(("http" | "grpc", rest)) => (Some(80), rest),
        Some(("https" | "grpcs", rest)) => (Some(443), rest),
        Some(("uwsgi" | "suwsgi" | "scgi", rest)) => (None, rest),
        Some(_) => return Vec::new(),
        None => (None, value),
    };
    if rest.starts_with("unix:") {
        return addresses(rest, None);
    }
    let host = rest.split('/').next().unwrap_or_default();
    addresses(host, default_port)
}

/// An address of a `server` line or behind a scheme. What has a variable in it is none.
fn addresses(text: &str, default_port: Option<u16>) -> Vec<Upstream> {
    if text.contains('$') {
        return Vec::new();
    }
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.split(':').next().unwrap_or_default();
        let path = path.to_owned();
        return if path.is_empty() {
            Vec::new()
        } else {
            vec![Upstream::Unix { path }]
        };
    }
    address::tcp(text, default_port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::super::Names;
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let mut found = Found::default();
        parse(text, &mut found, &mut |_| Vec::new());
        let Names { by_upstream } = found.into();
        by_upstream
            .iter()
            .map(|(upstream, name)| format!("{upstream} {name}"))
            .collect()
    }

    #[test]
    fn upstream_blocks_name_their_servers() {
        let text = r#"
            user www-data;   # a comment; with { signs }
            http {
                log_format x '$remote_addr "$request" {';
                map $http_upgrade $connection { default upgrade; '' close; }
                upstream api {
                    least_conn;
                    server 10.2.0.7:8080 weight=3 max_fails=2;
                    server "10.2.0.8";
                    server [2001:db8::1]:8080 backup;
                    server unix:/run/api.sock;
                    server api.internal:8080 resolve;
                    keepalive 16;
                }
                upstream php_backend { server unix:/run/php/fpm.sock:; server 127.0.0.1:9000; }
                server { listen 80; location / { proxy_pass http://api/v1/; } }
            }"#;
        assert_eq!(
            named(text),
            [
                "10.2.0.7:8080 api",
                "10.2.0.8:80 api",
                "127.0.0.1:9000 php_backend",
                "[2001:db8::1]:8080 api",
                "unix:/run/api.sock api",
                "unix:/run/php/fpm.sock php_backend",
            ]
        );
    }

    #[test]
    fn a_literal_address_goes_by_the_name_of_its_server() {
        let text = r"
            server {
                location / { proxy_pass http://127.0.0.1:3000; }
                location /tls { proxy_pass https://10.0.0.9/x; }
                location ~ \.php$ { fastcgi_pass unix:/run/php.sock; }
                location /u { uwsgi_pass uwsgi://10.0.0.5:3031; }
                location /g { grpc_pass grpc://[::1]:50051; }
                location /s { proxy_pass http://unix:/run/s.sock:/uri; }
                location /v { proxy_pass http://${backend}:80; proxy_pass http://$b; }
                server_name shop.example www.shop.example;
            }
            server { server_name _; location / { proxy_pass http://127.0.0.1:3001; } }";
        assert_eq!(
            named(text),
            [
                "10.0.0.5:3031 shop.example",
                "10.0.0.9:443 shop.example",
                "127.0.0.1:3000 shop.example",
                "[::1]:50051 shop.example",
                "unix:/run/php.sock shop.example",
                "unix:/run/s.sock shop.example",
            ]
        );
    }

    #[test]
    fn an_upstreams_name_goes_before_a_servers_and_several_are_all_said() {
        let text = "upstream a { server 1.1.1.1:1; } upstream b { server 1.1.1.1:1; }
            server { server_name x.example; proxy_pass http://1.1.1.1:1; }";
        assert_eq!(named(text), ["1.1.1.1:1 a, b"]);
        let many =
            "upstream e { server 1.1.1.1:1; } upstream d { server 1.1.1.1:1; } ".to_owned() + text;
        assert_eq!(named(&many), ["1.1.1.1:1 a, b, d, …"]);
    }

    #[test]
    fn lua_and_damage_are_survived() {
        let text = "content_by_lua_block { if a then b = { 1 } end; upstream = '}' }
            upstream api { server 10.0.0.1:1; ";
        assert_eq!(
            named("upstream api { server 10.0.0.1:1;"),
            ["10.0.0.1:1 api"]
        );
        named(text);
        assert_eq!(
            named("} } ; upstream a { server 1.1.1.1:1; }"),
            ["1.1.1.1:1 a"]
        );
    }

    #[test]
    fn included_files_are_read_in_their_place() {
        let mut found = Found::default();
        let mut asked = Vec::new();
        parse(
            "upstream api { include servers/*.conf; } include loop.conf;",
            &mut found,
            &mut |pattern| {
                asked.push(pattern.to_owned());
                match pattern {
                    "servers/*.conf" => {
                        vec!["server 10.0.0.1:1;".into(), "} server 10.0.0.2:2;".into()]
                    }
                    _ => vec!["include loop.conf; include loop.conf;".into()],
                }
            },
        );
        let Names { by_upstream } = found.into();
        assert_eq!(by_upstream.len(), 2);
        assert!(asked.len() <= 1 << (DEPTH + 1), "{}", asked.len());
    }

    #[test]
    fn options_are_read_from_a_title_and_from_arguments() {
        let of = |arguments: &[&str]| {
            Options::of(
                &arguments
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let title = "nginx: master process /usr/sbin/nginx -g daemon on; -c /srv/n.conf -p /srv";
        assert_eq!(of(&[title]).candidates(), ["/srv/n.conf"]);
        assert_eq!(
            of(&["nginx", "-c/srv/n.conf"]).candidates(),
            ["/srv/n.conf"]
        );
        assert_eq!(
            of(&["nginx", "-p", "/srv/", "-c", "n.conf"]).candidates(),
            ["/srv/n.conf"]
        );
        assert_eq!(
            of(&["nginx", "-p", "/srv"]).candidates()[0],
            "/srv/conf/nginx.conf"
        );
        assert_eq!(of(&["nginx: worker process"]).candidates()[0], USUAL[0]);
    }

    proptest! {
        #[test]
        fn nothing_written_panics(text in "(upstream|server|proxy_pass|include|unix:|http://|[ a\\\\{};'\"#$\\[\\]:/0-9.\n]){0,60}") {
            named(&text);
        }

        #[test]
        fn nothing_at_all_panics(text in "\\PC{0,200}") {
            named(&text);
        }
    }
}
