//! A process that is killed with SIGKILL takes its display, sound server and browser along.
//!
//! Without harness: the test starts itself again as the process to be killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[expect(
    dead_code,
    reason = "shared with the tests of pages, which use all of it"
)]
mod world;

use recording::Secret;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use world::{Reply, Server, eventually, processes};

fn main() {
    let mut args = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match args.next() {
        Some(word) if word == "victim" => {
            runtime.block_on(victim(args.next().expect("a directory").as_ref()));
        }
        Some(_) | None => runtime.block_on(nothing_outlives_its_recorder()),
    }
}

async fn victim(workdir: &Path) {
    let server = Server::start(&[("/", Reply::Page("<p>hello"))]).await;
    let (mut config, _dir) = world::config(server.url("/"));
    config.workdir = workdir.to_owned();
    config.url = Secret::new(server.url("/"));
    config.audio = true;
    let _page = world::open(config).await.unwrap();
    let mut stdout = std::io::stdout();
    stdout.write_all(b"ready\n").unwrap();
    stdout.flush().unwrap();
    std::future::pending().await
}

async fn nothing_outlives_its_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .arg("victim")
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(victim.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let before = processes(dir.path());
    for name in ["Xvfb", "pulseaudio", "--user-data-dir", "--type=renderer"] {
        assert!(
            before.iter().any(|found| found.command.contains(name)),
            "{name} in {before:#?}"
        );
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("all descendants are gone", || {
        processes(dir.path()).is_empty()
    })
    .await;
}
