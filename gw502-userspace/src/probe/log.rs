//! Messages of the kernel side (aya-log), for debugging it: built with `--features ebpf-log`, shown
//! with `GW502_LOG=debug`.

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Passes the messages on to our own log as long as the event loop runs.
pub(super) fn forward(ebpf: &mut Ebpf) {
    let logger = match EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(error) => return log::warn!("no messages from the kernel side: {error}"),
    };
    // SAFETY: the logger owns its ring's descriptor and keeps it as long as it lives.
    let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
    match logger {
        Ok(mut logger) => drop(tokio::spawn(async move {
            while let Ok(mut ready) = logger.readable_mut().await {
                ready.clear_ready();
                ready.get_inner_mut().flush();
            }
        })),
        Err(_refused) => log::warn!("no messages from the kernel side: cannot wait for them"),
    }
}
