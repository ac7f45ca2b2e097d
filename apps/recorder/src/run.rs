//! One recording: facts in, effects out, one deadline. The loop around `recording::Recording`.

use crate::{media::Counters, studio::Studio};
use recording::{
    Fault, Now, Plan, Refusal,
    info::{self, EgressInfo},
    lifecycle::{Ask, Effect, Exit, Input, Recording, SourceFact, StopReason, StreamChange},
    link::{Info, Report, Stats},
    settings,
};
use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::mpsc;
use tracing::Instrument;

/// How long the terminal report waits for the browser to be gone.
const TIDY: Duration = Duration::from_millis(700);

/// What the worker wants of a running recording.
pub(crate) enum Order {
    Stop {
        reason: StopReason,
        ask: Option<Ask>,
    },
    UpdateStream {
        ask: Ask,
        change: StreamChange,
    },
}

/// Runs a recording to its end; gives its id back.
pub(crate) async fn run(
    plan: Plan,
    settings: settings::Recorder,
    orders: mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
) -> recording::EgressId {
    let id = plan.identity.egress_id.clone();
    let span = tracing::info_span!("recording", egressID = %id);
    Runner::new(plan, settings, reports)
        .run(orders)
        .instrument(span)
        .await;
    id
}

fn now() -> Now {
    Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    }
}

struct Runner {
    id: recording::EgressId,
    recording: Recording,
    studio: Studio,
    facts: mpsc::Receiver<Input>,
    reports: mpsc::Sender<Report>,
    counters: Arc<Counters>,
    last: Option<Info>,
}

impl Runner {
    fn new(plan: Plan, settings: settings::Recorder, reports: mpsc::Sender<Report>) -> Self {
        let (tell, facts) = mpsc::channel(1024);
        let counters = Arc::new(Counters::default());
        Self {
            id: plan.identity.egress_id.clone(),
            recording: Recording::with_waits(plan.clone(), settings.waits, now()),
            studio: Studio::new(plan, settings, Arc::clone(&counters), tell),
            facts,
            reports,
            counters,
            last: None,
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        self.report(Report::Ready {
            egress_id: self.id.clone(),
        })
        .await;
        if let Err(error) = self.studio.prepare() {
            // The facts speak for themselves: the source cannot open.
            let fault = Fault::internal(format!("{error:#}"));
            self.recording
                .handle(now(), Input::Source(SourceFact::Failed(fault)));
        }
        let mut stats = tokio::time::interval(Duration::from_secs(1));
        stats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            if let Some(exit) = self.carry_out().await {
                return self.leave(exit).await;
            }
            let deadline = self.recording.poll_timeout();
            let wait = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Orders first: a flood of facts must not delay a stop.
                biased;
                Some(order) = orders.recv() => self.obey(order).await,
                Some(fact) = self.facts.recv() => {
                    tracing::debug!(?fact, "fact");
                    self.recording.handle(now(), fact);
                }
                () = wait => self.recording.handle(now(), Input::Tick),
                _ = stats.tick() => self.report_stats().await,
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Stop { reason, ask } => {
                tracing::info!(?reason, "asked to stop");
                self.recording.handle(now(), Input::Stop(reason));
                if let Some(ask) = ask {
                    let info = self.recording.info();
                    self.answer(ask, Ok(info)).await;
                }
            }
            Order::UpdateStream { ask, change } => self
                .recording
                .handle(now(), Input::UpdateStream(ask, change)),
        }
    }

    async fn answer(&self, ask: Ask, outcome: Result<EgressInfo, Refusal>) {
        let egress_id = self.id.clone();
        self.report(Report::Answer {
            egress_id,
            ask,
            outcome: outcome.map(Info),
        })
        .await;
    }

    async fn carry_out(&mut self) -> Option<Exit> {
        while let Some(effect) = self.recording.poll_effect() {
            match effect {
                Effect::Publish(info) => {
                    let info = Info(*info);
                    self.studio.keep_info(&info.to_bytes());
                    tracing::info!(status = info.0.status().as_str_name(), error = %info.0.error, "state");
                    // The terminal info goes with `Finished`.
                    if info::is_terminal(info.0.status) {
                        self.last = Some(info);
                    } else {
                        self.report(Report::Info {
                            egress_id: self.id.clone(),
                            info,
                        })
                        .await;
                    }
                }
                Effect::Answer(ask, outcome) => self.answer(ask, *outcome).await,
                Effect::Exit(exit) => return Some(exit),
                Effect::OpenSource => self.studio.open_source(),
                Effect::StartMedia => self.studio.start_media().await,
                Effect::StopMedia => self.studio.stop_media(),
                Effect::DiscardMedia => self.studio.discard_media(),
                Effect::CloseOutputs => self.studio.close_outputs(),
                Effect::OpenStream(id, _) | Effect::CloseStream(id) => self.studio.no_streams(id),
                Effect::Store(output) => self.studio.store(output),
                Effect::StoreManifest(output) => {
                    self.studio.store_manifest(output, self.recording.info())
                }
                Effect::CloseSource => self.studio.close_source(),
            }
        }
        None
    }

    async fn leave(mut self, exit: Exit) {
        self.report_stats().await;
        // Usually a moment: the source was told to close before the files were stored.
        if tokio::time::timeout(TIDY, self.studio.finish())
            .await
            .is_err()
        {
            tracing::warn!("the end is reported while the browser is still being closed");
        }
        let info = match exit {
            Exit::Reported => self.last.take(),
            Exit::Silent => None,
        };
        let finished = Report::Finished {
            egress_id: self.id.clone(),
            info,
        };
        drop(self.reports.send(finished).await);
        self.studio.finish().await;
    }

    async fn report(&self, report: Report) {
        // The writer goes on taking reports when the worker is gone.
        drop(self.reports.send(report).await);
    }

    async fn report_stats(&self) {
        let stats = Stats {
            bytes_written: self.counters.bytes_written.load(Ordering::Relaxed),
            frames: self.counters.frames.load(Ordering::Relaxed),
            drops: self.counters.drops.load(Ordering::Relaxed),
            uploads: self
                .counters
                .uploads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            ..Stats::default()
        };
        self.report(Report::Stats {
            egress_id: self.id.clone(),
            stats,
        })
        .await;
    }
}
