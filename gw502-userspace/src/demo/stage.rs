//! The set: upstreams, the network behind the TUN device, and the proxy before them.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Context as _;

use super::DemoError;
use super::children::ProxyChild;
use super::upstream::{self, Manner};
use super::{netns, responder};

/// Names of the upstreams, which are the paths that lead to them.
pub(super) mod route {
    pub(crate) const HEALTHY: &str = "healthy";
    pub(crate) const REFUSED: &str = "refused";
    pub(crate) const RESET: &str = "reset";
    pub(crate) const CLOSED: &str = "closed";
    pub(crate) const STUCK: &str = "stuck";
    pub(crate) const SILENT: &str = "silent";
    pub(crate) const REJECTED: &str = "rejected";
}

/// Everything that runs in the demo's namespace. Dropping it ends the proxy; the threads of the
/// upstreams and the responder end with the process.
#[derive(Debug)]
pub(super) struct Stage {
    proxy: ProxyChild,
    /// Keeps the port closed.
    _closed_port: OwnedFd,
}

impl Stage {
    /// Sets everything up in the namespace of the calling thread.
    pub(super) fn set() -> Result<Self, DemoError> {
        let tun = netns::open_tun(responder::ADDRESS, responder::NETMASK)?;
        responder::spawn(tun)?;

        let start = |manner| upstream::spawn(manner).context("cannot start an upstream");
        let (closed_port, refused) = upstream::closed_port().context("cannot find a free port")?;
        let routes = [
            (route::HEALTHY, start(Manner::Answers)?),
            (route::REFUSED, refused),
            (route::RESET, start(Manner::Resets)?),
            (route::CLOSED, start(Manner::Closes)?),
            (route::STUCK, start(Manner::Stays)?),
            (route::SILENT, (responder::SILENT, 80).into()),
            (route::REJECTED, (responder::REJECTED, 80).into()),
        ];
        let routes = routes.map(|(name, address)| format!("{name}={address}"));
        log::debug!("upstreams: {}", routes.join(" "));
        Ok(Self {
            proxy: ProxyChild::spawn(&routes)?,
            _closed_port: closed_port,
        })
    }

    /// Where the proxy listens.
    pub(super) const fn proxy_address(&self) -> SocketAddr {
        self.proxy.address
    }
}
