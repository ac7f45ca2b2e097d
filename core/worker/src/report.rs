//! What is owed to IOInfo (psrpc-wire.md §4.1; egress-behaviour.md §8.7, §15.1 #10).
//!
//! One lane per recording; lanes never wait for one another (upstream: five workers, each stuck behind its slowest call).
//!
//! ```text
//! lane:  Creating ── acked ──► Live ── terminal update acked ──► done
//!           │ failed             │  offered: newest replaces what has not been sent; nothing replaces a terminal state
//!           ▼                    │  sent one at a time, the next after the answer
//!        dropped with            └─ nobody answered: again after 0.5 s, 1 s … 60 s (± jitter), with the newest state, for ever
//!        everything parked          answered with an error: dropped, but a terminal state that met `unknown`, `internal`
//!                                   or `unavailable` is tried again
//! ```
//!
//! CreateEgress is tried once more when it failed fast (nobody subscribed) and the caller still waits: a server that
//! restarts should not cost a recording.
//!
//! Knows snapshots and attempts; not what they say, nor how a call is made.

use crate::health::Health;
use crate::id::Attempt;
use crate::snapshot::{Snapshot, Status};
use recording::{Code, EgressId, Refusal};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How to report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// `io_create_timeout`.
    pub create_timeout: Duration,
    /// `io_update_timeout`.
    pub update_timeout: Duration,
    /// The first pause; doubled after every failure in a row.
    pub backoff: Duration,
    /// The longest pause.
    pub longest_backoff: Duration,
    /// A CreateEgress with less time than this left is not tried again.
    pub least_create: Duration,
}

impl Default for Policy {
    /// Upstream's figures.
    fn default() -> Self {
        Self {
            create_timeout: Duration::from_secs(15),
            update_timeout: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(60),
            least_create: Duration::from_secs(1),
        }
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No server took it ("no response from servers").
    #[error("{0}")]
    NoResponse(String),
    /// A server took it, or may have, and did not answer ("request timed out").
    #[error("{0}")]
    TimedOut(String),
    /// A server answered with an error.
    #[error("{message}")]
    Answered {
        /// Its code.
        code: Code,
        /// Its text.
        message: String,
    },
}

impl Failure {
    /// Nobody answered.
    #[must_use]
    pub const fn unanswered(&self) -> bool {
        match self {
            Self::NoResponse(_) | Self::TimedOut(_) => true,
            Self::Answered { .. } => false,
        }
    }

    /// What the caller of StartEgress is told. (`deadline_exceeded` would make it wait as well, but is no code of ours.)
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::NoResponse(message) | Self::TimedOut(message) => {
                Refusal::new(Code::Unavailable, message.clone())
            }
            Self::Answered { code, message } => Refusal::new(*code, message.clone()),
        }
    }

    fn worth_another_try(&self, terminal: bool) -> bool {
        match self {
            Self::NoResponse(_) | Self::TimedOut(_) => true,
            Self::Answered { code, .. } => match code {
                Code::Unavailable => true,
                Code::Unknown | Code::Internal => terminal,
                Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::LimitReached => false,
            },
        }
    }
}

/// A call to be made. It must be answered exactly once, within its timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `IOInfo.CreateEgress`.
    Create {
        /// Comes back with the answer.
        attempt: Attempt,
        /// Of which recording.
        egress: EgressId,
        /// What to send.
        snapshot: Snapshot,
        /// How long to wait.
        timeout: Duration,
    },
    /// `IOInfo.UpdateEgress`.
    Update {
        /// Comes back with the answer.
        attempt: Attempt,
        /// Of which recording.
        egress: EgressId,
        /// What to send.
        snapshot: Snapshot,
        /// How long to wait.
        timeout: Duration,
    },
}

/// What an answer meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// CreateEgress is acknowledged.
    Created(EgressId),
    /// CreateEgress failed for good; the lane is dropped.
    NotCreated(EgressId, Failure),
    /// Nothing the worker has to act on.
    Noted,
}

#[derive(Debug, Clone)]
enum Stage {
    Creating { first: Snapshot, until: Instant },
    Live,
}

#[derive(Debug, Clone)]
struct Lane {
    stage: Stage,
    /// Newest that was not sent.
    parked: Option<Snapshot>,
    flying: Option<(Attempt, Snapshot)>,
    retry_at: Option<Instant>,
    failures: u32,
    /// A terminal state was offered: nothing follows.
    sealed: bool,
}

