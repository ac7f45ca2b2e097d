//! Who asks for a bid: offered at once, offered a moment later, waiting for other bids to be decided, or declined.
//!
//! ```text
//! asked ─► fits ─────────────► reserved ─► (idle and light: 12 ms) ─► Bid
//!       ├► only bids in the way ─► waiting ─► a bid is lost: asked again · 0.7 s: declined
//!       └► does not fit ─► Decline
//! ```
//!
//! Waiting pays because most bids are lost within milliseconds (every able worker bids, one wins), while a declined start
//! comes back only after seconds.

use super::{Phase, Worker};
use crate::bid::{Decline, Offer};
use crate::effect::Effect;
use crate::id::RequestId;
use crate::job::Start;
use recording::EgressId;
use recording::cost::Cost;
use std::time::Instant;

const MOST_WAITING: usize = 512;

#[derive(Debug, Clone)]
struct Delayed {
    request: RequestId,
    affinity: f32,
    at: Instant,
}

#[derive(Debug, Clone)]
struct Waiting {
    request: RequestId,
    egress: EgressId,
    need: Cost,
    until: Instant,
}

/// Asks that are not answered yet, in the order they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Asks {
    delayed: Vec<Delayed>,
    waiting: Vec<Waiting>,
}

impl Asks {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let delayed = self.delayed.iter().map(|ask| ask.at);
        let waiting = self.waiting.iter().map(|ask| ask.until);
        delayed.chain(waiting).min()
    }

    fn remove(&mut self, request: &RequestId) {
        self.delayed.retain(|ask| ask.request != *request);
        self.waiting.retain(|ask| ask.request != *request);
    }
}

impl Worker {
    pub(super) fn bid_asked(
        &mut self,
        now: Instant,
        request: RequestId,
        egress: EgressId,
        need: Cost,
    ) {
        if let Some(job) = self.jobs.get(&egress) {
            // a retry of what already runs here: nobody else may get it
            match job.start {
                Start::Failed => self.decline(request, Decline::CleaningUp),
                Start::Pending { .. } | Start::Answered { .. } => {
                    let affinity = Offer::NOW.affinity;
                    self.effects.push_back(Effect::Bid { request, affinity });
                }
            }
            return;
        }
        if self.phase > Phase::Serving {
            return self.decline(request, Decline::Draining);
        }
        if self.reporter.health().is_unhealthy() {
            return self.decline(request, Decline::Unreported);
        }
        if self.reporter.owes(&egress) {
            return self.decline(request, Decline::CleaningUp);
        }
        let busy = self.ledger.is_busy();
        match self.ledger.bid(now, request.clone(), egress.clone(), need) {
            Ok(()) => {
                let offer = self
                    .config
                    .bids
                    .offer(&need, self.config.budget.cores, busy);
                if offer.delay.is_zero() {
                    let affinity = offer.affinity;
                    self.effects.push_back(Effect::Bid { request, affinity });
                } else {
                    self.asks.delayed.push(Delayed {
                        request,
                        affinity: offer.affinity,
                        at: now + offer.delay,
                    });
                }
            }
            Err(denial) if !self.ledger.would_fit_without_bids(&need) => {
                self.decline(request, Decline::Full(denial));
            }
            Err(_) if self.asks.waiting.len() >= MOST_WAITING => {
                self.decline(request, Decline::Crowded);
            }
            Err(_) => self.asks.waiting.push(Waiting {
                request,
                egress,
                need,
                until: now + self.config.bids.patience,
            }),
        }
    }

    pub(super) fn bid_lost(&mut self, request: &RequestId) {
        self.asks.remove(request);
        self.ledger.lost(request);
    }

    /// The request is being started: it is not an ask any more.
    pub(super) fn ask_granted(&mut self, request: &RequestId) {
        self.asks.remove(request);
    }

    pub(super) fn decline_all(&mut self, reason: &Decline) {
        let asks = std::mem::take(&mut self.asks);
        let delayed = asks.delayed.into_iter().map(|ask| ask.request);
        let waiting = asks.waiting.into_iter().map(|ask| ask.request);
        for request in delayed.chain(waiting) {
            self.ledger.lost(&request);
            self.decline(request, reason.clone());
        }
    }

    pub(super) fn asks_due(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.asks.delayed)
            .into_iter()
            .partition(|ask| ask.at <= now);
        self.asks.delayed = later;
        let due: Vec<Delayed> = due;
        for Delayed {
            request, affinity, ..
        } in due
        {
            self.effects.push_back(Effect::Bid { request, affinity });
        }
        for ask in std::mem::take(&mut self.asks.waiting) {
            let Waiting {
                request,
                egress,
                need,
                until,
            } = ask.clone();
            if self.jobs.contains_key(&egress) {
                // its twin was granted meanwhile
                self.bid_asked(now, request, egress, need);
                continue;
            }
            match self.ledger.bid(now, request.clone(), egress, need) {
                Ok(()) => {
                    let busy = self.ledger.is_busy();
                    let offer = self
                        .config
                        .bids
                        .offer(&need, self.config.budget.cores, busy);
                    let affinity = offer.affinity;
                    self.effects.push_back(Effect::Bid { request, affinity });
                }
                Err(denial) if until <= now || !self.ledger.would_fit_without_bids(&need) => {
                    self.decline(request, Decline::Full(denial));
                }
                Err(_) => self.asks.waiting.push(ask),
            }
        }
    }
}
