//! Time, the bus, and what happens next.
//!
//! Everything is an event in one queue; the same seed is the same day. What must hold is checked after every fact a worker
//! was told and when the last machine is gone.

mod calls;
mod effects;
mod processes;

use super::client::{Call, State};
use super::io_info::IoInfo;
use super::machine::Machine;
use super::recorder::Step;
use crate::common::{Random, beginning, id, need};
use recording::cost::Cost;
use recording::{Code, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use worker::{ChildId, Config, Drain, Effect, Input, RequestId, Snapshot, Worker};

/// Nothing takes longer than this: the longest ladder is an hour.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    machines: usize,
    cores: f64,
    /// Percent of messages lost.
    loss: u64,
    fire: bool,
    outages: bool,
}

impl Setup {
    pub(super) fn calm() -> Self {
        Self {
            machines: 3,
            cores: 8.0,
            loss: 0,
            fire: false,
            outages: false,
        }
    }

    pub(super) fn fire() -> Self {
        Self {
            loss: 3,
            fire: true,
            outages: true,
            cores: 4.0,
            ..Self::calm()
        }
    }

    pub(super) fn machines(self, machines: usize, cores: f64) -> Self {
        Self {
            machines,
            cores,
            ..self
        }
    }

    pub(super) fn without_outages(self) -> Self {
        Self {
            outages: false,
            ..self
        }
    }
}

/// How it went.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) started: u64,
    pub(super) failed: u64,
    pub(super) attempts: usize,
    pub(super) used_machines: usize,
    pub(super) slowest_start: Duration,
    pub(super) time: Duration,
}

#[derive(Debug)]
enum Event {
    Begin(usize),
    Ask {
        machine: usize,
        call: usize,
        request: RequestId,
        expires: Duration,
    },
    Grant {
        machine: usize,
        request: RequestId,
        winner: usize,
    },
    Expire {
        machine: usize,
        request: RequestId,
    },
    Bid {
        call: usize,
        request: RequestId,
        machine: usize,
        affinity: f32,
    },
    Answer {
        call: usize,
        request: RequestId,
        machine: usize,
        result: Result<Snapshot, Refusal>,
    },
    Decide {
        call: usize,
        request: RequestId,
    },
    GiveUp {
        call: usize,
        request: RequestId,
    },
    StopCall(usize),
    Feed(usize, Input),
    Io {
        machine: usize,
        effect: Effect,
        timeout: Duration,
    },
    Step {
        machine: usize,
        child: ChildId,
        step: Step,
    },
    Wake(usize),
    Sample(usize),
    Signal(usize, Drain),
    Crash(usize),
}

#[derive(Debug, Default)]
struct Run {
    machine: usize,
    answered: bool,
    evicted: bool,
    handed_over: bool,
    /// Its caller was told to try again: that attempt is the one to report.
    disowned: bool,
}

pub(super) struct World {
    seed: u64,
    setup: Setup,
    random: Random,
    t0: Instant,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    serial: u64,
    machines: Vec<Machine>,
    calls: Vec<Call>,
    by_request: BTreeMap<RequestId, usize>,
    io: IoInfo,
    runs: BTreeMap<Vec<u8>, Run>,
    slowest_start: Duration,
}

impl World {
    pub(super) fn new(seed: u64, setup: Setup) -> Self {
        let mut random = Random(seed);
        let machines = (0..setup.machines)
            .map(|_| {
                let config = Config {
                    seed: random.next(),
                    ..Config::new(setup.cores)
                };
                Machine::new(Worker::new(config), setup.cores)
            })
            .collect();
        let mut world = Self {
            seed,
            setup,
            random,
            t0: beginning(),
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            serial: 0,
            machines,
            calls: Vec::new(),
            by_request: BTreeMap::new(),
            io: IoInfo::default(),
            runs: BTreeMap::new(),
            slowest_start: Duration::ZERO,
        };
        for machine in 0..setup.machines {
            world.schedule(Duration::from_secs(1), Event::Sample(machine));
        }
        world
    }

    /// Somebody wants a recording.
    pub(super) fn call(&mut self, when: Duration, need: Cost) {
        let call = self.calls.len();
        self.calls.push(Call {
            egress: id(&format!("EG_{call}")),
            need,
            begun: when,
            attempts: Vec::new(),
            state: State::Trying,
            stop_after: None,
        });
        self.schedule(when, Event::Begin(call));
    }

    pub(super) fn random_load(&mut self, calls: usize, within: Duration) {
        let within = u64::try_from(within.as_millis()).expect("short enough");
        for _ in 0..calls {
            let when = self.random.millis(0, within);
            let most = if self.setup.fire { 3.5 } else { 1.0 };
            let cpu = 0.1 + self.random.fraction() * most;
            let heavy = cpu > 1.0 && self.random.percent(50);
            let cost = Cost {
                browser: heavy,
                ..need(cpu)
            };
            self.call(when, cost);
            if self.random.percent(50) {
                let after = self.random.millis(0, 40_000);
                if let Some(call) = self.calls.last_mut() {
                    call.stop_after = Some(after);
                }
            }
        }
    }

