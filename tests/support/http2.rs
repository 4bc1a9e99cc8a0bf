//! As much of an HTTP/2 client as it takes to ask and to change one's mind (RFC 9113).

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use crate::tolerate;

/// Section 3.4; an empty SETTINGS frame belongs to it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const CANCEL: u32 = 8;

/// A connection that has one request at a time, and answers nobody reads.
#[derive(Debug)]
pub struct Http2 {
    stream: TcpStream,
    /// The request's stream: 1, 3, 5, ….
    id: u32,
}

impl Http2 {
    /// Connects from the network namespace of the calling thread.
    #[must_use]
    #[track_caller]
    pub fn open(target: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(target).expect("the proxy listens");
        // Every frame at once.
        tolerate(stream.set_nodelay(true));
        stream.write_all(PREFACE).expect("the proxy is there");
        Self {
            stream,
            id: u32::MAX,
        }
    }

    /// Sends `GET path`, of less than 127 bytes.
    #[track_caller]
    pub fn ask(&mut self, path: &str) {
        self.id = self.id.wrapping_add(2);
        let length = u8::try_from(path.len()).expect("a short path");
        // RFC 7541, appendix A: `:method: GET`, `:scheme: http`; `:authority` and `:path` by index
        // with values of their own.
        let fields = [b"\x82\x86\x01\x05bench\x04", &[length][..], path.as_bytes()].concat();
        self.frame(HEADERS, END_STREAM | END_HEADERS, &fields);
    }

    /// Takes the last request back: to TCP a few more bytes.
    #[track_caller]
    pub fn cancel(&mut self) {
        self.frame(RST_STREAM, 0, &CANCEL.to_be_bytes());
    }

    #[track_caller]
    fn frame(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len())
            .expect("a small frame")
            .to_be_bytes();
        let [_, length @ ..] = length;
        let head = [&length[..], &[kind, flags], &self.id.to_be_bytes()].concat();
        self.stream
            .write_all(&[&head[..], payload].concat())
            .expect("the proxy is there");
    }
}
