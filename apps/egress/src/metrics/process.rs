//! `process_*`: this process, as every Prometheus client shows it. Linux; what cannot be read is left out.

use super::text::{Exposition, Kind};
use std::path::Path;

/// Clock ticks per second in /proc: fixed in Linux' interface to programs.
const TICKS: f64 = 100.0;

/// Writes the families out of `proc` (`/proc`).
pub(crate) fn render(page: &mut Exposition, proc: &Path) {
    let text = |path: &str| std::fs::read_to_string(proc.join(path)).unwrap_or_default();
    let stat = text("self/stat");
    let status = text("self/status");
    let figures = [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            Kind::Counter,
            stat_field(&stat, 14)
                .zip(stat_field(&stat, 15))
                .map(|(user, system)| (user + system) / TICKS),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            Kind::Gauge,
            kilobytes(&status, "VmRSS:"),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            Kind::Gauge,
            stat_field(&stat, 23),
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            Kind::Gauge,
            word_after(&text("stat"), "btime")
                .zip(stat_field(&stat, 22))
                .map(|(boot, ticks)| boot + ticks / TICKS),
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            Kind::Gauge,
            std::fs::read_dir(proc.join("self/fd"))
                .ok()
                .and_then(|entries| u32::try_from(entries.count()).ok())
                .map(f64::from),
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            Kind::Gauge,
            word_after(&text("self/limits"), "Max open files"),
        ),
    ];
    for (name, help, kind, value) in figures {
        if let Some(value) = value {
            page.family(name, help, kind).sample(&[], value);
        }
    }
}

/// Field `number` of proc(5)'s stat, from 1. The second, the name, may hold spaces and brackets.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

fn kilobytes(status: &str, name: &str) -> Option<f64> {
    word_after(status, name).map(|kb| kb * 1024.0)
}

/// The number that follows a name at the beginning of a line.
fn word_after(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_proc() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("self");
        std::fs::create_dir_all(own.join("fd")).unwrap();
        let fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        std::fs::write(
            own.join("stat"),
            format!("7 (a (b) c) {}", fields.join(" ")),
        )
        .unwrap();
        std::fs::write(own.join("status"), "Name:\tx\nVmRSS:\t 12 kB\n").unwrap();
        std::fs::write(
            own.join("limits"),
            "Max open files            1024   4096  files\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("stat"), "cpu 1 2\nbtime 1000\n").unwrap();
        let mut page = Exposition::default();
        render(&mut page, dir.path());
        let text = page.into_text();
        for line in [
            "process_cpu_seconds_total 0.29",
            "process_resident_memory_bytes 12288",
            "process_virtual_memory_bytes 23",
            "process_start_time_seconds 1000.22",
            "process_open_fds 0",
            "process_max_fds 1024",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let mut page = Exposition::default();
        render(&mut page, Path::new("/nonexistent"));
        assert_eq!(page.into_text(), "");
    }
}
