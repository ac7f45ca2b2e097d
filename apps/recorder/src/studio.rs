//! Carries out what a recording decides: opens the page, starts and stops the media, stores files.
//!
//! Everything slow runs in a task of its own and comes back as a fact.

use crate::{
    file,
    media::{Counters, File, Media, Streams},
    page::Page,
    workdir::Workdir,
};
use recording::{
    Fault, Plan,
    info::EgressInfo,
    lifecycle::{
        Input, ManifestFact, MediaFact, OutputFact, OutputId, SourceFact, StreamFact, StreamId,
    },
    manifest,
    naming::local,
    plan::{FileOutput, Output, Source},
    settings,
};
use std::{path::Path, sync::Arc, time::Instant};
use tokio::sync::mpsc;

/// Relative storage paths lie below this directory, as upstream's handlers run in it.
const ROOT: &str = "/";

pub(crate) struct Studio {
    plan: Plan,
    settings: settings::Recorder,
    counters: Arc<Counters>,
    facts: mpsc::Sender<Input>,
    workdir: Option<Workdir>,
    page: Option<Page>,
    media: Option<Media>,
}

impl Studio {
    pub(crate) fn new(
        plan: Plan,
        settings: settings::Recorder,
        counters: Arc<Counters>,
        facts: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            plan,
            settings,
            counters,
            facts,
            workdir: None,
            page: None,
            media: None,
        }
    }

    /// Makes the working directory.
    pub(crate) fn prepare(&mut self) -> anyhow::Result<()> {
        let workdir = Workdir::open(
            &self.settings.tmp_dir,
            self.plan.identity.egress_id.as_str(),
        )?;
        self.workdir = Some(workdir);
        Ok(())
    }

    pub(crate) fn keep_info(&self, bytes: &[u8]) {
        if let Some(workdir) = &self.workdir {
            workdir.keep_info(bytes);
        }
    }

    /// Tells a fact from a place that cannot wait.
    fn tell(&self, fact: Input) {
        let facts = self.facts.clone();
        tokio::spawn(async move { drop(facts.send(fact).await) });
    }

    pub(crate) fn open_source(&mut self) {
        let Some(workdir) = &self.workdir else { return };
        match &self.plan.source {
            Source::Page(page) => {
                self.page = Some(Page::open(
                    &self.plan,
                    page,
                    &self.settings,
                    workdir.work(),
                    self.facts.clone(),
                ));
            }
            // Refused by the worker (`recording::support`); said again rather than believed.
            Source::Room(_) => {
                let fault = Fault::new(
                    recording::Code::Unimplemented,
                    "room sources are not implemented in this version",
                );
                self.tell(Input::Source(SourceFact::Failed(fault)));
            }
        }
    }

    pub(crate) async fn start_media(&mut self) {
        if let Err(fault) = self.try_start_media().await {
            self.tell(Input::Media(MediaFact::Failed(fault)));
        }
    }

    async fn try_start_media(&mut self) -> Result<(), Fault> {
        let page = self
            .page
            .as_ref()
            .ok_or_else(|| Fault::internal("media without a source"))?;
        let (capture, events) = page.take_capture().await?;
        let mut media = Media::new(capture, events);
        let mut files = Vec::new();
        for (at, output) in self.plan.outputs.iter().enumerate() {
            let id = OutputId(at);
            match output {
                Output::File(output) => {
                    let part = file::create(&self.places(output).part)?;
                    files.push(File { id, part });
                }
                Output::Segments(_)
                | Output::Stream(_)
                | Output::WebSocket(_)
                | Output::Images(_) => {
                    return Err(Fault::new(
                        recording::Code::Unimplemented,
                        "this kind of output is not implemented in this version",
                    ));
                }
            }
        }
        let wanted = Streams {
            audio: self.plan.media.audio().is_some(),
            video: self.plan.media.video().is_some(),
        };
        let started = media.start(
            wanted,
            files,
            Arc::clone(&self.counters),
            self.facts.clone(),
        );
        // Kept in any case: its display must be let go of before the display goes.
        self.media = Some(media);
        started
    }

    fn places(&self, output: &FileOutput) -> local::LocalFile {
        local::file(
            output,
            &self.plan.identity.egress_id,
            &self.settings.tmp_dir,
            Path::new(ROOT),
        )
    }

    pub(crate) fn stop_media(&self) {
        match &self.media {
            Some(media) => media.stop(),
            None => self.tell(Input::Media(MediaFact::Drained { position: None })),
        }
    }

    pub(crate) fn discard_media(&mut self) {
        if let Some(media) = &mut self.media {
            media.discard();
        }
        for output in self.plan.outputs.iter() {
            if let Output::File(output) = output {
                let part = self.places(output).part;
                match std::fs::remove_file(&part) {
                    Ok(()) => {}
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => {
                        tracing::warn!(file = %part.display(), %error, "could not remove")
                    }
                }
            }
        }
    }

    pub(crate) fn close_outputs(&mut self) {
        match &mut self.media {
            Some(media) => media.close_outputs(),
            None => {
                for (at, _) in self.plan.outputs.iter().enumerate() {
                    self.tell(Input::Output(
                        OutputId(at),
                        OutputFact::Closed {
                            size: 0,
                            duration: None,
                        },
                    ));
                }
            }
        }
    }

    pub(crate) fn no_streams(&self, id: StreamId) {
        let fault = Fault::new(
            recording::Code::Unimplemented,
            "stream outputs are not implemented in this version",
        );
        self.tell(Input::Stream(id, StreamFact::Failed(fault)));
    }

    pub(crate) fn store(&self, id: OutputId) {
        let Some(Output::File(output)) = self.plan.outputs.iter().nth(id.0) else {
            return;
        };
        let places = self.places(output);
        let location = local::location(&output.destination, &output.storage_path, Path::new(ROOT));
        let (facts, counters) = (self.facts.clone(), Arc::clone(&self.counters));
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let delivered = storage::local::deliver(&places.part, &places.finished);
            counters.stored("video/mp4", delivered.is_ok(), began.elapsed());
            let fact = match delivered {
                Ok(stored) => OutputFact::Stored {
                    location,
                    size: stored.size,
                    backup: false,
                },
                Err(error) => OutputFact::StoreFailed(file::local_fault(&error)),
            };
            drop(facts.blocking_send(Input::Output(id, fact)));
        });
    }

    pub(crate) fn store_manifest(&self, id: OutputId, info: EgressInfo) {
        let Some(Output::File(output)) = self.plan.outputs.iter().nth(id.0) else {
            return;
        };
        let mut content = manifest::Manifest::new(&self.plan);
        for file in &info.file_results {
            content.add_file(manifest::Stored {
                filename: file.filename.clone(),
                location: file.location.clone(),
            });
        }
        let bytes = manifest::render(&content, info.ended_at);
        let path = manifest::storage_path(&output.storage_path, &self.plan.identity.egress_id);
        let place = local::stored(&output.destination, &path, Path::new(ROOT));
        let location = local::location(&output.destination, &path, Path::new(ROOT));
        let (facts, counters) = (self.facts.clone(), Arc::clone(&self.counters));
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let put = storage::local::put(&place, &bytes);
            counters.stored("application/json", put.is_ok(), began.elapsed());
            let fact = match put {
                Ok(_) => ManifestFact::Stored {
                    location,
                    backup: false,
                },
                Err(error) => {
                    tracing::warn!(%error, "could not store the manifest");
                    ManifestFact::Failed
                }
            };
            drop(facts.blocking_send(Input::Manifest(id, fact)));
        });
    }

    pub(crate) fn close_source(&mut self) {
        let shut = self.media.as_mut().map(Media::shut);
        if let Some(page) = &mut self.page {
            page.close(shut);
        }
    }

    /// Waits until nothing of the recording is left but its files.
    pub(crate) async fn finish(&mut self) {
        self.close_source();
        if let Some(page) = &mut self.page {
            page.closed().await;
        }
        self.page = None;
        if let Some(workdir) = &self.workdir {
            workdir.clear();
        }
    }
}
