//! One worker, step by step: what a caller, a child and IOInfo see.

use crate::common::{at, beginning, id, need, plan};
use recording::cost::{Class, Cost, Table};
use recording::lifecycle::StopReason;
use recording::{Code, EgressId, Fault, Refusal};
use std::time::{Duration, Instant};
use worker::bid::Decline;
use worker::child::{Exit, Signal};
use worker::measure::{Group, Sample};
use worker::metrics::Ended;
use worker::report::Failure;
use worker::{
    Attempt, ChildId, Config, Drain, Effect, Input, RequestId, Snapshot, Start, Status, Stopping,
    Worker,
};

struct Bench {
    worker: Worker,
    t0: Instant,
    now: Duration,
}

fn starting() -> Snapshot {
    Snapshot::new(Status::Starting, *b"starting")
}

fn active() -> Snapshot {
    Snapshot::new(Status::Active, *b"active")
}

fn complete() -> Snapshot {
    Snapshot::last(Status::Complete, *b"complete")
}

fn request(text: &str) -> RequestId {
    RequestId::from(text)
}

impl Bench {
    fn new(cores: f64) -> Self {
        Self {
            worker: Worker::new(Config::new(cores)),
            t0: beginning(),
            now: Duration::ZERO,
        }
    }

    fn say(&mut self, input: Input) -> Vec<Effect> {
        self.worker.handle(at(self.t0, self.now), input);
        std::iter::from_fn(|| self.worker.poll_effect()).collect()
    }

    /// Lets time pass, ticking whenever the worker wants it; everything that happens, with the time.
    fn pass(&mut self, time: Duration) -> Vec<(Duration, Effect)> {
        let until = self.now + time;
        let mut seen = Vec::new();
        for _ in 0..10_000 {
            let Some(next) = self.worker.poll_timeout().map(|at| at - self.t0) else {
                break;
            };
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            let now = self.now;
            seen.extend(
                self.say(Input::Tick)
                    .into_iter()
                    .map(|effect| (now, effect)),
            );
        }
        self.now = until;
        seen
    }

    fn ask(&mut self, name: &str, egress: &EgressId, need: Cost) -> Vec<Effect> {
        self.say(Input::BidAsked {
            request: request(name),
            egress: egress.clone(),
            need,
        })
    }

    fn start(&mut self, name: &str, egress: &EgressId, need: Cost) -> Vec<Effect> {
        let expires = self.t0 + self.now + Duration::from_secs(10);
        self.say(Input::StartRequested(Box::new(Start {
            request: request(name),
            expires,
            plan: plan(egress),
            need,
            first: starting(),
        })))
    }

    /// A recording that was started and answered.
    fn running(&mut self, egress: &EgressId, need: Cost) -> ChildId {
        let effects = self.start("REQ_start", egress, need);
        let child = spawned(&effects);
        self.ack(&effects);
        self.say(Input::Registered {
            egress: egress.clone(),
            result: Ok(()),
        });
        let effects = self.say(Input::Ready {
            egress: egress.clone(),
        });
        assert_eq!(
            effects,
            [Effect::Started {
                request: request("REQ_start"),
                result: Ok(starting())
            }]
        );
        child
    }

    /// Acknowledges every call to IOInfo.
    fn ack(&mut self, effects: &[Effect]) -> Vec<Effect> {
        let mut all = Vec::new();
        for attempt in attempts(effects) {
            all.extend(self.say(Input::Reported {
                attempt,
                result: Ok(()),
            }));
        }
        all
    }

    fn gone(&mut self, child: ChildId, exit: Exit) -> Vec<Effect> {
        let mut effects = self.say(Input::Exited { child, exit });
        effects.extend(self.say(Input::Closed { child }));
        effects
    }
}

fn spawned(effects: &[Effect]) -> ChildId {
    effects
        .iter()
        .find_map(|effect| {
            if let Effect::Spawn { child, .. } = effect {
                Some(*child)
            } else {
                None
            }
        })
        .expect("a child was spawned")
}

fn attempts(effects: &[Effect]) -> Vec<Attempt> {
    effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Create { attempt, .. } | Effect::Update { attempt, .. } = effect {
                Some(*attempt)
            } else {
                None
            }
        })
        .collect()
}