/// All lanes.
#[derive(Debug, Clone)]
pub struct Reporter {
    policy: Policy,
    lanes: BTreeMap<EgressId, Lane>,
    owners: BTreeMap<Attempt, EgressId>,
    health: Health,
    next: u64,
    random: u64,
    calls: VecDeque<Call>,
    given_up: u64,
}

impl Reporter {
    /// Nothing owed. `seed` is for the jitter.
    #[must_use]
    pub fn new(policy: Policy, health: Health, seed: u64) -> Self {
        Self {
            policy,
            lanes: BTreeMap::new(),
            owners: BTreeMap::new(),
            health,
            next: 0,
            random: seed | 1,
            calls: VecDeque::new(),
            given_up: 0,
        }
    }

    /// Announces a recording. It must be known by `until`: then the caller gives up.
    pub fn create(&mut self, now: Instant, egress: EgressId, first: Snapshot, until: Instant) {
        self.lanes.insert(
            egress.clone(),
            Lane {
                stage: Stage::Creating { first, until },
                parked: None,
                flying: None,
                retry_at: None,
                failures: 0,
                sealed: false,
            },
        );
        self.send(now, &egress);
    }

    /// Takes over what a former process still owed.
    pub fn owed(&mut self, now: Instant, egress: EgressId, snapshot: Snapshot) {
        self.lanes.entry(egress.clone()).or_insert(Lane {
            stage: Stage::Live,
            parked: None,
            flying: None,
            retry_at: None,
            failures: 0,
            sealed: false,
        });
        self.offer(now, &egress, snapshot);
    }

    /// A new state. Ignored without a lane, and after a terminal one. STARTING is told by CreateEgress and the answer to
    /// StartEgress only (§8.6, appendix D).
    pub fn offer(&mut self, now: Instant, egress: &EgressId, snapshot: Snapshot) {
        let Some(lane) = self.lanes.get_mut(egress) else {
            return;
        };
        if lane.sealed || (snapshot.status == Status::Starting && !snapshot.terminal) {
            return;
        }
        lane.sealed = snapshot.terminal;
        lane.parked = Some(snapshot);
        self.send(now, egress);
    }

    /// Nothing more will be said about it, not even what is parked: it never was, or somebody else has it now.
    pub fn forget(&mut self, egress: &EgressId) {
        self.lanes.remove(egress);
    }

    /// A call succeeded.
    pub fn acked(&mut self, now: Instant, attempt: Attempt) -> Outcome {
        self.health.success();
        let Some((egress, lane)) = self.landed(attempt) else {
            return Outcome::Noted;
        };
        lane.failures = 0;
        let sent = lane.flying.take();
        match lane.stage {
            Stage::Creating { .. } => {
                lane.stage = Stage::Live;
                self.send(now, &egress);
                Outcome::Created(egress)
            }
            Stage::Live => {
                if sent.is_some_and(|(_, snapshot)| snapshot.terminal) {
                    self.lanes.remove(&egress);
                } else {
                    self.send(now, &egress);
                }
                self.hasten(now);
                Outcome::Noted
            }
        }
    }

    /// A call failed.
    pub fn failed(&mut self, now: Instant, attempt: Attempt, failure: Failure) -> Outcome {
        if failure.unanswered() {
            self.health.failure(now);
        } else {
            self.health.success();
        }
        let pause = self.pause(attempt);
        let policy = self.policy;
        let Some((egress, lane)) = self.landed(attempt) else {
            return Outcome::Noted;
        };
        let Some((_, snapshot)) = lane.flying.take() else {
            return Outcome::Noted;
        };
        lane.failures = lane.failures.saturating_add(1);
        match lane.stage {
            Stage::Creating { until, .. } => {
                // nobody took it: it is safe and useful to try again while the caller waits
                let again = now + pause;
                if matches!(failure, Failure::NoResponse(_)) && again + policy.least_create < until
                {
                    lane.retry_at = Some(again);
                    return Outcome::Noted;
                }
                self.lanes.remove(&egress);
                Outcome::NotCreated(egress, failure)
            }
            Stage::Live => {
                if failure.worth_another_try(snapshot.terminal) {
                    // with the newest state: what has come in the meantime replaces it
                    if lane.parked.is_none() {
                        lane.parked = Some(snapshot);
                    }
                    lane.retry_at = Some(now + pause);
                } else {
                    lane.failures = 0;
                    self.given_up += 1;
                    if snapshot.terminal {
                        self.lanes.remove(&egress);
                    } else {
                        self.send(now, &egress);
                    }
                }
                Outcome::Noted
            }
        }
    }

