//! What is left when processes are killed: files that play, and the truth.

use crate::{
    life::{World, file_of, largest},
    support::{
        client::{Server, is_terminal, order, web},
        probe::{Probe, decodes_cleanly},
        processes,
        redis::Redis,
        until,
        worker::{Options, Worker, kill},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::{Duration, Instant};
use wire::livekit::EgressStatus;

const SOON: Duration = Duration::from_secs(30);
/// Moments at which a recorder is killed; KILL_MOMENTS asks for more.
fn moments() -> usize {
    std::env::var("KILL_MOMENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(5)
}

#[tokio::test]
async fn a_killed_recorder_leaves_a_file_that_plays_up_to_the_last_moment() {
    // [L21]
    let world = World::new().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..moments() {
        let id = world.start("/", &format!("{round}.mp4")).await;
        world.active(&id).await;
        let active = Instant::now();
        let moment = Duration::from_millis(random.random_range(1500..4500));
        until("the moment", SOON, || {
            (active.elapsed() >= moment).then_some(())
        })
        .await;
        let recorders = world.worker.recorders();
        assert_eq!(recorders.len(), 1);
        let lived = active.elapsed();
        kill(recorders[0], "KILL");
        let end = world.server.ended(&id, SOON).await;
        assert_eq!(
            (end.status(), end.error_code),
            (EgressStatus::EgressFailed, 500),
            "{end:?}"
        );
        assert_eq!(end.error, "signal: killed");
        let file = file_of(&end);
        decodes_cleanly(file);
        let duration = Probe::of(file).duration();
        // A fragment of a second, and what was on its way through the encoder.
        assert!(
            duration >= lived.as_secs_f64() - 1.5,
            "{duration} s left of {lived:?}"
        );
        assert_eq!(
            world
                .server
                .calls(&id)
                .iter()
                .filter(|c| is_terminal(c.info.status()))
                .count(),
            1
        );
        world.idle().await;
    }
    let id = world.start("/", "next.mp4").await;
    world.active(&id).await;
}

#[tokio::test]
async fn a_killed_browser_ends_the_recording_with_the_truth_and_the_file() {
    let world = World::new().await;
    for (round, kind) in ["--type=renderer", "--remote-debugging-port"]
        .into_iter()
        .enumerate()
    {
        let id = world.start("/", &format!("{round}.mp4")).await;
        world.active(&id).await;
        world.recorded(20_000).await;
        for process in world.worker.leftovers() {
            let browser = !process.command.contains("--type=");
            if process.command.contains(kind) && (browser || kind.contains("renderer")) {
                kill(process.pid, "KILL");
            }
        }
        let end = world.server.ended(&id, SOON).await;
        assert_eq!(
            (end.status(), end.error_code),
            (EgressStatus::EgressFailed, 500),
            "{end:?}"
        );
        assert!(
            end.error.starts_with("recording ended early: "),
            "{}",
            end.error
        );
        decodes_cleanly(file_of(&end));
        world.idle().await;
    }
}

#[tokio::test]
async fn a_killed_worker_loses_nothing_and_the_next_one_tells_the_end() {
    let redis = Redis::start().await;
    let server = Server::connect(&redis.address()).await;
    let pages = crate::support::page::Pages::start();
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = || {
        let mut options = Options::new(redis.address());
        options.dir = Some(dir.path().to_owned());
        options
    };
    // Once the recorder goes on and finishes by itself, once it is killed as well.
    for (round, both) in [false, true].into_iter().enumerate() {
        let worker = Worker::with(options()).await;
        let path = out
            .path()
            .join(format!("{round}.mp4"))
            .display()
            .to_string();
        let id = server
            .start(&order(web(&pages.url("/"), &path)))
            .await
            .unwrap()
            .egress_id;
        server.reported(&id, EgressStatus::EgressActive, SOON).await;
        until("media on disk", SOON, || {
            (largest(out.path()) > 100_000).then_some(())
        })
        .await;
        let recorders = worker.recorders();
        worker.signal("KILL");
        if both {
            kill(recorders[0], "KILL");
        }
        until("the recorder is gone", SOON, || {
            (!processes::all().contains_key(&recorders[0])).then_some(())
        })
        .await;
        drop(worker);
        let next = Worker::with(options()).await;
        let end = server.ended(&id, SOON).await;
        assert_eq!(end.status(), EgressStatus::EgressFailed);
        assert!(
            end.ended_at >= end.started_at && end.error.starts_with("recording ended early"),
            "{}",
            end.error
        );
        decodes_cleanly(file_of(&end));
        until("nothing is left", SOON, || {
            crate::support::worker::is_empty(&next.tmp).then_some(())
        })
        .await;
        assert_eq!(
            server
                .calls(&id)
                .iter()
                .filter(|c| is_terminal(c.info.status()))
                .count(),
            1
        );
        std::fs::remove_file(path).unwrap();
    }
}
