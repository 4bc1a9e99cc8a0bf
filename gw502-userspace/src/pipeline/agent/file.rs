//! The configuration file, from disk.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::{Config, Mistakes};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("{path}:1: it cannot be read ({source}); name a file that gw502 may read")]
    Read { path: String, source: io::Error },
    #[error(transparent)]
    Wrong(#[from] Mistakes),
}

/// Reads it; without one, the defaults.
pub(super) fn read(path: Option<&Path>) -> Result<Config, ConfigError> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: name.clone(),
        source,
    })?;
    Ok(Config::parse(&name, &text)?)
}
