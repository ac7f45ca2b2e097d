//! What the tests of pages share: pages over HTTP, a look at the processes, waiting without sleeping blindly.

use browser::{Config, Event, Page, Stage};
use recording::{Fault, Secret};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

/// Longer than anything here takes on a machine that builds something else at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a path answers.
#[derive(Clone)]
pub(crate) enum Reply {
    /// 200 with this HTML.
    Page(&'static str),
    /// A status line without the version, and a body.
    Status(&'static str, &'static str),
    /// Reads the request and is silent.
    Never,
}

/// A tiny HTTP server; it ends with the test's runtime.
pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Server {
    pub(crate) async fn start(routes: &[(&'static str, Reply)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes: Arc<BTreeMap<_, _>> = Arc::new(routes.iter().cloned().collect());
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let counts = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&routes), Arc::clone(&counts)));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn requests(&self, path: &str) -> usize {
        self.seen.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

async fn answer(
    mut stream: TcpStream,
    routes: Arc<BTreeMap<&'static str, Reply>>,
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(buffer.get(..read).unwrap()),
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
    *seen.lock().unwrap().entry(path.clone()).or_insert(0) += 1;
    let (status, body) = match routes.get(path.as_str()) {
        Some(Reply::Page(body)) => ("200 OK", *body),
        Some(Reply::Status(status, body)) => (*status, *body),
        Some(Reply::Never) => return std::future::pending().await,
        None => ("404 Not Found", "nothing here"),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The browser may have gone: then nobody misses the answer.
    drop(stream.write_all(reply.as_bytes()).await);
}

/// A small page in a directory of the test.
pub(crate) fn config(url: String) -> (Config, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(Secret::new(url), dir.path().to_owned());
    (config.width, config.height) = (640, 360);
    config.audio = false;
    (config, dir)
}

/// A page on its stage.
pub(crate) struct Scene {
    pub(crate) page: Page,
    pub(crate) stage: Stage,
}

impl Scene {
    pub(crate) async fn close(self) {
        self.page.close().await;
        self.stage.close().await;
    }
}

/// Everything at once, and everything gone when it fails.
pub(crate) async fn open(config: Config) -> Result<(Scene, Receiver<Event>), Fault> {
    let (mut stage, events) = Stage::launch(config).await?;
    match stage.navigate().await {
        Ok(page) => Ok((Scene { page, stage }, events)),
        Err(fault) => {
            stage.close().await;
            Err(fault)
        }
    }
}

pub(crate) async fn next(events: &mut Receiver<Event>) -> Event {
    tokio::time::timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("the page is still watched")
}

/// Looks again and again.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A process of a page.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) pid: i32,
    pub(crate) command: String,
}

/// Living processes that were started for this directory, by their environment or command line.
pub(crate) fn processes(workdir: &Path) -> Vec<Found> {
    let mark = workdir.to_str().unwrap();
    let read = |path: String| {
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\0', " ")
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let command = read(format!("/proc/{pid}/cmdline"));
        let environment = read(format!("/proc/{pid}/environ"));
        if command.contains(mark) || environment.contains(mark) {
            found.push(Found { pid, command });
        }
    }
    found
}

pub(crate) fn kill(pid: i32) {
    let status = std::process::Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The one process whose command line satisfies this.
pub(crate) fn the_one(workdir: &Path, wanted: impl Fn(&str) -> bool) -> i32 {
    let all = processes(workdir);
    let matching: Vec<i32> = all
        .iter()
        .filter(|found| wanted(&found.command))
        .map(|found| found.pid)
        .collect();
    match matching.as_slice() {
        [pid] => *pid,
        other => panic!("{} processes match in {all:#?}", other.len()),
    }
}

/// Neither a process nor a file (but these) is left.
pub(crate) fn assert_nothing_left(workdir: &Path, but: &[&str]) {
    let left = processes(workdir);
    assert!(left.is_empty(), "{left:#?}");
    let files: Vec<String> = fs::read_dir(workdir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, but);
}