fn answers(effects: &[Effect]) -> Vec<Result<Status, Refusal>> {
    effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Started { result, .. } = effect {
                Some(result.clone().map(|snapshot| snapshot.status))
            } else {
                None
            }
        })
        .collect()
}

fn silence() -> Failure {
    Failure::NoResponse("no response from servers".into())
}

fn signals(effects: &[(Duration, Effect)]) -> Vec<(u64, Signal)> {
    effects
        .iter()
        .filter_map(|(when, effect)| {
            if let Effect::Signal { signal, .. } = effect {
                Some((when.as_secs(), *signal))
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn a_recording_from_ask_to_clean_up() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    assert_eq!(
        bench.ask("REQ_1", &a, need(2.0)),
        [Effect::Bid {
            request: request("REQ_1"),
            affinity: 1.0
        }]
    );
    let effects = bench.start("REQ_1", &a, need(2.0));
    let [
        Effect::Register { .. },
        Effect::Spawn { child, .. },
        Effect::Create { timeout, .. },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}");
    };
    let child = *child;
    assert_eq!(*timeout, Duration::from_millis(9700));
    assert_eq!(bench.say(Input::Ready { egress: a.clone() }), []);
    assert_eq!(bench.ack(&effects), [], "topics are not live yet");
    let effects = bench.say(Input::Registered {
        egress: a.clone(),
        result: Ok(()),
    });
    assert_eq!(answers(&effects), [Ok(Status::Starting)]);
    assert_eq!(bench.worker.active().collect::<Vec<_>>(), [&a]);
    assert_eq!(bench.worker.route(&a), Some(child));
    let effects = bench.say(Input::Info {
        egress: a.clone(),
        snapshot: active(),
    });
    assert_eq!(bench.ack(&effects), []);
    let effects = bench.say(Input::Finished {
        egress: a.clone(),
        snapshot: Some(complete()),
    });
    assert!(
        matches!(effects.as_slice(), [Effect::Update { snapshot, .. }] if *snapshot == complete())
    );
    bench.ack(&effects);
    assert_eq!(bench.worker.active().count(), 0);
    let effects = bench.gone(child, Exit::Code(0));
    assert_eq!(
        effects,
        [
            Effect::Signal {
                child,
                signal: Signal::Kill
            },
            Effect::Deregister { egress: a.clone() },
            Effect::CleanUp { egress: a, child },
        ]
    );
    assert_eq!(
        bench.worker.poll_timeout(),
        None,
        "nothing is left to wait for"
    );
    let gauges = bench.worker.gauges();
    assert!(gauges.available);
    assert_eq!(
        gauges.results.into_iter().collect::<Vec<_>>(),
        [((recording::plan::RequestType::Track, Ended::Completed), 1)]
    );
}

#[test]
fn light_jobs_wait_a_moment_on_an_idle_machine_only() {
    let mut bench = Bench::new(4.0);
    let (a, b) = (id("EG_a"), id("EG_b"));
    assert_eq!(bench.ask("REQ_1", &a, need(0.5)), []);
    let bid = Effect::Bid {
        request: request("REQ_1"),
        affinity: 1.0,
    };
    assert_eq!(
        bench.pass(Duration::from_millis(20)),
        [(Duration::from_millis(12), bid)]
    );
    bench.running(&a, need(0.5));
    assert_eq!(bench.ask("REQ_2", &b, need(0.5)).len(), 1);
    // lost before it was made
    let mut bench = Bench::new(4.0);
    assert_eq!(bench.ask("REQ_1", &a, need(0.5)), []);
    let lost = Input::BidLost {
        request: request("REQ_1"),
    };
    assert_eq!(bench.say(lost), []);
    assert_eq!(bench.pass(Duration::from_secs(3)), []);
    assert!(bench.worker.ledger().is_idle());
}

#[test]
fn an_ask_waits_for_other_bids_to_be_decided() {
    let mut bench = Bench::new(4.0);
    let web = Class::Web.cost(&Table::default());
    assert_eq!(bench.ask("REQ_1", &id("EG_a"), web).len(), 1);
    assert_eq!(bench.ask("REQ_2", &id("EG_b"), web), [], "perhaps");
    let lost = Input::BidLost {
        request: request("REQ_1"),
    };
    assert_eq!(
        bench.say(lost),
        [Effect::Bid {
            request: request("REQ_2"),
            affinity: 1.0
        }]
    );
    assert_eq!(bench.ask("REQ_3", &id("EG_c"), web), []);
    let effects = bench.start("REQ_2", &id("EG_b"), web);
    let declined = |effect: &Effect| {
        matches!(
            effect,
            Effect::Decline {
                reason: Decline::Full(_),
                ..
            }
        )
    };
    assert!(effects.iter().any(declined), "{effects:?}");
    let effects = bench.ask("REQ_4", &id("EG_d"), web);
    let [Effect::Decline { reason, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(
        reason.to_string(),
        "not enough CPU: web egress needs 4.00 cores, 0.00 of 4.00 are free (max_cpu_utilization 0.8)"
    );
}

#[test]
fn nobody_answers_the_announcement_the_caller_is_told_and_nothing_keeps_recording() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let mut effects = bench.start("REQ_1", &a, need(2.0));
    let child = spawned(&effects);
    bench.say(Input::Registered {
        egress: a.clone(),
        result: Ok(()),
    });
    bench.say(Input::Ready { egress: a.clone() });
    let mut told = Vec::new();
    while told.is_empty() {
        for attempt in attempts(&effects) {
            let result = Err(silence());
            told.extend(bench.say(Input::Reported { attempt, result }));
        }
        effects = bench
            .pass(Duration::from_millis(100))
            .into_iter()
            .map(|(_, effect)| effect)
            .collect();
        assert!(bench.now < Duration::from_secs(10));
    }
    let refusal = Refusal::new(Code::Unavailable, "no response from servers");
    assert_eq!(answers(&told), [Err(refusal)]);
    let stop = |effect: &Effect| {
        matches!(
            effect,
            Effect::Stop {
                reason: StopReason::Kill(_),
                ..
            }
        )
    };
    assert!(told.iter().any(stop), "{told:?}");
    effects.extend(told);
    let term = |effect: &Effect| {
        matches!(
            effect,
            Effect::Signal {
                signal: Signal::Terminate,
                ..
            }
        )
    };
    assert!(effects.iter().any(term), "{effects:?}");
    let ladder = signals(&bench.pass(Duration::from_secs(4)));
    assert_eq!(ladder.len(), 1, "SIGKILL three seconds later: {ladder:?}");
    let effects = bench.gone(child, Exit::Signal(9));
    assert!(matches!(
        effects.as_slice(),
        [
            Effect::Signal { .. },
            Effect::Deregister { .. },
            Effect::CleanUp { .. }
        ]
    ));
    assert!(bench.worker.ledger().is_idle());
    assert_eq!(bench.worker.active().count(), 0);
}

#[test]
fn a_child_that_is_never_ready_fails_the_start_and_is_reported_failed() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let effects = bench.start("REQ_1", &a, need(2.0));
    let child = spawned(&effects);
    bench.ack(&effects);
    bench.say(Input::Registered {
        egress: a.clone(),
        result: Ok(()),
    });
    let seen = bench.pass(Duration::from_secs(14));
    let effects: Vec<Effect> = seen.iter().map(|(_, effect)| effect.clone()).collect();
    let refusal = Refusal::new(Code::Internal, "handler failed to start");
    assert_eq!(answers(&effects), [Err(refusal)]);
    assert_eq!(signals(&seen), [(9, Signal::Terminate), (12, Signal::Kill)]);
    let effects = bench.gone(child, Exit::Signal(9));
    assert!(effects.contains(&Effect::Tell {
        egress: a.clone(),
        last: starting(),
        fault: Fault::internal("handler failed to start"),
    }));
    let failed = Snapshot::last(Status::Failed, *b"failed");
    let effects = bench.say(Input::Told {
        egress: a,
        snapshot: failed.clone(),
    });
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Update { snapshot, .. } if *snapshot == failed))
    );
    bench.ack(&effects);
    assert_eq!(bench.worker.poll_timeout(), None);
}

