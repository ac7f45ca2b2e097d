//! Health, metrics, configuration, command line. [C15]

use crate::{
    life::World,
    support::{
        client::Server,
        page::Pages,
        probe::{Probe, decodes_cleanly},
        redis::Redis,
        until,
        worker::{Options, Worker, kill},
    },
};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

const SOON: Duration = Duration::from_secs(30);

fn egress() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egress"));
    command.stdin(Stdio::null());
    command
}

#[tokio::test]
async fn health_names_what_runs_without_secrets() {
    let world = World::new().await;
    let (port, metrics) = (world.worker.health_port, world.worker.prometheus_port);
    let (status, idle) = world.worker.get(port, "/");
    let idle: serde_json::Value = serde_json::from_str(&idle).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        idle.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["CpuLoad"]
    );
    let id = world.start("/?token=very-secret-value", "a.mp4").await;
    let (_, busy) = world.worker.get(port, "/any/path");
    assert!(busy.contains(&id), "{busy}");
    assert!(!busy.contains("very-secret-value"), "{busy}");
    world.active(&id).await;
    let (_, text) = world.worker.get(metrics, "/metrics");
    for series in [
        "livekit_egress_available",
        "livekit_egress_can_accept_request",
        "livekit_egress_is_disabled",
        "livekit_egress_is_terminating",
        "livekit_egress_requests",
        "livekit_node_cpu_load",
        "livekit_load_ratio",
    ] {
        assert!(
            text.lines().any(|l| l.starts_with(series)),
            "{series} in {text}"
        );
    }
    let web = text
        .lines()
        .find(|l| l.starts_with("livekit_egress_requests{") && l.contains("\"web\""))
        .unwrap();
    assert!(web.ends_with(" 1"), "{web}");
    world.server.stop(&id).await.unwrap();
    world.server.ended(&id, SOON).await;
    world.idle().await;
    let (_, text) = world.worker.get(metrics, "/metrics");
    let done = text.lines().find(|l| {
        l.starts_with("livekit_egress_handler_results_total") && l.contains("\"completed\"")
    });
    assert!(done.unwrap().ends_with(" 1"), "{done:?}");
    let stored = text
        .lines()
        .find(|l| l.starts_with("livekit_egress_pipeline_uploads{"));
    let stored = stored.expect("the file was counted");
    assert!(
        stored.contains("type=\"video/mp4\"")
            && stored.contains("status=\"success\"")
            && stored.ends_with(" 1")
    );
    assert!(
        world
            .worker
            .get(world.worker.template_port, "/")
            .1
            .contains("<html")
    );
}

#[tokio::test]
async fn a_configuration_comes_from_a_file_as_well() {
    let redis = Redis::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("egress.yaml");
    let health = crate::support::free_port();
    std::fs::write(&file, format!("redis: {{address: '{}'}}\nhealth_port: {health}\ntemplate_port: {}\ntmp_dir: {}\ncpu_cost: {{web_cpu_cost: 0.1}}\n", redis.address(), crate::support::free_port(), dir.path().join("tmp").display())).unwrap();
    let mut child = egress()
        .arg("--config")
        .arg(&file)
        .env("LIVEKIT_API_KEY", "k")
        .env("LIVEKIT_API_SECRET", "s")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = until("ready", SOON, || {
        crate::support::worker::http_get(health, "/readyz").filter(|a| a.0 == 200)
    })
    .await;
    assert_eq!(ready.0, 200);
    kill(i32::try_from(child.id()).unwrap(), "TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_at_once() {
    let body = "redis: {address: 'x:1'}\nheatlh_port: 1\ncpu_cost: {web_cpu_cost: many}\nhealth_port: nine\n";
    let out = egress()
        .args(["config", "check", "--config-body", body])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        said.contains("heatlh_port")
            && said.contains("health_port")
            && said.contains("web_cpu_cost"),
        "{said}"
    );
    let out = egress().output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("missing config"));
}

#[tokio::test]
async fn an_unreachable_redis_is_named_and_ends_the_start() {
    let options = Options::new(format!("127.0.0.1:{}", crate::support::free_port()));
    let mut worker = Worker::spawn(options);
    let status = worker.ends(SOON).await;
    assert_eq!(status.code(), Some(1));
    assert!(
        worker.log().contains("unable to connect to redis"),
        "{}",
        worker.log()
    );
}

#[tokio::test]
async fn a_page_is_recorded_without_a_server() {
    let pages = Pages::start();
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = egress();
        command
            .args(["record", "web", &pages.url("/")])
            .args(args)
            .current_dir(dir.path());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let out = run(&[
        "-o", "a.mp4", "--for", "3s", "--width", "640", "--height", "360", "--fps", "15",
    ])
    .wait_with_output()
    .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let file = dir.path().join("a.mp4");
    decodes_cleanly(&file);
    let probe = Probe::of(&file);
    assert!((probe.duration() - 3.0).abs() < 0.6, "{}", probe.duration());
    assert!((probe.stream("video").unwrap().frame_rate() - 15.0).abs() < 0.1);

    // Ctrl-C ends it with a good file.
    let mut child = run(&["-o", "b.mp4"]);
    let growing = |name: &str| {
        let mut entries = std::fs::read_dir(dir.path()).ok()?.flatten();
        let part = entries.find(|e| e.file_name().to_string_lossy().contains(name))?;
        (part.metadata().ok()?.len() > 100_000).then_some(())
    };
    until("media on disk", SOON, || growing("b.mp4")).await;
    kill(i32::try_from(child.id()).unwrap(), "INT");
    assert!(child.wait().unwrap().success());
    decodes_cleanly(&dir.path().join("b.mp4"));

    // What this version cannot do is said, and the exit code tells.
    let out = run(&["-o", "rtmp://127.0.0.1/live/x", "--for", "1s"])
        .wait_with_output()
        .unwrap();
    assert!(!out.status.success());
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        said.contains("RTMP") && said.contains("not implemented"),
        "{said}"
    );
}

#[tokio::test]
async fn a_worker_survives_that_its_health_port_is_taken() {
    let redis = Redis::start().await;
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let mut options = Options::new(redis.address());
    options.yaml = format!(
        "debug_handler_port: {}\n",
        taken.local_addr().unwrap().port()
    );
    let worker = Worker::with(options).await;
    assert!(worker.recorders().is_empty());
    drop(Server::connect(&redis.address()).await);
}
