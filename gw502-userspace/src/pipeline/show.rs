//! The showing half of every verb that shows: aggregate → render → console.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsRawFd as _;

use bytes::Bytes;

use super::live::Flow;
use crate::aggregate::{Counted, Tally};
use crate::cli::args::{Colour, Output, View};
use crate::cli::exit::Exit;
use crate::event::Failure;
use crate::render::text::Style;
use crate::render::{Origin, Summary, json, text};
use crate::sink::{Console, SinkError};

/// What is shown, and what has been.
pub(super) struct Show {
    view: View,
    origin: Origin,
    style: Style,
    tally: Tally,
    console: Console,
    /// Events shown.
    shown: u64,
    /// Failures among them.
    failures: u64,
}

impl Show {
    pub(super) fn new(view: View, origin: Origin) -> Self {
        let style = style(view.color);
        Self {
            view,
            origin,
            style,
            tally: Tally::default(),
            console: Console::default(),
            shown: 0,
            failures: 0,
        }
    }

    /// Counts an event, and shows it if it is asked for.
    pub(super) fn event(&mut self, failure: &Failure) -> Result<Flow, SinkError> {
        self.tally.add(failure);
        if self.flow() == Flow::Stop || !wanted(&self.view, failure) {
            return Ok(self.flow());
        }
        let bytes = match self.view.output {
            Output::Json => json::failure(failure, &self.origin),
            Output::Text => {
                let header = if self.shown == 0 {
                    text::header()
                } else {
                    String::new()
                };
                Bytes::from(header + &text::failure(failure, &self.origin, &self.style))
            }
        };
        self.shown += 1;
        self.failures += u64::from(failure.is_failure());
        self.console.write(&bytes)?;
        Ok(self.flow())
    }

    /// Shows the summary.
    pub(super) fn finish(&mut self, counted: Counted) -> Result<(), SinkError> {
        let summary = Summary {
            upstreams: self.tally.summarise(&counted.upstreams),
            losses: counted.losses,
            skips: counted.skips,
            aborted_shown: self.view.include_aborted,
        };
        let bytes = match self.view.output {
            Output::Json => json::summary(&summary, &self.origin),
            Output::Text => text::summary(&summary, &self.origin, &self.style).into(),
        };
        self.console.write(&bytes)
    }

    pub(super) const fn exit(&self) -> Exit {
        if self.view.fail_on_failures && self.failures > 0 {
            Exit::Findings
        } else {
            Exit::Ok
        }
    }

    /// Whether `--count` is reached.
    fn flow(&self) -> Flow {
        if self.view.count.is_some_and(|count| self.shown >= count) {
            Flow::Stop
        } else {
            Flow::Go
        }
    }
}

fn wanted(view: &View, failure: &Failure) -> bool {
    let class = view.class.is_empty() || view.class.contains(&failure.class);
    let cause = view.cause.is_empty() || view.cause.contains(&failure.cause);
    class && cause && (view.include_aborted || failure.is_failure())
}

fn style(colour: Colour) -> Style {
    let terminal = io::stdout().is_terminal();
    Style {
        colour: match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        },
        width: if terminal { terminal_width() } else { None },
    }
}

fn terminal_width() -> Option<usize> {
    nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open and `size` is what TIOCGWINSZ writes.
    unsafe { window_size(io::stdout().as_raw_fd(), &raw mut size) }.ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
