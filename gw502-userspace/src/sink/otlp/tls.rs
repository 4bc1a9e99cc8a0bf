//! Whom to trust, and who we are: a TLS client of rustls with ring.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::connect::ConnectError;
use crate::config::{OtlpConfig, OtlpProtocol};

/// A client for this receiver, from files as they are now.
pub(super) fn client(config: &OtlpConfig) -> Result<ClientConfig, ConnectError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(config.ca_file.as_deref())?);
    let mut client = match &config.client_certificate {
        Some((certificate, key)) => {
            builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = vec![match config.protocol {
        OtlpProtocol::Grpc => b"h2".to_vec(),
        OtlpProtocol::Http => b"http/1.1".to_vec(),
    }];
    Ok(client)
}

/// The certificates of the file or, without one, of this host.
fn roots(file: Option<&Path>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates(file)? {
            roots.add(certificate)?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    // A host's collection holds odd ones; any that is missed shows as an unknown issuer.
    let (_added, _ignored) = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(ConnectError::NoRoots);
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    const WHAT: &str = "certificate";
    let failed = |error| complaint(path, WHAT, error);
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect();
    let certificates = certificates.map_err(failed)?;
    if certificates.is_empty() {
        return Err(failed(pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConnectError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| complaint(path, "private key", error))
}

fn complaint(path: &Path, what: &'static str, error: pem::Error) -> ConnectError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => ConnectError::Read { path, source },
        _ => ConnectError::Pem { path, what },
    }
}
