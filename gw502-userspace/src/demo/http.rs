//! The little HTTP/1.1 that client, proxy and upstreams speak: heads, one request a connection.

use std::io::{self, Read};

/// More than any head of the demo; whoever sends more is not of the demo.
const MAX_HEAD: usize = 8 * 1024;

/// Reads up to the empty line that ends a message's head.
///
/// Reads nothing beyond it as long as nothing was sent beyond it: an upstream that closes with
/// unread bytes would send a RST where the demo wants a FIN.
pub(super) fn read_head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend(chunk.iter().take(read));
        if head.len() > MAX_HEAD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the head is too long",
            ));
        }
    }
    Ok(head)
}

/// The path of a request, from its head.
pub(super) fn path(head: &[u8]) -> Option<&str> {
    str::from_utf8(head).ok()?.split(' ').nth(1)
}

/// The status of a response, from its head.
pub(super) fn status(head: &[u8]) -> Option<u16> {
    str::from_utf8(head)
        .ok()?
        .strip_prefix("HTTP/1.1 ")?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

/// A request without a body, on a connection that ends with the answer.
pub(super) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw502-demo\r\nConnection: close\r\n\r\n")
}

/// A response without a body, on a connection that ends with it.
pub(super) fn response(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        _ => "Unknown",
    };
    format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_arrives_in_pieces_is_read_whole() {
        let request = request("/refused");
        let (start, end) = request.as_bytes().split_at(10);
        let head = read_head(&mut start.chain(end)).expect("the head is complete");
        assert_eq!(head, request.as_bytes());
        assert_eq!(path(&head), Some("/refused"));
    }

    #[test]
    fn a_head_that_breaks_off_is_an_error() {
        let error = read_head(&mut &b"GET / HTTP/1.1\r\n"[..]).expect_err("no empty line");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_response_carries_its_status() {
        assert_eq!(status(response(504).as_bytes()), Some(504));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
    }
}
