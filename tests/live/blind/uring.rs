//! `connect()` through `io_uring`: asked for in shared memory, not by a system call of its own.

use std::io::{Error, Result};
use std::mem::offset_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use gw502_tests::lab::Lab;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

// `include/uapi/linux/io_uring.h`; the calls have the same numbers everywhere.
const SETUP: libc::c_long = 425;
const ENTER: libc::c_long = 426;
const OP_CONNECT: u8 = 16;
const ENTER_GETEVENTS: libc::c_uint = 1;
const OFF_SQ_RING: libc::off_t = 0;
const OFF_CQ_RING: libc::off_t = 0x800_0000;
const OFF_SQES: libc::off_t = 0x1000_0000;

#[repr(C)]
#[derive(Default)]
struct SubmissionOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    flags: u32,
    dropped: u32,
    array: u32,
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Default)]
struct CompletionOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    overflow: u32,
    completions: u32,
    reserved: [u32; 4],
}

#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    thread: [u32; 2],
    features: u32,
    workers: u32,
    reserved: [u32; 3],
    sq: SubmissionOffsets,
    cq: CompletionOffsets,
}

#[repr(C)]
struct Request {
    operation: u8,
    flags: u8,
    priority: u16,
    descriptor: i32,
    /// The address length, for a connect.
    offset: u64,
    address: u64,
    rest: [u64; 5],
}

#[repr(C)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

/// Memory shared with the kernel.
struct Shared {
    start: *mut u8,
    size: usize,
}

impl Shared {
    fn new(ring: &OwnedFd, offset: libc::off_t, size: usize) -> Self {
        // SAFETY: asks for memory at a place of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                ring.as_raw_fd(),
                offset,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "{}", Error::last_os_error());
        let start = start.cast();
        Self { start, size }
    }

    /// A place in it that holds a `T`.
    fn at<T>(&self, offset: usize) -> *mut T {
        assert!(offset + size_of::<T>() <= self.size, "within the ring");
        self.start.wrapping_add(offset).cast()
    }

    fn number(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: within, aligned to 4 as the kernel lays it out, and valid as any bits.
        unsafe { &*self.at::<AtomicU32>(usize::try_from(offset).expect("64 bits")) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped above, and nothing points into it any more.
        let result = unsafe { libc::munmap(self.start.cast(), self.size) };
        assert_eq!(result, 0, "a mapping of our own goes");
    }
}

pub(super) fn connect(lab: &Lab) -> Option<Errno> {
    let mut params = Params::default();
    let ring = set_up(&mut params).ok()?;
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .expect("a unix socket");
    let path = lab.scratch().join("nobody.sock");
    let path = path.as_os_str().as_bytes();
    // SAFETY: plain numbers and bytes.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = u16::try_from(libc::AF_UNIX).expect("a small number");
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = from.cast_signed();
    }
    let length = offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1;

    let words = |count: u32| usize::try_from(count).expect("64 bits");
    let requests = Shared::new(
        &ring,
        OFF_SQES,
        words(params.sq_entries) * size_of::<Request>(),
    );
    let queue = words(params.sq.array) + words(params.sq_entries) * size_of::<u32>();
    let queue = Shared::new(&ring, OFF_SQ_RING, queue);
    let done = words(params.cq.completions) + words(params.cq_entries) * size_of::<Completion>();
    let done = Shared::new(&ring, OFF_CQ_RING, done);
    let request = Request {
        operation: OP_CONNECT,
        flags: 0,
        priority: 0,
        descriptor: socket.as_raw_fd(),
        offset: u64::try_from(length).expect("64 bits"),
        address: u64::try_from((&raw const address).addr()).expect("64 bits"),
        rest: [0; 5],
    };
    // SAFETY: the first of the requests, which is ours until it is in the queue.
    unsafe { requests.at::<Request>(0).write(request) };
    queue.number(params.sq.array).store(0, Ordering::Relaxed);
    queue.number(params.sq.tail).store(1, Ordering::Release);
    enter(&ring).expect("a request that the kernel takes");
    assert_eq!(done.number(params.cq.tail).load(Ordering::Acquire), 1);
    // SAFETY: the first of the results, which is there.
    let result = unsafe { done.at::<Completion>(words(params.cq.completions)).read() };
    Some(Errno::from_raw(-result.result))
}

fn set_up(params: &mut Params) -> Result<OwnedFd> {
    // SAFETY: `params` has the size that the kernel reads and writes.
    let ring = unsafe { libc::syscall(SETUP, 1_u32, ptr::from_mut(params)) };
    let ring = i32::try_from(ring).map_err(Error::other)?;
    if ring < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(ring) })
}

/// Hands over one request, and waits for one result.
fn enter(ring: &OwnedFd) -> Result<()> {
    let none = ptr::null::<u8>();
    // SAFETY: the rings are as the kernel laid them out, the request is whole.
    let taken = unsafe {
        libc::syscall(
            ENTER,
            ring.as_raw_fd(),
            1_u32,
            1_u32,
            ENTER_GETEVENTS,
            none,
            0_usize,
        )
    };
    if taken == 1 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}
