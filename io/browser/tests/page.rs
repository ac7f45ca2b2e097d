//! Real pages in a real Chromium on a real Xvfb: what loads, what does not, what dies, what is left.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use browser::{Event, Stage};
use futures_util::{SinkExt, StreamExt};
use recording::{Code, Fault};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;
use world::{
    PATIENCE, Reply, Server, assert_nothing_left, config, eventually, next, open, the_one,
};

const EMPTY: &str = "<!doctype html><title>t</title><p>hello";

async fn fails(url: String) -> Fault {
    let (config, dir) = config(url);
    let error = open(config).await.map(|_| ()).unwrap_err();
    assert_nothing_left(dir.path(), &[]);
    error
}

fn bad(text: &str) -> Fault {
    Fault::new(Code::InvalidArgument, text)
}

#[tokio::test]
async fn a_page_loads_starts_and_leaves_nothing_behind() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (config, dir) = config(server.url("/"));
    let (page, mut events) = open(config).await.unwrap();
    assert!(page.stage.display().starts_with(':'));
    assert!(page.stage.pulse().is_none());
    assert_eq!(next(&mut events).await, Event::StartRecording);
    page.close().await;
    assert_nothing_left(dir.path(), &[]);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn an_error_status_fails_with_its_text() {
    let server = Server::start(&[
        ("/gone", Reply::Status("410 Gone", "<p>no more")),
        ("/empty", Reply::Status("503 Service Unavailable", "")),
        ("/silent", Reply::Status("418 ", "tea")),
    ])
    .await;
    for (path, text) in [
        ("/nothing", "page load error: Not Found"),
        ("/gone", "page load error: Gone"),
        ("/empty", "page load error: Service Unavailable"),
        ("/silent", "page load error: 418"),
    ] {
        assert_eq!(fails(server.url(path)).await, bad(text), "{path}");
    }
    assert_eq!(server.requests("/gone"), 1);
}

#[tokio::test]
async fn a_refused_connection_is_a_page_load_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    assert_eq!(
        fails(url).await,
        bad("page load error: net::ERR_CONNECTION_REFUSED")
    );
}

#[tokio::test]
async fn an_error_shown_by_the_page_is_a_template_error() {
    let server = Server::start(&[(
        "/",
        Reply::Page(
            "<div class='x error'>could not <b>connect</b></div><div class=error>second</div>",
        ),
    )])
    .await;
    assert_eq!(
        fails(server.url("/")).await,
        bad("template error: could not connect")
    );
}

