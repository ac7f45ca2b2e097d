//! Bad input and a bad world: a clear error, nothing lost, and the next request is served.

use crate::{
    life::{World, file_of},
    support::{
        client::{Server, order, web},
        page::Pages,
        probe::decodes_cleanly,
        redis::Redis,
        worker::{Options, Worker},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;
use wire::{
    livekit,
    livekit::EgressStatus,
    prost::Message,
    rpc::{StartEgressRequest, start_egress_request::Request},
};

const SOON: Duration = Duration::from_secs(30);

async fn refusal(world: &World, request: Request) -> (String, String) {
    let request = StartEgressRequest {
        egress_id: crate::support::client::new_id(),
        request: Some(request),
        ..Default::default()
    };
    let error = world.server.start(&request).await.unwrap_err();
    assert!(
        world.server.calls(&request.egress_id).is_empty(),
        "nothing is reported of what is refused"
    );
    (error.code.as_str().to_owned(), error.message)
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_with_its_reason() {
    // [C03; the whole table is a test of core/recording]
    let world = World::new().await;
    let url = world.pages.url("/");
    let field = |name: &str| {
        (
            "invalid_argument".to_owned(),
            format!("request has missing or invalid field: {name}"),
        )
    };
    assert_eq!(
        refusal(&world, Request::Web(web("file:///etc/passwd", "/x.mp4"))).await,
        field("web url")
    );
    let no_output = livekit::WebEgressRequest {
        url: url.clone(),
        ..Default::default()
    };
    assert_eq!(
        refusal(&world, Request::Web(no_output)).await,
        field("output")
    );
    let both = livekit::WebEgressRequest {
        audio_only: true,
        video_only: true,
        ..web(&url, "/x.mp4")
    };
    assert_eq!(
        refusal(&world, Request::Web(both)).await,
        field("audio_only and video_only")
    );
    let participant = livekit::ParticipantEgressRequest {
        room_name: "r".to_owned(),
        identity: "p".to_owned(),
        file_outputs: web(&url, "/x.mp4").file_outputs,
        ..Default::default()
    };
    let (code, text) = refusal(&world, Request::Participant(participant)).await;
    assert_eq!(code, "unimplemented");
    assert!(text.contains("participant"), "{text}");
    let id = world.start("/", "a.mp4").await;
    world.active(&id).await;
}

#[tokio::test]
async fn garbage_on_the_bus_is_survived() {
    let world = World::new().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let good = order(web(&world.pages.url("/"), "")).encode_to_vec();
    let mut broken = Vec::new();
    for _ in 0..100 {
        let mut bytes = good.clone();
        for _ in 0..random.random_range(1..4) {
            match random.random_range(0..3) {
                0 => bytes.truncate(random.random_range(0..=bytes.len())),
                1 => bytes.insert(random.random_range(0..=bytes.len()), random.random()),
                _ => {
                    if let Some(byte) = bytes.last_mut() {
                        *byte ^= 0xa5;
                    }
                }
            }
        }
        // Only the refusals are of interest: what is still a request would be recorded for real.
        if StartEgressRequest::decode(bytes.as_slice()).is_err() {
            broken.push(bytes);
        }
    }
    assert!(
        broken.len() > 10,
        "{} of 100 mutations are broken",
        broken.len()
    );
    // At once: a caller learns of a refusal without a claim only when its time for claims is over.
    let answers = futures_util::future::join_all(
        broken.into_iter().map(|b| world.server.start_raw(b.into())),
    )
    .await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.code.as_str(), "malformed_request", "{error}");
    }
    let mut huge = order(web(&world.pages.url("/"), "/x.mp4"));
    huge.room_id = "x".repeat(8 << 20);
    let error = world.server.start(&huge).await.unwrap_err();
    assert!(error.message.contains("larger than"), "{error}");
    let id = world.start("/", "a.mp4").await;
    world.active(&id).await;
    world.server.stop(&id).await.unwrap();
    assert_eq!(
        world.server.ended(&id, SOON).await.status(),
        EgressStatus::EgressComplete
    );
}

#[tokio::test]
async fn a_full_disk_ends_the_recording_and_keeps_what_fits() {
    let redis = Redis::start().await;
    let server = Server::connect(&redis.address()).await;
    let pages = Pages::start();
    let small = tempfile::tempdir().unwrap();
    let mut options = Options::new(redis.address());
    // A file system of half a megabyte in a mount namespace of the worker's own.
    let mount = format!(
        "mount -t tmpfs -o size=512k tmpfs {} && exec \"$@\"",
        small.path().display()
    );
    options.wrapper = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &mount,
        "sh",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut worker = Worker::with(options).await;
    let path = small.path().join("a.mp4").display().to_string();
    let id = server
        .start(&order(web(&pages.url("/"), &path)))
        .await
        .unwrap()
        .egress_id;
    let end = server.ended(&id, SOON).await;
    assert_eq!(end.status(), EgressStatus::EgressFailed, "{end:?}");
    assert!(
        end.error.contains("No space left on device"),
        "{}",
        end.error
    );
    // Seen through the worker's own root, where the small file system is.
    let seen = format!("/proc/{}/root{}", worker.pid(), file_of(&end).display());
    decodes_cleanly(std::path::Path::new(&seen));
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("b.mp4").display().to_string();
    let id = server
        .start(&order(web(&pages.url("/"), &path)))
        .await
        .unwrap()
        .egress_id;
    server.reported(&id, EgressStatus::EgressActive, SOON).await;
    assert!(worker.exited().is_none());
}

#[tokio::test]
async fn a_machine_without_a_browser_says_what_to_install() {
    let redis = Redis::start().await;
    let server = Server::connect(&redis.address()).await;
    let bin = tempfile::tempdir().unwrap();
    for program in ["setpriv", "Xvfb", "pulseaudio", "sh", "xkbcomp"] {
        let found = ["/usr/bin", "/bin"]
            .iter()
            .map(|d| std::path::Path::new(d).join(program))
            .find(|p| p.exists());
        if let Some(found) = found {
            std::os::unix::fs::symlink(found, bin.path().join(program)).unwrap();
        }
    }
    let mut options = Options::new(redis.address());
    options
        .env
        .push(("PATH".to_owned(), bin.path().display().to_string()));
    let worker = Worker::with(options).await;
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("a.mp4").display().to_string();
    let id = server
        .start(&order(web("http://127.0.0.1:9/", &path)))
        .await
        .unwrap()
        .egress_id;
    let end = server.ended(&id, SOON).await;
    assert_eq!(end.status(), EgressStatus::EgressFailed);
    assert!(
        end.error.contains("install the package chromium"),
        "{}",
        end.error
    );
    assert!(worker.leftovers().is_empty());
}
