//! Whether both connections are up, as one published state. Knows nothing of how they come up.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::bus::link::State;

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Ear,
    Commands,
}

#[derive(Debug)]
pub(super) struct Gauge {
    /// Causes of what is down.
    down: Mutex<[Option<String>; 2]>,
    state: watch::Sender<State>,
}

impl Gauge {
    /// Everything is up.
    pub(super) fn new() -> Self {
        let since = Instant::now();
        Self {
            down: Mutex::default(),
            state: watch::Sender::new(State::Connected { since }),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn up(&self, part: Part) {
        self.set(part, None);
    }

    pub(super) fn down(&self, part: Part, cause: &str) {
        self.set(part, Some(cause.to_owned()));
    }

    fn set(&self, part: Part, cause: Option<String>) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let [ear, commands] = &mut *down;
        match part {
            Part::Ear => *ear = cause,
            Part::Commands => *commands = cause,
        }
        let cause = ear.as_ref().or(commands.as_ref()).cloned();
        self.state.send_if_modified(|state| {
            let next = match (&*state, cause) {
                (State::Connected { .. }, None) => return false,
                (State::Disconnected { .. }, None) => State::Connected {
                    since: Instant::now(),
                },
                (State::Connected { .. }, Some(cause)) => State::Disconnected {
                    since: Instant::now(),
                    cause,
                },
                (State::Disconnected { since, cause: old }, Some(cause)) if *old != cause => {
                    State::Disconnected {
                        since: *since,
                        cause,
                    }
                }
                (State::Disconnected { .. }, Some(_)) => return false,
            };
            *state = next;
            true
        });
    }
}
