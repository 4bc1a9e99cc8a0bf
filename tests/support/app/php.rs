//! PHP-FPM: a process that listens, and children that serve one request at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::App;
use crate::address::Address;
use crate::lab::Lab;

const SCRIPT: &str = include_str!("index.php");

/// Whom the children, and the proxies' workers, run as.
const USER: &str = "www-data";

/// How it is configured.
#[derive(Debug, Clone)]
pub struct Php {
    /// Where it listens.
    pub listen: Address,
    /// How many requests it serves at a time.
    pub children: usize,
    /// How many connections may wait.
    pub backlog: u32,
    /// Owner and mode of a unix socket.
    pub owner: (&'static str, &'static str),
}

impl Php {
    /// Two children, a long queue, a socket for the proxy.
    #[must_use]
    pub const fn at(listen: Address) -> Self {
        Self {
            listen,
            children: 2,
            backlog: 511,
            owner: (USER, "0660"),
        }
    }
}

/// The newest PHP-FPM of this machine: its version is in its name.
#[must_use]
pub fn php_fpm() -> Option<PathBuf> {
    let files = fs::read_dir("/usr/sbin").into_iter().flatten().flatten();
    let is_fpm = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("php-fpm"))
    };
    files.map(|file| file.path()).filter(is_fpm).max()
}

/// Starts it; returns it, and the script that it runs.
#[must_use]
#[track_caller]
pub fn php(lab: &Lab, settings: &Php) -> (App, PathBuf) {
    let script = lab.scratch().write("index.php", SCRIPT);
    let configuration = lab
        .scratch()
        .write("php-fpm.conf", &configuration(settings));
    let program = php_fpm().expect("PHP-FPM (`cargo xtask test` installs php-fpm)");
    let app = App::start(
        lab.upstream(),
        settings.listen.clone(),
        command(&program, &configuration),
        "ready to handle connections",
    );
    (app, script)
}

fn command(program: &Path, configuration: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--nodaemonize", "--no-php-ini", "--fpm-config"])
        .arg(configuration);
    command
}

fn configuration(settings: &Php) -> String {
    let listen = match &settings.listen {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => path.display().to_string(),
        Address::Abstract(name) => format!("@{name}"),
    };
    let (owner, mode) = settings.owner;
    let Php {
        children, backlog, ..
    } = settings;
    format!(
        "[global]\n\
         error_log = /proc/self/fd/2\n\
         [app]\n\
         user = {USER}\n\
         group = {USER}\n\
         listen = {listen}\n\
         listen.owner = {owner}\n\
         listen.group = {owner}\n\
         listen.mode = {mode}\n\
         listen.backlog = {backlog}\n\
         pm = static\n\
         pm.max_children = {children}\n"
    )
}
