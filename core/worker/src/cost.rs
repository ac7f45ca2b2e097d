//! What can never be recorded on a machine of this size, for the log at start (egress-behaviour.md §6.5).
//!
//! The figures are `recording::cost`'s; here they meet the machine.

use recording::cost::{Class, Cost, Table};

/// What can never be recorded on a machine with so many cores.
///
/// # Errors
///
/// Nothing at all fits: the worker is useless here and should not start.
pub fn fit(table: &Table, cores: f64) -> Result<Vec<Misfit>, NotEnoughCpu> {
    let costs = Class::ALL.map(|class| class.cost(table));
    let misfits: Vec<Misfit> = costs
        .iter()
        .filter(|cost| cost.cpu > cores)
        .map(|cost| Misfit { cost: *cost, cores })
        .collect();
    if misfits.len() == costs.len() {
        let smallest = costs
            .iter()
            .map(|cost| cost.cpu)
            .fold(f64::INFINITY, f64::min);
        return Err(NotEnoughCpu { cores, smallest });
    }
    Ok(misfits)
}

/// A class that costs more than the whole machine has.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "{} egress needs {:.2} cores, this machine has {cores:.2}: it will never be accepted here; lower cpu_cost.{}",
    cost.class.label(), cost.cpu, cost.class.key()
)]
pub struct Misfit {
    /// What does not fit.
    pub cost: Cost,
    /// Cores of the machine.
    pub cores: f64,
}

/// The machine is too small for every class.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "not enough cpu: the smallest cpu_cost is {smallest:.2} cores, this machine has {cores:.2}"
)]
pub struct NotEnoughCpu {
    /// Cores of the machine.
    pub cores: f64,
    /// The smallest of all costs.
    pub smallest: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_is_told_what_it_cannot_do() {
        let misfits = fit(&Table::default(), 2.0).unwrap();
        let texts: Vec<String> = misfits.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "room composite egress needs 4.00 cores, this machine has 2.00: it will never be accepted here; \
                 lower cpu_cost.room_composite_cpu_cost",
                "web egress needs 4.00 cores, this machine has 2.00: it will never be accepted here; \
                 lower cpu_cost.web_cpu_cost",
            ]
        );
        let error = fit(&Table::default(), 0.25).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not enough cpu: the smallest cpu_cost is 0.50 cores, this machine has 0.25"
        );
    }
}
