//! A livekit-server that wants something recorded: psrpc's selection and its retries (psrpc-wire.md §2.5, §6.2).

use recording::cost::Cost;
use recording::{Code, EgressId, Refusal};
use std::time::Duration;
use worker::RequestId;

/// First bid of 1 or more at once; the best of others half a second after the first; nobody for a second: give up.
pub(super) const SHORT_CIRCUIT: Duration = Duration::from_millis(500);
pub(super) const AFFINITY_TIMEOUT: Duration = Duration::from_secs(1);
pub(super) const MOST_ATTEMPTS: u32 = 3;

#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) request: RequestId,
    pub(super) sent: Duration,
    pub(super) expires: Duration,
    pub(super) best: Option<(usize, f32)>,
    pub(super) winner: Option<usize>,
    pub(super) over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Trying,
    Started { machine: usize, run: Vec<u8> },
    Failed(Refusal),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) egress: EgressId,
    pub(super) need: Cost,
    pub(super) begun: Duration,
    pub(super) attempts: Vec<Attempt>,
    pub(super) state: State,
    /// Stops it so long after it was started.
    pub(super) stop_after: Option<Duration>,
}

impl Call {
    pub(super) fn attempt(&mut self, request: &RequestId) -> Option<&mut Attempt> {
        self.attempts
            .iter_mut()
            .find(|attempt| attempt.request == *request)
    }

    /// 10 s, 20 s, 40 s.
    pub(super) fn timeout(&self) -> Duration {
        let doubled = u32::try_from(self.attempts.len()).unwrap_or(0);
        Duration::from_secs(10) * 2_u32.pow(doubled)
    }

    pub(super) fn tries_again_after(&self, refusal: &Refusal) -> bool {
        refusal.code == Code::Unavailable
            && self.attempts.len() < usize::try_from(MOST_ATTEMPTS).unwrap_or(0)
    }
}
