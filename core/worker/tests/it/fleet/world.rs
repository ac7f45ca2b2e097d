//! Time, the bus, and what happens next.
//!
//! Everything is an event in one queue; the same seed is the same day. What must hold is checked after every fact a worker
//! was told and when the last machine is gone.

use super::client::{AFFINITY_TIMEOUT, Attempt, Call, SHORT_CIRCUIT, State};
use super::io_info::IoInfo;
use super::machine::{Machine, Pending};
use super::recorder::{self, Fate, Recorder, Step};
use crate::common::{Random, at, beginning, id, need, plan};
use recording::cost::Cost;
use recording::lifecycle::StopReason;
use recording::{Code, EgressId, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use worker::child::{Exit, Signal};
use worker::measure::{Group, Sample};
use worker::report::Failure;
use worker::{ChildId, Config, Drain, Effect, Input, RequestId, Snapshot, Start, Status, Worker};

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

    // ---- callers

    fn begin(&mut self, index: usize) {
        let call = &mut self.calls[index];
        let text = format!("REQ_{index}_{}", call.attempts.len());
        let request = RequestId::from(text.as_str());
        let expires = self.now + call.timeout();
        call.attempts.push(Attempt {
            request: request.clone(),
            sent: self.now,
            expires,
            best: None,
            winner: None,
            over: false,
        });
        self.by_request.insert(request.clone(), index);
        for machine in 0..self.machines.len() {
            self.publish(Event::Ask {
                machine,
                call: index,
                request: request.clone(),
                expires,
            });
        }
        let decide = Event::Decide {
            call: index,
            request: request.clone(),
        };
        self.schedule(self.now + AFFINITY_TIMEOUT, decide);
        let give_up = Event::GiveUp {
            call: index,
            request,
        };
        self.schedule(expires, give_up);
    }

    fn bid(&mut self, call: usize, request: &RequestId, machine: usize, affinity: f32) {
        let now = self.now;
        let Some(attempt) = self.calls[call].attempt(request) else {
            return;
        };
        if attempt.over || attempt.winner.is_some() {
            return;
        }
        assert!(now - attempt.sent <= AFFINITY_TIMEOUT);
        let first = attempt.best.is_none();
        if attempt.best.is_none_or(|(_, best)| affinity > best) {
            attempt.best = Some((machine, affinity));
        }
        if affinity >= 1.0 {
            self.decide(call, request);
        } else if first {
            let request = request.clone();
            self.schedule(now + SHORT_CIRCUIT, Event::Decide { call, request });
        }
    }

    fn decide(&mut self, call: usize, request: &RequestId) {
        let Some(attempt) = self.calls[call].attempt(request) else {
            return;
        };
        if attempt.over || attempt.winner.is_some() {
            return;
        }
        let Some((winner, _)) = attempt.best else {
            let refusal = Refusal::new(Code::Unavailable, "no response from servers");
            return self.attempt_failed(call, request, refusal);
        };
        attempt.winner = Some(winner);
        for machine in 0..self.machines.len() {
            self.publish(Event::Grant {
                machine,
                request: request.clone(),
                winner,
            });
        }
    }

    fn answer(
        &mut self,
        index: usize,
        request: &RequestId,
        machine: usize,
        result: Result<Snapshot, Refusal>,
    ) {
        let now = self.now;
        let call = &mut self.calls[index];
        let Some(attempt) = call.attempt(request).filter(|attempt| !attempt.over) else {
            return;
        };
        assert!(now <= attempt.expires);
        match result {
            Err(refusal) => self.attempt_failed(index, request, refusal),
            Ok(snapshot) => {
                attempt.over = true;
                call.state = State::Started {
                    machine,
                    run: snapshot.bytes.to_vec(),
                };
                self.slowest_start = self.slowest_start.max(now - call.begun);
                if let Some(after) = call.stop_after {
                    self.schedule(now + after, Event::StopCall(index));
                    let again = now + after + Duration::from_secs(3);
                    self.schedule(again, Event::StopCall(index));
                }
            }
        }
    }

    fn attempt_failed(&mut self, index: usize, request: &RequestId, refusal: Refusal) {
        let call = &mut self.calls[index];
        let Some(attempt) = call.attempt(request).filter(|attempt| !attempt.over) else {
            return;
        };
        attempt.over = true;
        if call.tries_again_after(&refusal) {
            let pause =
                self.random.millis(1000, 2000) * u32::try_from(call.attempts.len()).expect("few");
            self.schedule(self.now + pause, Event::Begin(index));
        } else {
            call.state = State::Failed(refusal);
        }
    }

    fn stop(&mut self, call: usize) {
        let egress = self.calls[call].egress.clone();
        let serving = self
            .machines
            .iter()
            .position(|machine| machine.is_up() && machine.registered.contains(&egress));
        let Some(machine) = serving else {
            return;
        };
        let request = RequestId::from(format!("STOP_{call}_{}", self.serial).as_str());
        self.machines[machine]
            .stops
            .insert(request.clone(), self.now);
        self.tell(machine, Input::StopRequested { request, egress });
    }

    // ---- psrpc's server

    fn asked(&mut self, machine: usize, call: usize, request: RequestId, expires: Duration) {
        if !self.machines[machine].accepting || expires <= self.now {
            return;
        }
        let call = &self.calls[call];
        let (egress, need) = (call.egress.clone(), call.need);
        self.machines[machine].pending.insert(
            request.clone(),
            Pending {
                egress: egress.clone(),
                need,
                expires,
                granted: false,
            },
        );
        let expire = Event::Expire {
            machine,
            request: request.clone(),
        };
        self.schedule(expires, expire);
        self.tell(
            machine,
            Input::BidAsked {
                request,
                egress,
                need,
            },
        );
    }

    fn granted(&mut self, index: usize, request: RequestId, winner: usize) {
        let machine = &mut self.machines[index];
        if winner != index {
            if machine.pending.remove(&request).is_some() {
                self.tell(index, Input::BidLost { request });
            }
            return;
        }
        let Some(pending) = machine.pending.get_mut(&request) else {
            return;
        };
        pending.granted = true;
        let pending = pending.clone();
        let run = format!("{index}:{request}").into_bytes();
        let fresh = Run {
            machine: index,
            ..Run::default()
        };
        self.runs.insert(run.clone(), fresh);
        let start = Start {
            request,
            expires: self.t0 + pending.expires,
            plan: plan(&pending.egress),
            need: pending.need,
            first: Snapshot::new(Status::Starting, run),
        };
        self.tell(index, Input::StartRequested(Box::new(start)));
    }

    // ---- recorders

    fn spawn(&mut self, index: usize, child: ChildId, egress: EgressId, run: Vec<u8>) {
        let fate = if self.setup.fire {
            Fate::fire(&mut self.random)
        } else {
            Fate::calm(&mut self.random)
        };
        self.machines[index].runs.insert(child, egress);
        if !fate.spawns {
            let error = "no more processes".to_owned();
            let failed = Input::SpawnFailed { child, error };
            return self.schedule(self.now, Event::Feed(index, failed));
        }
        let mut steps = Vec::new();
        steps.extend(fate.ready.map(|after| (after, Step::Ready)));
        steps.extend(fate.crash.map(|after| (after, Step::Die(Exit::Signal(11)))));
        for (after, step) in steps {
            self.plan_step(index, child, after, step);
        }
        self.machines[index].recorders.insert(
            child,
            Recorder {
                fate,
                state: recorder::State::Starting,
                killed: false,
                run,
                closed_is_told: false,
            },
        );
    }

    fn plan_step(&mut self, machine: usize, child: ChildId, after: Duration, step: Step) {
        let step = Event::Step {
            machine,
            child,
            step,
        };
        self.schedule(self.now + after, step);
    }

    fn step(&mut self, index: usize, child: ChildId, step: Step) {
        let machine = &mut self.machines[index];
        let (Some(egress), Some(recorder)) = (
            machine.runs.get(&child).cloned(),
            machine.recorders.get_mut(&child),
        ) else {
            return;
        };
        match (step, recorder.state) {
            (_, recorder::State::Dead) => {}
            (Step::Ready, recorder::State::Starting) => {
                recorder.state = recorder::State::Recording;
                let fate = recorder.fate.clone();
                self.plan_step(index, child, fate.active, Step::Active);
                self.plan_step(index, child, fate.natural_end, Step::End);
                self.evict_others(index, &egress);
                self.tell(index, Input::Ready { egress });
            }
            (Step::Active, recorder::State::Recording) => {
                let snapshot = recorder.snapshot(Status::Active);
                self.tell(index, Input::Info { egress, snapshot });
            }
            (Step::End, recorder::State::Recording) => self.wind_up(index, child),
            (Step::Finish, recorder::State::Finalising) => {
                recorder.state = recorder::State::Finished;
                let snapshot = Some(recorder.last_word());
                if !recorder.fate.lingers {
                    let after = self.random.millis(1, 50);
                    self.plan_step(index, child, after, Step::Die(Exit::Code(0)));
                }
                self.tell(index, Input::Finished { egress, snapshot });
            }
            (Step::Die(exit), _) => {
                recorder.state = recorder::State::Dead;
                recorder.closed_is_told = !recorder.fate.leaks;
                let exited = self.now + self.random.millis(0, 5);
                let closed = self.now + self.random.millis(0, 5);
                if self.machines[index].recorders[&child].closed_is_told {
                    self.schedule(closed, Event::Feed(index, Input::Closed { child }));
                }
                self.schedule(exited, Event::Feed(index, Input::Exited { child, exit }));
            }
            (
                Step::Ready | Step::Active | Step::End | Step::Finish,
                recorder::State::Starting
                | recorder::State::Recording
                | recorder::State::Finalising
                | recorder::State::Finished,
            ) => {}
        }
    }

    /// Two in one room under one name: the newer one stays.
    fn evict_others(&mut self, newest: usize, egress: &EgressId) {
        for other in (0..self.machines.len()).filter(|other| *other != newest) {
            let machine = &mut self.machines[other];
            let found = machine
                .runs
                .iter()
                .find(|(_, of)| *of == egress)
                .map(|(child, _)| *child);
            let Some((child, recorder)) =
                found.and_then(|child| Some((child, machine.recorders.get_mut(&child)?)))
            else {
                continue;
            };
            match recorder.state {
                recorder::State::Recording | recorder::State::Finalising => {
                    recorder.state = recorder::State::Finished;
                    if let Some(run) = self.runs.get_mut(&recorder.run) {
                        run.evicted = true;
                    }
                    self.plan_step(
                        other,
                        child,
                        Duration::from_millis(5),
                        Step::Die(Exit::Code(0)),
                    );
                    let silenced = Input::Finished {
                        egress: egress.clone(),
                        snapshot: None,
                    };
                    self.tell(other, silenced);
                }
                recorder::State::Starting | recorder::State::Finished | recorder::State::Dead => {}
            }
        }
    }

    /// It ends, by itself or because it was asked to.
    fn wind_up(&mut self, index: usize, child: ChildId) {
        let machine = &mut self.machines[index];
        let Some(recorder) = machine.recorders.get_mut(&child) else {
            return;
        };
        let recording = recorder.state == recorder::State::Recording;
        recorder.state = recorder::State::Finalising;
        let (finalise, snapshot) = (recorder.fate.finalise, recorder.snapshot(Status::Ending));
        self.plan_step(index, child, finalise, Step::Finish);
        if recording {
            let egress = self.machines[index].runs[&child].clone();
            self.tell(index, Input::Info { egress, snapshot });
        }
    }

    fn sample(&mut self, index: usize) {
        if !self.machines[index].is_up() {
            return;
        }
        let mut sample = Sample::default();
        let mut used = 0.0;
        let costs: Vec<(ChildId, f64)> = self.machines[index]
            .runs
            .iter()
            .filter_map(|(child, egress)| {
                let (_, cost) = self.machines[index].worker.ledger().usage(egress)?;
                Some((*child, cost))
            })
            .collect();
        for (child, cost) in costs {
            let cpu = cost * (0.2 + 0.8 * self.random.fraction());
            used += cpu;
            sample.groups.insert(child, Group::of(cpu, 0.5));
        }
        let cores = self.machines[index].cores;
        sample.idle = (cores - used).max(0.0);
        sample.load = 1.0 - sample.idle / cores;
        self.schedule(self.now + Duration::from_secs(1), Event::Sample(index));
        self.tell(index, Input::Measured(sample));
    }

    // ---- workers

    fn tell(&mut self, index: usize, input: Input) {
        let machine = &mut self.machines[index];
        if !machine.is_up() {
            return;
        }
        let run = if let Input::StartRequested(start) = &input {
            start.first.bytes.to_vec()
        } else {
            Vec::new()
        };
        let now = at(self.t0, self.now);
        machine.worker.handle(now, input);
        let effects: Vec<Effect> = std::iter::from_fn(|| machine.worker.poll_effect()).collect();
        let ledger = machine.worker.ledger();
        assert!(
            ledger.count() <= 1
                || ledger.reserved() <= machine.cores * ledger.budget().utilization() + 1e-6,
            "seed {}: {} cores promised of {}",
            self.seed,
            ledger.reserved(),
            machine.cores
        );
        let wakes = machine.worker.poll_timeout();
        if wakes != machine.wakes || wakes.is_some_and(|at| at <= now.mono) {
            machine.wakes = wakes;
            if let Some(at) = wakes {
                let when = (at - self.t0).max(self.now);
                self.schedule(when, Event::Wake(index));
            }
        }
        for effect in effects {
            self.carry_out(index, effect, &run);
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect, run: &[u8]) {
        assert!(
            !self.machines[index].exited,
            "seed {}: {effect:?} after exit",
            self.seed
        );
        match effect {
            Effect::Bid { request, affinity } => {
                let call = self.by_request[&request];
                if self.machines[index].pending.contains_key(&request) {
                    self.publish(Event::Bid {
                        call,
                        request,
                        machine: index,
                        affinity,
                    });
                }
            }
            Effect::Decline { request, .. } => {
                let pending = self.machines[index].pending.remove(&request);
                assert!(pending.is_some_and(|pending| !pending.granted));
            }
            Effect::Started { request, result } => {
                let pending = self.machines[index].pending.remove(&request);
                assert!(
                    pending.is_some_and(|pending| pending.granted),
                    "seed {}: {request} answered twice",
                    self.seed
                );
                if let Ok(snapshot) = &result
                    && let Some(run) = self.runs.get_mut(&*snapshot.bytes)
                {
                    run.answered = true;
                }
                let call = self.by_request[&request];
                self.publish(Event::Answer {
                    call,
                    request,
                    machine: index,
                    result,
                });
            }
            Effect::Stopped { request, .. } => {
                let asked = self.machines[index].stops.remove(&request);
                let asked = asked.expect("a stop is answered once");
                assert!(self.now - asked < Duration::from_secs(3));
            }
            Effect::Listed { .. } => {}
            Effect::Register { egress } => {
                let fails = self.setup.fire && self.random.percent(1);
                let result = if fails {
                    Err("connection lost".to_owned())
                } else {
                    Ok(())
                };
                self.machines[index].registered.insert(egress.clone());
                let when = self.now + self.random.millis(0, 3);
                let registered = Input::Registered { egress, result };
                self.schedule(when, Event::Feed(index, registered));
            }
            Effect::Deregister { egress } => {
                assert!(self.machines[index].registered.remove(&egress));
            }
            Effect::Create { timeout, .. } | Effect::Update { timeout, .. } => {
                let when = self.now + self.random.millis(1, 5);
                self.schedule(
                    when,
                    Event::Io {
                        machine: index,
                        effect,
                        timeout,
                    },
                );
            }
            Effect::Probe => {
                let answered = !self.io.is_down(self.now);
                let when = self.now + self.random.millis(1, 5);
                self.schedule(when, Event::Feed(index, Input::Probed { answered }));
            }
            Effect::Spawn { child, egress, .. } => self.spawn(index, child, egress, run.to_vec()),
            Effect::Stop {
                child,
                egress,
                reason,
                ask,
            } => self.stop_recorder(index, child, &egress, &reason, ask),
            Effect::Signal { child, signal } => self.signal(index, child, signal),
            Effect::DropLink { child } => {
                assert!(!self.machines[index].recorders[&child].closed_is_told);
            }
            Effect::Tell { egress, last, .. } => {
                let when = self.now + self.random.millis(0, 50);
                let snapshot = Snapshot::last(Status::Failed, last.bytes);
                self.schedule(when, Event::Feed(index, Input::Told { egress, snapshot }));
            }
            Effect::CleanUp { egress, child } => {
                let machine = &mut self.machines[index];
                assert_eq!(machine.runs.remove(&child), Some(egress));
                if let Some(recorder) = machine.recorders.remove(&child) {
                    assert_eq!(recorder.state, recorder::State::Dead, "it was not reaped");
                }
            }
            Effect::CloseAdmission => self.machines[index].accepting = false,
            Effect::Exit { unreported } => self.exit(index, unreported),
        }
    }

    fn stop_recorder(
        &mut self,
        index: usize,
        child: ChildId,
        egress: &EgressId,
        reason: &StopReason,
        ask: Option<recording::lifecycle::Ask>,
    ) {
        let Some(recorder) = self.machines[index].recorders.get_mut(&child) else {
            return;
        };
        if recorder.fate.deaf {
            return;
        }
        recorder.killed |= matches!(reason, StopReason::Kill(_));
        let begins = match recorder.state {
            recorder::State::Starting | recorder::State::Recording => true,
            recorder::State::Finalising => false,
            recorder::State::Finished | recorder::State::Dead => return,
        };
        if let Some(ask) = ask {
            let result = Ok(recorder.snapshot(Status::Ending));
            let egress = egress.clone();
            let answered = Input::Answered {
                egress,
                ask,
                result,
            };
            let when = self.now + self.random.millis(1, 20);
            self.schedule(when, Event::Feed(index, answered));
        }
        if begins {
            // not from within the worker's effects: a little later
            self.plan_step(index, child, Duration::ZERO, Step::End);
            let recorder = &mut self.machines[index].recorders.get_mut(&child);
            if let Some(recorder) = recorder
                && recorder.state == recorder::State::Starting
            {
                recorder.state = recorder::State::Finalising;
                self.plan_step(index, child, Duration::from_millis(30), Step::Finish);
            }
        }
    }

    fn signal(&mut self, index: usize, child: ChildId, signal: Signal) {
        let recorder = self.machines[index].recorders.get(&child);
        if let Some(exit) = recorder.and_then(|recorder| recorder.dies_of(signal)) {
            let after = self.random.millis(0, 5);
            self.plan_step(index, child, after, Step::Die(exit));
        }
    }

    fn io_call(&mut self, index: usize, effect: Effect, timeout: Duration) {
        let (attempt, egress, snapshot, create) = match effect {
            Effect::Create {
                attempt,
                egress,
                snapshot,
                ..
            } => (attempt, egress, snapshot, true),
            Effect::Update {
                attempt,
                egress,
                snapshot,
                ..
            } => (attempt, egress, snapshot, false),
            Effect::Bid { .. }
            | Effect::Decline { .. }
            | Effect::Started { .. }
            | Effect::Stopped { .. }
            | Effect::Listed { .. }
            | Effect::Register { .. }
            | Effect::Deregister { .. }
            | Effect::Probe
            | Effect::Spawn { .. }
            | Effect::Stop { .. }
            | Effect::Signal { .. }
            | Effect::DropLink { .. }
            | Effect::Tell { .. }
            | Effect::CleanUp { .. }
            | Effect::CloseAdmission
            | Effect::Exit { .. } => unreachable!("not a call"),
        };
        let quick = self.now + self.random.millis(1, 5);
        let slow = self.now + timeout;
        let timed_out = || Failure::TimedOut("request timed out".into());
        let dice = if self.setup.fire {
            self.random.below(100)
        } else {
            50
        };
        let (when, result) = if self.io.is_down(self.now) {
            if dice < 50 {
                let nobody = Failure::NoResponse("no response from servers".into());
                (quick, Err(nobody))
            } else {
                (slow, Err(timed_out()))
            }
        } else if dice < 3 {
            (slow, Err(timed_out()))
        } else if dice < 5 {
            let message = "could not update egress info".to_owned();
            let code = Code::Unknown;
            (quick, Err(Failure::Answered { code, message }))
        } else {
            if create {
                self.io.create(egress);
            } else {
                self.io.update(&egress, snapshot);
            }
            // the answer may be lost
            if dice < 8 {
                (slow, Err(timed_out()))
            } else {
                (quick, Ok(()))
            }
        };
        self.schedule(
            when,
            Event::Feed(index, Input::Reported { attempt, result }),
        );
    }

    fn exit(&mut self, index: usize, unreported: Vec<(EgressId, Snapshot)>) {
        for (_, snapshot) in unreported {
            if let Some(run) = self.runs.get_mut(&*snapshot.bytes) {
                run.handed_over = true;
            }
        }
        let seed = self.seed;
        let machine = &mut self.machines[index];
        machine.exited = true;
        assert!(
            machine.recorders.is_empty(),
            "seed {seed}: {:?}",
            machine.recorders
        );
        assert!(machine.runs.is_empty(), "seed {seed}");
        assert!(machine.registered.is_empty(), "seed {seed}");
        assert!(machine.stops.is_empty(), "seed {seed}");
        assert!(
            machine.pending.values().all(|pending| !pending.granted),
            "seed {seed}"
        );
    }
}
