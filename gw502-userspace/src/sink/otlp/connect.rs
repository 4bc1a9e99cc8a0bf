//! A connection to the receiver: TCP, and TLS where the endpoint says so.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{headers, tls};
use crate::config::{OtlpConfig, OtlpProtocol};

/// An endpoint or header that no request could be made of.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No URL.
    #[error(
        "`{given}` is no URL of an OTLP receiver; write `http://HOST:PORT` or `https://HOST:PORT`"
    )]
    Url {
        /// What was given.
        given: String,
    },
    /// gRPC has its paths by itself.
    #[error("`{given}` has a path, which gRPC has no use for; write it without")]
    Path {
        /// What was given.
        given: String,
    },
    /// No header can have this name, or this value.
    #[error(
        "`{name}` cannot be a header: its name or value holds characters that HTTP does not allow"
    )]
    Header {
        /// Its name.
        name: String,
    },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot connect to {to}: {source}")]
    Tcp { to: String, source: io::Error },
    #[error("no TLS with {to}: {source}")]
    Tls { to: String, source: io::Error },
    #[error("no HTTP with {to}: {source}")]
    Http { to: String, source: hyper::Error },
    #[error("cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` cannot be the value of header `{name}`: HTTP does not allow a character in it", path.display())]
    Header { name: String, path: PathBuf },
    #[error("`{}` holds no PEM {what}", path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error(
        "this host has no certificates to trust: install ca-certificates, or name a file in `ca_file`"
    )]
    NoRoots,
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] tokio_rustls::rustls::Error),
    #[error("`{0}` is no name that a certificate could be for")]
    Name(String),
}

/// Where the receiver is.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    secure: bool,
    pub(super) authority: Authority,
    /// Without a slash at its end.
    path: String,
}

impl Endpoint {
    pub(super) fn parse(config: &OtlpConfig) -> Result<Self, EndpointError> {
        let given = || config.endpoint.clone();
        let url = || EndpointError::Url { given: given() };
        let uri: Uri = config.endpoint.parse().map_err(|_invalid| url())?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(url()),
        };
        let authority = uri.authority().cloned().ok_or_else(url)?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(url());
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        if config.protocol == OtlpProtocol::Grpc && !path.is_empty() {
            return Err(EndpointError::Path { given: given() });
        }
        Ok(Self {
            secure,
            authority,
            path,
        })
    }

    /// The path of the endpoint and, below it, this one.
    pub(super) fn below(&self, path: &str) -> Option<PathAndQuery> {
        format!("{}{path}", self.path).parse().ok()
    }

    /// Of requests.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The port, OTLP's own where none is given.
    fn port(&self, protocol: OtlpProtocol) -> u16 {
        self.authority.port_u16().unwrap_or(match protocol {
            OtlpProtocol::Grpc => 4317,
            OtlpProtocol::Http => 4318,
        })
    }
}

/// Bytes to the receiver and back.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection, and the headers for what is sent over it.
pub(super) struct Opened {
    pub(super) wire: TokioIo<Box<dyn Wire>>,
    pub(super) headers: HeaderMap,
}

/// Connects. Files are read anew: secrets and certificates change in months.
pub(super) async fn open(endpoint: &Endpoint, config: &OtlpConfig) -> Result<Opened, ConnectError> {
    let headers = headers::read(config)?;
    // The brackets of an IPv6 address are the URL's.
    let host = endpoint.authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = endpoint.port(config.protocol);
    let to = || endpoint.authority.to_string();
    let tcp = |source| ConnectError::Tcp { to: to(), source };
    let stream = TcpStream::connect((host, port)).await.map_err(tcp)?;
    // A request is written as a whole, and waited for.
    stream.set_nodelay(true).map_err(tcp)?;
    let wire: Box<dyn Wire> = if endpoint.secure {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_invalid| ConnectError::Name(host.to_owned()))?;
        let connector = TlsConnector::from(Arc::new(tls::client(config)?));
        let secured = connector.connect(name, stream).await;
        Box::new(secured.map_err(|source| ConnectError::Tls { to: to(), source })?)
    } else {
        Box::new(stream)
    };
    Ok(Opened {
        wire: TokioIo::new(wire),
        headers,
    })
}
