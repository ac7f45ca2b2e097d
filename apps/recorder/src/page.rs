//! A page as a source: stage, browser and the capture that will look at it, in one task.
//!
//! ```text
//! launch stage ─┬─► build the capture (a thread)          ┐ both at once
//!               └─► navigate ──► Opened | Failed          ┘
//! then: events of the page ──► facts;  Take ──► the capture;  close ──► browser, capture, display and sound
//! ```

use browser::{Config, Event, Limits, Stage};
use pipeline::{Capture, Events, Picture, Pulse, Sound, X11, capture};
use recording::{
    Fault, Plan, fault,
    lifecycle::{Input, SourceFact},
    plan, settings,
};
use std::path::PathBuf;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Size of the display when only sound is recorded.
const BLIND: (u32, u32, u32) = (1280, 720, 24);

/// A capture and what comes out of it.
pub(crate) type Built = (Capture, Events);

/// The source of a recording.
pub(crate) struct Page {
    take: mpsc::Sender<oneshot::Sender<Result<Built, Fault>>>,
    close: Option<oneshot::Sender<Option<oneshot::Receiver<()>>>>,
    task: JoinHandle<()>,
}

impl Page {
    /// Begins to open it; facts come on `facts`.
    pub(crate) fn open(
        plan: &Plan,
        page: &plan::Page,
        settings: &settings::Recorder,
        workdir: PathBuf,
        facts: mpsc::Sender<Input>,
    ) -> Self {
        let encode = plan.media.video().and_then(|path| match path {
            plan::VideoPath::Transcode(encode) => Some(encode),
            plan::VideoPath::Copy => None,
        });
        let (width, height, depth) =
            encode.map_or(BLIND, |e| (e.width, e.height, u32::from(e.depth)));
        let config = Config {
            width,
            height,
            depth,
            audio: plan.media.audio().is_some(),
            await_start_signal: page.await_start_signal,
            sandbox: settings.enable_chrome_sandbox,
            insecure: settings.insecure,
            flags: settings.chrome_flags.clone(),
            console_log: settings.debug.chrome_logging,
            limits: Limits {
                page_load: settings.waits.page_load,
                attempts: settings.waits.page_attempts,
                ..Limits::default()
            },
            ..Config::new(page.url.clone(), workdir)
        };
        let (take, takes) = mpsc::channel(1);
        let (close, closing) = oneshot::channel();
        let (media, threads) = (plan.media.clone(), settings.video_encoder_threads);
        let set = Set {
            config,
            media,
            threads,
            facts,
        };
        Self {
            take,
            close: Some(close),
            task: tokio::spawn(set.run(takes, closing)),
        }
    }

    /// The capture, built while the page was loading.
    pub(crate) async fn take_capture(&self) -> Result<Built, Fault> {
        let (reply, built) = oneshot::channel();
        let gone = || Fault::internal("the display is gone");
        self.take.send(reply).await.map_err(|_lost| gone())?;
        built.await.map_err(|_lost| gone())?
    }

    /// Begins to close it. `capture`: resolves when the capture has let go of the display.
    pub(crate) fn close(&mut self, capture: Option<oneshot::Receiver<()>>) {
        if let Some(close) = self.close.take() {
            // The task may have ended because nothing could be opened.
            drop(close.send(capture));
        }
    }

    /// Waits until nothing of it is left.
    pub(crate) async fn closed(&mut self) {
        self.close(None);
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the page's task ended abnormally");
        }
    }
}

/// Ends a capture that was built for nobody; blocks a thread of its own while it ends.
async fn forget(building: JoinHandle<Result<Built, Fault>>) {
    if let Ok(Ok(built)) = building.await {
        drop(tokio::task::spawn_blocking(move || drop(built)).await);
    }
}

struct Set {
    config: Config,
    media: plan::Media,
    threads: u32,
    facts: mpsc::Sender<Input>,
}

impl Set {
    async fn tell(&self, fact: SourceFact) {
        // Without a listener the recording is over, and the order to close is on its way.
        drop(self.facts.send(Input::Source(fact)).await);
    }

