//! What runs on this machine, as /proc tells.

use std::{collections::BTreeMap, fs, path::Path};

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) name: String,
    pub(crate) command: String,
    /// utime + stime in clock ticks (1/100 s).
    pub(crate) ticks: u64,
}

/// All processes by pid; zombies are left out.
pub(crate) fn all() -> BTreeMap<i32, Process> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if let Some(process) = read(pid, &entry.path()) {
            found.insert(pid, process);
        }
    }
    found
}

fn read(pid: i32, dir: &Path) -> Option<Process> {
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let rest: Vec<&str> = stat.get(close + 2..)?.split(' ').collect();
    if *rest.first()? == "Z" {
        return None;
    }
    let command = fs::read(dir.join("cmdline")).ok()?;
    Some(Process {
        pid,
        parent: rest.get(1)?.parse().ok()?,
        name: stat.get(open + 1..close)?.to_owned(),
        command: String::from_utf8_lossy(&command).replace('\0', " "),
        ticks: rest.get(11)?.parse::<u64>().ok()? + rest.get(12)?.parse::<u64>().ok()?,
    })
}

/// `root` and everything that descends from it.
pub(crate) fn tree(root: i32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = all.get(&root).cloned().into_iter().collect();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next].pid;
        found.extend(all.values().filter(|p| p.parent == parent).cloned());
        next += 1;
    }
    found
}

/// Processes whose command line holds `text`.
pub(crate) fn holding(text: &str) -> Vec<Process> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    all()
        .into_values()
        .filter(|p| p.pid != me && p.command.contains(text))
        .collect()
}

/// Proportional set size in KiB.
pub(crate) fn pss(pid: i32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| {
            text.lines().find_map(|l| {
                l.strip_prefix("Pss:")?
                    .trim()
                    .trim_end_matches(" kB")
                    .parse()
                    .ok()
            })
        })
        .unwrap_or(0)
}
