//! The recorder process: reads commands from the link, runs recordings, writes reports.
//!
//! Ends when the last recording is over, or when the link has closed and every recording has been finished.

use crate::run::{self, Order};
use anyhow::Context;
use recording::{
    EgressId,
    lifecycle::StopReason,
    link::{self, Command, Decoder, Hello, Report},
};
use std::{collections::BTreeMap, os::fd::AsFd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
};

/// Takes the link that the worker gave us as stdin.
///
/// # Errors
/// When stdin is not a unix socket.
pub fn link_from_stdin() -> anyhow::Result<UnixStream> {
    let fd = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("duplicate stdin")?;
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream
        .local_addr()
        .context("`egress recorder` is started by the worker, with a socket as stdin")?;
    stream
        .set_nonblocking(true)
        .context("make the link non-blocking")?;
    UnixStream::from_std(stream).context("register the link")
}

/// Serves one worker until it is gone and all recordings are over.
///
/// # Errors
/// When the worker speaks another version or garbage; running recordings are finished first.
pub async fn serve(link: UnixStream) -> anyhow::Result<()> {
    let (read, write) = link.into_split();
    let (reports, queue) = mpsc::channel(1024);
    let writer = tokio::spawn(write_reports(write, queue));
    reports
        .send(Report::Hello(Hello::ours()))
        .await
        .context("the worker is gone")?;
    let outcome = Server {
        reports,
        recordings: BTreeMap::new(),
        running: JoinSet::new(),
    }
    .run(read)
    .await;
    // All senders are gone now: the writer ends when it has written everything.
    writer.await.context("the report writer")?;
    outcome
}

struct Server {
    reports: mpsc::Sender<Report>,
    recordings: BTreeMap<EgressId, mpsc::Sender<Order>>,
    running: JoinSet<EgressId>,
}

impl Server {
    async fn run(mut self, mut read: OwnedReadHalf) -> anyhow::Result<()> {
        let mut decoder = Decoder::<Command>::new();
        let mut buffer = vec![0; 64 << 10];
        let mut outcome = Ok(());
        let mut open = true;
        while open || !self.running.is_empty() {
            tokio::select! {
                got = read.read(&mut buffer), if open => {
                    let got = got.unwrap_or(0);
                    if got == 0 {
                        open = false;
                        self.stop_all(&StopReason::WorkerGone).await;
                        continue;
                    }
                    decoder.feed(&buffer[..got]);
                    match self.obey_all(&mut decoder).await {
                        Ok(more) => open = more,
                        Err(error) => {
                            tracing::error!(%error, "the worker cannot be understood");
                            self.stop_all(&StopReason::WorkerGone).await;
                            outcome = Err(error);
                            open = false;
                        }
                    }
                }
                Some(over) = self.running.join_next() => match over {
                    Ok(id) => {
                        self.recordings.remove(&id);
                        // Nothing else will be started here: the worker waits for our end.
                        open &= !self.recordings.is_empty();
                    }
                    Err(error) => {
                        // A panic is our bug; the process ends and the worker finishes the story.
                        anyhow::bail!("a recording ended abnormally: {error}");
                    }
                },
            }
        }
        outcome
    }

    /// Whether to go on reading.
    async fn obey_all(&mut self, decoder: &mut Decoder<Command>) -> anyhow::Result<bool> {
        while let Some(command) = decoder.pop()? {
            match command {
                Command::Hello(hello) => hello.check()?,
                Command::Start { plan, settings } => self.start(*plan, *settings),
                Command::Stop {
                    egress_id,
                    reason,
                    ask,
                } => {
                    self.order(&egress_id, Order::Stop { reason, ask }).await;
                }
                Command::UpdateStream {
                    egress_id,
                    ask,
                    change,
                } => {
                    self.order(&egress_id, Order::UpdateStream { ask, change })
                        .await;
                }
                Command::Shutdown { reason } => {
                    if let Some(reason) = reason {
                        self.stop_all(&reason).await;
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn start(&mut self, plan: recording::Plan, settings: recording::settings::Recorder) {
        let id = plan.identity.egress_id.clone();
        if self.recordings.contains_key(&id) {
            tracing::warn!(egress_id = %id, "told to start what is running");
            return;
        }
        let (orders, inbox) = mpsc::channel(64);
        self.recordings.insert(id.clone(), orders);
        self.running
            .spawn(run::run(plan, settings, inbox, self.reports.clone()));
    }

    async fn order(&self, id: &EgressId, order: Order) {
        if let Some(recording) = self.recordings.get(id)
            && recording.send(order).await.is_err()
        {
            tracing::debug!(egress_id = %id, "the recording is over already");
        }
    }

    async fn stop_all(&self, reason: &StopReason) {
        for id in self.recordings.keys() {
            self.order(
                id,
                Order::Stop {
                    reason: reason.clone(),
                    ask: None,
                },
            )
            .await;
        }
    }
}

async fn write_reports(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Report>) {
    let mut gone = false;
    // After the worker is gone the queue is still emptied: nobody may wait for room in it.
    while let Some(report) = queue.recv().await {
        if gone {
            continue;
        }
        match link::encode(&report) {
            Ok(frame) => gone = write.write_all(&frame).await.is_err(),
            Err(error) => tracing::error!(%error, "a report does not fit the link"),
        }
    }
}
