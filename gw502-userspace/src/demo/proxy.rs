//! The demo's reverse proxy: a process of its own, so that it has a name to watch.
//!
//! It takes the upstream from the first segment of the path, uses a connection for one request,
//! and answers as nginx does: 504 when its patience ends, 502 for all else that goes wrong.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::prctl;

use super::children::PROXY_NAME;
use super::http;

/// How long the proxy waits for an upstream.
#[derive(Debug, Clone, Copy)]
struct Patience {
    connect: Duration,
    response: Duration,
}

/// The kernel repeats an unanswered SYN after 1 s: long enough for one repeat. The script tells
/// people both values.
const PATIENCE: Patience = Patience {
    connect: Duration::from_millis(1600),
    response: Duration::from_secs(2),
};

/// Upstreams by the first segment of the path.
type Routes = BTreeMap<String, SocketAddr>;

/// Runs the proxy until it is killed: the hidden subcommand `demo-proxy`.
///
/// Each argument is a route, `name=address:port`. Call it on the main thread, whose name becomes
/// the name of the process. Once it listens it prints its port.
pub fn proxy_main(routes: &[String]) -> anyhow::Result<()> {
    let routes = Arc::new(
        routes
            .iter()
            .map(|route| parse_route(route))
            .collect::<Result<_, _>>()?,
    );
    prctl::set_name(PROXY_NAME).context("cannot set the name of the process")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let port = listener
        .local_addr()
        .context("cannot read our own port")?
        .port();
    writeln!(io::stdout(), "{port}").context("cannot tell our port")?;

    for client in listener.incoming() {
        let client = client.context("cannot accept a client")?;
        let routes = Arc::clone(&routes);
        // Without a name of its own the thread keeps the name of the process.
        thread::Builder::new()
            .spawn(move || {
                if let Err(error) = serve(client, &routes, PATIENCE) {
                    log::debug!("client: {error}");
                }
            })
            .context("cannot start a thread")?;
    }
    Ok(())
}

fn parse_route(route: &str) -> anyhow::Result<(String, SocketAddr)> {
    let (name, address) = route
        .split_once('=')
        .with_context(|| format!("`{route}` is not name=address:port"))?;
    let address = address
        .parse()
        .with_context(|| format!("`{address}` is not address:port"))?;
    Ok((name.to_owned(), address))
}

fn serve(mut client: TcpStream, routes: &Routes, patience: Patience) -> io::Result<()> {
    let head = http::read_head(&mut client)?;
    let upstream = http::path(&head).and_then(|path| path.split('/').nth(1));
    let Some(&address) = upstream.and_then(|name| routes.get(name)) else {
        return client.write_all(http::response(404).as_bytes());
    };
    // The upstream's connection is closed by now, whatever came of it: nginx, too, closes it before
    // it answers the client.
    let answer = forward(&head, address, patience).unwrap_or_else(|error| {
        log::debug!("upstream {address}: {error}");
        let gave_up = matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
        );
        http::response(if gave_up { 504 } else { 502 }).into_bytes()
    });
    client.write_all(&answer)
}

/// Sends the request on and reads the answer to its end.
fn forward(request: &[u8], address: SocketAddr, patience: Patience) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect_timeout(&address, patience.connect)?;
    upstream.set_read_timeout(Some(patience.response))?;
    upstream.write_all(request)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "closed before any byte of the answer",
        ));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::upstream::{self, Manner};
    use super::*;

    const HASTE: Patience = Patience {
        connect: Duration::from_secs(1),
        response: Duration::from_millis(50),
    };

    /// What [`forward`] gets from an upstream of that manner.
    fn forwarded_to(manner: Manner) -> io::Result<Vec<u8>> {
        let address = upstream::spawn(manner).expect("loopback is up");
        forward(http::request("/x").as_bytes(), address, HASTE)
    }

    fn failure_of(manner: Manner) -> io::ErrorKind {
        forwarded_to(manner).expect_err("the upstream fails").kind()
    }

    #[test]
    fn each_upstream_fails_in_its_manner() {
        assert_eq!(failure_of(Manner::Resets), io::ErrorKind::ConnectionReset);
        assert_eq!(failure_of(Manner::Closes), io::ErrorKind::UnexpectedEof);
        assert_eq!(failure_of(Manner::Stays), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_closed_port_refuses() {
        let (_keeper, address) = upstream::closed_port().expect("loopback is up");
        let error = forward(b"", address, HASTE).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_good_answer_is_passed_on() {
        let answer = forwarded_to(Manner::Answers).expect("the upstream answers");
        assert_eq!(http::status(&answer), Some(200));
    }

    #[test]
    fn routes_are_parsed_or_refused_with_their_text() {
        let route = parse_route("refused=127.0.0.1:80").expect("a route");
        assert_eq!(
            route,
            ("refused".to_owned(), (Ipv4Addr::LOCALHOST, 80).into())
        );
        assert_eq!(
            parse_route("refused").expect_err("no address").to_string(),
            "`refused` is not name=address:port"
        );
        assert_eq!(
            parse_route("refused=here")
                .expect_err("no address")
                .to_string(),
            "`here` is not address:port"
        );
    }
}
