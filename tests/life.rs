//! The life of a recording as a LiveKit server sees it.

use crate::support::{
    client::{Server, is_terminal, new_id, order, web},
    page::Pages,
    probe::{Probe, beeps, decodes_cleanly, flashes},
    redis::Redis,
    until,
    worker::{Worker, is_empty},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use wire::livekit::{EgressInfo, EgressSourceType, EgressStatus};

const SOON: Duration = Duration::from_secs(30);

/// A worker, a server to order from, pages to record, and a place for files.
pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) worker: Worker,
    pub(crate) server: Server,
    pub(crate) pages: Pages,
    pub(crate) out: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let redis = Redis::start().await;
        let server = Server::connect(&redis.address()).await;
        let worker = Worker::start(&redis.address()).await;
        Self {
            redis,
            worker,
            server,
            pages: Pages::start(),
            out: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.out.path().join(name).display().to_string()
    }

    /// Orders a page; gives the id.
    pub(crate) async fn start(&self, page: &str, file: &str) -> String {
        let order = order(web(&self.pages.url(page), &self.file(file)));
        let info = self
            .server
            .start(&order)
            .await
            .expect("an accepted request");
        info.egress_id
    }

    pub(crate) async fn active(&self, id: &str) {
        self.server
            .reported(id, EgressStatus::EgressActive, SOON)
            .await;
    }

    /// Waits until a recording has at least this much media on disk.
    pub(crate) async fn recorded(&self, bytes: u64) {
        let dir = self.out.path().to_owned();
        until("the part file grows", SOON, || {
            (largest(&dir) >= bytes).then_some(())
        })
        .await;
    }

    pub(crate) async fn idle(&self) {
        until("the worker is idle", Duration::from_secs(10), || {
            let idle = self.worker.recorders().is_empty() && self.worker.leftovers().is_empty();
            (idle && is_empty(&self.worker.tmp)).then_some(())
        })
        .await;
    }
}

pub(crate) fn largest(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|e| Some(e.metadata().ok()?.len()))
        .max()
        .unwrap_or(0)
}

pub(crate) fn file_of(info: &EgressInfo) -> &Path {
    assert_eq!(info.file_results.len(), 1);
    let location = &info.file_results[0].location;
    assert!(!location.is_empty(), "no location: {info:?}");
    Path::new(location)
}

