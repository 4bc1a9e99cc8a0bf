//! The page over a socket.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::super::model::{Family, Point, Type, Value};
use super::*;

fn start() -> (Server, watch::Sender<Shown>) {
    let (show, shown) = watch::channel(Shown::nothing());
    let server = Server::start("127.0.0.1:0".parse().unwrap(), shown).unwrap();
    (server, show)
}

fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(server: &Server, path: &str, headers: &str) -> String {
    ask(
        server,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"),
    )
}

#[test]
fn metrics_are_those_shown_last_in_the_format_asked_for() {
    let (server, show) = start();
    assert!(get(&server, "/metrics", "").starts_with("HTTP/1.1 200 OK\r\n"));
    let family = Family {
        name: "gw502_x",
        help: "X",
        kind: Type::Counter,
        unit: None,
        points: vec![Point {
            labels: [("a", "b".to_owned())].into(),
            value: Value::Count(3),
        }],
    };
    show.send_replace(Shown {
        measures: Arc::new(Measures {
            families: vec![family],
        }),
        ..Shown::nothing()
    });
    let plain = get(&server, "/metrics", "");
    assert!(plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(
        plain.ends_with("# TYPE gw502_x_total counter\ngw502_x_total{a=\"b\"} 3\n"),
        "{plain}"
    );
    let open = get(
        &server,
        "/metrics",
        "Accept: application/openmetrics-text\r\n",
    );
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(open.ends_with("# EOF\n"));
}

#[test]
fn health_is_red_with_the_reasons() {
    let (server, show) = start();
    let fine = get(&server, "/health", "");
    assert!(fine.starts_with("HTTP/1.1 200 "), "{fine}");
    assert!(fine.ends_with("{\"status\":\"ok\"}\n"), "{fine}");
    show.send_replace(Shown {
        wrong: vec!["sink `a` is stuck".to_owned()],
        ..Shown::nothing()
    });
    let red = get(&server, "/health", "");
    assert!(red.starts_with("HTTP/1.1 503 "), "{red}");
    assert!(
        red.ends_with("{\"status\":\"failing\",\"reasons\":[\"sink `a` is stuck\"]}\n"),
        "{red}"
    );
    show.send_replace(Shown {
        at: Instant::now() - STALE - Duration::from_secs(1),
        ..Shown::nothing()
    });
    let hung = get(&server, "/health", "");
    assert!(hung.starts_with("HTTP/1.1 503 "), "{hung}");
    assert!(
        hung.contains("nothing was read from the kernel for 16 s"),
        "{hung}"
    );
}

#[test]
fn other_paths_and_methods_are_told_what_there_is() {
    let (server, _show) = start();
    assert!(get(&server, "/", "").starts_with("HTTP/1.1 404 "));
    let post = ask(
        &server,
        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"));
    assert!(ask(&server, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn readers_that_say_nothing_do_not_keep_others_out_for_long() {
    let (server, _show) = start();
    let silent: Vec<_> = (0..READERS)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    let before = Instant::now();
    assert!(get(&server, "/health", "").starts_with("HTTP/1.1 200 "));
    assert!(before.elapsed() < PATIENCE * 2);
    drop(silent);
}

#[test]
fn it_ends_when_dropped_and_an_address_in_use_is_an_error() {
    let (server, _show) = start();
    let address = server.address();
    let (_again, shown) = watch::channel(Shown::nothing());
    let error = Server::start(address, shown).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    drop(server);
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        thread::yield_now();
    }
}