    pub(super) fn random_trouble(&mut self, within: Duration) {
        let within = u64::try_from(within.as_millis()).expect("short enough");
        for _ in 0..self.random.below(3) {
            let from = self.random.millis(0, within);
            let lasts = self.random.millis(1_000, 200_000);
            if self.setup.outages {
                self.io.outages.push((from, from + lasts));
            }
        }
        for machine in 0..self.machines.len() {
            let when = self.random.millis(0, within);
            match self.random.below(10) {
                0 => self.schedule(when, Event::Crash(machine)),
                1 | 2 => self.schedule(when, Event::Signal(machine, Drain::Terminate)),
                3 => {
                    self.schedule(when, Event::Signal(machine, Drain::Interrupt));
                    let again = when + self.random.millis(0, 60_000);
                    self.schedule(again, Event::Signal(machine, Drain::Interrupt));
                }
                4..=9 => {}
                10.. => unreachable!("below ten"),
            }
        }
    }

    pub(super) fn signal_all(&mut self, when: Duration, kind: Drain) {
        for machine in 0..self.machines.len() {
            self.schedule(when, Event::Signal(machine, kind));
        }
    }

    /// Until everything is over; everybody is drained five minutes after the beginning.
    pub(super) fn run(mut self) -> End {
        self.signal_all(Duration::from_secs(300), Drain::Terminate);
        while self.machines.iter().any(Machine::is_up) {
            let Some(((when, _), event)) = self.queue.pop_first() else {
                panic!(
                    "seed {}: nothing happens any more and somebody is up",
                    self.seed
                );
            };
            assert!(when < LONGEST, "seed {}: the drain does not end", self.seed);
            self.now = when;
            self.happen(event);
        }
        for (run, facts) in &self.runs {
            let ends = self.io.ends(run);
            let text = String::from_utf8_lossy(run);
            assert!(ends <= 1, "seed {}: {text} ended {ends} times", self.seed);
            assert!(
                ends == 0 || !facts.disowned,
                "seed {}: {text} mixes in",
                self.seed
            );
            let lost = self.machines[facts.machine].crashed || facts.evicted;
            assert!(
                ends == 1 || !facts.answered || lost || facts.handed_over,
                "seed {}: {text} never ended",
                self.seed
            );
        }
        let started = |call: &&Call| matches!(call.state, State::Started { .. });
        let failed = |call: &&Call| matches!(call.state, State::Failed(_));
        let used: BTreeSet<usize> = self
            .calls
            .iter()
            .filter_map(|call| match &call.state {
                State::Started { machine, .. } => Some(*machine),
                State::Trying | State::Failed(_) => None,
            })
            .collect();
        End {
            started: self.calls.iter().filter(started).count() as u64,
            failed: self.calls.iter().filter(failed).count() as u64,
            attempts: self.calls.iter().map(|call| call.attempts.len()).sum(),
            used_machines: used.len(),
            slowest_start: self.slowest_start,
            time: self.now,
        }
    }

    fn schedule(&mut self, when: Duration, event: Event) {
        self.serial += 1;
        self.queue.insert((when, self.serial), event);
    }

    /// Over the bus: a little later, or never.
    fn publish(&mut self, event: Event) {
        if self.random.percent(self.setup.loss) {
            return;
        }
        let mut when = self.now + self.random.millis(0, 3);
        // one connection per subscriber: what was published earlier arrives earlier
        if let Event::Ask { machine, .. } | Event::Grant { machine, .. } = &event {
            let latest = &mut self.machines[*machine].latest_message;
            when = when.max(*latest);
            *latest = when;
        }
        self.schedule(when, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Begin(call) => self.begin(call),
            Event::Ask {
                machine,
                call,
                request,
                expires,
            } => self.asked(machine, call, request, expires),
            Event::Grant {
                machine,
                request,
                winner,
            } => self.granted(machine, request, winner),
            Event::Expire { machine, request } => {
                let waits = self.machines[machine]
                    .pending
                    .get(&request)
                    .is_some_and(|pending| !pending.granted);
                if waits {
                    self.machines[machine].pending.remove(&request);
                    self.tell(machine, Input::BidLost { request });
                }
            }
            Event::Bid {
                call,
                request,
                machine,
                affinity,
            } => self.bid(call, &request, machine, affinity),
            Event::Answer {
                call,
                request,
                machine,
                result,
            } => self.answer(call, &request, machine, result),
            Event::Decide { call, request } => self.decide(call, &request),
            Event::GiveUp { call, request } => {
                let refusal = Refusal::new(Code::Unavailable, "request timed out");
                self.attempt_failed(call, &request, refusal);
            }
            Event::StopCall(call) => self.stop(call),
            Event::Feed(machine, input) => self.tell(machine, input),
            Event::Io {
                machine,
                effect,
                timeout,
            } => self.io_call(machine, effect, timeout),
            Event::Step {
                machine,
                child,
                step,
            } => self.step(machine, child, step),
            Event::Wake(machine) => {
                let now = self.t0 + self.now;
                if self.machines[machine].wakes.is_some_and(|at| at <= now) {
                    let (when, count) = &mut self.machines[machine].ticks_at;
                    if *when == self.now {
                        *count += 1;
                    } else {
                        (*when, *count) = (self.now, 0);
                    }
                    assert!(*count < 100, "seed {}: time stands still", self.seed);
                    self.tell(machine, Input::Tick);
                }
            }
            Event::Sample(machine) => self.sample(machine),
            Event::Signal(machine, kind) => {
                self.machines[machine].accepting = false;
                self.tell(machine, Input::Drain(kind));
            }
            Event::Crash(machine) => {
                let machine = &mut self.machines[machine];
                machine.crashed |= !machine.exited;
                machine.recorders.clear();
                machine.registered.clear();
            }
        }
    }
}