#[test]
fn a_start_whose_answer_nobody_heard_is_answered_again_and_another_is_refused() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let effects = bench.start("REQ_1", &a, need(2.0));
    // a retry while the first is pending: nobody else may win it, and both get the same
    let again = bench.ask("REQ_2", &a, need(2.0));
    assert!(matches!(again.as_slice(), [Effect::Bid { .. }]));
    assert_eq!(bench.start("REQ_2", &a, need(2.0)), []);
    bench.ack(&effects);
    bench.say(Input::Ready { egress: a.clone() });
    let effects = bench.say(Input::Registered {
        egress: a.clone(),
        result: Ok(()),
    });
    assert_eq!(
        answers(&effects),
        [Ok(Status::Starting), Ok(Status::Starting)]
    );
    let listed = bench.say(Input::ListRequested {
        request: request("REQ_list"),
    });
    assert_eq!(
        listed,
        [Effect::Listed {
            request: request("REQ_list"),
            egresses: vec![a.clone()]
        }]
    );
    // an answer in time: the same id again is a mistake
    bench.pass(Duration::from_secs(3));
    let exists = Refusal::new(Code::AlreadyExists, "egress already exists");
    let effects = bench.start("REQ_3", &a, need(2.0));
    assert_eq!(answers(&effects), [Err(exists.clone())]);

    // answered when everybody had given up: the next one hears it
    let mut bench = Bench::new(4.0);
    let expires = bench.t0 + Duration::from_secs(10);
    let effects = bench.say(Input::StartRequested(Box::new(Start {
        request: request("REQ_1"),
        expires,
        plan: plan(&a),
        need: need(2.0),
        first: starting(),
    })));
    bench.ack(&effects);
    bench.say(Input::Ready { egress: a.clone() });
    // the driver was held up for ten seconds
    bench.now = Duration::from_secs(10);
    let effects = bench.say(Input::Registered {
        egress: a.clone(),
        result: Ok(()),
    });
    assert_eq!(answers(&effects), [Ok(Status::Starting)]);
    bench.now = Duration::from_secs(12);
    let effects = bench.start("REQ_2", &a, need(2.0));
    assert_eq!(answers(&effects), [Ok(Status::Starting)]);
    let effects = bench.start("REQ_3", &a, need(2.0));
    assert_eq!(answers(&effects), [Err(exists)]);
}

