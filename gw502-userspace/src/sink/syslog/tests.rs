use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::config::{SyslogAddress, SyslogMessage};
use crate::sink::conformance;
use crate::sink::far_end::FarEnd;
use crate::sink::ship::Kind;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("gw502-syslog-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn sink(address: SyslogAddress) -> (Runtime, Syslog) {
    let config = SyslogConfig {
        address,
        facility: 3,
        message: SyslogMessage::Text,
        max_datagram: SyslogConfig::DATAGRAM,
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    (runtime, Syslog::new(config).unwrap())
}

fn record(id: &str) -> Record {
    Record {
        kind: Kind::Failure,
        json: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
    }
}

fn has(message: &[u8], id: &str) -> bool {
    String::from_utf8_lossy(message).contains(&format!("id=\"{id}\""))
}

fn why(result: Result<(), DeliverError>) -> String {
    match result {
        Err(DeliverError::Later { why, after: None }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn facilities_of_clocks_and_audits_are_refused() {
    let (_, sink) = sink(SyslogAddress::Udp("127.0.0.1:1".to_owned()));
    for facility in [12, 15, 24, 255] {
        let config = SyslogConfig {
            facility,
            ..sink.config.clone()
        };
        assert_eq!(Syslog::new(config).unwrap_err(), BadFacility(facility));
    }
}

/// Over each way; the receiver fails by going away, so that the next one gets all that is new.
fn does_what_every_sink_must(address: SyslogAddress, mut end: FarEnd) {
    let (runtime, mut sink) = sink(address);
    let verdict = runtime.block_on(async {
        end.start();
        conformance::check(&mut sink, &mut end).await
    });
    verdict.unwrap();
}

#[test]
fn tcp_does_what_every_sink_must() {
    let end = FarEnd::tcp();
    does_what_every_sink_must(SyslogAddress::Tcp(end.address()), end);
}

#[test]
fn a_unix_stream_does_what_every_sink_must() {
    let end = FarEnd::streams("conformance-stream");
    does_what_every_sink_must(SyslogAddress::Unix(end.path().to_owned()), end);
}

#[test]
fn unix_datagrams_do_what_every_sink_must() {
    let end = FarEnd::datagrams("conformance-datagram");
    does_what_every_sink_must(SyslogAddress::Unix(end.path().to_owned()), end);
}

#[test]
fn udp_does_what_every_sink_must() {
    let end = FarEnd::udp();
    does_what_every_sink_must(SyslogAddress::Udp(end.address()), end);
}

#[test]
fn nobody_there_is_for_later_whatever_the_way() {
    let folder = Folder::new("nobody");
    let (runtime, mut unix) = sink(SyslogAddress::Unix(folder.socket()));
    let said = why(runtime.block_on(unix.deliver(&[record("1")])));
    assert!(said.contains("No such file"), "{said}");
    // A socket file that nobody reads any more.
    drop(UnixDatagram::bind(folder.socket()).unwrap());
    let said = why(runtime.block_on(unix.deliver(&[record("1")])));
    assert!(said.contains("refused"), "{said}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (runtime, mut tcp) = sink(SyslogAddress::Tcp(format!("127.0.0.1:{port}")));
    let said = why(runtime.block_on(tcp.deliver(&[record("1")])));
    assert!(
        said.starts_with(&format!("cannot connect to tcp:127.0.0.1:{port}: ")),
        "{said}"
    );
}

#[test]
fn tcp_counts_octets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (runtime, mut sink) = sink(SyslogAddress::Tcp(address));
    runtime
        .block_on(sink.deliver(&[record("1"), record("22")]))
        .unwrap();
    drop(sink);
    let mut text = String::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_string(&mut text)
        .unwrap();
    let mut rest = text.as_str();
    for id in ["1", "22"] {
        let (length, after) = rest.split_once(' ').unwrap();
        let (message, after) = after.split_at(length.parse().unwrap());
        assert!(
            message.starts_with("<27>1 ") && has(message.as_bytes(), id),
            "{message}"
        );
        rest = after;
    }
    assert_eq!(rest, "");
}

#[test]
fn a_closed_connection_is_noticed_before_the_next_batch_and_the_last_one_comes_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (runtime, mut sink) = sink(SyslogAddress::Tcp(address));
    runtime.block_on(sink.deliver(&[record("1")])).unwrap();
    // Closed with the message unread.
    drop(listener.accept().unwrap());
    runtime.block_on(sink.deliver(&[record("2")])).unwrap();
    drop(sink);
    let mut text = String::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_string(&mut text)
        .unwrap();
    let (first, second) = (
        text.find("id=\"1\"").unwrap(),
        text.find("id=\"2\"").unwrap(),
    );
    assert!(first < second, "{text}");
}

#[test]
fn a_unix_stream_is_delivered_once_it_is_read() {
    let folder = Folder::new("stream");
    let listener = UnixListener::bind(folder.socket()).unwrap();
    let (runtime, mut sink) = sink(SyslogAddress::Unix(folder.socket()));
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 65_536];
        let size = stream.read(&mut bytes).unwrap();
        // A receiver that talks does no harm.
        stream.write_all(b"thanks").unwrap();
        bytes.truncate(size);
        (bytes, stream)
    });
    runtime.block_on(sink.deliver(&[record("1")])).unwrap();
    let (bytes, stream) = reader.join().unwrap();
    assert!(has(&bytes, "1") && bytes.ends_with(b"\n"));
    // Gone with nothing unread, and then nobody is there.
    drop(stream);
    assert!(why(runtime.block_on(sink.deliver(&[record("2")]))).contains("refused"));
}

