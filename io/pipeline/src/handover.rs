//! From GStreamer's threads to the recorder's task: order kept, nothing lost silently, memory bounded.
//!
//! ```text
//! appsink threads ── sample: waits while ≥ BUDGET lies unread ──► queue ──► Events::recv
//! bus, bridge     ── fact: never waits, never lost              ──►
//! ```
//!
//! A receiver that is a whole budget behind stops the encoder; the raw frames in front of it are then dropped and
//! counted ([`crate::capture`]), so that the encoded stream stays intact. When either end is closed, waiting ends.

use crate::capture::Event;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Unread bytes of samples: about 20 s of 1080p60 with sound.
pub const BUDGET_BYTES: usize = 16 << 20;
/// Unread samples: about 40 s of 30 pictures and 47 sound units a second.
pub const BUDGET_SAMPLES: usize = 3072;

/// The other end has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Closed;

/// What lies unread.
#[derive(Default, Debug)]
struct Load {
    bytes: usize,
    samples: usize,
    closed: bool,
}

#[derive(Default, Debug)]
struct Shared {
    load: Mutex<Load>,
    room: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Load> {
        // Nothing under this lock can panic half way.
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }
}

/// The giving end; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    queue: mpsc::UnboundedSender<Event>,
    shared: Arc<Shared>,
}

/// Both ends.
pub(crate) fn channel() -> (Sender, Events) {
    let (queue, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::default());
    (
        Sender {
            queue,
            shared: Arc::clone(&shared),
        },
        Events { receiver, shared },
    )
}

impl Sender {
    /// Hands over a sample; waits for the receiver when it is a budget behind.
    pub(crate) fn sample(&self, sample: media::Sample) -> Result<(), Closed> {
        let bytes = sample.data.len();
        {
            let mut load = self
                .shared
                .room
                .wait_while(self.shared.lock(), |load| {
                    !load.closed && (load.bytes >= BUDGET_BYTES || load.samples >= BUDGET_SAMPLES)
                })
                .unwrap_or_else(PoisonError::into_inner);
            if load.closed {
                return Err(Closed);
            }
            load.bytes += bytes;
            load.samples += 1;
        }
        self.queue
            .send(Event::Sample(sample))
            .map_err(|_gone| Closed)
    }

    /// Hands over anything that is not a sample, at once. Nobody to hear it is no error: the sample path notices.
    pub(crate) fn fact(&self, event: Event) {
        if self.queue.send(event).is_err() {
            tracing::trace!("nobody listens to this capture any more");
        }
    }

    /// Ends all waiting; samples are refused from now on.
    pub(crate) fn close(&self) {
        self.shared.close();
    }
}

/// The taking end. Dropping it ends the capture's hand-over: the streams stop with an error nobody hears.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Event>,
    shared: Arc<Shared>,
}

impl Events {
    /// The next event; `None` after the capture was dropped and everything was read. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Event> {
        let event = self.receiver.recv().await;
        self.taken(event)
    }

    /// The next event, waiting on this thread. Panics inside of an async context, as tokio's does.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        let event = self.receiver.blocking_recv();
        self.taken(event)
    }

    /// The next event if one is there.
    pub fn try_recv(&mut self) -> Option<Event> {
        let event = self.receiver.try_recv().ok();
        self.taken(event)
    }

    fn taken(&self, event: Option<Event>) -> Option<Event> {
        if let Some(Event::Sample(sample)) = &event {
            let mut load = self.shared.lock();
            load.bytes = load.bytes.saturating_sub(sample.data.len());
            load.samples = load.samples.saturating_sub(1);
            drop(load);
            self.shared.room.notify_all();
        }
        event
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{Kind, MediaTime, Sample};
    use std::{thread, time::Duration};

    fn sample(bytes: usize, tick: u64) -> Sample {
        Sample {
            kind: Kind::Video,
            pts: MediaTime::from_nanos(tick),
            dts: MediaTime::from_nanos(tick),
            duration: Duration::ZERO,
            keyframe: true,
            data: Bytes::from(vec![0; bytes]),
        }
    }

    #[test]
    fn a_full_budget_waits_for_the_receiver_and_loses_nothing() {
        let (sender, mut events) = channel();
        let quarter = BUDGET_BYTES / 4;
        let giver = thread::spawn(move || {
            (0..12).try_for_each(|tick| sender.sample(sample(quarter, tick)))
        });
        for tick in 0..12 {
            match events.blocking_recv() {
                Some(Event::Sample(s)) => assert_eq!(s.pts.as_nanos(), tick),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(giver.join().unwrap(), Ok(()));
        assert_eq!(events.blocking_recv(), None);
    }

    #[test]
    fn facts_pass_when_samples_wait() {
        let (sender, mut events) = channel();
        sender.sample(sample(BUDGET_BYTES, 0)).unwrap();
        sender.fact(Event::Playing);
        assert!(matches!(events.try_recv(), Some(Event::Sample(_))));
        assert_eq!(events.try_recv(), Some(Event::Playing));
        assert_eq!(events.try_recv(), None);
    }

    #[test]
    fn closing_either_end_ends_waiting() {
        let (sender, events) = channel();
        sender.sample(sample(BUDGET_BYTES, 0)).unwrap();
        let waiting = sender.clone();
        let giver = thread::spawn(move || waiting.sample(sample(1, 1)));
        sender.close();
        assert_eq!(giver.join().unwrap(), Err(Closed));
        drop(events);

        let (sender, events) = channel();
        sender.sample(sample(BUDGET_BYTES, 0)).unwrap();
        let giver = thread::spawn(move || sender.sample(sample(1, 1)));
        drop(events);
        assert_eq!(giver.join().unwrap(), Err(Closed));
    }
}
