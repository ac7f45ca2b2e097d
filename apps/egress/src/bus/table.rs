//! Who listens to what in this process, and the bounded queues payloads arrive in.
//!
//! ```text
//! reader ──dispatch(channel, payload)──► Table ──► lane of each subscription ──► Inbox
//!                                                   (bounded; full: dropped and counted, the reader never waits)
//! ```
//!
//! Knows channel names and queues; not how payloads travel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

/// Most payloads of one subscription waiting in an inbox (upstream: 100, 1000 where configured).
const LANE: usize = 1000;

/// A payload and the channel it came on.
pub struct Delivery {
    /// The channel.
    pub channel: Arc<str>,
    /// The payload as received.
    pub payload: Bytes,
    _slot: Slot,
}

/// Frees its place in the lane when the delivery is dropped.
struct Slot(Arc<Lane>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The receiving end of any number of subscriptions.
#[derive(Debug)]
pub struct Inbox {
    receiver: mpsc::Receiver<Delivery>,
    dropped: Arc<AtomicU64>,
}

/// Where subscriptions put what arrives.
#[derive(Debug, Clone)]
pub struct Outlet {
    sender: mpsc::Sender<Delivery>,
    dropped: Arc<AtomicU64>,
}

/// A queue for at most `capacity` payloads over all its subscriptions.
#[must_use]
pub fn inbox(capacity: usize) -> (Outlet, Inbox) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let outlet = Outlet {
        sender,
        dropped: Arc::clone(&dropped),
    };
    (outlet, Inbox { receiver, dropped })
}

impl Inbox {
    /// The next payload; `None` when every outlet is gone.
    pub async fn recv(&mut self) -> Option<Delivery> {
        self.receiver.recv().await
    }

    /// Payloads dropped because a queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.channel, self.payload.len())
    }
}

/// One subscription's share of an inbox.
struct Lane {
    channel: Arc<str>,
    outlet: Outlet,
    queued: AtomicUsize,
}

