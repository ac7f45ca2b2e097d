//! A fleet in one thread: workers, callers, recorders and IOInfo on a bus that delays and loses, in virtual time.
//!
//! ```text
//! client ── ask/grant ──► machine { Worker } ── spawn/stop/signal ──► recorder
//!    ◄── bid/answer ───────┘      └── create/update ──► IOInfo (with outages)
//! ```
//!
//! Must always hold, for every seed: promises never exceed the budget; every granted start is answered exactly once, every stop
//! within three seconds; every recorder is reaped; every run that was answered ends with exactly one terminal state at
//! IOInfo, after CreateEgress, with nothing behind it; every drain ends with nothing owed.

mod client;
mod io_info;
mod machine;
mod recorder;
mod world;

use crate::common::need;
use std::time::Duration;
use worker::Drain;
use world::{Setup, World};

const SEEDS: u64 = 300;

#[test]
fn a_calm_fleet_records_everything() {
    for seed in 0..SEEDS / 4 {
        let mut world = World::new(seed, Setup::calm());
        world.random_load(40, Duration::from_secs(200));
        let end = world.run();
        assert_eq!(end.failed, 0, "seed {seed}: {end:?}");
        assert!(end.started > 0, "seed {seed}: {end:?}");
    }
}

#[test]
fn a_fleet_under_fire_loses_nothing() {
    let mut total = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, Setup::fire());
        world.random_load(30, Duration::from_secs(150));
        world.random_trouble(Duration::from_secs(200));
        total += world.run().started;
    }
    assert!(total > SEEDS * 5, "only {total} recordings were started");
}

#[test]
fn a_burst_of_heavy_starts_is_taken_without_a_retry() {
    for seed in 0..50 {
        let mut world = World::new(seed, Setup::calm().machines(4, 4.0));
        for _ in 0..4 {
            let heavy = recording::cost::Cost {
                browser: true,
                ..need(3.0)
            };
            world.call(Duration::from_secs(1), heavy);
        }
        let end = world.run();
        assert_eq!((end.started, end.failed), (4, 0), "seed {seed}");
        assert_eq!(end.attempts, 4, "seed {seed}: upstream needs retries here");
    }
}

#[test]
fn light_recordings_collect_on_one_machine() {
    for seed in 0..50 {
        let mut world = World::new(seed, Setup::calm().machines(3, 4.0));
        for n in 0..6 {
            world.call(Duration::from_secs(1 + 2 * n), need(0.1));
        }
        let end = world.run();
        assert_eq!(end.started, 6, "seed {seed}");
        assert_eq!(end.used_machines, 1, "seed {seed}");
        assert!(
            end.slowest_start < Duration::from_millis(400),
            "seed {seed}: nobody waits half a second for a better bid: {:?}",
            end.slowest_start
        );
    }
}

#[test]
fn an_interrupted_fleet_is_gone_within_minutes() {
    for seed in 0..50 {
        let mut world = World::new(seed, Setup::fire().without_outages());
        world.random_load(20, Duration::from_secs(30));
        world.signal_all(Duration::from_secs(40), Drain::Interrupt);
        let end = world.run();
        assert!(
            end.time < Duration::from_secs(40 + 6 * 60),
            "seed {seed}: {:?}",
            end.time
        );
    }
}