    /// Sends what is due again.
    pub fn tick(&mut self, now: Instant) {
        let due: Vec<EgressId> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.retry_at.is_some_and(|at| at <= now))
            .map(|(egress, _)| egress.clone())
            .collect();
        for egress in due {
            if let Some(lane) = self.lanes.get_mut(&egress) {
                lane.retry_at = None;
            }
            self.send(now, &egress);
        }
    }

    /// The next call to make.
    pub fn poll_call(&mut self) -> Option<Call> {
        self.calls.pop_front()
    }

    /// When [`Reporter::tick`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.lanes.values().filter_map(|lane| lane.retry_at).min()
    }

    /// Does IOInfo answer?
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// A probe of IOInfo is due; answer with [`Reporter::probed`].
    pub fn probe_due(&mut self, now: Instant) -> bool {
        let calling = self.is_calling();
        self.health.due(now, calling)
    }

    /// The probe was answered (an error is an answer too), or not.
    pub fn probed(&mut self, now: Instant, answered: bool) {
        self.health.probed(now, answered);
        if answered {
            self.hasten(now);
        }
    }

    /// Something is still owed about this recording: another one of this name has to wait, or its states would mix.
    #[must_use]
    pub fn owes(&self, egress: &EgressId) -> bool {
        self.lanes.contains_key(egress)
    }

    /// Nothing is owed to anybody.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.lanes.is_empty()
    }

    /// A call is under way: its answer will tell how IOInfo is.
    #[must_use]
    pub fn is_calling(&self) -> bool {
        self.lanes.values().any(|lane| lane.flying.is_some())
    }

    /// Updates that were answered with an error nobody can do anything about.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Terminal states that nobody has acknowledged, to be written down before the process ends.
    #[must_use]
    pub fn unreported(&self) -> Vec<(EgressId, Snapshot)> {
        self.lanes
            .iter()
            .filter_map(|(egress, lane)| {
                let flying = lane.flying.as_ref().map(|(_, snapshot)| snapshot);
                lane.parked
                    .as_ref()
                    .or(flying)
                    .filter(|snapshot| snapshot.terminal)
                    .map(|snapshot| (egress.clone(), snapshot.clone()))
            })
            .collect()
    }

    fn send(&mut self, now: Instant, egress: &EgressId) {
        let Some(lane) = self.lanes.get_mut(egress) else {
            return;
        };
        if lane.flying.is_some() || lane.retry_at.is_some() {
            return;
        }
        let attempt = Attempt(self.next);
        let call = match &lane.stage {
            Stage::Creating { first, until } => {
                lane.flying = Some((attempt, first.clone()));
                Call::Create {
                    attempt,
                    egress: egress.clone(),
                    snapshot: first.clone(),
                    timeout: self
                        .policy
                        .create_timeout
                        .min(until.saturating_duration_since(now)),
                }
            }
            Stage::Live => {
                let Some(snapshot) = lane.parked.take() else {
                    return;
                };
                lane.flying = Some((attempt, snapshot.clone()));
                Call::Update {
                    attempt,
                    egress: egress.clone(),
                    snapshot,
                    timeout: self.policy.update_timeout,
                }
            }
        };
        self.next += 1;
        self.owners.insert(attempt, egress.clone());
        self.calls.push_back(call);
    }

    /// The lane whose attempt it is; `None` for attempts of lanes that are gone.
    fn landed(&mut self, attempt: Attempt) -> Option<(EgressId, &mut Lane)> {
        let egress = self.owners.remove(&attempt)?;
        let lane = self.lanes.get_mut(&egress)?;
        let ours = lane.flying.as_ref().is_some_and(|(a, _)| *a == attempt);
        ours.then_some((egress, lane))
    }

    /// IOInfo is back: those that wait for a late retry need not.
    fn hasten(&mut self, now: Instant) {
        let soon = now + self.policy.backoff;
        for lane in self.lanes.values_mut() {
            if let Some(at) = &mut lane.retry_at {
                *at = (*at).min(soon);
            }
        }
    }

    /// 0.5 s, 1 s, 2 s … 60 s by the failures so far, ± a quarter.
    fn pause(&mut self, attempt: Attempt) -> Duration {
        let failures = self
            .owners
            .get(&attempt)
            .and_then(|egress| self.lanes.get(egress))
            .map_or(0, |lane| lane.failures);
        let plain = self
            .policy
            .backoff
            .saturating_mul(1_u32 << failures.min(16))
            .min(self.policy.longest_backoff);
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let thousandths = u32::try_from(self.random % 500).unwrap_or(0);
        (plain * (750 + thousandths) / 1000).min(self.policy.longest_backoff)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an arbitrary beginning of virtual time"
)]
mod tests;
