//! Next steps: a page's commands, filled in with the facts of a failure.

use serde::Serialize;

use super::{Audience, Step, of};
use crate::event::{Evidence, Failure, Owner, Upstream};

/// What is known besides the failure itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Inode number of the host's own network namespace.
    pub host_netns: Option<u32>,
    /// When the trouble began, as `journalctl --since` takes it: `14:02:50`.
    pub since: Option<String>,
}

/// A step, ready to be typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NextStep {
    /// A command or a line of configuration.
    pub command: String,
    /// What it shows, or does.
    pub why: String,
}

/// The placeholders there are, and what a page shows in their place when there is no failure.
pub(super) const PLACEHOLDERS: &[(&str, &str)] = &[
    // The upstream.
    ("address", "ADDRESS"),
    ("port", "PORT"),
    ("endpoint", "ADDRESS:PORT"),
    ("path", "PATH"),
    ("dir", "DIRECTORY"),
    ("listens", "ADDRESS:PORT"),
    // The upstream's process: one that lives, one that has ended, either.
    ("pid", "PID"),
    ("gone_pid", "PID"),
    ("comm", "PROGRAM"),
    ("unit", "UNIT"),
    ("container", "CONTAINER"),
    // The proxy.
    ("proxy", "PROXY"),
    ("proxy_pid", "PROXY_PID"),
    ("proxy_gid", "PROXY_GROUP"),
    ("proxy_unit", "PROXY_UNIT"),
    // The failure.
    ("netns", "NETNS"),
    ("in_netns", ""),
    ("at_upstream", ""),
    ("since", "TIME"),
];

/// What to do about a failure: what its page says to check, then what to fix, as far as it fits
/// this proxy and upstream and everything in it is known.
pub fn steps(failure: &Failure, facts: &Facts) -> Vec<NextStep> {
    let page = &of(failure.cause).page;
    page.check
        .iter()
        .chain(page.fix)
        .filter(|step| concerns(step.audience, failure))
        .filter_map(|step| {
            let value = |name: &str| value(name, failure, facts);
            let fill = |template| fill(template, value);
            Some(NextStep {
                command: fill(step.command).or_else(|| step.fallback.and_then(fill))?,
                why: step.why.to_owned(),
            })
        })
        .collect()
}

/// A step's command as a page shows it, without a failure: `ss -ltn 'sport = :PORT'`.
pub fn shown(step: &Step) -> String {
    let name = |wanted: &str| {
        PLACEHOLDERS
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, shown)| (*shown).to_owned())
    };
    fill(step.command, name).unwrap_or_else(|| step.command.to_owned())
}

fn concerns(audience: Audience, failure: &Failure) -> bool {
    match audience {
        Audience::All => true,
        Audience::Proxy("apache2") => matches!(failure.proxy.comm.as_str(), "apache2" | "httpd"),
        Audience::Proxy(name) => failure.proxy.comm == name,
        Audience::App(name) => {
            owner(failure).is_some_and(|(owner, _)| owner.comm.starts_with(name))
        }
    }
}

/// The template with each `{placeholder}` replaced; `None` when one is not known. Braces around
/// anything else are the configuration's own.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}') {
            Some((name, after)) if is_placeholder(name) => {
                filled.push_str(&value(name)?);
                rest = after;
            }
            _ => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    Some(filled)
}

