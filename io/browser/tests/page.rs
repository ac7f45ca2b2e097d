//! A real Chromium on a real Xvfb with a real PulseAudio, and pages that behave and misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use browser::{Config, Event, Page, Stage};
use recording::{Fault, Secret};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::Receiver;

/// Serves `body` with `status` to whoever asks; an empty status is never answered.
fn serve(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let mut stream = stream;
            if status.is_empty() {
                open.push(stream);
            } else {
                let n = body.len();
                drop(write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {n}\r\nConnection: close\r\n\r\n{body}"
                ));
            }
        }
    });
    url
}

fn config(url: &str, workdir: &Path) -> Config {
    Config {
        url: Secret::new(url.to_owned()),
        width: 640,
        height: 360,
        sound: true,
        sandbox: false,
        insecure: false,
        flags: BTreeMap::new(),
        workdir: workdir.to_owned(),
        load_limit: Duration::from_secs(20),
        attempts: 1,
        patience: Duration::from_secs(30),
        console: false,
    }
}

async fn open(config: &Config) -> (Stage, Result<(Page, Receiver<Event>), Fault>) {
    let stage = Stage::raise(
        config.width,
        config.height,
        24,
        config.sound,
        &config.workdir,
    )
    .await
    .unwrap();
    let page = Page::open(config, &stage).await;
    (stage, page)
}

async fn next(events: &mut Receiver<Event>) -> Event {
    tokio::time::timeout(Duration::from_secs(20), events.recv())
        .await
        .expect("an event within 20 s")
        .expect("an event")
}

/// Processes whose command line or environment names the directory.
fn left(dir: &Path) -> Vec<String> {
    let needle = dir.to_str().unwrap();
    let me = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == me || !name.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let read = |file: &str| {
            String::from_utf8_lossy(&fs::read(entry.path().join(file)).unwrap_or_default())
                .into_owned()
        };
        if read("cmdline").contains(needle) || read("environ").contains(needle) {
            found.push(read("cmdline").replace('\0', " "));
        }
    }
    found
}

async fn nothing_is_left(dir: &Path, display: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let lock = format!("/tmp/.X{}-lock", display.trim_start_matches(':'));
    while !left(dir).is_empty() || Path::new(&lock).exists() {
        assert!(
            Instant::now() < deadline,
            "left: {:?}, lock: {}",
            left(dir),
            Path::new(&lock).exists()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn fault_of(url: &str, change: impl FnOnce(&mut Config)) -> Fault {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(url, dir.path());
    change(&mut config);
    let (stage, page) = open(&config).await;
    let fault = page.map(|_| ()).unwrap_err();
    let display = stage.display().to_owned();
    stage.strike().await;
    nothing_is_left(dir.path(), &display).await;
    fault
}

#[tokio::test]
async fn signals_are_heard_during_and_after_loading_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve(
        "200 OK",
        "<script>console.log('START_RECORDING');setTimeout(()=>console.info('x','END_RECORDING'),300)</script>",
    );
    let (stage, page) = open(&config(&url, dir.path())).await;
    let (page, mut events) = page.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    assert_eq!(next(&mut events).await, Event::EndRecording);
    let display = stage.display().to_owned();
    page.close().await;
    stage.strike().await;
    nothing_is_left(dir.path(), &display).await;
}

#[tokio::test]
async fn pages_that_do_not_load_say_why() {
    assert_eq!(
        fault_of(&serve("404 Not Found", "no"), |_| {})
            .await
            .message,
        "page load error: Not Found"
    );
    assert_eq!(
        fault_of("http://127.0.0.1:9/", |_| {}).await.message,
        "page load error: net::ERR_UNSAFE_PORT"
    );
    let text = fault_of(
        &serve("200 OK", "<div class=error>no such room</div>"),
        |_| {},
    )
    .await
    .message;
    assert_eq!(text, "template error: no such room");
}

#[tokio::test]
async fn a_page_that_never_loads_times_out_after_all_attempts() {
    let fault = fault_of(&serve("", ""), |c| {
        c.load_limit = Duration::from_secs(3);
        c.attempts = 2;
    })
    .await;
    assert_eq!(fault.message, "page load error: timed out");
}

#[tokio::test]
async fn a_killed_page_process_and_a_killed_browser_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve("200 OK", "hello");
    for (kind, expect) in [("--type=renderer", true), ("--user-data-dir", false)] {
        let (stage, page) = open(&config(&url, dir.path())).await;
        let (page, mut events) = page.unwrap();
        let pid = pid_of(dir.path(), kind);
        assert!(
            Command::new("kill")
                .args(["-KILL", &pid])
                .status()
                .unwrap()
                .success()
        );
        let event = next(&mut events).await;
        assert_eq!(
            matches!(event, Event::Crashed(_)),
            expect,
            "{kind}: {event:?}"
        );
        assert_eq!(
            matches!(event, Event::Exited(_)),
            !expect,
            "{kind}: {event:?}"
        );
        let display = stage.display().to_owned();
        page.close().await;
        stage.strike().await;
        nothing_is_left(dir.path(), &display).await;
    }
}

/// The browser process itself is the one without a type.
fn pid_of(dir: &Path, wanted: &str) -> String {
    let needle = dir.to_str().unwrap();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        let is_browser = !command.contains("--type=");
        if command.contains("--top-chrome-webui") {
            continue;
        }
        if command.contains(needle)
            && command.contains(wanted)
            && (wanted.contains("type") || is_browser)
        {
            return entry.file_name().to_string_lossy().into_owned();
        }
    }
    panic!("no process {wanted}");
}

#[tokio::test]
async fn a_page_that_hangs_is_unresponsive() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve("200 OK", "<script>setTimeout(()=>{for(;;);},200)</script>");
    let mut config = config(&url, dir.path());
    config.patience = Duration::from_secs(2);
    let (stage, page) = open(&config).await;
    let (page, mut events) = page.unwrap();
    assert!(
        matches!(next(&mut events).await, Event::Unresponsive(for_) if for_ >= Duration::from_secs(2))
    );
    page.close().await;
    stage.strike().await;
}

#[tokio::test]
async fn two_stages_are_two_displays() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = Stage::raise(320, 240, 24, true, a.path()).await.unwrap();
    let two = Stage::raise(320, 240, 24, true, b.path()).await.unwrap();
    assert_ne!(one.display(), two.display());
    assert_ne!(one.pulse().unwrap().server, two.pulse().unwrap().server);
    one.strike().await;
    two.strike().await;
}
