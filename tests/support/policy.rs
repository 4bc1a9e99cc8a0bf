//! A BPF program on `connect()` of a cgroup: what container platforms enforce their policies with.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::cgroup::Cgroup;

/// Commands of bpf(2).
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
/// `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`
const SOCK_ADDR: u32 = 18;
/// `BPF_CGROUP_INET4_CONNECT`
const INET4_CONNECT: u32 = 10;
/// `bpf_set_retval()`, Linux 5.18+.
const SET_RETVAL: i32 = 187;

/// `struct bpf_insn`
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// What bpf(2) takes to load a program: the beginning of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// What it takes to attach one.
#[repr(C)]
struct Attach {
    target: RawFd,
    program: RawFd,
    kind: u32,
    flags: u32,
}

/// From now on every TCP connect over IPv4 of the processes in `cgroup` fails with `errno`, until the
/// cgroup is gone.
#[track_caller]
pub fn forbid_connects(cgroup: &Cgroup, errno: Errno) {
    let program = load(errno).expect("the kernel takes the program (Linux 5.18+)");
    let directory = File::open(cgroup.path()).expect("our own cgroup");
    let attach = Attach {
        target: directory.as_raw_fd(),
        program: program.as_raw_fd(),
        kind: INET4_CONNECT,
        flags: 0,
    };
    bpf(BPF_PROG_ATTACH, &attach).expect("root may attach it");
}

/// `bpf_set_retval(-errno); return 0;`
fn load(errno: Errno) -> io::Result<OwnedFd> {
    let step = |code, registers, immediate| Instruction {
        code,
        registers,
        offset: 0,
        immediate,
    };
    let instructions = [
        step(0xb7, 1, -(errno as i32)),
        step(0x85, 0, SET_RETVAL),
        step(0xb7, 0, 0),
        step(0x95, 0, 0),
    ];
    let license = c"GPL";
    let load = Load {
        kind: SOCK_ADDR,
        count: 4,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        attach_type: INET4_CONNECT,
        ..Load::default()
    };
    let fd = bpf(BPF_PROG_LOAD, &load)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: bpf(2) has just opened it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes, and what they point to, live until the call returns; the size is theirs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    Ok(Errno::result(result)?)
}
