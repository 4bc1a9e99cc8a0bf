//! A `connect()` that a seccomp filter forbids: it ends before it begins.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;

use gw502_tests::lab::Lab;
use nix::errno::Errno;

/// Where a filter finds the number of the system call (`struct seccomp_data`).
const NUMBER: u32 = 0;

/// Connects in a thread of its own, which takes the filter with it.
pub(super) fn connect(lab: &Lab) -> Option<Errno> {
    let nobody = lab.scratch().join("nobody.sock");
    let forbidden = thread::spawn(move || {
        forbid().expect("every kernel here has seccomp");
        UnixStream::connect(nobody)
    });
    let result = forbidden.join().expect("the thread does not panic");
    let error = result.expect_err("it is forbidden");
    error.raw_os_error().map(Errno::from_raw)
}

/// From here on every `connect()` of this thread fails with EPERM.
fn forbid() -> io::Result<()> {
    let step = |code: u32, k: u32, jf: u8| libc::sock_filter {
        code: u16::try_from(code).expect("an operation has 16 bits"),
        jt: 0,
        jf,
        k,
    };
    let connect = u32::try_from(libc::SYS_connect).expect("a small number");
    let eperm = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).expect("a small number");
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, connect, 1),
        step(libc::BPF_RET | libc::BPF_K, eperm, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its instructions live until the call returns, and it copies them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    Errno::result(result)?;
    Ok(())
}