#[test]
fn udp_that_is_refused_comes_again() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let (runtime, mut sink) = sink(SyslogAddress::Udp(address.to_string()));
    runtime.block_on(sink.deliver(&[record("1")])).unwrap();
    drop(receiver);
    assert!(why(runtime.block_on(sink.deliver(&[record("2")]))).contains("refused"));
    let receiver = UdpSocket::bind(address).unwrap();
    runtime.block_on(sink.deliver(&[record("2")])).unwrap();
    let mut bytes = [0; 2048];
    for id in ["1", "2"] {
        let size = receiver.recv(&mut bytes).unwrap();
        assert!(has(&bytes[..size], id), "{id}");
    }
}

#[test]
fn a_datagram_that_the_socket_does_not_take_is_cut_and_counted() {
    let folder = Folder::new("datagram");
    let receiver = UnixDatagram::bind(folder.socket()).unwrap();
    let (runtime, mut sink) = sink(SyslogAddress::Unix(folder.socket()));
    let long = Record {
        kind: Kind::Diagnosis,
        json: format!("{{\"id\":\"1\",\"until\":\"{}\"}}", "x".repeat(4 << 20)).into(),
    };
    runtime
        .block_on(sink.deliver(&[long, record("2")]))
        .unwrap();
    assert_eq!(sink.cut().load(Ordering::Relaxed), 1);
    let mut bytes = vec![0; 4 << 20];
    let size = receiver.recv(&mut bytes).unwrap();
    assert!(has(&bytes[..size], "1") && !has(&bytes[..size], "2"));
    let size = receiver.recv(&mut bytes).unwrap();
    assert!(has(&bytes[..size], "2"));
}

#[test]
fn what_is_remembered_has_a_bound_and_holds_the_last_batch() {
    let mut recent = Recent::default();
    let message = |byte: u8| Bytes::from(vec![byte; 1000]);
    for byte in 0..=255 {
        recent.add(vec![message(byte); 2]);
        assert!(recent.bytes <= RECENT);
    }
    assert_eq!(recent.bytes, recent.messages.len() * 1000);
    assert_eq!(recent.messages.back(), Some(&message(255)));
    recent.add(vec![message(7); 400]);
    assert_eq!((recent.messages.len(), recent.bytes), (400, 400_000));
}
