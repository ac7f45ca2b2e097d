//! The page against a small parser with promtool's rules, and name by name.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use worker::metrics::Ended;

/// Samples by name and sorted labels. Panics where Prometheus would refuse the page.
fn parse(text: &str) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
    let mut samples = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut family = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.contains(' '), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert!(seen.insert(name.to_owned()), "family twice: {name}");
            family = (name.to_owned(), kind.to_owned());
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let name = &line[..end];
        assert!(
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'),
            "{line}"
        );
        let belongs = if family.1 == "histogram" {
            ["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| name.strip_suffix(suffix) == Some(family.0.as_str()))
        } else {
            name == family.0
        };
        assert!(belongs, "{line} stands under {family:?}");
        let mut rest = &line[end..];
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                let mut value = String::new();
                let mut chars = after.char_indices();
                let closed = loop {
                    match chars.next().unwrap() {
                        (_, '\\') => value.push(match chars.next().unwrap().1 {
                            'n' => '\n',
                            other => other,
                        }),
                        (at, '"') => break at,
                        (_, other) => value.push(other),
                    }
                };
                assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
                rest = &after[closed + 1..];
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            rest = rest.strip_prefix('}').unwrap();
        }
        let value: f64 = rest.strip_prefix(' ').unwrap().parse().unwrap();
        assert!(
            samples.insert((name.to_owned(), labels), value).is_none(),
            "series twice: {line}"
        );
    }
    samples
}

fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels = labels
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    parse(text).get(&(name.to_owned(), labels)).copied()
}

fn idle() -> Gauges {
    Gauges {
        available: false,
        can_accept_request: false,
        is_disabled: false,
        is_terminating: false,
        requests: BTreeMap::new(),
        results: BTreeMap::new(),
        cpu_load: 0.0,
        cpu_idle: 0.0,
        cpu_free: 0.0,
        cpu_reserved: 0.0,
        load_ratio_cpu: 0.0,
        load_ratio_memory: 0.0,
        proc_rss: 0.0,
        cgroup_memory: None,
        would_reject_cgroup: false,
        updates_given_up: 0,
    }
}

const NODE: [(&str, &str); 2] = [("node_id", "NE_1"), ("cluster_id", "eu \"1\"\\\n")];
const RPC: [(&str, &str); 2] = [("node_id", "NE_1"), ("node_type", "EGRESS")];

fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    base.iter().chain(more).copied().collect()
}

#[test]
fn gauges_have_upstreams_names_and_labels() {
    let metrics = Metrics::new("NE_1", "eu \"1\"\\\n");
    let gauges = Gauges {
        available: true,
        can_accept_request: true,
        is_terminating: true,
        cpu_load: 0.25,
        cpu_free: 1.5,
        requests: [(RequestType::Web, 2)].into(),
        results: [
            ((RequestType::Web, Ended::Completed), 2),
            ((RequestType::Track, Ended::KilledOom), 1),
        ]
        .into(),
        load_ratio_cpu: 0.5,
        cgroup_memory: Some(1.0),
        proc_rss: 0.5,
        ..idle()
    };
    let page = metrics.render(&gauges);
    for (name, more, expect) in [
        ("livekit_egress_available", &[][..], Some(1.0)),
        ("livekit_egress_can_accept_request", &[], Some(1.0)),
        ("livekit_egress_is_disabled", &[], Some(0.0)),
        ("livekit_egress_is_terminating", &[], Some(1.0)),
        (
            "livekit_node_cpu_load",
            &[("node_type", "EGRESS")],
            Some(0.25),
        ),
        ("livekit_egress_requests", &[("type", "web")], Some(2.0)),
        ("livekit_egress_requests", &[("type", "track")], Some(0.0)),
        ("livekit_load_ratio", &[("type", "cpu")], Some(0.5)),
        ("livekit_load_ratio", &[("type", "memory")], None),
        ("livekit_load_ratio", &[("type", "pulse")], None),
        (
            "livekit_egress_cgroup_memory_bytes",
            &[],
            Some(1_073_741_824.0),
        ),
        ("livekit_egress_cgroup_read_success", &[], Some(1.0)),
        ("livekit_egress_proc_rss_bytes", &[], Some(536_870_912.0)),
        ("livekit_egress_would_reject_cgroup", &[], Some(0.0)),
        ("livekit_egress_pulse_sinks", &[], None),
        ("livekit_egress_cpu_free_cores", &[], Some(1.5)),
        (
            "livekit_egress_handler_results_total",
            &[("type", "web"), ("result", "completed")],
            Some(2.0),
        ),
        (
            "livekit_egress_handler_results_total",
            &[("type", "track"), ("result", "killed_oom")],
            Some(1.0),
        ),
    ] {
        assert_eq!(
            value(&page, name, &with(&NODE, more)),
            expect,
            "{name} {more:?}\n{page}"
        );
    }
    assert!(value(&page, "process_resident_memory_bytes", &[]).is_some_and(|bytes| bytes > 0.0));
}

