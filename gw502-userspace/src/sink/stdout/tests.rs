//! Standard output, with a pipe or a socket in its place.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::*;
use crate::sink::conformance::{self, Receiver, record};

/// A named pipe whose reader goes and comes back.
struct Fifo {
    path: std::path::PathBuf,
    got: Arc<Mutex<Vec<u8>>>,
    reader: Option<File>,
}

impl Fifo {
    fn new(path: std::path::PathBuf) -> Self {
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut fifo = Self {
            path,
            got: Arc::default(),
            reader: None,
        };
        fifo.recover();
        fifo
    }

    /// Reads all that is there; nothing is on its way once it was written.
    fn drain(&mut self) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        let mut bytes = vec![0; 65536];
        while let Ok(read @ 1..) = reader.read(&mut bytes) {
            self.got.lock().unwrap().extend(&bytes[..read]);
        }
    }
}

impl Receiver for Fifo {
    fn arrived(&mut self) -> Vec<String> {
        self.drain();
        ids(&self.got.lock().unwrap())
    }

    fn fail(&mut self) {
        self.drain();
        self.reader = None;
    }

    fn recover(&mut self) {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        self.reader = Some(options.open(&self.path).unwrap());
    }
}

fn ids(bytes: &[u8]) -> Vec<String> {
    let id = |line: &[u8]| {
        let json: serde_json::Value = serde_json::from_slice(line).unwrap();
        json["id"].as_str().unwrap().to_owned()
    };
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty()).map(id).collect()
}

/// A named pipe outlives its readers, so it can be put through everything.
#[tokio::test]
async fn it_conforms() {
    let dir = std::env::temp_dir().join(format!("gw502-stdout-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let mut fifo = Fifo::new(dir.join("pipe"));
    let writer = OpenOptions::new().write(true).open(&fifo.path).unwrap();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
    let mut sink = StdoutLines::on(writer.into());
    let verdict = conformance::check(&mut sink, &mut fifo).await;
    std::fs::remove_dir_all(&dir).unwrap();
    verdict.unwrap();
}

#[tokio::test]
async fn a_slow_reader_gets_whole_lines_though_deliveries_were_given_up() {
    let (pipe_reader, pipe_writer) = nix::unistd::pipe().unwrap();
    let (socket_reader, socket_writer) = std::os::unix::net::UnixStream::pair().unwrap();
    for (reader, writer) in [
        (pipe_reader, pipe_writer),
        (socket_reader.into(), socket_writer.into()),
    ] {
        let flags = fcntl(writer.as_fd(), FcntlArg::F_GETFL).unwrap();
        let records: Vec<_> = (1..=5000).map(record).collect();
        let mut sink = StdoutLines::on(writer);
        for _ in 0..3 {
            let limit = Duration::from_millis(50);
            let delivery = sink.deliver(&records);
            assert!(tokio::time::timeout(limit, delivery).await.is_err());
        }
        assert!(
            !sink.rest.is_empty(),
            "it was given up in the middle of a line"
        );
        let now = fcntl(sink.out.as_fd(), FcntlArg::F_GETFL).unwrap();
        assert_eq!(now, flags, "whoever shares it is left alone");
        assert_eq!(now & OFlag::O_NONBLOCK.bits(), 0);
        let all = thread::spawn(move || {
            let mut all = Vec::new();
            File::from(reader).read_to_end(&mut all).unwrap();
            all
        });
        sink.deliver(&records).await.unwrap();
        drop(sink);
        let arrived = ids(&all.join().unwrap());
        let end = &arrived[arrived.len() - 5000..];
        assert_eq!(
            end,
            (1..=5000).map(|id| format!("{id:08}")).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_reader_that_is_gone_is_no_end() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut sink = StdoutLines::on(writer);
    sink.deliver(&[record(1)]).await.unwrap();
    drop(reader);
    for _ in 0..3 {
        let error = sink.deliver(&[record(2)]).await.unwrap_err();
        let gone = matches!(&error, DeliverError::Later { why, .. } if why.contains("is gone"));
        assert!(gone, "{error:?}");
    }
}