#[tokio::test]
async fn a_recording_goes_through_its_statuses_in_order_and_in_sync() {
    // [C01, C02]
    let world = World::new().await;
    let mut request = order(web(&world.pages.url("/"), &world.file("{time}.mp4")));
    request.room_id = "RM_x".to_owned();
    let asked = Instant::now();
    let reply = world.server.start(&request).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(
        (reply.egress_id.as_str(), reply.room_id.as_str()),
        (request.egress_id.as_str(), "RM_x")
    );
    assert_eq!(reply.status(), EgressStatus::EgressStarting);
    assert_eq!(reply.source_type(), EgressSourceType::Web);
    assert!(
        reply.started_at > 0
            && reply.updated_at > 0
            && reply.error.is_empty()
            && reply.request.is_some()
    );
    let name = &reply.file_results[0].filename;
    assert!(name.ends_with(".mp4") && !name.contains('{'), "{name}");
    let id = reply.egress_id.clone();
    assert_eq!(
        world.server.calls(&id)[0].info,
        reply,
        "CreateEgress tells what the caller is told"
    );
    world.active(&id).await;
    world.recorded(300_000).await;
    until("eight seconds of media", SOON, || {
        let since = world
            .server
            .calls(&id)
            .iter()
            .find(|c| c.info.status() == EgressStatus::EgressActive)?
            .at;
        (since.elapsed() > Duration::from_secs(8)).then_some(())
    })
    .await;
    let stopped = world.server.stop(&id).await.unwrap();
    assert_eq!(
        (stopped.status(), stopped.error.as_str()),
        (EgressStatus::EgressEnding, "")
    );
    let end = world.server.ended(&id, SOON).await;
    assert_eq!(end.status(), EgressStatus::EgressComplete);
    assert_eq!(
        (end.error_code, end.details.as_str()),
        (0, "End reason: StopEgress API")
    );
    assert!(end.ended_at >= end.started_at);
    world.idle().await;
    let calls = world.server.calls(&id);
    assert_eq!(
        calls.iter().filter(|c| c.method == "CreateEgress").count(),
        1
    );
    let statuses: Vec<i32> = calls.iter().map(|c| c.info.status).collect();
    assert!(statuses.is_sorted(), "{statuses:?}");
    assert!(
        calls
            .windows(2)
            .all(|w| w[0].info.updated_at <= w[1].info.updated_at)
    );
    assert_eq!(
        calls
            .iter()
            .filter(|c| is_terminal(c.info.status()))
            .count(),
        1,
        "one last word"
    );

    let file = file_of(&end);
    decodes_cleanly(file);
    let probe = Probe::of(file);
    let reported = Duration::from_nanos(end.file_results[0].duration.unsigned_abs()).as_secs_f64();
    assert!(
        (probe.duration() - reported).abs() < 0.3,
        "{} against {reported}",
        probe.duration()
    );
    assert_eq!(
        std::fs::metadata(file).unwrap().len(),
        end.file_results[0].size.unsigned_abs()
    );
    let video = probe.stream("video").expect("pictures");
    assert_eq!(
        (video.text("codec_name"), video.text("profile")),
        ("h264", "Main")
    );
    let audio = probe.stream("audio").expect("sound");
    assert_eq!(
        (audio.text("codec_name"), audio.text("sample_rate")),
        ("aac", "44100")
    );
    // The page flashes and beeps at each of its full seconds.
    let (flashes, beeps) = (flashes(file), beeps(file));
    assert!(
        flashes.len() >= 6 && beeps.len() >= 6,
        "{flashes:?} {beeps:?}"
    );
    let mut apart: Vec<f64> = beeps
        .iter()
        .filter_map(|b| {
            flashes
                .iter()
                .map(|f| b - f)
                .min_by(|x, y| x.abs().total_cmp(&y.abs()))
        })
        .collect();
    apart.sort_by(f64::total_cmp);
    let median = apart[apart.len() / 2];
    assert!(
        median.abs() <= 0.2,
        "sound {median} s after pictures; all: {apart:?}"
    );
}

#[tokio::test]
async fn what_does_not_fit_a_running_recording_is_refused_and_does_not_disturb_it() {
    // [C11, web part]
    let world = World::new().await;
    let request = order(web(&world.pages.url("/"), &world.file("a.mp4")));
    let id = world.server.start(&request).await.unwrap().egress_id;
    world.active(&id).await;
    let again = world.server.start(&request).await.unwrap_err();
    assert_eq!(
        (again.code.as_str(), again.message.as_str()),
        ("already_exists", "egress already exists")
    );
    assert_eq!(world.server.list().await, std::slice::from_ref(&id));
    let update = world
        .server
        .add_stream(&id, "rtmp://127.0.0.1/live/x")
        .await
        .unwrap_err();
    let text = "UpdateStream called on non-streaming egress";
    assert_eq!(
        (update.code.as_str(), update.message.as_str()),
        ("invalid_argument", text)
    );
    let unknown = world.server.stop(&new_id()).await.unwrap_err();
    assert_eq!(unknown.message, "no response from servers");
    assert_eq!(
        world.server.stop(&id).await.unwrap().status(),
        EgressStatus::EgressEnding
    );
    let end = world.server.ended(&id, SOON).await;
    assert_eq!(end.status(), EgressStatus::EgressComplete);
    decodes_cleanly(file_of(&end));
    world.idle().await;
    assert!(world.server.list().await.is_empty());
}

