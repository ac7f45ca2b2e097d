//! Capture to outputs: one task that takes samples from the pipeline and offers them to the hub.
//!
//! ```text
//! pipeline ──Event──► task ── push ──► hub (mutex) ── condvar ──► Tap::next on each output's thread
//! ```
//!
//! The outputs are opened when the formats of all streams are known, which is a moment before the first sample.

use crate::file;
use ::media::{
    Format, MediaTime, Sample,
    hub::{self, Hub, Item, Join},
};
use container::mp4;
use pipeline::{Capture, Event, Events};
use recording::{
    Fault,
    lifecycle::{Input, MediaFact, OutputFact, OutputId},
    link::Uploads,
};
use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use storage::PartFile;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// What waits for the formats: samples that come before them would be a pipeline's bug; a second's worth is kept.
const EARLY: usize = 256;

/// Counters for the link's `Stats`, shared between the threads of one recording.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes_written: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) drops: AtomicU64,
    pub(crate) uploads: Mutex<Vec<Uploads>>,
}

impl Counters {
    /// One more thing was brought to its place, or was not.
    pub(crate) fn stored(&self, content_type: &str, stored: bool, took: Duration) {
        let status = if stored { "success" } else { "internal" };
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let same = uploads
            .iter_mut()
            .find(|u| u.kind == content_type && u.status == status);
        if let Some(same) = same {
            same.count += 1;
            same.total_ms = same.total_ms.saturating_add(took);
        } else {
            uploads.push(Uploads {
                kind: content_type.to_owned(),
                status: status.to_owned(),
                custom_endpoint: false,
                count: 1,
                total_ms: took,
            });
        }
    }
}

#[derive(Debug)]
struct Shared {
    hub: Mutex<Hub>,
    more: Condvar,
}

