//! For tests: the other end of a socket, which takes what comes and can go away.

use std::fs;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::conformance::Receiver;

/// Between two looks at what has come.
const LOOK: Duration = Duration::from_millis(1);

#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Streams(PathBuf),
    Datagrams(PathBuf),
}

enum Socket {
    Tcp(TcpListener, Vec<(TcpStream, Vec<u8>)>),
    Udp(UdpSocket),
    Streams(UnixListener, Vec<(UnixStream, Vec<u8>)>),
    Datagrams(UnixDatagram),
}

/// What has come, and where from.
#[derive(Default)]
struct State {
    socket: Option<Socket>,
    ids: Vec<String>,
}

/// A receiver on this host.
pub(crate) struct FarEnd {
    place: Place,
    state: Arc<Mutex<State>>,
}

impl FarEnd {
    pub(crate) fn tcp() -> Self {
        let any = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::at(
            Place::Tcp(any.local_addr().unwrap()),
            Socket::Tcp(any, Vec::new()),
        )
    }

    pub(crate) fn udp() -> Self {
        let any = UdpSocket::bind("127.0.0.1:0").unwrap();
        Self::at(Place::Udp(any.local_addr().unwrap()), Socket::Udp(any))
    }

    pub(crate) fn streams(name: &str) -> Self {
        let place = Place::Streams(path(name));
        let socket = place.bind();
        Self::at(place, socket)
    }

    pub(crate) fn datagrams(name: &str) -> Self {
        let place = Place::Datagrams(path(name));
        let socket = place.bind();
        Self::at(place, socket)
    }

    fn at(place: Place, socket: Socket) -> Self {
        socket.do_not_block();
        let state = State {
            socket: Some(socket),
            ids: Vec::new(),
        };
        Self {
            place,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// From now on it takes what comes, whenever the sink waits: both are of one thread, and what
    /// happens does not depend on how busy the machine is.
    pub(crate) fn start(&self) {
        let state = Arc::clone(&self.state);
        drop(tokio::spawn(async move {
            loop {
                state.lock().unwrap().take_all();
                tokio::time::sleep(LOOK).await;
            }
        }));
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Tcp(address) | Place::Udp(address) => address.to_string(),
            other => panic!("{other:?} has a path"),
        }
    }

    /// The socket file.
    pub(crate) fn path(&self) -> &Path {
        match &self.place {
            Place::Streams(path) | Place::Datagrams(path) => path,
            other => panic!("{other:?} has no path"),
        }
    }
}

impl Receiver for FarEnd {
    fn arrived(&mut self) -> Vec<String> {
        let mut state = self.state.lock().unwrap();
        state.take_all();
        state.ids.clone()
    }

    fn fail(&mut self) {
        self.state.lock().unwrap().socket = None;
    }

    fn recover(&mut self) {
        let socket = self.place.bind();
        socket.do_not_block();
        self.state.lock().unwrap().socket = Some(socket);
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        if let Place::Streams(path) | Place::Datagrams(path) = &self.place {
            fs::remove_file(path).unwrap();
        }
    }
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("gw502-far-end-{}-{name}", std::process::id()))
}

impl Place {
    /// As a receiver that starts anew: in place of the socket file that the old one left.
    fn bind(&self) -> Socket {
        if let Self::Streams(path) | Self::Datagrams(path) = self
            && path.exists()
        {
            fs::remove_file(path).unwrap();
        }
        match self {
            Self::Tcp(address) => Socket::Tcp(TcpListener::bind(address).unwrap(), Vec::new()),
            Self::Udp(address) => Socket::Udp(UdpSocket::bind(address).unwrap()),
            Self::Streams(path) => Socket::Streams(UnixListener::bind(path).unwrap(), Vec::new()),
            Self::Datagrams(path) => Socket::Datagrams(UnixDatagram::bind(path).unwrap()),
        }
    }
}

impl Socket {
    fn do_not_block(&self) {
        match self {
            Self::Tcp(socket, _) => socket.set_nonblocking(true),
            Self::Udp(socket) => socket.set_nonblocking(true),
            Self::Streams(socket, _) => socket.set_nonblocking(true),
            Self::Datagrams(socket) => socket.set_nonblocking(true),
        }
        .unwrap();
    }
}

impl State {
    fn take_all(&mut self) {
        let ids = &mut self.ids;
        let mut one = vec![0; 65_536];
        match &mut self.socket {
            None => {}
            Some(Socket::Udp(socket)) => {
                while let Some(size) = unless_empty(socket.recv(&mut one)) {
                    ids.extend(id(&one[..size]));
                }
            }
            Some(Socket::Datagrams(socket)) => {
                while let Some(size) = unless_empty(socket.recv(&mut one)) {
                    ids.extend(id(&one[..size]));
                }
            }
            Some(Socket::Tcp(listener, open)) => {
                while let Some((stream, _)) = unless_empty(listener.accept()) {
                    stream.set_nonblocking(true).unwrap();
                    open.push((stream, Vec::new()));
                }
                for (stream, bytes) in open {
                    take(stream.read_to_end(bytes));
                    while let Some(message) = counted(bytes) {
                        ids.extend(id(&message));
                    }
                }
            }
            Some(Socket::Streams(listener, open)) => {
                while let Some((stream, _)) = unless_empty(listener.accept()) {
                    stream.set_nonblocking(true).unwrap();
                    open.push((stream, Vec::new()));
                }
                for (stream, bytes) in open {
                    take(stream.read_to_end(bytes));
                    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<_> = bytes.drain(..=end).collect();
                        ids.extend(id(&line));
                    }
                }
            }
        }
    }
}

/// What was read before there was no more is in the buffer all the same.
fn take(read: io::Result<usize>) {
    match read {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
    }
}

fn unless_empty<T>(taken: io::Result<T>) -> Option<T> {
    match taken {
        Ok(one) => Some(one),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// Takes a message with its length before it out of the front.
fn counted(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length = std::str::from_utf8(&bytes[..space]).expect("digits");
    let length: usize = length.parse().expect("a length before each message");
    let end = space + 1 + length;
    if bytes.len() < end {
        return None;
    }
    let message: Vec<_> = bytes.drain(..end).collect();
    Some(message[space + 1..].to_vec())
}

/// The value of `id="…"` in syslog, of `GW502_ID=…` in the journal.
fn id(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let (_, after) = text
        .split_once("id=\"")
        .or_else(|| text.split_once("GW502_ID="))?;
    let end = after.find(['"', '\n'])?;
    let (id, _) = after.split_at(end);
    Some(id.to_owned())
}
