//! gunicorn: a process that listens, and workers that serve one request at a time.

use std::net::SocketAddr;
use std::process::Command;

use super::App;
use crate::deadline;
use crate::lab::Lab;

const SCRIPT: &str = include_str!("app.py");

/// How it is configured.
#[derive(Debug, Clone, Copy)]
pub struct Gunicorn {
    /// How many requests it serves at a time.
    pub workers: usize,
    /// How many connections may wait.
    pub backlog: u32,
    /// A worker that is silent for so many seconds is killed.
    pub timeout: u32,
}

/// Starts it at `address`.
#[must_use]
#[track_caller]
pub fn gunicorn(lab: &Lab, address: SocketAddr, settings: Gunicorn) -> App {
    lab.scratch().write("app.py", SCRIPT);
    let mut command = Command::new("gunicorn");
    command
        .arg("--bind")
        .arg(address.to_string())
        .arg("--workers")
        .arg(settings.workers.to_string())
        .arg("--backlog")
        .arg(settings.backlog.to_string())
        .arg("--timeout")
        .arg(settings.timeout.to_string())
        .arg("app:app")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(lab.scratch().path());
    let app = App::start(lab.upstream(), address.into(), command, "Booting worker");
    deadline::wait_until("gunicorn's workers", super::PATIENCE, || {
        app.workers().len() == settings.workers
    });
    app
}