#[tokio::test]
async fn a_page_that_never_answers_is_tried_again_and_then_times_out() {
    let server = Server::start(&[("/", Reply::Never)]).await;
    let (mut config, dir) = config(server.url("/"));
    config.limits.page_load = Duration::from_secs(3);
    config.limits.attempts = 2;
    let error = open(config).await.map(|_| ()).unwrap_err();
    assert_eq!(error, bad("page load error: timed out"));
    assert_eq!(server.requests("/"), 2);
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn a_page_that_goes_elsewhere_while_loading_is_judged_there() {
    let server = Server::start(&[
        (
            "/",
            Reply::Page("<script>location.replace('/there')</script>"),
        ),
        ("/there", Reply::Page("<div class=error>wrong way</div>")),
    ])
    .await;
    assert_eq!(
        fails(server.url("/")).await,
        bad("template error: wrong way")
    );
}

#[tokio::test]
async fn signals_are_heard_during_and_after_loading() {
    let server = Server::start(&[(
        "/",
        Reply::Page(
            "<script>console.info('x', 'START_RECORDING'); console.log('START_RECORDING');
             onload = () => setTimeout(() => console.warn('END_RECORDING'), 300)</script>",
        ),
    )])
    .await;
    let (mut config, dir) = config(server.url("/"));
    config.await_start_signal = true;
    config.console_log = true;
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    assert_eq!(next(&mut events).await, Event::EndRecording);
    page.close().await;
    let log = fs::read_to_string(dir.path().join("chrome.log")).unwrap();
    assert_eq!(log.lines().count(), 3, "{log}");
    assert_nothing_left(dir.path(), &["chrome.log"]);
}

#[tokio::test]
async fn the_start_signal_is_awaited() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (mut config, _dir) = config(server.url("/"));
    config.await_start_signal = true;
    let (page, mut events) = open(config).await.unwrap();
    assert!(events.try_recv().is_err());
    page.close().await;
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn pages_see_exactly_the_screen_and_webgl_and_survive_their_own_dialogs() {
    let server = Server::start(&[(
        "/",
        Reply::Page(
            "<script>alert('a'); confirm('b');
             const gl = document.createElement('canvas').getContext('webgl2');
             const size = [innerWidth, innerHeight, screen.width, screen.height].join();
             console.log(size === '640,360,640,360' && gl ? 'START_RECORDING' : 'END_RECORDING');
             </script>",
        ),
    )])
    .await;
    let (mut config, _dir) = config(server.url("/"));
    config.await_start_signal = true;
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    page.close().await;
}

#[tokio::test]
async fn the_sound_of_the_page_arrives_at_its_own_server() {
    let server = Server::start(&[(
        "/",
        Reply::Page(
            "<script>const a = new AudioContext(), o = a.createOscillator();
             o.connect(a.destination); o.start()</script>",
        ),
    )])
    .await;
    let (mut config, dir) = config(server.url("/"));
    config.audio = true;
    let (page, _events) = open(config).await.unwrap();
    let pulse = page.stage.pulse().expect("audio was asked for").clone();
    let mut recorder = tokio::process::Command::new("parec")
        .arg(format!("--server={}", pulse.server))
        .arg(format!("--device={}", pulse.source))
        .args([
            "--raw",
            "--format=s16le",
            "--channels=1",
            "--latency-msec=20",
        ])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("parec of the package pulseaudio-utils");
    let mut stdout = recorder.stdout.take().unwrap();
    let heard = tokio::time::timeout(PATIENCE, async {
        let mut samples = [0; 4096];
        loop {
            stdout.read_exact(&mut samples).await.unwrap();
            let loud = samples
                .chunks_exact(2)
                .filter(|two| two[1] as i8 > 64)
                .count();
            if loud > 100 {
                return;
            }
        }
    })
    .await;
    assert!(heard.is_ok(), "only silence");
    recorder.kill().await.unwrap();
    page.close().await;
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn a_killed_renderer_is_a_crashed_page() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (config, dir) = config(server.url("/"));
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    world::kill(the_one(dir.path(), |command| {
        command.contains("--type=renderer")
    }));
    assert_eq!(next(&mut events).await, Event::PageCrashed);
    page.close().await;
    assert_nothing_left(dir.path(), &[]);
}

fn browser(workdir: &Path) -> i32 {
    the_one(workdir, |command| {
        command.contains("--user-data-dir=") && !command.contains("--type=")
    })
}

#[tokio::test]
async fn a_killed_browser_has_exited() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (config, dir) = config(server.url("/"));
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    world::kill(browser(dir.path()));
    assert_eq!(
        next(&mut events).await,
        Event::BrowserExited("signal: 9 (SIGKILL)".to_owned())
    );
    page.close().await;
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn lost_display_and_lost_sound_are_told_apart() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (mut config, dir) = config(server.url("/"));
    config.audio = true;
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    world::kill(the_one(dir.path(), |command| {
        command.contains("pulseaudio")
    }));
    assert!(matches!(next(&mut events).await, Event::SoundLost(_)));
    world::kill(the_one(dir.path(), |command| command.contains("Xvfb")));
    assert!(matches!(next(&mut events).await, Event::DisplayLost(_)));
    page.close().await;
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn a_page_that_hangs_is_unresponsive_until_it_answers() {
    let server = Server::start(&[(
        "/",
        Reply::Page(
            "<script>onload = () => setTimeout(() => {
               const end = Date.now() + 3000; while (Date.now() < end) {} }, 200)</script>",
        ),
    )])
    .await;
    let (mut config, _dir) = config(server.url("/"));
    config.limits.heartbeat = Duration::from_millis(50);
    config.limits.unresponsive = Duration::from_millis(1_000);
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    assert!(
        matches!(next(&mut events).await, Event::Unresponsive(silent)
        if silent >= Duration::from_secs(1))
    );
    assert_eq!(next(&mut events).await, Event::Responsive);
    page.close().await;
}

#[tokio::test]
async fn a_page_that_hangs_for_ever_can_be_closed() {
    let server = Server::start(&[(
        "/",
        Reply::Page("<script>onload = () => setTimeout(() => { for (;;) {} }, 100)</script>"),
    )])
    .await;
    let (mut config, dir) = config(server.url("/"));
    config.limits.heartbeat = Duration::from_millis(50);
    config.limits.unresponsive = Duration::from_millis(500);
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    assert!(matches!(next(&mut events).await, Event::Unresponsive(_)));
    page.close().await;
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn two_pages_have_two_displays() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (one, one_dir) = config(server.url("/"));
    let (two, two_dir) = config(server.url("/"));
    let (one, two) = tokio::join!(open(one), open(two));
    let ((one, _), (two, _)) = (one.unwrap(), two.unwrap());
    assert_ne!(one.stage.display(), two.stage.display());
    one.close().await;
    assert_nothing_left(one_dir.path(), &[]);
    assert!(!world::processes(two_dir.path()).is_empty());
    two.close().await;
    assert_nothing_left(two_dir.path(), &[]);
}