#[test]
fn counters_have_upstreams_names_with_and_without_total() {
    let metrics = Metrics::new("NE_1", "eu \"1\"\\\n");
    metrics.upload_ended(
        "video/mp4",
        UploadStatus::Success,
        true,
        Duration::from_millis(120),
    );
    metrics.upload_ended(
        "video/mp4",
        UploadStatus::Success,
        true,
        Duration::from_millis(100),
    );
    metrics.upload_ended(
        "video/mp4",
        UploadStatus::Status4xx,
        false,
        Duration::from_secs(60),
    );
    metrics.backup_written("file");
    let call = Call {
        role: "client",
        kind: "rpc",
        service: "IOInfo",
        method: "UpdateEgress",
    };
    metrics.psrpc_answered(call, Duration::from_millis(3));
    metrics.psrpc_failed(call, "deadline_exceeded");
    metrics.psrpc_bytes(call, "send", 12);
    metrics.psrpc_received("EgressInternal", "StartEgress");
    metrics.psrpc_expired("EgressInternal", "StartEgress");
    metrics.psrpc_claim_waited(
        "EgressInternal",
        "StartEgress",
        "won",
        Duration::from_millis(7),
    );
    let page = metrics.render(&idle());

    let ok = [
        ("type", "video/mp4"),
        ("status", "success"),
        ("custom_endpoint", "true"),
    ];
    let bad = [
        ("type", "video/mp4"),
        ("status", "4xx"),
        ("custom_endpoint", "false"),
    ];
    let time = "livekit_egress_pipline_upload_response_time_ms";
    let bucket = format!("{time}_bucket");
    let method = [("service", "EgressInternal"), ("method", "StartEgress")];
    let io = [
        ("role", "client"),
        ("kind", "rpc"),
        ("service", "IOInfo"),
        ("method", "UpdateEgress"),
    ];
    type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, f64);
    let rows: Vec<Row<'_>> = vec![
        ("livekit_egress_pipeline_uploads", with(&NODE, &ok), 2.0),
        ("livekit_egress_pipeline_uploads", with(&NODE, &bad), 1.0),
        (&bucket, with(&with(&NODE, &ok), &[("le", "50")]), 0.0),
        (&bucket, with(&with(&NODE, &ok), &[("le", "100")]), 1.0),
        (&bucket, with(&with(&NODE, &ok), &[("le", "200")]), 2.0),
        (&bucket, with(&with(&NODE, &ok), &[("le", "+Inf")]), 2.0),
        (&bucket, with(&with(&NODE, &bad), &[("le", "30000")]), 0.0),
        (&bucket, with(&with(&NODE, &bad), &[("le", "+Inf")]), 1.0),
        (
            "livekit_egress_pipline_upload_response_time_ms_sum",
            with(&NODE, &ok),
            220.0,
        ),
        (
            "livekit_egress_pipline_upload_response_time_ms_count",
            with(&NODE, &ok),
            2.0,
        ),
        (
            "livekit_egress_backup_storage_writes",
            with(&NODE, &[("output_type", "file")]),
            1.0,
        ),
        ("livekit_psrpc_request_time_ms_count", with(&RPC, &io), 1.0),
        (
            "livekit_psrpc_error_total",
            with(&with(&RPC, &io), &[("error_code", "deadline_exceeded")]),
            1.0,
        ),
        (
            "livekit_psrpc_bytes_total",
            with(&with(&RPC, &io), &[("direction", "send")]),
            12.0,
        ),
        (
            "livekit_psrpc_requests_received_total",
            with(&RPC, &method),
            1.0,
        ),
        (
            "livekit_psrpc_requests_expired_total",
            with(&RPC, &method),
            1.0,
        ),
        (
            "livekit_psrpc_claim_wait_time_ms_bucket",
            with(&with(&RPC, &method), &[("outcome", "won"), ("le", "10")]),
            1.0,
        ),
    ];
    for (name, labels, expect) in rows {
        assert_eq!(
            value(&page, name, &labels),
            Some(expect),
            "{name} {labels:?}\n{page}"
        );
    }
    assert!(page.contains("# TYPE livekit_egress_pipeline_uploads counter\n"));
    assert!(!page.contains("livekit_egress_pipeline_uploads_total"));
}

#[test]
fn what_was_never_counted_is_not_shown() {
    let page = Metrics::new("NE_1", "").render(&idle());
    parse(&page);
    assert!(!page.contains("uploads") && !page.contains("psrpc"));
}
