//! The headers of each request: those of the configuration, and secrets from files.

use std::fs;
use std::path::Path;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::connect::{ConnectError, EndpointError};
use crate::config::OtlpConfig;

/// Says who asks.
const OURSELVES: &str = concat!("gw502/", env!("CARGO_PKG_VERSION"));

/// Whether headers can be made of these.
pub(super) fn check(config: &OtlpConfig) -> Result<(), EndpointError> {
    let invalid = |name: &str| EndpointError::Header {
        name: name.to_owned(),
    };
    for (name, value) in &config.headers {
        if header(name, value.as_bytes()).is_none() {
            return Err(invalid(name));
        }
    }
    match config
        .header_files
        .keys()
        .find(|name| header(name, b"").is_none())
    {
        Some(name) => Err(invalid(name)),
        None => Ok(()),
    }
}

/// The headers, with values from files as they are now.
pub(super) fn read(config: &OtlpConfig) -> Result<HeaderMap, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
    for (name, value) in &config.headers {
        headers.extend(header(name, value.as_bytes()));
    }
    for (name, path) in &config.header_files {
        let (name, mut value) = secret(name, path)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn secret(name: &str, path: &Path) -> Result<(HeaderName, HeaderValue), ConnectError> {
    let value = fs::read(path).map_err(|source| ConnectError::Read {
        path: path.to_owned(),
        source,
    })?;
    // Editors end files with a line feed.
    header(name, value.trim_ascii_end()).ok_or_else(|| ConnectError::Header {
        name: name.to_owned(),
        path: path.to_owned(),
    })
}

fn header(name: &str, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value).ok()?))
}
