//! A recorder process: sometimes slow, sometimes dead, sometimes deaf.

use crate::common::Random;
use std::time::Duration;
use worker::child::{Exit, Signal};
use worker::{Snapshot, Status};

/// What a recorder will do, decided at birth.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub(super) spawns: bool,
    /// After birth; `None`: never.
    pub(super) ready: Option<Duration>,
    pub(super) active: Duration,
    pub(super) natural_end: Duration,
    pub(super) crash: Option<Duration>,
    /// Ignores Stop.
    pub(super) deaf: bool,
    /// Ignores SIGTERM.
    pub(super) stubborn: bool,
    /// Does not exit after its last word.
    pub(super) lingers: bool,
    /// Something it started holds the link open.
    pub(super) leaks: bool,
    pub(super) finalise: Duration,
}

impl Fate {
    pub(super) fn calm(random: &mut Random) -> Self {
        Self {
            spawns: true,
            ready: Some(random.millis(2, 200)),
            active: random.millis(200, 3000),
            natural_end: random.millis(5_000, 90_000),
            crash: None,
            deaf: false,
            stubborn: false,
            lingers: false,
            leaks: false,
            finalise: random.millis(50, 5_000),
        }
    }

    pub(super) fn fire(random: &mut Random) -> Self {
        let calm = Self::calm(random);
        Self {
            spawns: !random.percent(2),
            ready: calm.ready.filter(|_| !random.percent(3)),
            crash: random.percent(12).then(|| random.millis(1, 60_000)),
            deaf: random.percent(8),
            stubborn: random.percent(30),
            lingers: random.percent(5),
            leaks: random.percent(5),
            ..calm
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Recording,
    Finalising,
    Finished,
    Dead,
}

#[derive(Debug, Clone)]
pub(super) struct Recorder {
    pub(super) fate: Fate,
    pub(super) state: State,
    pub(super) killed: bool,
    /// Marks every snapshot of this run.
    pub(super) run: Vec<u8>,
    pub(super) closed_is_told: bool,
}

/// What happens to a recorder next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Ready,
    Active,
    /// By itself.
    End,
    Finish,
    Die(Exit),
}

impl Recorder {
    pub(super) fn snapshot(&self, status: Status) -> Snapshot {
        Snapshot::new(status, self.run.clone())
    }

    pub(super) fn last_word(&self) -> Snapshot {
        let status = if self.killed {
            Status::Failed
        } else {
            Status::Complete
        };
        Snapshot::last(status, self.run.clone())
    }

    /// How it dies of a signal, if it does.
    pub(super) fn dies_of(&self, signal: Signal) -> Option<Exit> {
        match signal {
            Signal::Kill => Some(Exit::Signal(9)),
            Signal::Terminate if self.fate.stubborn => None,
            Signal::Terminate => Some(Exit::Signal(15)),
        }
    }
}
