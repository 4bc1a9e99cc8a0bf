//! A socket of MPTCP's own, towards an address that a route prohibits.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use gw502_tests::lab::{Family, Lab};
use gw502_tests::route::{self, Route};
use nix::errno::Errno;
use nix::sys::socket::{self, SockaddrStorage};

/// `IPPROTO_MPTCP`
const MPTCP: libc::c_int = 262;

pub(super) fn connect(lab: &Lab) -> Option<Errno> {
    let address = route::lead_nowhere(lab.proxy(), Family::V4, Route::Prohibit);
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, MPTCP) };
    if socket < 0 {
        return None;
    }
    // SAFETY: just opened, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let address = SockaddrStorage::from(address);
    Some(socket::connect(socket.as_raw_fd(), &address).expect_err("the route prohibits it"))
}
