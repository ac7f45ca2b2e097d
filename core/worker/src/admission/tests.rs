//! Promises in virtual time: bids, holds, measured use.

use super::*;
use recording::cost::{Class, Table};

fn id(n: u32) -> EgressId {
    EgressId::new(format!("EG_{n}")).unwrap()
}

fn request(n: u32) -> RequestId {
    RequestId::from(format!("REQ_{n}").as_str())
}

fn need(cpu: f64) -> Cost {
    Cost {
        cpu,
        needed_cpu: cpu,
        ..Class::Web.cost(&Table::default())
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn two_asks_at_the_same_moment_are_not_promised_the_same_cores() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget::new(4.0));
    ledger.bid(t, request(1), id(1), need(3.0)).unwrap();
    let denial = ledger.bid(t, request(2), id(2), need(3.0)).unwrap_err();
    assert_eq!(
        denial.to_string(),
        "not enough CPU: web egress needs 3.00 cores, 0.20 of 4.00 are free (max_cpu_utilization 0.8)"
    );
    assert_eq!(denial.refusal().code, Code::Unavailable);
    assert!(ledger.would_fit_without_bids(&need(3.0)));
    assert!(ledger.lost(&request(1)));
    ledger.bid(t, request(2), id(2), need(3.0)).unwrap();
}

#[test]
fn a_first_recording_may_use_the_whole_machine_and_nothing_may_use_more() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget::new(2.0));
    ledger.bid(t, request(1), id(1), need(2.0)).unwrap();
    assert!(ledger.lost(&request(1)));
    assert_eq!(
        ledger
            .bid(t, request(2), id(2), need(4.0))
            .unwrap_err()
            .to_string(),
        "not enough CPU: web egress needs 4.00 cores, this machine has 2.00 cores; lower cpu_cost.web_cpu_cost"
    );
}

#[test]
fn bids_expire_and_a_late_grant_is_checked_again() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget::new(4.0));
    ledger.bid(t, request(1), id(1), need(3.0)).unwrap();
    assert_eq!(ledger.deadline(), Some(t + Duration::from_millis(1500)));
    let later = t + seconds(2);
    assert!(ledger.expire(later));
    ledger.accept(later, id(2), ChildId(2), need(3.0)).unwrap();
    assert!(ledger.accept(later, id(1), ChildId(1), need(3.0)).is_err());
}

#[test]
fn a_retry_replaces_its_own_bid() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget::new(4.0));
    ledger.bid(t, request(1), id(1), need(3.0)).unwrap();
    ledger.bid(t, request(2), id(1), need(3.0)).unwrap();
    assert!(!ledger.lost(&request(1)), "the newer one stands");
    assert!((ledger.reserved() - 3.0).abs() < 1e-9);
    assert!(ledger.lost(&request(2)));
    assert!(ledger.is_idle());
}

#[test]
fn a_hold_counts_the_larger_of_cost_and_use_and_then_only_use() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget::new(10.0));
    ledger.accept(t, id(1), ChildId(1), need(4.0)).unwrap();
    assert!((ledger.free() - 4.0).abs() < 1e-9);
    let mut sample = Sample::default();
    sample.groups.insert(ChildId(1), Group::of(5.0, 0.0));
    ledger.measured(&sample);
    assert!((ledger.free() - 3.0).abs() < 1e-9);
    sample.groups.insert(ChildId(1), Group::of(1.0, 0.0));
    ledger.measured(&sample);
    assert!((ledger.free() - 4.0).abs() < 1e-9);
    assert!(!ledger.expire(t + seconds(14)));
    assert!(ledger.expire(t + seconds(15)));
    assert!((ledger.free() - 7.0).abs() < 1e-9);
    assert!(ledger.release(&id(1)));
    assert!((ledger.free() - 10.0).abs() < 1e-9);
}

#[test]
fn a_settled_recording_may_give_its_reserve_back_early() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget {
        settle: Some(seconds(3)),
        ..Budget::new(10.0)
    });
    ledger.accept(t, id(1), ChildId(1), need(4.0)).unwrap();
    ledger.active(t + seconds(2), &id(1));
    assert_eq!(ledger.deadline(), Some(t + seconds(5)));
    ledger.active(t + seconds(14), &id(1));
    assert_eq!(ledger.deadline(), Some(t + seconds(5)), "never later");
}

#[test]
fn an_estimate_is_compared_but_the_cost_is_reserved() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget::new(10.0));
    ledger.accept(t, id(1), ChildId(1), need(5.0)).unwrap();
    assert!(ledger.check(None, &need(4.0)).is_err());
    let estimated = Cost {
        needed_cpu: 2.0,
        ..need(4.0)
    };
    ledger.accept(t, id(2), ChildId(2), estimated).unwrap();
    assert!((ledger.reserved() - 9.0).abs() < 1e-9);
}

#[test]
fn decimal_fractions_that_fit_exactly_are_accepted() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget::new(2.0));
    for n in 0..16 {
        ledger.accept(t, id(n), ChildId(1), need(0.1)).unwrap();
    }
    assert!(ledger.accept(t, id(99), ChildId(1), need(0.1)).is_err());
}

#[test]
fn memory_that_is_promised_is_not_promised_twice() {
    let t = Instant::now();
    let mut ledger = Ledger::new(Budget {
        max_memory: 10.0,
        ..Budget::new(100.0)
    });
    ledger.measured(&Sample {
        rss: 5.0,
        ..Sample::default()
    });
    let three = Cost {
        memory_gb: 3.0,
        ..need(1.0)
    };
    ledger.bid(t, request(1), id(1), three).unwrap();
    let denial = ledger.bid(t, request(2), id(2), three).unwrap_err();
    assert_eq!(
        denial.to_string(),
        "not enough memory: web egress needs 3.00 GB and 1.00 GB must stay free, \
         5.00 of 10.00 GB are used and 3.00 GB are promised (max_memory, by proc_rss)"
    );
}
