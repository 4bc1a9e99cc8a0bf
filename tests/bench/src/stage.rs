//! Where it all happens: namespaces that end with us, and a scratch folder.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Where tools that attach to classic tracepoints look them up.
const TRACEFS: &str = "/sys/kernel/tracing";

/// What a scratch folder's name begins with; the rest is the pid.
const SCRATCH: &str = "gw502-bench-";

/// Moves the calling process to a network namespace of its own with its loopback up.
pub(crate) fn own_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)
        .context("cannot create a network namespace: run this as root")?;
    loopback_up().context("cannot bring the namespace's loopback up")
}

/// Moves the calling process to a mount namespace in which there is a tracefs, also when the host
/// has mounted none.
///
/// # Errors
///
/// When the host does not let us; then the tools that need it cannot run.
pub(crate) fn own_tracefs() -> Result<()> {
    if Path::new(TRACEFS).join("events").is_dir() {
        return Ok(());
    }
    let none: Option<&CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot create a mount namespace")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("cannot make our mounts private")?;
    mount(
        Some("tracefs"),
        TRACEFS,
        Some("tracefs"),
        MsFlags::empty(),
        none,
    )
    .with_context(|| format!("cannot mount tracefs at `{TRACEFS}`"))
}

/// Sets a sysctl of the network namespace we are in.
pub(crate) fn set_sysctl(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).with_context(|| format!("cannot write `{value}` to `{path}`"))
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        let folder = std::env::temp_dir();
        sweep(&folder)?;
        let path = folder.join(format!("{SCRATCH}{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Removes what killed runs left.
fn sweep(folder: &Path) -> Result<()> {
    let context = || format!("cannot list `{}`", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(SCRATCH)) else {
            continue;
        };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            let path = entry.path();
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bench: cannot remove `{}`: {error}", self.0.display());
        }
    }
}

fn loopback_up() -> io::Result<()> {
    let control = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // The low half of the int: the flags that fit an ifreq are 16 bits.
    let [low, high, ..] = libc::IFF_UP.to_le_bytes();
    let ifru_flags = libc::c_short::from_le_bytes([low, high]);
    let request = libc::ifreq {
        ifr_name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags },
    };
    // SAFETY: `control` is an open socket and `request` an ifreq that holds flags.
    unsafe { ioctl::set_flags(control.as_raw_fd(), &raw const request) }?;
    Ok(())
}

mod ioctl {
    //! The request number with the type that it reads.
    nix::ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_of_the_dead_is_swept_and_others_stay() {
        let top = std::env::temp_dir().join(format!("gw502-sweep-{}", std::process::id()));
        // No pid is so large.
        let dead = top.join(format!("{SCRATCH}4194305"));
        let alive = top.join(format!("{SCRATCH}{}", std::process::id()));
        let other = top.join("else");
        for folder in [&dead, &alive, &other] {
            fs::create_dir_all(folder).unwrap();
        }
        sweep(&top).unwrap();
        assert!(!dead.exists() && alive.exists() && other.exists());
        fs::remove_dir_all(&top).unwrap();
    }
}
