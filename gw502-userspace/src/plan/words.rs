//! What a person reads about capabilities and backends, and their names in files.

use gw502_common::hooks::{Backend, Capability};
use serde::{Deserialize, Serialize};

use super::Trial;

/// What a capability shows.
pub const fn sees(capability: Capability) -> &'static str {
    match capability {
        Capability::ConnectionState => "every TCP connect, handshake and end",
        Capability::ConnectResults => "unix sockets, and connects that this host refuses by itself",
        Capability::Resets => "every RST, received and sent",
        Capability::Retransmits => "SYNs and data sent again",
        Capability::Clients => "clients that left before their answer",
        Capability::Drops => "segments that never left: no neighbour answered",
    }
}

/// What a backend of a capability does not show that others do, or that could be thought to be
/// shown. `None` as the backend: what is not seen at all. This is the one list of blind spots.
pub const fn blind_to(capability: Capability, backend: Option<Backend>) -> Option<&'static str> {
    Some(match (capability, backend) {
        (Capability::ConnectResults, None) => {
            "unix sockets; no route, prohibited, not permitted on this host"
        }
        (Capability::ConnectResults, Some(Backend::SyscallTracepoint)) => {
            "io_uring; 32-bit processes; MPTCP's own socket"
        }
        (Capability::ConnectResults, Some(Backend::Kprobe)) => {
            "MPTCP's own socket; why one fails of many connects that wait at once (return_missed)"
        }
        (Capability::ConnectResults, Some(_)) => "MPTCP's own socket",
        (Capability::Clients, Some(_)) => "HTTP/2 and HTTP/3 clients that cancel one request",
        (Capability::Drops, None) => "failed neighbours, which are named host-unreachable",
        (_, Some(_)) => return None,
        (_, None) => "all of it",
    })
}

/// [`Trial`] as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialText {
    capability: String,
    backend: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl From<Trial> for TrialText {
    fn from(trial: Trial) -> Self {
        Self {
            capability: trial.capability.name().to_owned(),
            backend: trial.backend.name().to_owned(),
            refused: trial.refused,
        }
    }
}

impl TryFrom<TrialText> for Trial {
    type Error = String;

    fn try_from(text: TrialText) -> Result<Self, String> {
        let TrialText {
            capability,
            backend,
            refused,
        } = text;
        let known = Capability::ALL.into_iter();
        let found = known.into_iter().find(|known| known.name() == capability);
        let capability = found.ok_or_else(|| format!("no capability is called `{capability}`"))?;
        let found = Backend::ALL
            .into_iter()
            .find(|known| known.name() == backend);
        let backend = found.ok_or_else(|| format!("no backend is called `{backend}`"))?;
        Ok(Self {
            capability,
            backend,
            refused,
        })
    }
}
