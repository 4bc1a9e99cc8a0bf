//! A sink that does as it is told.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::super::scratch::sequences;
use crate::sink::ship::{DeliverError, Delivery, Record, Sink};

/// What comes of a delivery.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Later(Option<Duration>),
    /// So many arrive, and then it breaks.
    Part(usize),
    /// The first so many are refused.
    Never(usize),
    Hang,
}

/// The sink's strings.
#[derive(Clone, Debug, Default)]
pub(super) struct Hand {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    got: Vec<u64>,
    batches: Vec<usize>,
    answers: VecDeque<Answer>,
    down: bool,
    tries: usize,
    reopens: usize,
}

#[derive(Debug)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
}

impl Hand {
    pub(super) fn sink(&self) -> Fake {
        Fake {
            state: Arc::clone(&self.state),
        }
    }

    pub(super) fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().answers.extend(answers);
    }

    pub(super) fn down(&self) {
        self.state.lock().unwrap().down = true;
    }

    pub(super) fn up(&self) {
        self.state.lock().unwrap().down = false;
    }

    pub(super) fn got(&self) -> Vec<u64> {
        self.state.lock().unwrap().got.clone()
    }

    pub(super) fn batches(&self) -> Vec<usize> {
        self.state.lock().unwrap().batches.clone()
    }

    pub(super) fn tries(&self) -> usize {
        self.state.lock().unwrap().tries
    }

    pub(super) fn reopens(&self) -> usize {
        self.state.lock().unwrap().reopens
    }
}

impl State {
    /// `None`: never.
    fn deliver(&mut self, records: &[Record]) -> Option<Result<(), DeliverError>> {
        self.tries += 1;
        let sequences = sequences(records);
        let later = |after| {
            Some(Err(DeliverError::Later {
                why: "told so".to_owned(),
                after,
            }))
        };
        if self.down {
            return later(None);
        }
        match self.answers.pop_front() {
            None => {
                self.batches.push(sequences.len());
                self.got.extend(sequences);
                Some(Ok(()))
            }
            Some(Answer::Later(after)) => later(after),
            Some(Answer::Part(arrived)) => {
                self.got.extend(&sequences[..arrived]);
                later(None)
            }
            Some(Answer::Never(refused)) => {
                self.got.extend(&sequences[refused..]);
                let refused = refused as u64;
                Some(Err(DeliverError::Never {
                    refused,
                    why: "told so".to_owned(),
                }))
            }
            Some(Answer::Hang) => None,
        }
    }
}

impl Sink for Fake {
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a> {
        let answer = self.state.lock().unwrap().deliver(records);
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => pending().await,
            }
        })
    }

    fn reopen(&mut self) {
        self.state.lock().unwrap().reopens += 1;
    }
}
