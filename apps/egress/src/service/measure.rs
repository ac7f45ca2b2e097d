//! Reads `/proc` and the cgroup once a second; the arithmetic is `worker::measure`'s.

use std::{collections::BTreeMap, fs, path::Path};
use worker::{
    ChildId,
    measure::{Host, Meter, Process, Reading, Sample, cgroup},
};

/// Cores to reckon with: `LIVEKIT_CPU_REQUEST`, else the cgroup's quota, else what the machine has.
#[must_use]
pub fn cores(requested: Option<f64>) -> f64 {
    let logical =
        std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    cgroup::count(requested, quota(), logical)
}

fn quota() -> Option<f64> {
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        return cgroup::cpu_max(&text).ok().flatten();
    }
    let quota = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").ok()?;
    let period = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_period_us").ok()?;
    cgroup::cfs(&quota, &period).ok().flatten()
}

fn cgroup_memory() -> Option<u64> {
    let read = |current: &str, stat: &str| {
        let (current, stat) = (
            fs::read_to_string(current).ok()?,
            fs::read_to_string(stat).ok()?,
        );
        cgroup::memory(&current, &stat).ok()
    };
    read(
        "/sys/fs/cgroup/memory.current",
        "/sys/fs/cgroup/memory.stat",
    )
    .or_else(|| {
        read(
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            "/sys/fs/cgroup/memory/memory.stat",
        )
    })
}

/// Measures the machine.
pub(super) struct Gauge {
    meter: Meter,
    page: u64,
}

impl Gauge {
    pub(super) fn new(cores: f64) -> Self {
        Self {
            meter: Meter::new(cores),
            page: u64::try_from(rustix::param::page_size()).unwrap_or(4096),
        }
    }

    /// One look; `children` by process id. Nothing at the first look, or when `/proc` cannot be read.
    pub(super) fn look(&mut self, children: &BTreeMap<u32, ChildId>) -> Option<Sample> {
        let host = Host::parse(&fs::read_to_string("/proc/stat").ok()?).ok()?;
        let processes = fs::read_dir("/proc")
            .ok()?
            .flatten()
            .filter(|e| {
                e.file_name()
                    .as_encoded_bytes()
                    .first()
                    .is_some_and(u8::is_ascii_digit)
            })
            .filter_map(|e| self.process(&e.path()))
            .collect();
        let reading = Reading {
            host,
            processes,
            cgroup_memory: cgroup_memory(),
        };
        self.meter.take(&reading, children)
    }

    fn process(&self, dir: &Path) -> Option<Process> {
        // A process that ends meanwhile is simply not there.
        Process::parse(&fs::read_to_string(dir.join("stat")).ok()?, self.page).ok()
    }
}
