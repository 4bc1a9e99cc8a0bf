// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Socket addresses as `connect()` was given them: in the caller's memory, or the kernel's copy.

use core::arch::asm;
use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user, generated};
use gw502_common::tcp::{SUN_PATH, family};
use gw502_common::wire::UnixAddress;

/// `sizeof(sa_family_t)`: where the port or the name begins.
const FAMILY: u32 = 2;
/// Where an IPv6 address begins, behind family, port and flow.
const ADDRESS6: u64 = 8;
/// Where an IPv4 address begins, behind family and port.
const ADDRESS4: u64 = 4;
/// Bytes of a unix socket's name.
const PATH: u32 = SUN_PATH as u32;

/// Where an address is.
pub(crate) trait Memory {
    /// Whether it can be read again when `connect()` returns.
    const LASTS: bool;

    fn read<T: Copy>(at: u64) -> Option<T>;

    /// Copies up to a NUL, and returns how much that is, the NUL included.
    ///
    /// # Safety
    ///
    /// `to` has room for `len` bytes.
    unsafe fn copy_text(to: *mut c_void, len: u32, from: *const c_void) -> i64;
}

/// The memory of the current process.
///
/// A page that is not there is not fetched: on the way into `connect()` an address can be out of
/// reach. On the way out it is in reach, for the kernel has just read it.
pub(crate) struct User;

/// The kernel's copy, which lives as long as the call.
pub(crate) struct Kernel;

impl Memory for User {
    const LASTS: bool = true;

    #[inline(always)]
    fn read<T: Copy>(at: u64) -> Option<T> {
        // SAFETY: the helper checks the address itself and reports a fault.
        unsafe { bpf_probe_read_user(at as *const T) }.ok()
    }

    #[inline(always)]
    unsafe fn copy_text(to: *mut c_void, len: u32, from: *const c_void) -> i64 {
        // SAFETY: the caller vouches for `to`; the helper checks the source itself.
        unsafe { generated::bpf_probe_read_user_str(to, len, from) }
    }
}

impl Memory for Kernel {
    const LASTS: bool = false;

    #[inline(always)]
    fn read<T: Copy>(at: u64) -> Option<T> {
        // SAFETY: the helper checks the address itself and reports a fault.
        unsafe { bpf_probe_read_kernel(at as *const T) }.ok()
    }

    #[inline(always)]
    unsafe fn copy_text(to: *mut c_void, len: u32, from: *const c_void) -> i64 {
        // SAFETY: the caller vouches for `to`; the helper checks the source itself.
        unsafe { generated::bpf_probe_read_kernel_str(to, len, from) }
    }
}

/// An internet address and port as `connect()` was given it; IPv4 as `::ffff:a.b.c.d`.
#[inline(always)]
pub(crate) fn internet<M: Memory>(at: u64) -> Option<([u8; 16], u16)> {
    let of: u16 = M::read(at)?;
    let port = u16::from_be(M::read(at + u64::from(FAMILY))?);
    match of {
        family::INET => {
            let [a, b, c, d]: [u8; 4] = M::read(at + ADDRESS4)?;
            let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
            Some((address, port))
        }
        family::INET6 => Some((M::read(at + ADDRESS6)?, port)),
        _ => None,
    }
}

/// The name of a unix socket as `connect()` was given it in `len` bytes; without a name when it
/// cannot be read, or is none.
///
/// A path ends at its first NUL or with the address (`unix_mkname_bsd()`, unix(7)); so does, for
/// us, what follows the leading NUL of an abstract name.
#[inline(always)]
pub(crate) fn unix<M: Memory>(at: u64, len: u32, name: &mut UnixAddress) {
    let len = len.wrapping_sub(FAMILY);
    let at = at + u64::from(FAMILY);
    if len == 0 || len > PATH {
        return;
    }
    let Some(first) = M::read::<u8>(at) else {
        return;
    };
    let path = name.path.as_mut_ptr();
    // The helper counts and writes a NUL as well, for which a name of full length has no room: its
    // last byte is cut off.
    let (lead, with_nul) = if first == 0 {
        let (path, source) = (path.wrapping_add(1), (at + 1) as *const c_void);
        let room = at_most::<{ PATH - 1 }>(len);
        // SAFETY: so much is there behind the first byte.
        (1, unsafe { M::copy_text(path.cast(), room, source) })
    } else {
        let room = at_most::<PATH>(len + 1);
        // SAFETY: so much is there.
        (0, unsafe {
            M::copy_text(path.cast(), room, at as *const c_void)
        })
    };
    if with_nul > 0 {
        name.len = lead + (with_nul - 1) as u16;
    }
}

/// `len`, or `MOST` if that is less.
///
/// In assembly, for the verifier: from a comparison in Rust the compiler may come back with a
/// number that it computed another way, whose bounds are not known.
#[inline(always)]
fn at_most<const MOST: u32>(len: u32) -> u32 {
    let mut len = u64::from(len);
    // SAFETY: changes one register.
    unsafe {
        asm!("if {len} < {most} goto +1", "{len} = {most}", len = inout(reg) len, most = const MOST);
    }
    len as u32
}
