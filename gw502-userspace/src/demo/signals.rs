//! Ctrl-C and `kill` as news instead of a sudden death.

use std::sync::mpsc::SyncSender;
use std::thread;

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};

use super::News;

/// Turns SIGINT and SIGTERM into [`News::Stop`].
///
/// They are blocked in the calling thread and in all that it starts, and taken by a thread that
/// waits for nothing else. Children inherit the blocking: see [`super::children::tether`].
pub(super) fn watch(news: SyncSender<News>) -> anyhow::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block().context("cannot block signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if let Err(error) = pass_on(signals, &news) {
                log::warn!("cannot wait for signals any more: {error}");
            }
        })
        .context("cannot start the signal thread")?;
    Ok(())
}

/// Returns once nobody takes news any more.
fn pass_on(signals: SigSet, news: &SyncSender<News>) -> nix::Result<()> {
    loop {
        let signal = signals.wait()?;
        log::debug!("{signal} came");
        if news.send(News::Stop).is_err() {
            return Ok(());
        }
    }
}
