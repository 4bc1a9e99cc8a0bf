//! The client: one request, one status.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

use super::http;

/// Longer than the proxy ever takes, so that no request waits for ever.
const PATIENCE: Duration = Duration::from_secs(6);

/// Asks the proxy for `path` and returns the status it answers with.
pub(super) fn status_of(proxy: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let mut stream =
        TcpStream::connect(proxy).with_context(|| format!("cannot connect to `{proxy}`"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .context("cannot set a time-out")?;
    stream
        .write_all(http::request(path).as_bytes())
        .context("cannot send the request")?;
    let head = http::read_head(&mut stream).context("no answer came")?;
    http::status(&head).context("the answer has no status")
}
