//! Lanes in virtual time: order, coalescing, retries.

use super::*;
use crate::health;

fn id(text: &str) -> EgressId {
    EgressId::new(text).unwrap()
}

fn snapshot(status: Status) -> Snapshot {
    match status {
        Status::Starting | Status::Active | Status::Ending => Snapshot::new(status, [1]),
        Status::Complete | Status::Failed | Status::Aborted | Status::LimitReached => {
            Snapshot::last(status, [2])
        }
    }
}

fn reporter() -> Reporter {
    Reporter::new(
        Policy::default(),
        Health::new(health::Policy::default()),
        42,
    )
}

/// (is it an update, what it says, attempt) of every call.
fn calls(reporter: &mut Reporter) -> Vec<(bool, Status, Attempt)> {
    std::iter::from_fn(|| reporter.poll_call())
        .map(|call| match call {
            Call::Create {
                attempt, snapshot, ..
            } => (false, snapshot.status, attempt),
            Call::Update {
                attempt, snapshot, ..
            } => (true, snapshot.status, attempt),
        })
        .collect()
}

fn one(reporter: &mut Reporter) -> (bool, Status, Attempt) {
    let calls = calls(reporter);
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0]
}

fn live(reporter: &mut Reporter, t: Instant, egress: &EgressId) {
    let until = t + Duration::from_secs(10);
    reporter.create(t, egress.clone(), snapshot(Status::Starting), until);
    let (update, _, attempt) = one(reporter);
    assert!(!update);
    assert_eq!(reporter.acked(t, attempt), Outcome::Created(egress.clone()));
}

fn silence() -> Failure {
    Failure::NoResponse("no response from servers".into())
}

#[test]
fn nothing_is_updated_before_it_was_created() {
    let t = Instant::now();
    let mut reporter = reporter();
    let a = id("a");
    let until = t + Duration::from_secs(10);
    reporter.create(t, a.clone(), snapshot(Status::Starting), until);
    let (_, _, attempt) = one(&mut reporter);
    reporter.offer(t, &a, snapshot(Status::Active));
    assert_eq!(calls(&mut reporter), []);
    reporter.acked(t, attempt);
    let (update, status, _) = one(&mut reporter);
    assert!(update && status == Status::Active);
}

#[test]
fn the_newest_wins_and_a_terminal_state_is_never_replaced() {
    let t = Instant::now();
    let mut reporter = reporter();
    let a = id("a");
    live(&mut reporter, t, &a);
    reporter.offer(t, &a, snapshot(Status::Starting));
    assert_eq!(calls(&mut reporter), [], "STARTING is never an update");
    reporter.offer(t, &a, snapshot(Status::Active));
    let (_, _, attempt) = one(&mut reporter);
    reporter.offer(t, &a, snapshot(Status::Ending));
    reporter.offer(t, &a, snapshot(Status::Complete));
    reporter.offer(t, &a, snapshot(Status::Failed));
    reporter.offer(t, &a, snapshot(Status::Active));
    assert_eq!(calls(&mut reporter), [], "one at a time");
    reporter.acked(t, attempt);
    let (_, status, attempt) = one(&mut reporter);
    assert_eq!(status, Status::Complete);
    reporter.acked(t, attempt);
    assert!(reporter.is_flushed());
    assert_eq!(reporter.acked(t, attempt), Outcome::Noted, "answered twice");
}

#[test]
fn a_retry_sends_the_newest_state_and_pauses_grow_to_a_minute() {
    let t = Instant::now();
    let mut reporter = reporter();
    let a = id("a");
    live(&mut reporter, t, &a);
    reporter.offer(t, &a, snapshot(Status::Active));
    let mut now = t;
    let (_, _, mut attempt) = one(&mut reporter);
    let mut pauses = Vec::new();
    for n in 0..12 {
        reporter.failed(now, attempt, silence());
        if n == 3 {
            reporter.offer(now, &a, snapshot(Status::Ending));
        }
        let at = reporter.deadline().unwrap();
        pauses.push((at - now).as_secs_f64());
        now = at;
        reporter.tick(now);
        let (_, status, next) = one(&mut reporter);
        assert_eq!(status == Status::Ending, n >= 3);
        attempt = next;
    }
    let mut plain = 0.5_f64;
    for pause in pauses {
        assert!(
            pause >= plain * 0.75 - 1e-6 && pause <= (plain * 1.25).min(60.0) + 1e-6,
            "{pause} {plain}"
        );
        plain = (plain * 2.0).min(60.0);
    }
}

