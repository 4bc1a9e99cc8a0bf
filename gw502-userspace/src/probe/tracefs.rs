//! tracefs, where tracepoints have their numbers. Where it is not mounted, it is for as long as it
//! is needed, in a mount namespace of our own that nobody else sees.

use std::fs;
use std::io;
use std::thread;

use aya::programs::ProgramError;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const TRACEFS: &str = "/sys/kernel/tracing";

/// Where the BPF side expects the first argument of a system call, or its result; the others follow
/// it eight bytes apart.
const ARGUMENTS: usize = 16;

/// Does `attach` with tracefs mounted, to a system call's tracepoint of that name.
pub fn with<T: Send>(
    name: &str,
    attach: impl FnOnce() -> Result<T, ProgramError> + Send,
) -> Result<T, ProgramError> {
    let checked = || {
        let format = fs::read_to_string(format!("{TRACEFS}/events/syscalls/{name}/format"));
        let format = format.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => unreadable(),
            _ => error,
        })?;
        if !is_as_expected(&format) {
            return Err(io::Error::other(format!("{name} has another layout")).into());
        }
        attach()
    };
    match fs::metadata(format!("{TRACEFS}/events")) {
        Ok(_) => return checked(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(unreadable().into());
        }
        Err(_) => {}
    }
    let here = || {
        unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| {
                let recursively = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount(None::<&str>, "/", None::<&str>, recursively, None::<&str>)
            })
            .and_then(|()| {
                let (what, flags) = (Some("tracefs"), MsFlags::empty());
                mount(what, TRACEFS, what, flags, None::<&str>)
            })
            .map_err(|errno| match errno {
                Errno::EPERM => io::Error::other("mounting tracefs takes CAP_SYS_ADMIN"),
                other => other.into(),
            })?;
        checked()
    };
    // A thread of its own, because it takes the namespace with it when it ends.
    thread::scope(|scope| match scope.spawn(here).join() {
        Ok(result) => result,
        Err(_) => Err(io::Error::other("the thread that mounts tracefs failed").into()),
    })
}

/// It is root's alone, unless it was mounted otherwise.
fn unreadable() -> io::Error {
    io::Error::other("reading tracefs takes CAP_DAC_READ_SEARCH")
}

/// Whether what a tracepoint's `format` lists after the number of the system call lies where the BPF
/// side reads it.
fn is_as_expected(format: &str) -> bool {
    let mut fields = format
        .lines()
        .filter(|line| line.trim_start().starts_with("field:"))
        .skip_while(|line| !line.contains(" __syscall_nr;"))
        .skip(1)
        .map(|line| {
            let mut parts = line.split(';').map(str::trim);
            parts.find_map(|part| part.strip_prefix("offset:")?.parse::<usize>().ok())
        })
        .enumerate()
        .peekable();
    fields.peek().is_some()
        && fields.all(|(index, offset)| offset == Some(ARGUMENTS + index * size_of::<u64>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name: sys_enter_connect\nID: 2230\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n";

    #[test]
    fn arguments_are_read_where_the_kernel_has_them() {
        let format = format!(
            "{HEAD}\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\
             \tfield:int fd;\toffset:16;\tsize:8;\tsigned:0;\n\
             \tfield:struct sockaddr * uservaddr;\toffset:24;\tsize:8;\tsigned:0;\n\n\
             print fmt: \"fd: 0x%08lx\", ((unsigned long)(REC->fd))\n"
        );
        assert!(is_as_expected(&format));
    }

    #[test]
    fn another_layout_is_refused() {
        let later = format!(
            "{HEAD}\tfield:int __syscall_nr;\toffset:12;\tsize:4;\tsigned:1;\n\
             \tfield:long ret;\toffset:24;\tsize:8;\tsigned:1;\n"
        );
        assert!(!is_as_expected(&later));
        assert!(!is_as_expected(HEAD));
    }
}
