//! One deadline per request, the earliest first. Knows no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::id::RequestId;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Instant, RequestId)>,
    by_id: BTreeMap<RequestId, Instant>,
}

impl Timers {
    /// Sets or moves the deadline of `id`.
    pub(crate) fn set(&mut self, id: &RequestId, at: Instant) {
        self.clear(id);
        self.by_time.insert((at, id.clone()));
        self.by_id.insert(id.clone(), at);
    }

    pub(crate) fn clear(&mut self, id: &RequestId) {
        if let Some(at) = self.by_id.remove(id) {
            self.by_time.remove(&(at, id.clone()));
        }
    }

    pub(crate) fn contains(&self, id: &RequestId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest deadline that has passed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<RequestId> {
        if self.next()? > now {
            return None;
        }
        self.pop_first()
    }

    pub(crate) fn pop_first(&mut self) -> Option<RequestId> {
        let (_, id) = self.by_time.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }
}
