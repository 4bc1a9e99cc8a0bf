//! TCP fast open by `sendto()`, towards an address that a route prohibits: no `connect()` at all.

use std::os::fd::AsRawFd as _;

use gw502_tests::lab::{Family, Lab};
use gw502_tests::route::{self, Route};
use gw502_tests::socket::Protocol;
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags, SockaddrStorage};

#[expect(
    clippy::unnecessary_wraps,
    reason = "other ways are not there everywhere"
)]
pub(super) fn connect(lab: &Lab) -> Option<Errno> {
    let address = route::lead_nowhere(lab.proxy(), Family::V4, Route::Prohibit);
    let socket = Protocol::Tcp.socket(address.ip());
    let address = SockaddrStorage::from(address);
    let flags = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN);
    let sent = socket::sendto(socket.as_raw_fd(), b"GET", &address, flags);
    Some(sent.expect_err("the route prohibits it"))
}
