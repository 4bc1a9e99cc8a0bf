//! Literal addresses in configurations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::event::{Endpoint, Upstream};

/// The upstreams that `HOST:PORT` or `HOST` means: none unless the host is an address or
/// `localhost`, which is both of its addresses.
pub(super) fn tcp(text: &str, default_port: Option<u16>) -> Vec<Upstream> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, default_port),
        Some((host, rest)) => (
            host,
            rest.strip_prefix(':').and_then(|port| port.parse().ok()),
        ),
        None => match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (text, default_port),
        },
    };
    let Some(port) = port else {
        return Vec::new();
    };
    hosts(host)
        .into_iter()
        .map(|address| {
            let address = address.to_canonical();
            Upstream::Tcp(Endpoint { address, port })
        })
        .collect()
}

fn hosts(host: &str) -> Vec<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    host.parse().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, port: Option<u16>) -> Vec<String> {
        tcp(text, port).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_literal_addresses_are_taken() {
        assert_eq!(shown("10.0.0.7:8080", None), ["10.0.0.7:8080"]);
        assert_eq!(shown("10.0.0.7", Some(80)), ["10.0.0.7:80"]);
        assert_eq!(shown("[2001:db8::1]:8080", None), ["[2001:db8::1]:8080"]);
        assert_eq!(shown("[::1]", Some(80)), ["[::1]:80"]);
        assert_eq!(shown("[::ffff:10.0.0.7]:1", None), ["10.0.0.7:1"]);
        assert_eq!(
            shown("localhost:3000", None),
            ["127.0.0.1:3000", "[::1]:3000"]
        );
        for none in [
            "api.internal:80",
            "10.0.0.7",
            "10.0.0.7:http",
            "[::1",
            "$host:80",
            "",
            ":80",
        ] {
            assert!(shown(none, None).is_empty(), "{none}");
        }
    }
}