#[tokio::test]
async fn display_and_sound_are_there_before_the_page() {
    let server = Server::start(&[("/", Reply::Never)]).await;
    let (mut config, dir) = config(server.url("/"));
    config.audio = true;
    let (mut stage, _events) = Stage::launch(config).await.unwrap();
    assert!(stage.display().starts_with(':'));
    let pulse = stage.pulse().expect("audio was asked for");
    assert!(pulse.server.starts_with("unix:/"));
    assert_eq!(pulse.source, "egress.monitor");
    // Nobody wants it any more while it loads: all of it ends.
    let loading = tokio::time::timeout(Duration::from_millis(300), stage.navigate()).await;
    assert!(loading.is_err());
    drop(stage);
    eventually("the dropped stage is gone", || {
        world::processes(dir.path()).is_empty()
            && fs::read_dir(dir.path()).unwrap().next().is_none()
    })
    .await;
}

#[tokio::test]
async fn the_display_outlives_a_page_that_did_not_load() {
    let server = Server::start(&[]).await;
    let (config, dir) = config(server.url("/"));
    let (mut stage, _events) = Stage::launch(config).await.unwrap();
    assert!(stage.navigate().await.is_err());
    the_one(dir.path(), |command| command.contains("Xvfb"));
    assert_eq!(world::processes(dir.path()).len(), 1);
    stage.close().await;
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn a_page_whose_window_is_closed_has_closed() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (config, dir) = config(server.url("/"));
    let (page, mut events) = open(config).await.unwrap();
    assert_eq!(next(&mut events).await, Event::StartRecording);
    // Scripts may only close windows that scripts opened; close this one as the browser's own tools do.
    close_window(dir.path()).await;
    assert_eq!(next(&mut events).await, Event::Closed);
    page.close().await;
    assert_nothing_left(dir.path(), &[]);
}

async fn close_window(workdir: &Path) {
    let place = fs::read_dir(workdir).unwrap().next().unwrap().unwrap();
    let text = fs::read_to_string(place.path().join("profile1/DevToolsActivePort")).unwrap();
    let (port, path) = text.split_once('\n').unwrap();
    let url = format!("ws://127.0.0.1:{port}{}", path.trim());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let ask = |method: &str, params: Value| {
        Message::text(json!({ "id": 1, "method": method, "params": params }).to_string())
    };
    socket
        .send(ask("Target.getTargets", json!({})))
        .await
        .unwrap();
    let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let targets = answer["result"]["targetInfos"].as_array().unwrap();
    let page = targets.iter().find(|t| t["type"] == "page").unwrap();
    let params = json!({ "targetId": page["targetId"] });
    socket
        .send(ask("Target.closeTarget", params))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_page_takes_everything_along() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (config, dir) = config(server.url("/"));
    let (page, _events) = open(config).await.unwrap();
    drop(page);
    eventually("the dropped page is gone", || {
        world::processes(dir.path()).is_empty()
            && fs::read_dir(dir.path()).unwrap().next().is_none()
    })
    .await;
}

#[test]
fn a_runtime_that_ends_takes_everything_along() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (page, dir) = runtime.block_on(async {
        let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
        let (config, dir) = config(server.url("/"));
        (open(config).await.unwrap(), dir)
    });
    drop(runtime);
    drop(page);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(eventually("everything is gone", || {
        world::processes(dir.path())
            .iter()
            .all(|found| zombie(found.pid))
    }));
}

/// Killed, but its parent (this test, whose runtime is gone) has not waited for it.
fn zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[tokio::test]
async fn a_deep_working_directory_is_no_obstacle_for_sockets() {
    let server = Server::start(&[("/", Reply::Page(EMPTY))]).await;
    let (mut config, dir) = config(server.url("/"));
    config.workdir = dir.path().join("d".repeat(90));
    config.audio = true;
    fs::create_dir(&config.workdir).unwrap();
    let workdir = config.workdir.clone();
    let (page, _events) = open(config).await.unwrap();
    page.close().await;
    assert_nothing_left(&workdir, &[]);
}

#[tokio::test]
async fn a_missing_browser_says_what_is_missing() {
    let (mut config, dir) = config("http://127.0.0.1:1/".to_owned());
    config.chrome_path = Some("/no/such/chrome".into());
    let error = open(config).await.map(|_| ()).unwrap_err();
    assert_eq!(
        error,
        bad("page load error: /no/such/chrome cannot be executed")
    );
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn a_browser_that_does_not_start_is_quoted() {
    let (mut config, dir) = config("http://127.0.0.1:1/".to_owned());
    config.chrome_path = Some("/bin/cat".into());
    let error = open(config).await.map(|_| ()).unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert!(
        error
            .message
            .starts_with("chrome failed to start:\n/bin/cat: "),
        "{error}"
    );
    assert_nothing_left(dir.path(), &[]);
}

#[tokio::test]
async fn a_display_that_does_not_start_says_why() {
    let (mut config, dir) = config("http://127.0.0.1:1/".to_owned());
    config.depth = 77;
    let error = open(config).await.map(|_| ()).unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert!(
        error.message.starts_with("failed to launch xvfb: "),
        "{error}"
    );
    assert_nothing_left(dir.path(), &[]);
}
