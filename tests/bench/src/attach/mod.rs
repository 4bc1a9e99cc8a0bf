//! What is attached while the load runs.

pub(crate) mod empty;
pub(crate) mod gw502;
pub(crate) mod hooks;
pub(crate) mod peer;

use anyhow::{Context as _, Result};

use crate::agent::Agent;
use crate::stage::Scratch;
use empty::{Empty, Link};
use gw502::{Gw502, Stdout, Tracer};
use hooks::{Hooks, Variant};
use peer::{Peer, Tool};

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Configuration {
    /// Nothing: what the others are compared with.
    Nothing,
    /// Nothing once more: what differs is noise.
    Again,
    /// An empty program for each of gw502's, on the same hook.
    Empty(Variant),
    /// gw502.
    Gw502(Variant),
    /// Another tool.
    Peer(Tool),
}

impl Configuration {
    /// The name of the row.
    pub(crate) fn name(self) -> String {
        let with = |name: &str, variant| match variant {
            Variant::Auto => name.to_owned(),
            Variant::SyscallsOff => format!("{name}, syscalls off"),
        };
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Again => "nothing again (A/A)".to_owned(),
            Self::Empty(variant) => with("empty programs", variant),
            Self::Gw502(variant) => with("gw502", variant),
            Self::Peer(tool) => tool.name().to_owned(),
        }
    }
}

/// Everything that can be attached.
#[derive(Debug)]
pub(crate) struct Rack {
    /// gw502.
    pub(crate) gw502: Gw502,
    /// What it attaches.
    pub(crate) hooks: Hooks,
    /// Empty programs.
    pub(crate) empty: Empty,
}

/// What is attached; kept while the load runs.
#[derive(Debug)]
pub(crate) enum Attached {
    Nothing,
    Empty(#[expect(dead_code, reason = "held, not read")] Vec<Link>),
    Gw502(Tracer),
    Peer(Peer),
}

impl Rack {
    /// Attaches it and returns when it is ready. `agent` makes connections for tools to see, which
    /// is the only way to know that they do.
    pub(crate) fn attach(
        &mut self,
        what: Configuration,
        scratch: &Scratch,
        agent: &mut Agent,
    ) -> Result<Attached> {
        let attached = match what {
            Configuration::Nothing | Configuration::Again => Ok(Attached::Nothing),
            Configuration::Empty(variant) => {
                let hooks = self.hooks.of(variant);
                self.empty.attach(&hooks).map(Attached::Empty)
            }
            Configuration::Gw502(variant) => {
                let output = Stdout::File(scratch.path("gw502.out"));
                self.gw502.trace(variant, output).map(Attached::Gw502)
            }
            Configuration::Peer(tool) => Peer::start(tool, scratch, agent).map(Attached::Peer),
        };
        attached.with_context(|| format!("cannot attach {}", what.name()))
    }
}