    async fn run(
        self,
        mut takes: mpsc::Receiver<oneshot::Sender<Result<Built, Fault>>>,
        mut closing: oneshot::Receiver<Option<oneshot::Receiver<()>>>,
    ) {
        let launched = tokio::select! {
            biased;
            _ = &mut closing => return,
            launched = Stage::launch(self.config.clone()) => launched,
        };
        let (mut stage, events) = match launched {
            Ok(launched) => launched,
            Err(fault) => return self.tell(SourceFact::Failed(fault)).await,
        };
        tracing::debug!(display = stage.display(), "display and sound are up");
        let look = self.look(&stage);
        let build = move || Capture::build(&look).map_err(Fault::from);
        let mut building = Some(tokio::task::spawn_blocking(build));
        let navigated = tokio::select! {
            biased;
            shut = &mut closing => Err(shut.ok().flatten()),
            navigated = stage.navigate() => Ok(navigated),
        };
        let (page, shut) = match navigated {
            Ok(Ok(page)) => {
                self.tell(SourceFact::Opened).await;
                let shut = self
                    .watch(events, &mut building, &mut takes, &mut closing)
                    .await;
                (Some(page), shut)
            }
            Ok(Err(fault)) => {
                self.tell(SourceFact::Failed(fault)).await;
                (None, closing.await.ok().flatten())
            }
            Err(shut) => (None, shut),
        };
        if let Some(page) = page {
            page.close().await;
        }
        // Xlib ends this process when the display goes first.
        if let Some(building) = building {
            forget(building).await;
        }
        if let Some(shut) = shut {
            // The sender is dropped only with the whole process.
            drop(shut.await);
        }
        stage.close().await;
    }

    fn look(&self, stage: &Stage) -> capture::Config {
        capture::Config {
            picture: self.media.video().map(|_| {
                Picture::X11(X11 {
                    name: stage.display().to_owned(),
                    width: self.config.width,
                    height: self.config.height,
                })
            }),
            sound: stage.pulse().map(|p| {
                Sound::Pulse(Pulse {
                    server: p.server.clone(),
                    source: p.source.clone(),
                })
            }),
            media: self.media.clone(),
            encoder_threads: self.threads,
        }
    }

    /// Until the order to close; gives what came with it.
    async fn watch(
        &self,
        mut events: mpsc::Receiver<Event>,
        building: &mut Option<JoinHandle<Result<Built, Fault>>>,
        takes: &mut mpsc::Receiver<oneshot::Sender<Result<Built, Fault>>>,
        closing: &mut oneshot::Receiver<Option<oneshot::Receiver<()>>>,
    ) -> Option<oneshot::Receiver<()>> {
        let mut listening = true;
        loop {
            tokio::select! {
                biased;
                shut = &mut *closing => return shut.ok().flatten(),
                Some(reply) = takes.recv() => {
                    let built = match building.take() {
                        Some(building) => building.await.unwrap_or_else(|e| Err(Fault::internal(e.to_string()))),
                        None => Err(Fault::internal("the capture was taken already")),
                    };
                    if let Err(Ok((capture, _))) = reply.send(built) {
                        // Blocks; nobody waits for anything here but the end.
                        capture.abort();
                    }
                }
                event = events.recv(), if listening => match event {
                    Some(event) => self.heard(event).await,
                    None => listening = false,
                },
            }
        }
    }

    async fn heard(&self, event: Event) {
        let how = match event {
            Event::StartRecording => return self.tell(SourceFact::StartSignal).await,
            Event::EndRecording => return self.tell(SourceFact::Ended).await,
            Event::Responsive => return tracing::info!("the page answers again"),
            Event::Closed => return self.tell(SourceFact::Ended).await,
            Event::PageCrashed => "the page crashed".to_owned(),
            Event::BrowserExited(how) => format!("the browser ended: {how}"),
            Event::DisplayLost(how) => format!("the display ended: {how}"),
            Event::SoundLost(how) => format!("the sound server ended: {how}"),
            Event::Unresponsive(time) => {
                format!("the page has not answered for {} s", time.as_secs())
            }
        };
        self.tell(SourceFact::Failed(fault::page_crashed(how)))
            .await;
    }
}
