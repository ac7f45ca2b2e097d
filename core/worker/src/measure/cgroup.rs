//! cgroup files, version 1 and 2: how many cores we may use and how much memory we do use
//! (egress-behaviour.md §6.5, §6.6).
//!
//! Knows texts, not paths: where a container's files are is the driver's business.

use super::Garbled;

/// `cpu.max` (v2): cores, `None` for no limit.
///
/// # Errors
///
/// Not `<quota|max> <period>`.
pub fn cpu_max(text: &str) -> Result<Option<f64>, Garbled> {
    const FILE: &str = "cpu.max";
    let mut fields = text.split_ascii_whitespace();
    let quota = fields.next().ok_or(Garbled::new(FILE, "empty"))?;
    if quota == "max" {
        return Ok(None);
    }
    let quota = quota
        .parse()
        .map_err(|_bad| Garbled::new(FILE, "quota is not a number"))?;
    let period = fields
        .next()
        .unwrap_or("100000")
        .parse()
        .map_err(|_bad| Garbled::new(FILE, "period is not a number"))?;
    Ok(cores(quota, period))
}

/// `cpu.cfs_quota_us` and `cpu.cfs_period_us` (v1): cores, `None` for no limit (−1).
///
/// # Errors
///
/// Not numbers.
pub fn cfs(quota: &str, period: &str) -> Result<Option<f64>, Garbled> {
    let quota = quota
        .trim()
        .parse()
        .map_err(|_bad| Garbled::new("cpu.cfs_quota_us", "not a number"))?;
    let period = period
        .trim()
        .parse()
        .map_err(|_bad| Garbled::new("cpu.cfs_period_us", "not a number"))?;
    Ok(cores(quota, period))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a scheduling period"
)]
fn cores(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// The cores this worker may count on: what the operator says (`LIVEKIT_CPU_REQUEST`), else the cgroup's quota, else the
/// logical CPUs. Values that are not positive numbers are ignored.
#[must_use]
pub fn count(requested: Option<f64>, quota: Option<f64>, logical: u32) -> f64 {
    let usable = |cores: &f64| cores.is_finite() && *cores > 0.0;
    requested
        .filter(usable)
        .or(quota.filter(usable))
        .unwrap_or(f64::from(logical.max(1)))
}

/// `memory.current` (v2) or `memory.usage_in_bytes` (v1), less the page cache that can be taken away at any time:
/// `inactive_file` (v2) or `total_inactive_file` (v1) of `memory.stat`. Bytes.
///
/// # Errors
///
/// `current` is not a number.
pub fn memory(current: &str, stat: &str) -> Result<u64, Garbled> {
    let current: u64 = current
        .trim()
        .parse()
        .map_err(|_bad| Garbled::new("memory.current", "not a number"))?;
    let field = |name: &str| {
        stat.lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.trim().parse::<u64>().ok())
    };
    // v1 files have both; the hierarchical one belongs to the usage
    let reclaimable = field("total_inactive_file")
        .or_else(|| field("inactive_file"))
        .unwrap_or(0);
    Ok(current.saturating_sub(reclaimable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_of_both_versions() {
        assert_eq!(cpu_max("max 100000\n"), Ok(None));
        assert_eq!(cpu_max("250000 100000\n"), Ok(Some(2.5)));
        assert_eq!(cpu_max("50000"), Ok(Some(0.5)));
        assert_eq!(cpu_max("0 0"), Ok(None));
        assert!(cpu_max("").is_err());
        assert!(cpu_max("a b").is_err());
        assert_eq!(cfs("-1\n", "100000\n"), Ok(None));
        assert_eq!(cfs("400000\n", "100000\n"), Ok(Some(4.0)));
        assert!(cfs("x", "100000").is_err());
    }

    #[test]
    fn the_operator_wins_over_the_quota_over_the_cpus() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(count(Some(3.5), Some(2.0), 8), 3.5);
        close(count(Some(0.0), Some(2.0), 8), 2.0);
        close(count(Some(f64::NAN), None, 8), 8.0);
        close(count(None, None, 0), 1.0);
    }

    #[test]
    fn reclaimable_cache_is_not_in_use() {
        assert_eq!(
            memory("1000\n", "anon 600\ninactive_file 300\nactive_file 100\n"),
            Ok(700)
        );
        assert_eq!(
            memory("1000", "inactive_file 1\ntotal_inactive_file 400\n"),
            Ok(600)
        );
        assert_eq!(memory("1000", ""), Ok(1000));
        assert_eq!(memory("10", "inactive_file 400"), Ok(0));
        assert!(memory("", "").is_err());
    }
}
