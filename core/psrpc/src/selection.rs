//! Which server a client grants its request to.
//!
//! ```text
//!            bid acceptable and (first wins, or ≥ maximum) ─────────────► chosen at once
//! collecting
//!            affinity timeout, or short circuit after the first bid ────► best bid > 0, else remembered error, else none
//! ```
//!
//! Knows one request's bids; not who published what, nor how grants travel. Source: psrpc `selectServer`.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::now::later;

/// Whether the first acceptable bid wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Yes: bids do not matter (queue methods).
    First,
    /// No: wait for the best one.
    Best,
}

/// How a client selects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// Bids below are only counted. 0: off.
    pub minimum: f32,
    /// A bid this good wins at once. 0: off.
    pub maximum: f32,
    /// Whether the first acceptable bid wins.
    pub accept: Accept,
    /// How long to wait for bids, from the publish. `None`: as long as the request lives.
    pub affinity_timeout: Option<Duration>,
    /// How long to wait for better bids after the first acceptable one.
    pub short_circuit: Option<Duration>,
}

impl Selection {
    /// The default of queue methods: the first bid wins, one second to find one.
    #[must_use]
    pub fn first() -> Self {
        Self {
            minimum: 0.0,
            maximum: 0.0,
            accept: Accept::First,
            affinity_timeout: Some(Duration::from_secs(1)),
            short_circuit: None,
        }
    }

    /// As [`Selection::first`], waiting for a bid as long as the request lives (what a worker uses for IOInfo).
    #[must_use]
    pub fn first_whenever() -> Self {
        Self {
            affinity_timeout: None,
            ..Self::first()
        }
    }

    /// The default of affinity methods: the best bid within a second, or 200 ms after the first.
    #[must_use]
    pub fn best() -> Self {
        Self {
            accept: Accept::Best,
            short_circuit: Some(Duration::from_millis(200)),
            ..Self::first()
        }
    }

    /// What livekit-server uses for `StartEgress`: a bid of 1 wins at once, others wait 500 ms.
    #[must_use]
    pub fn start_egress() -> Self {
        Self {
            maximum: 1.0,
            short_circuit: Some(Duration::from_millis(500)),
            ..Self::best()
        }
    }
}

/// The bids of one request.
#[derive(Debug)]
pub(crate) struct Selector {
    selection: Selection,
    affinity_deadline: Option<Instant>,
    short_circuit_deadline: Option<Instant>,
    bids: u32,
    best: Option<(f32, String)>,
    error: Option<Error>,
}

impl Selector {
    pub(crate) fn new(selection: Selection, published: Instant) -> Self {
        Self {
            selection,
            affinity_deadline: selection
                .affinity_timeout
                .map(|after| later(published, after)),
            short_circuit_deadline: None,
            bids: 0,
            best: None,
            error: None,
        }
    }

    /// When to call [`Selector::conclude`] at the latest, if there is such a time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match (self.affinity_deadline, self.short_circuit_deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes a bid; returns the winner if that decides it.
    pub(crate) fn bid(&mut self, now: Instant, server: &str, affinity: f32) -> Option<String> {
        self.bids = self.bids.saturating_add(1);
        let options = &self.selection;
        let acceptable = options.minimum <= 0.0 || affinity >= options.minimum;
        if !acceptable {
            return None;
        }
        let good_enough = options.maximum > 0.0 && affinity >= options.maximum;
        if options.accept == Accept::First || good_enough {
            return Some(server.to_owned());
        }
        let so_far = self.best.as_ref().map_or(0.0, |(best, _)| *best);
        if affinity > so_far {
            self.best = Some((affinity, server.to_owned()));
        }
        if self.short_circuit_deadline.is_none() {
            self.short_circuit_deadline = options.short_circuit.map(|after| later(now, after));
        }
        None
    }

    /// Remembers an error answered before anybody was granted.
    pub(crate) fn refuse(&mut self, error: Error) {
        self.error = Some(error);
    }

    pub(crate) fn has_candidate(&self) -> bool {
        self.best.is_some()
    }