#[test]
fn a_crash_is_told_once_and_a_last_word_is_never_overwritten() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let child = bench.running(&a, need(2.0));
    let effects = bench.say(Input::Info {
        egress: a.clone(),
        snapshot: active(),
    });
    bench.ack(&effects);
    let effects = bench.gone(child, Exit::Signal(9));
    assert_eq!(
        effects,
        [
            Effect::Signal {
                child,
                signal: Signal::Kill
            },
            Effect::Tell {
                egress: a.clone(),
                last: active(),
                fault: Fault::internal("signal: killed")
            }
        ]
    );
    assert!(
        bench.worker.ledger().is_idle(),
        "its cores are free already"
    );
    let failed = Snapshot::last(Status::Failed, *b"failed");
    let effects = bench.say(Input::Told {
        egress: a.clone(),
        snapshot: failed.clone(),
    });
    assert!(matches!(
        effects.as_slice(),
        [
            Effect::Deregister { .. },
            Effect::CleanUp { .. },
            Effect::Update { .. }
        ]
    ));
    let again = bench.ask("REQ_again", &a, need(2.0));
    let waits = |effect: &Effect| {
        matches!(
            effect,
            Effect::Decline {
                reason: Decline::CleaningUp,
                ..
            }
        )
    };
    assert!(
        again.iter().all(waits),
        "the end of the first is not told yet: {again:?}"
    );
    bench.ack(&effects);
    let effects = bench.say(Input::Told {
        egress: a.clone(),
        snapshot: failed,
    });
    assert_eq!(effects, []);

    let child = bench.running(&a, need(2.0));
    let effects = bench.say(Input::Finished {
        egress: a.clone(),
        snapshot: Some(complete()),
    });
    bench.ack(&effects);
    let effects = bench.gone(child, Exit::Code(1));
    let tells = |effect: &Effect| matches!(effect, Effect::Tell { .. } | Effect::Update { .. });
    assert!(!effects.iter().any(tells), "{effects:?}");
}

