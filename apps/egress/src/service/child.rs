//! One recorder child: its process, its link, and the tasks that read and write it.

use super::desk::Fact;
use crate::supervise::process::{ChildLog, Process};
use recording::link::{self, Command, Decoder, Hello, Report};
use std::path::Path;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
};
use worker::{ChildId, Input, child::Exit};

/// What the desk keeps of a child.
#[derive(Debug)]
pub(super) struct Child {
    /// Process id and group.
    pub(super) pid: i32,
    commands: Option<mpsc::Sender<Command>>,
}

impl Child {
    /// Starts a recorder; from now on facts come by themselves.
    pub(super) fn spawn(
        id: ChildId,
        program: &Path,
        log: &ChildLog,
        facts: &mpsc::Sender<Fact>,
    ) -> std::io::Result<Self> {
        let (mut process, link) = Process::spawn(program, log)?;
        let pid = process.pid();
        let (read, write) = link.into_split();
        let (commands, queue) = mpsc::channel(64);
        tokio::spawn(write_commands(write, queue));
        tokio::spawn(read_reports(id, read, facts.clone()));
        let facts = facts.clone();
        tokio::spawn(async move {
            let exit = match process.wait().await {
                Ok(status) => exit(status),
                Err(error) => {
                    tracing::error!(pid, %error, "could not wait for a recorder");
                    Exit::Code(1)
                }
            };
            drop(
                facts
                    .send(Fact::Worker(Input::Exited { child: id, exit }))
                    .await,
            );
        });
        let child = Self {
            pid,
            commands: Some(commands),
        };
        child.tell(Command::Hello(Hello::ours()));
        Ok(child)
    }

    /// Queues a command. A child that takes none any more is about to be reported as closed.
    pub(super) fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands
            && let Err(error) = commands.try_send(command)
        {
            tracing::warn!(pid = self.pid, %error, "a command did not reach the recorder");
        }
    }

    /// Drops our end of the link.
    pub(super) fn drop_link(&mut self) {
        self.commands = None;
    }
}

fn exit(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(1),
    }
}

async fn write_commands(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Command>) {
    while let Some(command) = queue.recv().await {
        match link::encode(&command) {
            Ok(frame) => {
                if write.write_all(&frame).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "a command does not fit the link"),
        }
    }
}

async fn read_reports(id: ChildId, mut read: OwnedReadHalf, facts: mpsc::Sender<Fact>) {
    let mut decoder = Decoder::<Report>::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let got = read.read(&mut buffer).await.unwrap_or(0);
        if got == 0 {
            break;
        }
        decoder.feed(&buffer[..got]);
        loop {
            match decoder.pop() {
                Ok(Some(report)) => {
                    if facts.send(Fact::Report(id, report)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "a recorder cannot be understood");
                    break;
                }
            }
        }
    }
    drop(facts.send(Fact::Worker(Input::Closed { child: id })).await);
}