#[test]
fn one_that_fails_delays_no_other() {
    let t = Instant::now();
    let mut reporter = reporter();
    let (a, b) = (id("a"), id("b"));
    live(&mut reporter, t, &a);
    live(&mut reporter, t, &b);
    reporter.offer(t, &a, snapshot(Status::Active));
    let (_, _, attempt) = one(&mut reporter);
    reporter.failed(t, attempt, silence());
    reporter.offer(t, &b, snapshot(Status::Active));
    let (_, status, attempt) = one(&mut reporter);
    assert_eq!(status, Status::Active);
    reporter.acked(t, attempt);
    assert!(!reporter.health().is_unhealthy());
}

#[test]
fn answered_errors_are_final_except_for_terminal_states() {
    let t = Instant::now();
    let mut reporter = reporter();
    let a = id("a");
    live(&mut reporter, t, &a);
    let unknown = Failure::Answered {
        code: Code::Unknown,
        message: "could not update egress info: redis".into(),
    };
    reporter.offer(t, &a, snapshot(Status::Active));
    let (_, _, attempt) = one(&mut reporter);
    reporter.failed(t, attempt, unknown.clone());
    assert_eq!(reporter.deadline(), None, "ACTIVE is given up");
    assert_eq!(reporter.given_up(), 1);
    reporter.offer(t, &a, snapshot(Status::Complete));
    let (_, _, attempt) = one(&mut reporter);
    reporter.failed(t, attempt, unknown);
    let at = reporter.deadline().unwrap();
    reporter.tick(at);
    let (_, status, attempt) = one(&mut reporter);
    assert_eq!(status, Status::Complete);
    reporter.acked(at, attempt);
    assert!(reporter.is_flushed());
}

#[test]
fn a_create_that_nobody_took_is_tried_again_while_the_caller_waits() {
    let t = Instant::now();
    let mut reporter = reporter();
    let a = id("a");
    let until = t + Duration::from_secs(4);
    reporter.create(t, a.clone(), snapshot(Status::Starting), until);
    let mut now = t;
    let mut tries = 0;
    loop {
        let (update, _, attempt) = one(&mut reporter);
        assert!(!update);
        tries += 1;
        let outcome = reporter.failed(now, attempt, silence());
        if outcome != Outcome::Noted {
            assert_eq!(outcome, Outcome::NotCreated(a.clone(), silence()));
            break;
        }
        now = reporter.deadline().unwrap();
        assert!(now < until);
        reporter.tick(now);
    }
    assert!((2..=4).contains(&tries), "{tries}");
    reporter.offer(now, &a, snapshot(Status::Failed));
    assert_eq!(calls(&mut reporter), [], "dropped with everything parked");
    assert!(reporter.is_flushed());
}

#[test]
fn a_late_answer_of_a_former_lane_means_nothing() {
    let t = Instant::now();
    let mut reporter = reporter();
    let a = id("a");
    let until = t + Duration::from_secs(10);
    reporter.create(t, a.clone(), snapshot(Status::Starting), until);
    let (_, _, old) = one(&mut reporter);
    reporter.forget(&a);
    reporter.create(t, a.clone(), snapshot(Status::Starting), until);
    let (_, _, new) = one(&mut reporter);
    assert_eq!(reporter.acked(t, old), Outcome::Noted);
    assert_eq!(reporter.acked(t, new), Outcome::Created(a));
}

#[test]
fn what_is_owed_is_told_at_the_end_and_taken_over_at_the_beginning() {
    let t = Instant::now();
    let mut reporter = reporter();
    let a = id("a");
    live(&mut reporter, t, &a);
    reporter.offer(t, &a, snapshot(Status::Active));
    reporter.offer(t, &a, snapshot(Status::Complete));
    let owed = reporter.unreported();
    assert_eq!(owed, [(a.clone(), snapshot(Status::Complete))]);
    let mut next = self::reporter();
    next.owed(t, a.clone(), owed[0].1.clone());
    let (update, status, attempt) = one(&mut next);
    assert!(update && status == Status::Complete);
    next.acked(t, attempt);
    assert!(next.is_flushed());
}