#[test]
fn stop_is_answered_by_the_child_or_in_time_without_it() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let child = bench.running(&a, need(2.0));
    let stop = |bench: &mut Bench, name: &str| {
        bench.say(Input::StopRequested {
            request: request(name),
            egress: id("EG_a"),
        })
    };
    let effects = stop(&mut bench, "REQ_1");
    let [Effect::Stop { ask: Some(ask), .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let ending = Snapshot::new(Status::Ending, *b"ending");
    let effects = bench.say(Input::Answered {
        egress: a.clone(),
        ask: *ask,
        result: Ok(ending.clone()),
    });
    assert_eq!(
        effects,
        [Effect::Stopped {
            request: request("REQ_1"),
            result: Ok(Stopping::Now(ending))
        }]
    );
    // no answer this time
    stop(&mut bench, "REQ_2");
    assert_eq!(
        bench.pass(Duration::from_secs(3)),
        [(
            Duration::from_secs(2),
            Effect::Stopped {
                request: request("REQ_2"),
                result: Ok(Stopping::Overdue(starting()))
            }
        )]
    );
    // the recording is over before it answers
    stop(&mut bench, "REQ_3");
    let effects = bench.say(Input::Finished {
        egress: a,
        snapshot: Some(complete()),
    });
    let stopped = |name| Effect::Stopped {
        request: request(name),
        result: Ok(Stopping::Now(complete())),
    };
    assert_eq!(effects[0], stopped("REQ_3"));
    assert_eq!(stop(&mut bench, "REQ_4"), [stopped("REQ_4")]);
    bench.gone(child, Exit::Code(0));
    let refusal = Refusal::new(Code::NotFound, "egress not found");
    assert_eq!(
        stop(&mut bench, "REQ_5"),
        [Effect::Stopped {
            request: request("REQ_5"),
            result: Err(refusal)
        }]
    );
}

#[test]
fn a_drain_refuses_waits_and_exits_when_everything_is_told() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let child = bench.running(&a, need(2.0));
    assert_eq!(
        bench.say(Input::Drain(Drain::Terminate)),
        [Effect::CloseAdmission]
    );
    assert_eq!(
        bench.say(Input::Drain(Drain::Terminate)),
        [],
        "twice is once"
    );
    let effects = bench.ask("REQ_2", &id("EG_b"), need(0.1));
    assert!(matches!(
        effects.as_slice(),
        [Effect::Decline {
            reason: Decline::Draining,
            ..
        }]
    ));
    let effects = bench.start("REQ_2", &id("EG_b"), need(0.1));
    let refusal = Refusal::new(Code::Unavailable, "server is shutting down");
    assert_eq!(answers(&effects), [Err(refusal)]);
    assert_eq!(bench.pass(Duration::from_secs(3600)).len(), 0);
    let gauges = bench.worker.gauges();
    assert!(gauges.is_terminating && gauges.is_disabled && !gauges.available);
    let updates = bench.say(Input::Finished {
        egress: a,
        snapshot: Some(complete()),
    });
    let exits = |effect: &Effect| matches!(effect, Effect::Exit { .. });
    assert!(!bench.gone(child, Exit::Code(0)).iter().any(exits));
    assert_eq!(
        bench.ack(&updates),
        [Effect::Exit {
            unreported: Vec::new()
        }]
    );
    assert_eq!(bench.say(Input::Tick), []);
    assert_eq!(bench.worker.poll_timeout(), None);
}

#[test]
fn an_interrupt_kills_and_a_second_one_hurries() {
    let mut bench = Bench::new(8.0);
    let (a, b) = (id("EG_a"), id("EG_b"));
    bench.running(&a, need(2.0));
    let pending = bench.start("REQ_b", &b, need(2.0));
    assert_eq!(bench.ack(&pending), []);
    let effects = bench.say(Input::Drain(Drain::Interrupt));
    let fault = Fault::new(Code::PermissionDenied, "server is shutting down");
    let kills = effects
        .iter()
        .filter(|effect| {
            matches!(effect, Effect::Stop { reason: StopReason::Kill(f), .. } if f.message == fault.message)
        })
        .count();
    assert_eq!(kills, 2);
    let refusal = Refusal::new(Code::Unavailable, "server is shutting down");
    assert_eq!(answers(&effects), [Err(refusal)]);
    let pending = spawned(&pending);
    let effects = bench.gone(pending, Exit::Signal(15));
    let reports = |effect: &Effect| matches!(effect, Effect::Tell { .. } | Effect::Update { .. });
    assert!(
        !effects.iter().any(reports),
        "the caller tries elsewhere, our FAILED would mix in: {effects:?}"
    );
    bench.now = Duration::from_secs(10);
    assert_eq!(bench.say(Input::Drain(Drain::Terminate)), []);
    assert_eq!(
        signals(&bench.pass(Duration::from_secs(10))),
        [(15, Signal::Terminate), (18, Signal::Kill)]
    );
}