#[tokio::test]
async fn a_terminated_worker_finishes_what_it_has_and_takes_nothing_new() {
    // [L19]
    let mut world = World::new().await;
    let first = world.start("/", "a.mp4").await;
    let second = world.start("/?sound=0", "b.mp4").await;
    world.active(&first).await;
    world.active(&second).await;
    world.worker.signal("TERM");
    let port = world.worker.prometheus_port;
    until("is_terminating", SOON, || {
        let (_, text) = world.worker.get(port, "/metrics");
        text.lines()
            .any(|l| l.starts_with("livekit_egress_is_terminating") && l.ends_with(" 1"))
            .then_some(())
    })
    .await;
    let refused = world
        .server
        .start(&order(web(&world.pages.url("/"), &world.file("c.mp4"))))
        .await
        .unwrap_err();
    assert_eq!(refused.code.as_str(), "unavailable");
    for id in [&first, &second] {
        assert_eq!(
            world.server.stop(id).await.unwrap().status(),
            EgressStatus::EgressEnding
        );
        let end = world.server.ended(id, SOON).await;
        assert_eq!(end.status(), EgressStatus::EgressComplete);
        decodes_cleanly(file_of(&end));
    }
    assert!(world.worker.ends(SOON).await.success());
    assert!(world.worker.leftovers().is_empty());
}

#[tokio::test]
async fn an_interrupted_worker_ends_its_recordings_with_their_files() {
    let mut world = World::new().await;
    let id = world.start("/", "a.mp4").await;
    world.active(&id).await;
    world.recorded(50_000).await;
    world.worker.signal("INT");
    let end = world.server.ended(&id, SOON).await;
    assert_eq!(
        (end.status(), end.error_code),
        (EgressStatus::EgressFailed, 403)
    );
    assert_eq!(end.error, "server is shutting down");
    decodes_cleanly(file_of(&end));
    assert!(world.worker.ends(SOON).await.success());
}

#[tokio::test]
async fn without_a_server_to_report_to_nothing_is_recorded() {
    // [L22]
    let redis = Redis::start().await;
    let mut server = Server::deaf(&redis.address()).await;
    let worker = Worker::start(&redis.address()).await;
    let pages = Pages::start();
    let out = tempfile::tempdir().unwrap();
    let request = order(web(
        &pages.url("/"),
        &out.path().join("a.mp4").display().to_string(),
    ));
    let refused = server.start(&request).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "unavailable", "{refused}");
    until("the worker is idle", SOON, || {
        (worker.recorders().is_empty() && worker.leftovers().is_empty()).then_some(())
    })
    .await;
    until("nothing is left of it", SOON, || {
        is_empty(out.path()).then_some(())
    })
    .await;
    server.listen().await;
    // The worker finds out that somebody listens again; a LiveKit server retries meanwhile.
    let request = order(web(
        &pages.url("/"),
        &out.path().join("b.mp4").display().to_string(),
    ));
    let since = Instant::now();
    let id = loop {
        match server.start(&request).await {
            Ok(info) => break info.egress_id,
            Err(error) => assert!(since.elapsed() < SOON, "{error}"),
        }
    };
    server.reported(&id, EgressStatus::EgressActive, SOON).await;
}

#[tokio::test]
async fn a_redis_restart_is_not_noticed_by_a_recording() {
    // [L24]
    let World {
        redis,
        worker,
        server,
        pages,
        out,
    } = World::new().await;
    let path = out.path().join("a.mp4").display().to_string();
    let id = server
        .start(&order(web(&pages.url("/"), &path)))
        .await
        .unwrap()
        .egress_id;
    server.reported(&id, EgressStatus::EgressActive, SOON).await;
    let redis = redis.restart().await;
    let restarted = Instant::now();
    let mut answer = None;
    while answer.is_none() {
        assert!(
            restarted.elapsed() < Duration::from_secs(10),
            "StopEgress works within 10 s of the restart"
        );
        answer = server.stop(&id).await.ok();
    }
    assert_eq!(answer.unwrap().status(), EgressStatus::EgressEnding);
    let end = server.ended(&id, SOON).await;
    assert_eq!(end.status(), EgressStatus::EgressComplete);
    decodes_cleanly(file_of(&end));
    drop((worker, redis));
}
