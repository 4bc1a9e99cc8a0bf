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

/// What an HTTP handshake over `endpoint` gave: the sender, while a task drives the connection.
pub(super) fn driven<S>(
    endpoint: &Endpoint,
    shaken: hyper::Result<(S, impl Future<Output = hyper::Result<()>> + Send + 'static)>,
) -> Result<S, ConnectError> {
    let (sender, connection) = shaken.map_err(|source| ConnectError::Http {
        to: endpoint.authority.to_string(),
        source,
    })?;
    drop(tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("a connection to the OTLP receiver broke: {error}");
        }
    }));
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::sink::otlp::Otlp;

    fn config(protocol: OtlpProtocol, endpoint: &str) -> OtlpConfig {
        OtlpConfig {
            endpoint: endpoint.to_owned(),
            protocol,
            headers: BTreeMap::new(),
            header_files: BTreeMap::new(),
            ca_file: None,
            client_certificate: None,
            timeout: Duration::from_secs(1),
            metrics_every: None,
            resource: BTreeMap::new(),
        }
    }

    #[test]
    fn an_endpoint_has_a_port_and_a_path_of_its_own_or_the_usual() {
        for (protocol, endpoint, scheme, port, path) in [
            (OtlpProtocol::Grpc, "http://a", "http", 4317, "/x"),
            (OtlpProtocol::Http, "https://a/", "https", 4318, "/x"),
            (
                OtlpProtocol::Http,
                "http://a:80/otlp/",
                "http",
                80,
                "/otlp/x",
            ),
            (
                OtlpProtocol::Http,
                "https://[::1]:9/b/c",
                "https",
                9,
                "/b/c/x",
            ),
        ] {
            let parsed = Endpoint::parse(&config(protocol, endpoint)).unwrap();
            assert_eq!(parsed.scheme(), scheme, "{endpoint}");
            assert_eq!(parsed.port(protocol), port, "{endpoint}");
            assert_eq!(parsed.below("/x").unwrap().as_str(), path, "{endpoint}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_reason() {
        let refusal = |protocol, endpoint| {
            let error = Otlp::new(&config(protocol, endpoint), "web1").unwrap_err();
            error.to_string()
        };
        for endpoint in [
            "",
            "collector:4317",
            "grpc://collector:4317",
            "http://",
            "http://user:secret@collector:4318",
            "http://collector:4318/?token=secret",
            "http://a b",
        ] {
            let said = refusal(OtlpProtocol::Http, endpoint);
            assert!(said.contains("is no URL of an OTLP receiver"), "{said}");
        }
        let said = refusal(OtlpProtocol::Grpc, "http://a:4317/v1/logs");
        assert!(said.contains("has a path"), "{said}");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let config = config(OtlpProtocol::Grpc, "http://a");
        for (name, value) in [("x y", "1"), ("x", "one\ntwo"), ("", "1")] {
            let headers = [(name.to_owned(), value.to_owned())].into();
            let config = OtlpConfig {
                headers,
                ..config.clone()
            };
            let said = Otlp::new(&config, "web1").unwrap_err().to_string();
            assert!(said.contains("cannot be a header"), "{said}");
        }
        let header_files = [("x y".to_owned(), PathBuf::from("/dev/null"))].into();
        let config = OtlpConfig {
            header_files,
            ..config
        };
        assert!(Otlp::new(&config, "web1").is_err());
    }
}
