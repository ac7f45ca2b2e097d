//! `/proc/stat`, `/proc/<pid>/stat` and `/proc/<pid>/smaps_rollup`, parsed (proc(5)).
//!
//! Knows one moment only; differences are [`super::meter`]'s.

use super::Garbled;

/// `/proc/stat`: the whole host since it booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Clock ticks of all cores, idle included; guest time is already in user time.
    pub ticks: u64,
    /// How many cores the host has.
    pub cores: u32,
}

impl Host {
    /// Parses `/proc/stat`.
    ///
    /// # Errors
    ///
    /// No `cpu` line, or one that is not numbers.
    pub fn parse(text: &str) -> Result<Self, Garbled> {
        const FILE: &str = "/proc/stat";
        let mut ticks = None;
        let mut cores = 0;
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("cpu") else {
                continue;
            };
            if !rest.starts_with(' ') {
                cores += 1;
                continue;
            }
            let mut sum = 0_u64;
            // user nice system idle iowait irq softirq steal; guest and guest_nice are counted in user and nice
            for field in rest.split_ascii_whitespace().take(8) {
                let value: u64 = field
                    .parse()
                    .map_err(|_bad| Garbled::new(FILE, "a counter is not a number"))?;
                sum = sum.saturating_add(value);
            }
            ticks = Some(sum);
        }
        let ticks = ticks.ok_or(Garbled::new(FILE, "no cpu line"))?;
        Ok(Self {
            ticks,
            cores: cores.max(1),
        })
    }
}

/// `/proc/<pid>/stat`: one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Its parent; 1 when the parent died.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// User and system time of all its threads, clock ticks.
    pub ticks: u64,
    /// Ticks after boot at which it started: with `pid` the identity of a process.
    pub started: u64,
    /// Resident memory, bytes.
    pub rss: u64,
    /// Proportional share of resident memory, bytes; from `smaps_rollup` when that was read.
    pub pss: Option<u64>,
}

impl Process {
    /// Parses `/proc/<pid>/stat`. The command may contain spaces and parentheses. `page` is the page size in bytes.
    ///
    /// # Errors
    ///
    /// Fields are missing or not numbers.
    pub fn parse(text: &str, page: u64) -> Result<Self, Garbled> {
        const FILE: &str = "/proc/<pid>/stat";
        let (pid, rest) = text
            .split_once(" (")
            .ok_or(Garbled::new(FILE, "no command"))?;
        let (_command, rest) = rest
            .rsplit_once(')')
            .ok_or(Garbled::new(FILE, "no command"))?;
        let pid = pid
            .trim()
            .parse()
            .map_err(|_bad| Garbled::new(FILE, "pid is not a number"))?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `state` is field 3 of the file and the first here
        let number = |field: usize| -> Result<u64, Garbled> {
            fields
                .get(field - 3)
                .ok_or(Garbled::new(FILE, "too short"))?
                .parse()
                .map_err(|_bad| Garbled::new(FILE, "a field is not a number"))
        };
        let id = |field: usize| -> Result<u32, Garbled> {
            u32::try_from(number(field)?).map_err(|_big| Garbled::new(FILE, "an id is too big"))
        };
        Ok(Self {
            pid,
            parent: id(4)?,
            group: id(5)?,
            ticks: number(14)?.saturating_add(number(15)?),
            started: number(22)?,
            rss: number(24)?.saturating_mul(page),
            pss: None,
        })
    }

    /// The same with the `Pss` of `/proc/<pid>/smaps_rollup`; unchanged when there is none.
    #[must_use]
    pub fn with_rollup(self, text: &str) -> Self {
        let pss = text
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .and_then(|kilobytes| kilobytes.parse::<u64>().ok())
            .map(|kilobytes| kilobytes.saturating_mul(1024));
        Self { pss, ..self }
    }
}

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The host.
    pub host: Host,
    /// Every process that could be read. Those that ended while being read are simply missing.
    pub processes: Vec<Process>,
    /// cgroup memory in use without reclaimable page cache, bytes; `None`: unreadable.
    pub cgroup_memory: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 30 4000 50 6 7 8 90 10\ncpu0 50 10 15 2000 25 3 3 4 45 5\n\
        cpu1 50 10 15 2000 25 3 4 4 45 5\nintr 12 0\nctxt 5\nbtime 1700000000\n";

    #[test]
    fn guest_time_is_not_counted_twice() {
        let host = Host::parse(STAT).unwrap();
        assert_eq!(host.ticks, 100 + 20 + 30 + 4000 + 50 + 6 + 7 + 8);
        assert_eq!(host.cores, 2);
    }

    #[test]
    fn a_command_with_spaces_and_parentheses_is_skipped_over() {
        let text = "4242 (Web Content) (x) S 4200 4100 4100 0 -1 4194560 9 0 0 0 250 50 1 2 20 0 11 0 98765 1000000 \
            2048 18446744073709551615 1 1 0 0 0 0 0 0 0\n";
        let process = Process::parse(text, 4096).unwrap();
        assert_eq!(
            process,
            Process {
                pid: 4242,
                parent: 4200,
                group: 4100,
                ticks: 300,
                started: 98765,
                rss: 2048 * 4096,
                pss: None,
            }
        );
        let rollup = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  8192 kB\nPss:  5000 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(process.with_rollup(rollup).pss, Some(5000 * 1024));
        assert_eq!(process.with_rollup("").pss, None);
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic() {
        for text in [
            "",
            "1",
            "1 (",
            "1 (a)",
            "1 (a) S",
            "x (a) S 1 2 3",
            "1 (a) S 1 b",
        ] {
            assert!(Process::parse(text, 4096).is_err(), "{text:?}");
        }
        for text in ["", "cpu", "cpu  a b", "cpu0 1 2"] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }
}
