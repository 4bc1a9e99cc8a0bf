//! The showing half of every verb that shows: aggregate → render → console.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsRawFd as _;

use bytes::Bytes;

use super::live::Flow;
use crate::aggregate::{Counted, Portion, Tally};
use crate::cli::args::{Colour, Output, View};
use crate::cli::exit::Exit;
use crate::event::Failure;
use crate::intake::recording::Choice;
use crate::render::text::Style;
use crate::render::{Origin, Summary, Unrecorded, json, text};
use crate::sink::{Console, SinkError};

/// What is shown, and what has been.
pub(super) struct Show {
    view: View,
    origin: Origin,
    style: Style,
    tally: Tally,
    console: Console,
    /// Events of the recording that it only counted.
    unrecorded: u64,
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
            unrecorded: 0,
            shown: 0,
            failures: 0,
        }
    }

    /// Counts an event, and shows it if it is asked for.
    pub(super) fn event(&mut self, failure: &Failure) -> Result<Flow, SinkError> {
        self.tally.add(failure);
        if self.flow() == Flow::Stop || !self.view.filter.wants(failure) {
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

    /// Counts events that a recording does not hold.
    pub(super) fn unrecorded(&mut self, portion: &Portion) {
        self.tally.add_portion(portion);
        self.unrecorded = self.unrecorded.saturating_add(portion.events());
    }

    /// Shows the summary. `choice` is what a recording was to hold.
    pub(super) fn finish(
        &mut self,
        counted: Counted,
        choice: Option<&Choice>,
    ) -> Result<(), SinkError> {
        let unrecorded = choice.map(|choice| Unrecorded {
            events: self.unrecorded,
            options: choice.to_string(),
        });
        let summary = Summary {
            upstreams: self.tally.summarise(&counted.upstreams),
            losses: counted.losses,
            skips: counted.skips,
            aborted_shown: self.view.filter.include_aborted,
            unrecorded: unrecorded.filter(|left_out| left_out.events > 0),
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
        if self
            .view
            .filter
            .count
            .is_some_and(|count| self.shown >= count)
        {
            Flow::Stop
        } else {
            Flow::Go
        }
    }
}

pub(super) fn style(colour: Colour) -> Style {
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