pub(super) fn is_placeholder(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn value(name: &str, failure: &Failure, facts: &Facts) -> Option<String> {
    let endpoint = match &failure.upstream {
        Upstream::Tcp(endpoint) => Some(endpoint),
        Upstream::Unix { .. } => None,
    };
    let path = match &failure.upstream {
        Upstream::Unix { path } if path.starts_with('/') => Some(path.as_str()),
        Upstream::Unix { .. } | Upstream::Tcp(_) => None,
    };
    let owner = owner(failure);
    let pid = |alive| {
        owner
            .filter(|(_, lives)| *lives == alive)
            .map(|(owner, _)| owner.pid)
    };
    match name {
        "address" => endpoint.map(|endpoint| endpoint.address.to_string()),
        "port" => endpoint.map(|endpoint| endpoint.port.to_string()),
        "endpoint" => endpoint.map(ToString::to_string),
        "path" => path.and_then(quoted),
        "dir" => path
            .and_then(|path| path.rsplit_once('/'))
            .and_then(|(dir, _)| match dir {
                "" => quoted("/"),
                _ => quoted(dir),
            }),
        "listens" => failure.evidence.iter().find_map(|fact| match fact {
            Evidence::ListenerElsewhere { listens, .. } => Some(listens.to_string()),
            _ => None,
        }),
        "pid" => pid(true).map(|pid| pid.to_string()),
        "gone_pid" => pid(false).map(|pid| pid.to_string()),
        "comm" => owner.and_then(|(owner, _)| quoted(&owner.comm)),
        "unit" => owner
            .and_then(|(owner, _)| owner.unit.as_deref())
            .and_then(quoted),
        "container" => owner
            .and_then(|(owner, _)| owner.container.as_deref())
            .and_then(quoted),
        "proxy" => quoted(&failure.proxy.comm),
        "proxy_pid" => Some(failure.proxy.pid.to_string()),
        "proxy_gid" => failure.evidence.iter().find_map(|fact| match fact {
            Evidence::ConnectedAs { gid, .. } => Some(gid.to_string()),
            _ => None,
        }),
        "proxy_unit" => failure
            .proxy
            .cgroup
            .as_deref()
            .and_then(unit)
            .and_then(quoted),
        "netns" => Some(failure.netns.to_string()),
        "in_netns" => Some(in_netns(failure, facts)),
        // A loopback address is in the proxy's own namespace; else the upstream may have another.
        "at_upstream" if endpoint.is_some_and(|endpoint| endpoint.address.is_loopback()) => {
            Some(in_netns(failure, facts))
        }
        "at_upstream" => pid(true).map(|pid| format!("nsenter -t {pid} -n ")),
        "since" => facts.since.as_deref().and_then(quoted),
        _ => None,
    }
}

/// What makes a command look at the proxy's network namespace: nothing where that is the host's.
fn in_netns(failure: &Failure, facts: &Facts) -> String {
    if facts.host_netns == Some(failure.netns) {
        return String::new();
    }
    format!("nsenter -t {} -n ", failure.proxy.pid)
}

/// The service in a cgroup's path.
fn unit(cgroup: &str) -> Option<&str> {
    cgroup.rsplit('/').find(|part| part.ends_with(".service"))
}

/// The upstream's process, and whether it lives: who was there when it failed, before who is there
/// now.
pub(super) fn owner(failure: &Failure) -> Option<(&Owner, bool)> {
    let of = |fact| match fact {
        &Evidence::UpstreamExited { ref owner, .. }
        | &Evidence::ListenerExited { ref owner, .. }
        | &Evidence::ListenerClosed {
            ref owner,
            ended: true,
            ..
        } => Some((owner, false)),
        Evidence::NeverAccepted { owner }
        | Evidence::UpstreamProcess { owner }
        | Evidence::AcceptQueueFull {
            owner: Some(owner), ..
        }
        | Evidence::ListenerPresent { owner, .. }
        | Evidence::ListenerClosed { owner, .. }
        | Evidence::ListenerElsewhere { owner, .. } => Some((owner, true)),
        _ => None,
    };
    failure.evidence.iter().find_map(of)
}

/// A word of a shell: names and paths may hold anything, and people paste these lines. `None` for
/// what no line should hold.
fn quoted(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if word.is_empty() || word.chars().any(char::is_control) {
        return None;
    }
    if word.chars().all(plain) && !word.starts_with('-') {
        return Some(word.to_owned());
    }
    Some(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_in_braces_are_placeholders() {
        let value = |name: &str| (name == "port").then(|| "80".to_owned());
        let fill = |template| fill(template, value);
        assert_eq!(fill("a {port} b").as_deref(), Some("a 80 b"));
        assert_eq!(
            fill("up { keepalive 8; }").as_deref(),
            Some("up { keepalive 8; }")
        );
        assert_eq!(fill("{{port}").as_deref(), Some("{80"));
        assert_eq!(fill("{path}"), None);
    }

    #[test]
    fn a_name_cannot_leave_its_word() {
        assert_eq!(quoted("/run/app.sock").as_deref(), Some("/run/app.sock"));
        assert_eq!(quoted("a;rm -rf x").as_deref(), Some("'a;rm -rf x'"));
        assert_eq!(quoted("it's").as_deref(), Some(r"'it'\''s'"));
        assert_eq!(quoted("-n").as_deref(), Some("'-n'"));
        assert_eq!(quoted("a\nb"), None);
    }
}