    /// Decides with what is there.
    ///
    /// # Errors
    /// The remembered error, or `unavailable`.
    pub(crate) fn conclude(self) -> Result<String, Error> {
        match (self.best, self.error) {
            (Some((_, server)), _) => Ok(server),
            (None, Some(error)) => Err(error),
            (None, None) if self.bids > 0 => Err(Error::no_servers(self.bids)),
            (None, None) => Err(Error::no_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        // A test may read the clock: the value does not matter.
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    #[test]
    fn the_first_bid_wins_a_queue_method_even_at_zero() {
        let t = start();
        let mut selector = Selector::new(Selection::first(), t);
        assert_eq!(selector.bid(t, "a", 0.0), Some("a".to_owned()));
    }

    #[test]
    fn a_bid_of_the_maximum_wins_at_once() {
        let t = start();
        let mut selector = Selector::new(Selection::start_egress(), t);
        assert_eq!(selector.bid(t, "a", 0.5), None);
        assert_eq!(selector.bid(t, "b", 1.0), Some("b".to_owned()));
    }

    #[test]
    fn the_best_bid_wins_when_the_short_circuit_ends() {
        let t = start();
        let mut selector = Selector::new(Selection::start_egress(), t);
        assert_eq!(selector.deadline(), Some(t + 1000 * MS));
        assert_eq!(selector.bid(t + 100 * MS, "a", 0.25), None);
        assert_eq!(selector.deadline(), Some(t + 600 * MS));
        assert_eq!(selector.bid(t + 200 * MS, "b", 0.5), None);
        assert_eq!(
            selector.bid(t + 300 * MS, "c", 0.5),
            None,
            "ties: first seen"
        );
        assert_eq!(
            selector.deadline(),
            Some(t + 600 * MS),
            "only the first bid starts it"
        );
        assert_eq!(selector.conclude(), Ok("b".to_owned()));
    }

    #[test]
    fn the_short_circuit_never_outlasts_the_affinity_timeout() {
        let t = start();
        let mut selector = Selector::new(Selection::start_egress(), t);
        assert_eq!(selector.bid(t + 900 * MS, "a", 0.5), None);
        assert_eq!(selector.deadline(), Some(t + 1000 * MS));
    }

    #[test]
    fn a_bid_of_zero_is_counted_but_never_chosen() {
        let t = start();
        let mut selector = Selector::new(Selection::start_egress(), t);
        assert_eq!(selector.bid(t, "a", 0.0), None);
        assert_eq!(
            selector.deadline(),
            Some(t + 500 * MS),
            "it is acceptable: the short circuit starts"
        );
        let error = selector.conclude().unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        assert_eq!(error.message, "no servers available (received 1 responses)");
    }

    #[test]
    fn bids_below_the_minimum_are_only_counted() {
        let t = start();
        let selection = Selection {
            minimum: 0.6,
            ..Selection::best()
        };
        let mut selector = Selector::new(selection, t);
        assert_eq!(selector.bid(t, "a", 0.5), None);
        assert_eq!(selector.bid(t, "b", f32::NAN), None);
        assert_eq!(selector.deadline(), Some(t + 1000 * MS), "no short circuit");
        assert_eq!(selector.conclude(), Err(Error::no_servers(2)));
    }

    #[test]
    fn nobody_at_all_is_no_response_and_an_early_error_beats_both() {
        let t = start();
        assert_eq!(
            Selector::new(Selection::best(), t).conclude(),
            Err(Error::no_response())
        );
        let mut selector = Selector::new(Selection::best(), t);
        assert_eq!(selector.bid(t, "a", 0.0), None);
        selector.refuse(Error::malformed_request("x"));
        assert_eq!(selector.conclude(), Err(Error::malformed_request("x")));
    }

    #[test]
    fn without_an_affinity_timeout_only_the_request_ends_the_wait() {
        assert_eq!(
            Selector::new(Selection::first_whenever(), start()).deadline(),
            None
        );
    }
}