impl Lane {
    fn offer(self: &Arc<Self>, payload: Bytes) {
        if self.queued.fetch_add(1, Ordering::Relaxed) >= LANE {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.outlet.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let delivery = Delivery {
            channel: Arc::clone(&self.channel),
            payload,
            _slot: Slot(Arc::clone(self)),
        };
        // A refused delivery gives its slot back when it is dropped with the error.
        if self.outlet.sender.try_send(delivery).is_err() {
            self.outlet.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Every subscription of this process on one bus.
#[derive(Default)]
pub(crate) struct Table {
    entries: Mutex<Entries>,
    /// Told whenever the set of channels may have changed.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct Entries {
    next: u64,
    channels: BTreeMap<Arc<str>, Entry>,
}

struct Entry {
    lanes: BTreeMap<u64, Arc<Lane>>,
    confirmed: watch::Sender<bool>,
}

impl Table {
    /// Adds a subscription; `confirmed` if there is nothing to wait for.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        channel: &str,
        outlet: &Outlet,
        confirmed: bool,
    ) -> Subscription {
        let mut entries = self.lock();
        entries.next += 1;
        let id = entries.next;
        let name: Arc<str> = match entries.channels.get_key_value(channel) {
            Some((name, _)) => Arc::clone(name),
            None => channel.into(),
        };
        let entry = entries
            .channels
            .entry(Arc::clone(&name))
            .or_insert_with(|| Entry {
                lanes: BTreeMap::new(),
                confirmed: watch::Sender::new(confirmed),
            });
        let lane = Lane {
            channel: Arc::clone(&name),
            outlet: outlet.clone(),
            queued: AtomicUsize::new(0),
        };
        entry.lanes.insert(id, Arc::new(lane));
        let confirmed = entry.confirmed.subscribe();
        drop(entries);
        self.changed.notify_one();
        Subscription {
            table: Arc::clone(self),
            channel: name,
            id,
            confirmed,
        }
    }

    /// Hands a payload to everybody who listens, and says how many they are.
    pub(crate) fn dispatch(&self, channel: &str, payload: &Bytes) -> u64 {
        let lanes: Vec<Arc<Lane>> = match self.lock().channels.get(channel) {
            Some(entry) => entry.lanes.values().cloned().collect(),
            None => return 0,
        };
        for lane in &lanes {
            lane.offer(payload.clone());
        }
        lanes.len() as u64
    }

    /// The channels somebody listens to.
    pub(crate) fn wanted(&self) -> BTreeSet<Arc<str>> {
        self.lock().channels.keys().cloned().collect()
    }

    /// These channels are subscribed on the current connection; all others are not.
    pub(crate) fn confirm(&self, subscribed: &BTreeSet<Arc<str>>) {
        for (channel, entry) in &self.lock().channels {
            entry.confirmed.send_replace(subscribed.contains(channel));
        }
    }

    fn unsubscribe(&self, channel: &Arc<str>, id: u64) {
        let mut entries = self.lock();
        if let Some(entry) = entries.channels.get_mut(channel) {
            entry.lanes.remove(&id);
            if entry.lanes.is_empty() {
                entries.channels.remove(channel);
            }
        }
        drop(entries);
        self.changed.notify_one();
    }

    /// The map is whole at every await point and panic, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.wanted()).finish()
    }
}

/// Listens to a channel while it lives.
#[derive(Debug)]
pub struct Subscription {
    table: Arc<Table>,
    channel: Arc<str>,
    id: u64,
    confirmed: watch::Receiver<bool>,
}

impl Subscription {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Whether the bus has confirmed it on its current connection; false again while that is lost.
    #[must_use]
    pub fn confirmation(&self) -> watch::Receiver<bool> {
        self.confirmed.clone()
    }

    /// Waits until the bus has confirmed it: from now on nothing published is missed, as long as the connection lasts.
    pub async fn confirmed(&self) {
        confirmed(&mut self.confirmed.clone()).await;
    }
}

/// Waits for a confirmation; for ever if the subscription is gone.
pub(crate) async fn confirmed(receiver: &mut watch::Receiver<bool>) {
    if receiver.wait_for(|confirmed| *confirmed).await.is_err() {
        std::future::pending().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.table.unsubscribe(&self.channel, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_lane_drops_and_counts_and_others_are_not_touched() {
        let table = Arc::new(Table::default());
        let (outlet, mut inbox) = inbox(LANE + 10);
        let busy = table.subscribe("busy", &outlet, true);
        let _calm = table.subscribe("calm", &outlet, true);
        for _ in 0..LANE + 5 {
            assert_eq!(table.dispatch("busy", &Bytes::from_static(b"x")), 1);
        }
        assert_eq!(inbox.dropped(), 5);
        table.dispatch("calm", &Bytes::from_static(b"y"));
        assert_eq!(inbox.dropped(), 5);
        for _ in 0..LANE {
            assert_eq!(&*inbox.recv().await.unwrap().channel, "busy");
        }
        assert_eq!(&*inbox.recv().await.unwrap().channel, "calm");
        // What was read makes room again.
        table.dispatch("busy", &Bytes::from_static(b"z"));
        assert_eq!(inbox.recv().await.unwrap().payload, "z");
        drop(busy);
        assert_eq!(table.dispatch("busy", &Bytes::new()), 0);
        assert_eq!(table.wanted().len(), 1);
    }

    #[tokio::test]
    async fn a_full_inbox_drops_and_counts() {
        let table = Arc::new(Table::default());
        let (outlet, inbox) = inbox(2);
        let _subscription = table.subscribe("a", &outlet, true);
        for _ in 0..5 {
            table.dispatch("a", &Bytes::new());
        }
        assert_eq!(inbox.dropped(), 3);
    }

    #[tokio::test]
    async fn confirmation_follows_the_connection() {
        let table = Arc::new(Table::default());
        let (outlet, _inbox) = inbox(1);
        let subscription = table.subscribe("a", &outlet, false);
        let seen = subscription.confirmation();
        assert!(!*seen.borrow());
        table.confirm(&table.wanted());
        subscription.confirmed().await;
        table.confirm(&BTreeSet::new());
        assert!(!*seen.borrow());
    }
}
