//! Upstream's own tests of its monitor, as data (`data/`, livekit/egress v1.14.1).

use crate::common::beginning;
use recording::EgressId;
use recording::cost::{Class, Cost, Table};
use serde_json::Value;
use std::time::Duration;
use worker::admission::{Budget, Denial, Ledger, MemorySource};
use worker::id::ChildId;
use worker::measure::Sample;
use worker::metrics::ratio;

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("vectors are JSON")
}

fn number(case: &Value, key: &str) -> f64 {
    case.get(key).and_then(Value::as_f64).unwrap_or(0.0)
}

fn source(case: &Value) -> MemorySource {
    match case.get("source").and_then(Value::as_str) {
        Some("cgroup") => MemorySource::Cgroup,
        Some(_) | None => MemorySource::ProcRss,
    }
}

fn close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() < 0.001, "{what}: {a} is not {b}");
}

#[test]
fn memory_admission_is_upstreams() {
    let file = read(include_str!("data/monitor_memory.json"));
    for case in file["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let mut ledger = Ledger::new(Budget {
            max_memory: number(case, "max"),
            memory_source: source(case),
            ..Budget::new(1000.0)
        });
        let need = |memory_gb| Cost {
            memory_gb,
            ..Class::Track.cost(&Table::default())
        };
        let pending = number(case, "pending");
        if pending > 0.0 {
            let egress = EgressId::new("EG_pending").unwrap();
            ledger
                .accept(beginning(), egress, ChildId(1), need(pending))
                .unwrap();
        }
        let readable = case.get("cgroup_ok").and_then(Value::as_bool);
        ledger.measured(&Sample {
            rss: number(case, "proc_rss"),
            cgroup: readable.unwrap_or(false).then(|| number(case, "cgroup")),
            ..Sample::default()
        });
        let denial = ledger.check(None, &need(number(case, "cost"))).err();
        let reason = denial.map(|denial| match denial {
            Denial::Memory {
                source_name: "cgroup",
                ..
            } => "memory_cgroup",
            Denial::Memory { .. } => "memory",
            Denial::TooBig { .. } | Denial::Cpu { .. } => "cpu",
        });
        assert_eq!(
            reason.is_some(),
            case["reject"].as_bool().unwrap(),
            "{name}"
        );
        assert_eq!(reason, case.get("reason").and_then(Value::as_str), "{name}");
    }
}

#[test]
fn load_ratios_are_upstreams() {
    let file = read(include_str!("data/load_ratio.json"));
    for case in file["cases"].as_array().unwrap() {
        let what = case.to_string();
        let mut ledger = Ledger::new(Budget {
            max_memory: number(case, "max_memory_gb"),
            memory_source: source(case),
            ..Budget::new(4.0)
        });
        let readable = case.get("cgroup_ok").and_then(Value::as_bool);
        ledger.measured(&Sample {
            rss: number(case, "proc_rss_gb"),
            cgroup: readable.unwrap_or(false).then(|| number(case, "cgroup_gb")),
            ..Sample::default()
        });
        let cpu = ratio(
            number(case, "cpu_load"),
            number(case, "max_cpu_utilization"),
        );
        close(cpu, number(&case["expect"], "cpu"), &what);
        let memory = ratio(ledger.memory().0, ledger.budget().max_memory);
        close(memory, number(&case["expect"], "memory"), &what);
    }
}

#[test]
fn holds_have_upstreams_defaults() {
    let file = read(include_str!("data/monitor_costs.json"));
    let derived = &file["derived"];
    let budget = Budget::new(1.0);
    close(
        budget.utilization(),
        number(&derived["defaults"], "max_cpu_utilization"),
        "utilization",
    );
    let hold = derived["pending_hold_seconds"].as_u64().unwrap();
    assert_eq!(budget.hold, Duration::from_secs(hold));
}