impl Shared {
    /// A poisoned lock means a panic elsewhere; the hub itself is consistent between calls.
    fn with<T>(&self, act: impl FnOnce(&mut Hub) -> T) -> T {
        let result = act(&mut self.hub.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_all();
        result
    }
}

/// One output's end of the hub.
#[derive(Debug)]
pub(crate) struct Tap {
    shared: Arc<Shared>,
    id: hub::OutputId,
}

impl Tap {
    /// The next sample; blocks. `None`: the end.
    pub(crate) fn next(&self) -> Option<Sample> {
        let mut hub = self
            .shared
            .hub
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            match hub.pop(self.id) {
                Some(Item::Sample(sample)) => return Some(sample),
                Some(Item::Gap(gap)) => {
                    tracing::warn!(?gap, "the disk is too slow: samples are missing")
                }
                Some(Item::End) => return None,
                None => {
                    hub = self
                        .shared
                        .more
                        .wait(hub)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

/// A file output waiting for the formats.
pub(crate) struct File {
    pub(crate) id: OutputId,
    pub(crate) part: PartFile,
}

/// Which streams a plan has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

/// The media of one recording.
pub(crate) struct Media {
    capture: Option<Arc<Capture>>,
    events: Option<Events>,
    starting: Option<JoinHandle<()>>,
    close: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Media {
    pub(crate) fn new(capture: Capture, events: Events) -> Self {
        Self {
            capture: Some(Arc::new(capture)),
            events: Some(events),
            starting: None,
            close: None,
            task: None,
        }
    }

    /// Begins to start the capture; facts come on `facts`. Display and sound server may take their time over it.
    pub(crate) fn start(
        &mut self,
        wanted: Streams,
        files: Vec<File>,
        counters: Arc<Counters>,
        facts: mpsc::Sender<Input>,
    ) -> Result<(), Fault> {
        let (Some(capture), Some(events)) = (self.capture.clone(), self.events.take()) else {
            return Err(Fault::internal("the media was started already"));
        };
        let (close, closing) = oneshot::channel();
        self.close = Some(close);
        let desk = Desk {
            facts: facts.clone(),
            counters,
            files,
            wanted,
        };
        self.task = Some(tokio::spawn(desk.run(events, closing)));
        self.starting = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = capture.start() {
                // Without a listener the recording is over.
                drop(facts.blocking_send(Input::Media(MediaFact::Failed(error.into()))));
            }
        }));
        Ok(())
    }

    /// Lets what is captured reach the outputs; the fact is `Drained`.
    pub(crate) fn stop(&self) {
        if let Some(capture) = &self.capture {
            capture.stop();
        }
    }

    /// No more samples come: outputs finish their files.
    pub(crate) fn close_outputs(&mut self) {
        if let Some(close) = self.close.take()
            && close.send(()).is_err()
        {
            // The task may have ended with the capture.
            tracing::debug!("the outputs are closing already");
        }
    }

    /// Throws away what is on its way.
    pub(crate) fn discard(&mut self) {
        self.close = None;
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Lets go of display and sound; resolves when they are free.
    pub(crate) fn shut(&mut self) -> oneshot::Receiver<()> {
        let (done, shut) = oneshot::channel();
        let capture = self.capture.take();
        let starting = self.starting.take();
        tokio::spawn(async move {
            if let Some(starting) = starting
                && let Err(error) = starting.await
            {
                tracing::error!(%error, "the capture's start ended abnormally");
            }
            // Blocks until GStreamer's threads have ended.
            drop(tokio::task::spawn_blocking(move || drop(capture)).await);
            if done.send(()).is_err() {
                tracing::trace!("nobody waited for the capture to end");
            }
        });
        shut
    }
}

struct Desk {
    facts: mpsc::Sender<Input>,
    counters: Arc<Counters>,
    files: Vec<File>,
    wanted: Streams,
}

impl Desk {
    async fn run(mut self, mut events: Events, mut closing: oneshot::Receiver<()>) {
        let mut gathered = Gathered::default();
        let mut early = Vec::new();
        let mut shared: Option<Arc<Shared>> = None;
        let mut end = MediaTime::ZERO;
        loop {
            let event = tokio::select! {
                biased;
                _ = &mut closing => break,
                event = events.recv() => event,
            };
            match event {
                // A later one is a change within the stream, which decoders find there.
                Some(Event::Format { .. }) if shared.is_some() => {}
                Some(Event::Format { format, priming }) => {
                    gathered.take(format, priming);
                    if shared.is_none() && gathered.complete(self.wanted) {
                        let opened = self.open_outputs(&gathered).await;
                        for sample in early.drain(..) {
                            self.offer(&opened, sample, &mut end);
                        }
                        shared = Some(opened);
                    }
                }
                Some(Event::Sample(sample)) => match &shared {
                    Some(shared) => self.offer(shared, sample, &mut end),
                    None if early.len() < EARLY => early.push(sample),
                    None => drop(self.counters.drops.fetch_add(1, Ordering::Relaxed)),
                },
                Some(Event::Playing) => self.tell(MediaFact::Playing).await,
                Some(Event::Dropped { count, .. }) => {
                    self.counters.drops.fetch_add(count, Ordering::Relaxed);
                    self.tell(MediaFact::Dropped {
                        output: None,
                        frames: count,
                    })
                    .await;
                }
                Some(Event::Error { element, text }) => {
                    let fault = Fault::internal(format!("{element}: {text}"));
                    self.tell(MediaFact::Failed(fault)).await;
                }
                Some(Event::End) | None => {
                    let position = Some(end.since(MediaTime::ZERO));
                    self.tell(MediaFact::Drained { position }).await;
                    // The order to close is all that can still come; without anybody to give it, close as well.
                    drop((&mut closing).await);
                    break;
                }
            }
        }
        match shared {
            Some(shared) => shared.with(Hub::end),
            // Nothing was ever recorded: there is no file to finish.
            None => {
                for file in self.files.drain(..) {
                    let closed = OutputFact::Closed {
                        size: 0,
                        duration: Some(Duration::ZERO),
                    };
                    drop(self.facts.send(Input::Output(file.id, closed)).await);
                }
            }
        }
    }

    fn offer(&self, shared: &Shared, sample: Sample, end: &mut MediaTime) {
        *end = (*end).max(sample.pts.plus(sample.duration));
        if sample.kind == ::media::Kind::Video {
            self.counters.frames.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(error) = shared.with(|hub| hub.push(sample)) {
            tracing::warn!(%error, "a sample was not taken");
        }
    }

    async fn tell(&self, fact: MediaFact) {
        // Without a listener the recording is over.
        drop(self.facts.send(Input::Media(fact)).await);
    }

    async fn open_outputs(&mut self, gathered: &Gathered) -> Arc<Shared> {
        let formats = hub::Formats {
            audio: gathered.audio.as_ref().map(|a| a.format.clone()),
            video: gathered.video.clone(),
        };
        let shared = Arc::new(Shared {
            hub: Mutex::new(Hub::new(formats)),
            more: Condvar::new(),
        });
        for File { id, part } in self.files.drain(..) {
            let tap = Tap {
                shared: Arc::clone(&shared),
                id: shared.with(|hub| hub.join(Join::file())),
            };
            let mut config = mp4::Config::new(gathered.audio.clone(), gathered.video.clone());
            config.created = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .map(|d| d.as_secs());
            let (facts, counters) = (self.facts.clone(), Arc::clone(&self.counters));
            let spawned = std::thread::Builder::new()
                .name("file".to_owned())
                .spawn(move || {
                    file::run(part, config, &tap, |fact| {
                        if let OutputFact::Size(size) = fact {
                            counters.bytes_written.store(size, Ordering::Relaxed);
                        }
                        drop(facts.blocking_send(Input::Output(id, fact)));
                    });
                });
            let fact = match spawned {
                Ok(_thread) => OutputFact::Opened,
                Err(error) => OutputFact::Failed(Fault::internal(format!(
                    "could not start a thread: {error}"
                ))),
            };
            drop(self.facts.send(Input::Output(id, fact)).await);
        }
        shared
    }
}

#[derive(Default)]
struct Gathered {
    audio: Option<mp4::Audio>,
    video: Option<::media::VideoFormat>,
}

impl Gathered {
    fn take(&mut self, format: Format, priming: Duration) {
        match format {
            Format::Audio(format) => self.audio = Some(mp4::Audio { format, priming }),
            Format::Video(format) => self.video = Some(format),
        }
    }

    const fn complete(&self, wanted: Streams) -> bool {
        self.audio.is_some() == wanted.audio && self.video.is_some() == wanted.video
    }
}
