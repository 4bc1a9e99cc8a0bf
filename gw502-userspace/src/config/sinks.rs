//! Where to ship to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::sink::ship::Kind;

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Its name in the file: `[sink.NAME]`.
    pub name: String,
    /// What goes there.
    pub records: Vec<Kind>,
    /// How.
    pub way: Way,
    /// Bounds of the queue before it.
    pub queue: QueueConfig,
}

/// How records go to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// JSON lines to standard output.
    Stdout,
    /// JSON lines to a file.
    File(FileConfig),
    /// RFC 5424.
    Syslog(SyslogConfig),
    /// The journal's native protocol.
    Journald(JournaldConfig),
    /// OTLP logs and metrics.
    Otlp(OtlpConfig),
}

impl Way {
    /// Whether records wait on disk for it: what is on this host stays where it is.
    pub const fn is_network(&self) -> bool {
        match self {
            Self::Stdout | Self::File(_) | Self::Journald(_) => false,
            Self::Syslog(config) => !matches!(config.address, SyslogAddress::Unix(_)),
            Self::Otlp(_) => true,
        }
    }
}

/// How much waits for a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes on disk; of network sinks alone.
    pub spool_bytes: u64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 8 << 20,
            spool_bytes: 256 << 20,
        }
    }
}

/// JSON lines in a file, mode 0640.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// The file.
    pub path: PathBuf,
    /// Rotate before it is longer than this.
    pub max_bytes: Option<u64>,
    /// Rotate when it is older than this.
    pub max_age: Option<Duration>,
    /// Rotated files to keep: `PATH.1` is the youngest.
    pub keep: u32,
}

/// Where syslog listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// `unix:PATH`: a datagram socket, or a stream socket where it is one.
    Unix(PathBuf),
    /// `udp:HOST:PORT`: RFC 5426.
    Udp(String),
    /// `tcp:HOST:PORT`: RFC 6587, octet counting.
    Tcp(String),
}

/// RFC 5424.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogConfig {
    /// Where to.
    pub address: SyslogAddress,
    /// `daemon`, `local0`… (RFC 5424, section 6.2.1): 0 to 11 or 16 to 23.
    pub facility: u8,
    /// What stands after the structured data.
    pub message: SyslogMessage,
    /// The longest UDP datagram, bytes, 480 to 65,507: what is longer is cut.
    pub max_datagram: u32,
}

impl SyslogConfig {
    /// What rsyslog takes unless told otherwise. RFC 5426, section 3.2 promises no more than 480, and
    /// wants 2,048 of each receiver.
    pub const DATAGRAM: u32 = 8192;
}

/// What stands after the structured data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyslogMessage {
    /// A line for people.
    #[default]
    Text,
    /// The record.
    Json,
}

/// The journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaldConfig {
    /// Its socket.
    pub socket: PathBuf,
}

/// How OTLP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    Http,
}

/// OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// `http://HOST:PORT` or `https://HOST:PORT`, for HTTP with the path before `/v1/logs`.
    pub endpoint: String,
    /// How it is carried.
    pub protocol: OtlpProtocol,
    /// Headers with each request.
    pub headers: BTreeMap<String, String>,
    /// The same, with the value (a secret) in a file: read anew at each connect.
    pub header_files: BTreeMap<String, PathBuf>,
    /// Certificates (PEM) to trust in place of the host's own.
    pub ca_file: Option<PathBuf>,
    /// A client certificate and its key (PEM).
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// How long a request may take.
    pub timeout: Duration,
    /// How often to send metrics; `None` is never.
    pub metrics_every: Option<Duration>,
    /// Further attributes of the resource.
    pub resource: BTreeMap<String, String>,
}

/// The Prometheus page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageConfig {
    /// Where it is served; `/metrics` and `/health`.
    pub listen: SocketAddr,
}
