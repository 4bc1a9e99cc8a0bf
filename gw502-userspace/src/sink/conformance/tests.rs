//! The function itself: it passes a good sink, and no bad one.

use std::sync::{Arc, Mutex};

use super::*;
use crate::sink::ship::Delivery;

/// What a sink over a network may do wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    LosesOne,
    Reorders,
    Doubles,
    NoticesNothing,
    Gives,
    LosesAtReopen,
}

#[derive(Clone, Debug, Default)]
struct Net {
    state: Arc<Mutex<(Vec<String>, bool)>>,
    fault: Fault,
    reopened: bool,
}

impl Sink for Net {
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            let (arrived, down) = &mut *state;
            let mut ids: Vec<_> = records.iter().map(id).collect();
            if *down {
                return match self.fault {
                    Fault::NoticesNothing => Ok(()),
                    Fault::Gives => Err(DeliverError::Never {
                        refused: 1,
                        why: String::new(),
                    }),
                    _ => {
                        // A part has gone through.
                        arrived.extend(ids.drain(..3));
                        Err(DeliverError::Later {
                            why: String::new(),
                            after: None,
                        })
                    }
                };
            }
            match self.fault {
                Fault::LosesOne if ids.len() == 10 => drop(ids.remove(4)),
                Fault::Reorders if ids.len() == 20 => ids.swap(3, 4),
                Fault::Doubles if ids.len() == 10 => ids.push(ids[0].clone()),
                Fault::LosesAtReopen if self.reopened => ids.clear(),
                _ => {}
            }
            arrived.extend(ids);
            Ok(())
        })
    }

    fn reopen(&mut self) {
        self.reopened = true;
    }
}

fn id(record: &Record) -> String {
    let json: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
    json["id"].as_str().unwrap().to_owned()
}

struct Far(Arc<Mutex<(Vec<String>, bool)>>);

impl Receiver for Far {
    fn arrived(&mut self) -> Vec<String> {
        self.0.lock().unwrap().0.clone()
    }

    fn fail(&mut self) {
        self.0.lock().unwrap().1 = true;
    }

    fn recover(&mut self) {
        self.0.lock().unwrap().1 = false;
    }
}

async fn verdict(fault: Fault) -> Result<()> {
    let mut net = Net {
        fault,
        ..Net::default()
    };
    let mut far = Far(Arc::clone(&net.state));
    check(&mut net, &mut far).await
}

#[tokio::test(start_paused = true)]
async fn a_good_sink_passes() {
    verdict(Fault::None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_bad_sink_passes() {
    for fault in [
        Fault::LosesOne,
        Fault::Reorders,
        Fault::Doubles,
        Fault::NoticesNothing,
        Fault::Gives,
        Fault::LosesAtReopen,
    ] {
        assert!(verdict(fault).await.is_err(), "{fault:?}");
    }
}
