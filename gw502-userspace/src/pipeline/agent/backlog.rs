//! Reads how full the accept queues of the agent's own network namespace are.

use std::io;

use crate::aggregate::UpstreamId;
use crate::event::Upstream;
use crate::kernel::sock_diag::SockDiag;
use crate::metrics::listeners::Queue;

/// Where to ask.
#[derive(Debug)]
pub(super) struct Backlog {
    netns: u32,
    diag: SockDiag,
}

impl Backlog {
    /// Of the namespace `netns`, in which the calling thread is.
    pub(super) fn open(netns: u32) -> io::Result<Self> {
        let diag = SockDiag::open()?;
        Ok(Self { netns, diag })
    }

    /// Every queue, as it is now.
    pub(super) fn read(&self) -> io::Result<Vec<Queue>> {
        let queue = |upstream, length, limit| Queue {
            at: UpstreamId {
                upstream,
                netns: self.netns,
            },
            length,
            limit,
        };
        let tcp = self.diag.listening()?;
        let tcp = tcp.into_iter();
        let tcp = tcp.map(|one| queue(Upstream::Tcp(one.at), one.length, one.limit));
        let unix = self.diag.unix_listening()?;
        let unix = unix.into_iter().map(|one| {
            let path = one.path;
            queue(Upstream::Unix { path }, one.length, one.limit)
        });
        Ok(tcp.chain(unix).collect())
    }
}
