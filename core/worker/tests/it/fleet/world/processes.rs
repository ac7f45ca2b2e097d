//! Recorder processes: what they do, what is done to them, what they use.

use super::super::recorder::{self, Fate, Recorder, Step};
use super::{Event, World};
use recording::EgressId;
use recording::lifecycle::{Ask, StopReason};
use std::time::Duration;
use worker::child::{Exit, Signal};
use worker::measure::{Group, Sample};
use worker::{ChildId, Input, Status};

impl World {
    pub(super) fn spawn(&mut self, index: usize, child: ChildId, egress: EgressId, run: Vec<u8>) {
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

    pub(super) fn plan_step(
        &mut self,
        machine: usize,
        child: ChildId,
        after: Duration,
        step: Step,
    ) {
        let step = Event::Step {
            machine,
            child,
            step,
        };
        self.schedule(self.now + after, step);
    }

    pub(super) fn step(&mut self, index: usize, child: ChildId, step: Step) {
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
    pub(super) fn evict_others(&mut self, newest: usize, egress: &EgressId) {
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
    pub(super) fn wind_up(&mut self, index: usize, child: ChildId) {
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

    pub(super) fn sample(&mut self, index: usize) {
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

    pub(super) fn stop_recorder(
        &mut self,
        index: usize,
        child: ChildId,
        egress: &EgressId,
        reason: &StopReason,
        ask: Option<Ask>,
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

    pub(super) fn signal(&mut self, index: usize, child: ChildId, signal: Signal) {
        let recorder = self.machines[index].recorders.get(&child);
        if let Some(exit) = recorder.and_then(|recorder| recorder.dies_of(signal)) {
            let after = self.random.millis(0, 5);
            self.plan_step(index, child, after, Step::Die(exit));
        }
    }
}
