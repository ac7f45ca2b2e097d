//! `./dev bench web`: what a recorded page costs, split by process, and how long its turns take.
//!
//! Real Redis, real binary (release), real Chromium. Figures go to standard output as a table; `bench/RESULTS.md` keeps
//! those worth keeping, with machine and versions.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a benchmark prints, and fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use support::{
    client::{Server, order, web},
    page::Pages,
    probe::frames,
    processes,
    redis::Redis,
    worker::Worker,
};
use wire::livekit::{EgressStatus, EncodingOptionsPreset as Preset, web_egress_request::Options};

/// After ACTIVE, before the first look: the page and the encoder settle.
const SETTLE: Duration = Duration::from_secs(4);
/// How long is looked.
const LOOK: Duration = Duration::from_secs(20);
/// Clock ticks a second in /proc.
const TICKS: f64 = 100.0;
const SOON: Duration = Duration::from_secs(30);

fn main() {
    // `cargo bench` passes flags of its own.
    let what: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    match what.first().map_or("web", String::as_str) {
        "web" => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(bench_web());
        }
        other => {
            eprintln!("no benchmark {other}; there is: web");
            std::process::exit(2);
        }
    }
}

async fn bench_web() {
    machine();
    let redis = Redis::start().await;
    let server = Server::connect(&redis.address()).await;
    let worker = Worker::start(&redis.address()).await;
    let pages = Pages::start();
    let out = tempfile::tempdir().unwrap();
    pause(SETTLE).await;
    println!("\n## idle worker\n");
    table(&look(worker.pid(), LOOK / 2).await);
    for preset in [Preset::H264720p30, Preset::H2641080p30] {
        println!("\n## {}\n", preset.as_str_name());
        let path = out
            .path()
            .join(format!("{}.mp4", preset.as_str_name()))
            .display()
            .to_string();
        let mut request = web(&pages.url("/"), &path);
        request.options = Some(Options::Preset(preset as i32));
        let asked = Instant::now();
        let id = server.start(&order(request)).await.unwrap().egress_id;
        let replied = asked.elapsed();
        let active = server
            .reported(&id, EgressStatus::EgressActive, SOON)
            .await
            .at;
        pause(SETTLE).await;
        let costs = look(worker.pid(), LOOK).await;
        let lived = active.elapsed();
        let stopped = Instant::now();
        server.stop(&id).await.unwrap();
        let stop_replied = stopped.elapsed();
        let end = server.ended(&id, SOON).await;
        let complete = stopped.elapsed();
        assert_eq!(end.status(), EgressStatus::EgressComplete, "{}", end.error);
        let got = frames(std::path::Path::new(&path)).len();
        table(&costs);
        println!(
            "\nrequest → reply {} ms, → ACTIVE {} ms; stop → reply {} ms, → COMPLETE {} ms",
            replied.as_millis(),
            (active - asked).as_millis(),
            stop_replied.as_millis(),
            complete.as_millis()
        );
        println!(
            "frames: {:.0} expected, {got} in the file; {} bytes",
            lived.as_secs_f64() * 30.0,
            end.file_results[0].size
        );
        let (_, text) = worker.get(worker.prometheus_port, "/metrics");
        for line in text
            .lines()
            .filter(|l| l.contains("drop") && !l.starts_with('#'))
        {
            println!("{line}");
        }
    }
}

async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

#[derive(Default)]
struct Cost {
    count: u32,
    cores: f64,
    pss: u64,
}

/// Cores over `time` and PSS at its end, by process.
async fn look(root: i32, time: Duration) -> BTreeMap<String, Cost> {
    let before: BTreeMap<i32, u64> = processes::tree(root)
        .into_iter()
        .map(|p| (p.pid, p.ticks))
        .collect();
    let began = Instant::now();
    pause(time).await;
    let elapsed = began.elapsed().as_secs_f64();
    let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
    for process in processes::tree(root) {
        let name = match process.name.as_str() {
            "egress" if process.pid == root => "worker".to_owned(),
            "egress" => "recorder".to_owned(),
            name => name.to_owned(),
        };
        let cost = costs.entry(name).or_default();
        let ticks = process.ticks - before.get(&process.pid).copied().unwrap_or(process.ticks);
        cost.count += 1;
        cost.cores += ticks as f64 / TICKS / elapsed;
        cost.pss += processes::pss(process.pid);
    }
    costs
}

fn table(costs: &BTreeMap<String, Cost>) {
    println!("| process | n | cores | PSS MB |\n|---|---|---|---|");
    let mut total = Cost::default();
    for (name, cost) in costs {
        println!(
            "| {name} | {} | {:.3} | {:.1} |",
            cost.count,
            cost.cores,
            cost.pss as f64 / 1024.0
        );
        total.cores += cost.cores;
        total.pss += cost.pss;
    }
    println!(
        "| **all** | | **{:.3}** | **{:.1}** |",
        total.cores,
        total.pss as f64 / 1024.0
    );
}

fn machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo").lines().find_map(|l| {
        l.split(": ")
            .nth(1)
            .filter(|_| l.starts_with("model name"))
            .map(str::to_owned)
    });
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!(
        "{} × {cores}; load {}",
        model.unwrap_or_default(),
        read("/proc/loadavg").trim()
    );
}
