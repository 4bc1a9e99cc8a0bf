//! `connect()` the way a process of 32 bits calls it: `int 0x80`, which one of 64 bits may do, too.

use gw502_tests::lab::Lab;
use nix::errno::Errno;

#[cfg(target_arch = "x86_64")]
pub(super) fn connect(lab: &Lab) -> Option<Errno> {
    use std::arch::asm;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::ptr;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    /// Number of `connect()` in the table of 32-bit system calls.
    const CONNECT: i32 = 362;
    const PAGE: usize = 4096;

    let path = lab.scratch().join("nobody.sock");
    let path = path.as_os_str().as_bytes();
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .expect("a unix socket");
    // SAFETY: asks for memory of our own, below 4 GB where such a call can name it.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
            -1,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED, "a page below 4 GB");
    let family = u16::try_from(libc::AF_UNIX).expect("a small number");
    // SAFETY: the page is ours, and large enough for a family.
    unsafe { page.cast::<u16>().write(family) };
    // SAFETY: the page is ours, zeroed, and larger than the path behind the family.
    unsafe {
        ptr::copy_nonoverlapping(path.as_ptr(), page.cast::<u8>().wrapping_add(2), path.len());
    };
    let length = 2 + path.len() + 1;
    let mut result = i64::from(CONNECT);
    // SAFETY: the arguments are a descriptor, an address below 4 GB and its length; what the call
    // may change is named. rbx is the compiler's own and put back.
    unsafe {
        asm!(
            "xchg rbx, {descriptor}",
            "int 0x80",
            "xchg rbx, {descriptor}",
            descriptor = inout(reg) i64::from(socket.as_raw_fd()) => _,
            inout("rax") result,
            in("rcx") page,
            in("rdx") length,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // SAFETY: made above, and not used any more.
    let unmapped = unsafe { libc::munmap(page, PAGE) };
    assert_eq!(unmapped, 0, "a page of our own goes");
    // The result is 32 bits wide, and a negative errno.
    let [a, b, c, d, ..] = result.to_le_bytes();
    let errno = Errno::from_raw(-i32::from_le_bytes([a, b, c, d]));
    // A kernel that has no such calls says so.
    (errno != Errno::ENOSYS).then_some(errno)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn connect(_: &Lab) -> Option<Errno> {
    None
}
