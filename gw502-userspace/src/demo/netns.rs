//! The demo's network namespace: anonymous, so it ends with the last process in it.
//!
//! Interfaces are set up by the oldest ioctls there are: a bare host has no `ip` command, and four
//! of them need no netlink library.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::DemoError;

/// Seen by nobody but the demo, in whose namespace the name is free.
const TUN_NAME: &str = "gw502-demo";

/// Moves the calling thread, and the threads and children it starts, to a new namespace with its
/// loopback up. Returns the namespace we came from.
pub(super) fn enter_new() -> Result<OwnedFd, DemoError> {
    let home = File::open("/proc/thread-self/ns/net")
        .context("cannot open our network namespace (is /proc mounted?)")?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| {
        DemoError::refused(
            "cannot create a network namespace",
            errno.into(),
            "use a kernel with network namespaces (CONFIG_NET_NS)",
        )
    })?;
    bring_up("lo").context("cannot bring the namespace's loopback up")?;
    Ok(home.into())
}

/// A TUN device in our namespace, up, with `address` and the network around it.
///
/// Packets to the other addresses of that network are read from the file, answers written to it.
pub(super) fn open_tun(address: Ipv4Addr, netmask: Ipv4Addr) -> Result<File, DemoError> {
    let refused = |error| {
        DemoError::refused(
            "cannot create a TUN device through /dev/net/tun",
            error,
            "load the driver with `modprobe tun`; in a container, give that one --device /dev/net/tun",
        )
    };
    let tun = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(refused)?;
    let request = flags(TUN_NAME, libc::IFF_TUN | libc::IFF_NO_PI);
    // SAFETY: `tun` is open and `request` is the ifreq that TUNSETIFF copies.
    unsafe { ioctl::tun_set_iff(tun.as_raw_fd(), &raw const request) }
        .map_err(|errno| refused(errno.into()))?;
    configure(address, netmask).context("cannot configure the TUN device")?;
    Ok(tun)
}

fn configure(address: Ipv4Addr, netmask: Ipv4Addr) -> io::Result<()> {
    let control = control_socket()?;
    let request = with_address(TUN_NAME, address);
    // SAFETY: `control` is an open IPv4 socket and `request` an ifreq that holds an address.
    unsafe { ioctl::set_address(control.as_raw_fd(), &raw const request) }?;
    let request = with_address(TUN_NAME, netmask);
    // SAFETY: as above.
    unsafe { ioctl::set_netmask(control.as_raw_fd(), &raw const request) }?;
    bring_up(TUN_NAME)
}

fn bring_up(interface: &str) -> io::Result<()> {
    let control = control_socket()?;
    let request = flags(interface, libc::IFF_UP);
    // SAFETY: `control` is an open socket and `request` an ifreq that holds flags.
    unsafe { ioctl::set_flags(control.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// Interfaces are configured through any IPv4 socket of their namespace.
fn control_socket() -> Result<OwnedFd, Errno> {
    socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
}

fn flags(interface: &str, flags: libc::c_int) -> libc::ifreq {
    // The low half of the int: the kernel's interface flags that fit an ifreq are 16 bits.
    let [low, high, ..] = flags.to_le_bytes();
    let ifru_flags = libc::c_short::from_le_bytes([low, high]);
    request(interface, libc::__c_anonymous_ifr_ifru { ifru_flags })
}

fn with_address(interface: &str, address: Ipv4Addr) -> libc::ifreq {
    // A sockaddr_in behind its family: port, address, padding.
    let [a, b, c, d] = address.octets();
    let mut sa_data = [0; 14];
    for (to, from) in sa_data.iter_mut().zip([0, 0, a, b, c, d]) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let sa_family = AddressFamily::Inet as libc::sa_family_t;
    let ifru_addr = libc::sockaddr { sa_family, sa_data };
    request(interface, libc::__c_anonymous_ifr_ifru { ifru_addr })
}

fn request(interface: &str, ifr_ifru: libc::__c_anonymous_ifr_ifru) -> libc::ifreq {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    // One byte less than there is room for: the name ends with a NUL.
    for (to, from) in ifr_name
        .iter_mut()
        .zip(interface.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    libc::ifreq { ifr_name, ifr_ifru }
}

mod ioctl {
    //! The request numbers with the type that each one reads.
    nix::ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);
    nix::ioctl_write_ptr_bad!(set_address, libc::SIOCSIFADDR, libc::ifreq);
    nix::ioctl_write_ptr_bad!(set_netmask, libc::SIOCSIFNETMASK, libc::ifreq);
    nix::ioctl_write_ptr_bad!(tun_set_iff, libc::TUNSETIFF, libc::ifreq);
}