#[test]
fn an_outage_of_io_info_declines_probes_and_recovers() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    bench.running(&a, need(1.0));
    let mut effects = bench.say(Input::Info {
        egress: a,
        snapshot: active(),
    });
    let mut probes = 0;
    while bench.now < Duration::from_secs(60) {
        for attempt in attempts(&effects) {
            let result = Err(silence());
            bench.say(Input::Reported { attempt, result });
        }
        effects.retain(|effect| matches!(effect, Effect::Probe));
        for _ in effects.drain(..) {
            probes += 1;
            bench.say(Input::Probed { answered: false });
        }
        effects = bench
            .pass(Duration::from_secs(1))
            .into_iter()
            .map(|(_, effect)| effect)
            .collect();
    }
    assert!(probes >= 3, "{probes}");
    assert!(bench.worker.is_disabled());
    let declined = bench.ask("REQ_2", &id("EG_b"), need(1.0));
    assert!(matches!(
        declined.as_slice(),
        [Effect::Decline {
            reason: Decline::Unreported,
            ..
        }]
    ));
    bench.say(Input::Probed { answered: true });
    assert!(!bench.worker.is_disabled());
    assert_eq!(bench.ask("REQ_3", &id("EG_c"), need(1.0)).len(), 1);
}

#[test]
fn ten_minutes_without_io_info_drain_the_worker_and_what_is_owed_is_handed_over() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let child = bench.running(&a, need(1.0));
    let mut effects = bench.say(Input::Finished {
        egress: a.clone(),
        snapshot: Some(complete()),
    });
    bench.gone(child, Exit::Code(0));
    let mut last = None;
    while last.is_none() && bench.now < Duration::from_secs(1200) {
        for attempt in attempts(&effects) {
            let result = Err(silence());
            bench.say(Input::Reported { attempt, result });
        }
        if effects.contains(&Effect::Probe) {
            bench.say(Input::Probed { answered: false });
        }
        effects = bench
            .pass(Duration::from_millis(500))
            .into_iter()
            .map(|(_, effect)| effect)
            .collect();
        last = effects
            .iter()
            .find(|effect| matches!(effect, Effect::Exit { .. }))
            .cloned();
    }
    let unreported = vec![(a, complete())];
    assert_eq!(last, Some(Effect::Exit { unreported }));
    assert!(bench.now < Duration::from_secs(620), "{:?}", bench.now);
}

#[test]
fn a_recording_taken_over_elsewhere_says_nothing_more() {
    let mut bench = Bench::new(4.0);
    let a = id("EG_a");
    let child = bench.running(&a, need(1.0));
    let effects = bench.say(Input::Finished {
        egress: a.clone(),
        snapshot: None,
    });
    assert_eq!(effects, []);
    let effects = bench.gone(child, Exit::Code(0));
    let reports = |effect: &Effect| matches!(effect, Effect::Tell { .. } | Effect::Update { .. });
    assert!(!effects.iter().any(reports));
    let results = bench.worker.gauges().results;
    assert!(
        results
            .keys()
            .any(|(_, ended)| *ended == Ended::DuplicateIdentity)
    );
}

#[test]
fn memory_over_the_limit_kills_the_largest_recording_with_the_reason() {
    let mut config = Config::new(8.0);
    config.budget.max_memory = 8.0;
    config.overload.max_memory = 8.0;
    let mut bench = Bench {
        worker: Worker::new(config),
        ..Bench::new(8.0)
    };
    let a = id("EG_a");
    let child = bench.running(&a, need(1.0));
    let mut sample = Sample {
        rss: 9.0,
        idle: 4.0,
        load: 0.5,
        ..Sample::default()
    };
    sample.groups.insert(child, Group::of(1.0, 6.25));
    let effects = bench.say(Input::Measured(sample));
    let fault = Fault::new(Code::PermissionDenied, "OOM: 6.25 GB used");
    assert_eq!(
        effects,
        [Effect::Stop {
            child,
            egress: a.clone(),
            reason: StopReason::Kill(fault.clone()),
            ask: None
        }]
    );
    let effects = bench.gone(child, Exit::Signal(9));
    assert!(effects.contains(&Effect::Tell {
        egress: a,
        last: starting(),
        fault
    }));
}
