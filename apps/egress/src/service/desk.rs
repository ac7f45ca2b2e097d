//! The desk: one task that owns the worker core, says what happened, and carries out what it decides.

use super::{
    child::Child,
    convert,
    io::Io,
    measure,
    orders::{self, Orders},
    orphans, story,
};
use crate::{
    bus::{Bus, rpc::Node},
    journal,
    metrics::{Metrics, UploadStatus},
    supervise::process::{Blow, ChildLog, signal_group},
};
use psrpc::{Error, RequestId};
use recording::{
    EgressId, Now, Plan, Refusal,
    crash::ExitCause,
    info::EgressInfo,
    lifecycle::{Ask, StreamChange},
    link::{Command, Info, Report, Stats, Uploads},
    naming::local,
    plan::Output,
    policy::Policy,
    settings,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{mpsc, oneshot, watch};
use wire::{livekit::EgressStatus, prost::Message};
use worker::{
    ChildId, Drain, Effect, Input, Snapshot, Start, Stopping, Worker, bid::Decline, child::Exit,
    metrics::Gauges,
};

/// Questions of ours to a child have this bit, so that they are not taken for the worker's.
const OURS: u64 = 1 << 63;

/// The bid of a worker that could only say why it cannot.
const LAST_RESORT: f32 = 0.001;

/// Relative storage paths lie below this directory, as upstream's handlers run in it.
const ROOT: &str = "/";

/// What the service needs to know.
pub struct Options {
    /// Admission and reporting.
    pub worker: worker::Config,
    /// Planning.
    pub policy: Policy,
    /// What requests cost.
    pub costs: recording::cost::Table,
    /// What this build can do.
    pub built: recording::support::Built,
    /// For the recorders.
    pub recorder: settings::Recorder,
    /// `cluster_id`: topic of StartEgress.
    pub cluster_id: String,
    /// `io_selection_timeout`.
    pub io_selection: Option<Duration>,
    /// The program whose `recorder` subcommand is the child: this one.
    pub program: PathBuf,
    /// How it logs.
    pub child_log: ChildLog,
    /// Where uploads are counted.
    pub metrics: Arc<Metrics>,
}

/// How the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Drained.
    Drained,
    /// The bus would not serve us.
    Refused,
}

/// What others may see of the service.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Serving; set once StartEgress is subscribed and cleared by a drain.
    pub ready: bool,
    /// Gauges of the worker.
    pub gauges: Gauges,
    /// Running recordings: id and the redacted request, as last reported.
    pub recordings: Vec<(EgressId, EgressInfo)>,
    /// Counters of all recordings so far, by recording while it runs.
    pub stats: Stats,
}

/// Something that happened.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few hundred bytes, moved once each"
)]
pub(super) enum Fact {
    /// Already in the worker's words.
    Worker(Input),
    /// A question on the bus.
    BidAsked {
        request: RequestId,
        egress: EgressId,
        asked: Box<orders::Asked>,
        bidder: orders::Bidder,
    },
    /// StartEgress, granted.
    Start {
        request: RequestId,
        expires: Instant,
        asked: Box<orders::Asked>,
        reply: orders::Reply,
    },
    /// StopEgress.
    Stop {
        request: RequestId,
        egress: EgressId,
        reply: orders::Reply,
    },
    /// ListActiveEgress.
    List {
        request: RequestId,
        reply: oneshot::Sender<Vec<EgressId>>,
    },
    /// UpdateStream.
    Update {
        egress: EgressId,
        change: StreamChange,
        reply: orders::Reply,
    },
    /// A recorder speaks.
    Report(ChildId, Report),
    /// The bus confirmed the topics of a recording.
    Serving {
        egress: EgressId,
        result: Result<orders::Topics, String>,
    },
    /// A recording of an earlier worker, its story told.
    Orphan(Box<orphans::Found>),
    /// StartEgress is subscribed.
    Open(Result<Orders, String>),
}

/// What is kept of a recording besides what the worker core knows.
struct Record {
    child: ChildId,
    last: EgressInfo,
    file: Option<journal::FilePair>,
    stats: Stats,
    /// The caller was told that nothing is recorded.
    refused: bool,
}

/// A directory to be removed when the end is acknowledged and the child is gone.
struct Dir {
    open: journal::Open,
    acknowledged: bool,
    left: bool,
}

/// Runs the service until it has drained.
///
/// # Errors
/// When `tmp_dir` cannot be used.
pub async fn run(
    options: Options,
    bus: Bus,
    mut signals: mpsc::Receiver<Drain>,
    view: watch::Sender<View>,
) -> anyhow::Result<Outcome> {
    let tmp = options.recorder.tmp_dir.clone();
    std::fs::create_dir_all(&tmp).map_err(|e| {
        anyhow::anyhow!(
            "cannot use tmp_dir {}: {e}; set tmp_dir to a writable directory",
            tmp.display()
        )
    })?;
    let node = Node::spawn(bus);
    node.prepare("IOInfo").await;
    let (facts, mut inbox) = mpsc::channel(4096);
    let mut gauge = measure::Gauge::new(options.worker.budget.cores);
    let mut desk = Desk {
        worker: Worker::new(options.worker.clone()),
        io: Io::new(node.clone(), options.io_selection, facts.clone()),
        options: Arc::new(options),
        node,
        facts,
        view,
        orders: None,
        bidders: BTreeMap::new(),
        declined: BTreeMap::new(),
        asked_for: BTreeMap::new(),
        starts: BTreeMap::new(),
        stops: BTreeMap::new(),
        lists: BTreeMap::new(),
        updates: BTreeMap::new(),
        next_ask: OURS,
        topics: BTreeMap::new(),
        children: BTreeMap::new(),
        exits: BTreeMap::new(),
        unready: BTreeSet::new(),
        records: BTreeMap::new(),
        dirs: BTreeMap::new(),
        flying: BTreeMap::new(),
        finished_stats: Stats::default(),
        outcome: None,
    };
    orphans::adopt(&tmp, &desk.facts);
    orders::open(
        desk.node.clone(),
        &desk.options.cluster_id,
        desk.options.costs,
        desk.facts.clone(),
    );
    let mut measuring = tokio::time::interval(Duration::from_secs(1));
    measuring.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let deadline = desk.worker.poll_timeout();
        let wait = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(fact) = inbox.recv() => desk.take(fact),
            Some(drain) = signals.recv() => {
                tracing::info!(?drain, "asked to end");
                desk.say(Input::Drain(drain));
            }
            _ = measuring.tick() => {
                let pids = desk.children.iter().filter_map(|(id, c)| Some((u32::try_from(c.pid).ok()?, *id))).collect();
                if let Some(sample) = gauge.look(&pids) {
                    desk.say(Input::Measured(sample));
                }
            }
            () = wait => desk.say(Input::Tick),
        }
        if let Some(outcome) = desk.outcome {
            desk.node.close().await;
            return Ok(outcome);
        }
        desk.show();
    }
}

fn now() -> Now {
    Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    }
}

struct Desk {
    worker: Worker,
    options: Arc<Options>,
    node: Node,
    io: Io,
    facts: mpsc::Sender<Fact>,
    view: watch::Sender<View>,
    orders: Option<Orders>,
    bidders: BTreeMap<worker::RequestId, orders::Bidder>,
    /// Which recording a start in progress is about.
    asked_for: BTreeMap<worker::RequestId, EgressId>,
    /// Bids made only to say why not.
    declined: BTreeMap<worker::RequestId, Refusal>,
    starts: BTreeMap<worker::RequestId, orders::Reply>,
    stops: BTreeMap<worker::RequestId, orders::Reply>,
    lists: BTreeMap<worker::RequestId, oneshot::Sender<Vec<EgressId>>>,
    updates: BTreeMap<u64, orders::Reply>,
    next_ask: u64,
    topics: BTreeMap<EgressId, orders::Topics>,
    children: BTreeMap<ChildId, Child>,
    exits: BTreeMap<ChildId, Exit>,
    unready: BTreeSet<EgressId>,
    records: BTreeMap<EgressId, Record>,
    dirs: BTreeMap<EgressId, Dir>,
    flying: BTreeMap<worker::Attempt, (EgressId, bool)>,
    finished_stats: Stats,
    outcome: Option<Outcome>,
}

fn id(request: &RequestId) -> worker::RequestId {
    worker::RequestId::from(request.as_str())
}

impl Desk {
    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Worker(input) => self.hear(input),
            Fact::BidAsked {
                request,
                egress,
                asked,
                bidder,
            } => self.bid_asked(&request, egress, &asked, bidder),
            Fact::Start {
                request,
                expires,
                asked,
                reply,
            } => self.start(&request, expires, &asked, reply),
            Fact::Stop {
                request,
                egress,
                reply,
            } => {
                self.stops.insert(id(&request), reply);
                self.say(Input::StopRequested {
                    request: id(&request),
                    egress,
                });
            }
            Fact::List { request, reply } => {
                self.lists.insert(id(&request), reply);
                self.say(Input::ListRequested {
                    request: id(&request),
                });
            }
            Fact::Update {
                egress,
                change,
                reply,
            } => self.update(&egress, change, reply),
            Fact::Report(child, report) => self.report(child, report),
            Fact::Serving { egress, result } => {
                let result = result.map(|topics| drop(self.topics.insert(egress.clone(), topics)));
                self.say(Input::Registered { egress, result });
            }
            Fact::Orphan(found) => {
                let orphans::Found { open, egress, info } = *found;
                self.dirs.insert(
                    egress.clone(),
                    Dir {
                        open,
                        acknowledged: false,
                        left: true,
                    },
                );
                self.say(Input::Owed {
                    egress,
                    snapshot: convert::last(&info),
                });
            }
            Fact::Open(Ok(orders)) => {
                self.orders = Some(orders);
                tracing::info!("service ready");
            }
            Fact::Open(Err(error)) => {
                tracing::error!(%error, "could not serve StartEgress");
                self.outcome = Some(Outcome::Refused);
            }
        }
    }

    /// Facts that are already in the worker's words, seen on their way.
    fn hear(&mut self, input: Input) {
        match &input {
            Input::Reported { attempt, result } => {
                if let Some((egress, terminal)) = self.flying.remove(attempt)
                    && terminal
                    && result.is_ok()
                {
                    self.acknowledged(&egress);
                }
            }
            Input::Exited { child, exit } => {
                if !exit.is_clean() {
                    tracing::warn!(%child, %exit, "a recorder ended abnormally");
                }
                self.exits.insert(*child, *exit);
            }
            Input::BidLost { request } => drop(self.declined.remove(request)),
            Input::Told { egress, snapshot } => {
                if let Some(dir) = self.dirs.get(egress) {
                    dir.open.keep_info(&snapshot.bytes);
                }
            }
            Input::BidAsked { .. }
            | Input::StartRequested(_)
            | Input::Registered { .. }
            | Input::Probed { .. }
            | Input::Owed { .. }
            | Input::SpawnFailed { .. }
            | Input::Ready { .. }
            | Input::Info { .. }
            | Input::Answered { .. }
            | Input::Finished { .. }
            | Input::Closed { .. }
            | Input::StopRequested { .. }
            | Input::ListRequested { .. }
            | Input::Measured(_)
            | Input::Drain(_)
            | Input::Tick => {}
        }
        self.say(input);
    }

    fn say(&mut self, input: Input) {
        self.worker.handle(now(), input);
        while let Some(effect) = self.worker.poll_effect() {
            self.carry_out(effect);
        }
    }

    fn bid_asked(
        &mut self,
        request: &RequestId,
        egress: EgressId,
        asked: &orders::Asked,
        bidder: orders::Bidder,
    ) {
        // What nobody can record is refused at once, however full the machine is: whoever asked wants to know why.
        if !self.worker.is_disabled() && self.plan(asked).is_err() {
            return bidder.bid(1.0);
        }
        self.bidders.insert(id(request), bidder);
        self.say(Input::BidAsked {
            request: id(request),
            egress,
            need: asked.need,
        });
    }

    fn plan(&self, asked: &orders::Asked) -> Result<Plan, Refusal> {
        let plan = recording::request::plan(&asked.request, &self.options.policy, now())?;
        recording::support::check(&plan, &self.options.built)?;
        Ok(plan)
    }

    fn start(
        &mut self,
        request: &RequestId,
        expires: Instant,
        asked: &orders::Asked,
        reply: orders::Reply,
    ) {
        if let Some(refusal) = self.declined.remove(&id(request)) {
            return reply.send(Err(convert::error(&refusal)));
        }
        match self.plan(asked) {
            Ok(plan) => {
                let first = convert::snapshot(&recording::info::initial(&plan));
                tracing::info!(egressID = %plan.identity.egress_id, requestType = plan.identity.request_type.label(), "request validated");
                self.starts.insert(id(request), reply);
                self.asked_for
                    .insert(id(request), plan.identity.egress_id.clone());
                let start = Start {
                    request: id(request),
                    expires,
                    plan: Box::new(plan),
                    need: asked.need,
                    first,
                };
                self.say(Input::StartRequested(Box::new(start)));
            }
            Err(refusal) => {
                tracing::info!(egressID = asked.request.egress_id, code = refusal.code.as_str(), %refusal, "request refused");
                reply.send(Err(convert::error(&refusal)));
                self.say(Input::BidLost {
                    request: id(request),
                });
            }
        }
    }

    fn update(&mut self, egress: &EgressId, change: StreamChange, reply: orders::Reply) {
        let child = self
            .worker
            .route(egress)
            .and_then(|child| self.children.get(&child));
        match child {
            Some(child) => {
                self.next_ask += 1;
                child.tell(Command::UpdateStream {
                    egress_id: egress.clone(),
                    ask: Ask(self.next_ask),
                    change,
                });
                self.updates.insert(self.next_ask, reply);
            }
            None => reply.send(Err(Error::new(psrpc::Code::NotFound, "egress not found"))),
        }
    }

    fn report(&mut self, child: ChildId, report: Report) {
        match report {
            Report::Hello(hello) => {
                if let Err(error) = hello.check() {
                    tracing::error!(%error, "the recorder is of another build");
                    if let Some(child) = self.children.get(&child) {
                        signal_group(child.pid, Blow::Kill);
                    }
                }
            }
            Report::Ready { egress_id } => {
                self.unready.remove(&egress_id);
                self.say(Input::Ready { egress: egress_id });
            }
            Report::Info {
                egress_id,
                info: Info(info),
            } => {
                let snapshot = convert::snapshot(&info);
                if let Some(dir) = self.dirs.get(&egress_id) {
                    dir.open.keep_info(&snapshot.bytes);
                }
                if let Some(record) = self.records.get_mut(&egress_id) {
                    record.last = info;
                }
                self.say(Input::Info {
                    egress: egress_id,
                    snapshot,
                });
            }
            Report::Answer {
                egress_id,
                ask,
                outcome,
            } => {
                if let Some(reply) = self.updates.remove(&ask.0) {
                    reply.send(
                        outcome
                            .map(|Info(info)| info.encode_to_vec().into())
                            .map_err(|r| convert::error(&r)),
                    );
                    return;
                }
                let result = outcome.map(|Info(info)| convert::snapshot(&info));
                self.say(Input::Answered {
                    egress: egress_id,
                    ask,
                    result,
                });
            }
            Report::Stats { egress_id, stats } => {
                if let Some(record) = self.records.get_mut(&egress_id) {
                    count_uploads(&self.options.metrics, &record.stats.uploads, &stats.uploads);
                    record.stats = stats;
                }
            }
            Report::Finished { egress_id, info } => {
                let snapshot = info.map(|Info(info)| {
                    let snapshot = convert::last(&info);
                    if let Some(record) = self.records.get_mut(&egress_id) {
                        record.last = info;
                    }
                    snapshot
                });
                match (&snapshot, self.dirs.get_mut(&egress_id)) {
                    (Some(snapshot), Some(dir)) => dir.open.keep_info(&snapshot.bytes),
                    // Nothing more will be said about it: nothing to acknowledge either.
                    (None, Some(dir)) => dir.acknowledged = true,
                    (_, None) => {}
                }
                self.say(Input::Finished {
                    egress: egress_id,
                    snapshot,
                });
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Bid { request, affinity } => {
                if let Some(bidder) = self.bidders.remove(&request) {
                    bidder.bid(affinity);
                }
            }
            Effect::Decline { request, reason } => {
                tracing::info!(%request, %reason, "request declined");
                if let Some(bidder) = self.bidders.remove(&request) {
                    self.decline(request, bidder, &reason);
                }
            }
            Effect::Started { request, result } => {
                if let Some(record) = self
                    .asked_for
                    .remove(&request)
                    .and_then(|id| self.records.get_mut(&id))
                {
                    record.refused = result.is_err();
                }
                if let Some(reply) = self.starts.remove(&request) {
                    reply.send(answer(result));
                }
            }
            Effect::Stopped { request, result } => {
                if let Some(reply) = self.stops.remove(&request) {
                    reply.send(answer(result.map(shown)));
                }
            }
            Effect::Listed { request, egresses } => {
                if let Some(reply) = self.lists.remove(&request) {
                    // The caller may have gone.
                    drop(reply.send(egresses));
                }
            }
            Effect::Register { egress } => {
                orders::register(self.node.clone(), egress, self.facts.clone())
            }
            Effect::Deregister { egress } => {
                if let Some(topics) = self.topics.remove(&egress) {
                    tokio::spawn(topics.close());
                }
            }
            Effect::Create {
                attempt,
                snapshot,
                timeout,
                ..
            } => self.io.report("CreateEgress", attempt, snapshot, timeout),
            Effect::Update {
                attempt,
                egress,
                snapshot,
                timeout,
            } => {
                self.flying.insert(attempt, (egress, snapshot.terminal));
                self.io.report("UpdateEgress", attempt, snapshot, timeout);
            }
            Effect::Probe => self.io.probe(),
            Effect::Spawn {
                child,
                egress,
                plan,
            } => {
                if let Err(error) = self.spawn(child, &egress, *plan) {
                    let error = format!("{error:#}");
                    tracing::error!(egressID = %egress, %error, "could not start a recorder");
                    self.say(Input::SpawnFailed { child, error });
                }
            }
            Effect::Stop {
                child,
                egress,
                reason,
                ask,
            } => {
                if let Some(child) = self.children.get(&child) {
                    child.tell(Command::Stop {
                        egress_id: egress,
                        reason,
                        ask,
                    });
                }
            }
            Effect::Signal { child, signal } => {
                if let Some(child) = self.children.get(&child) {
                    let blow = match signal {
                        worker::child::Signal::Terminate => Blow::Terminate,
                        worker::child::Signal::Kill => Blow::Kill,
                    };
                    signal_group(child.pid, blow);
                }
            }
            Effect::DropLink { child } => {
                if let Some(child) = self.children.get_mut(&child) {
                    child.drop_link();
                }
            }
            Effect::Tell {
                egress,
                last,
                fault,
            } => self.tell(egress, &last, fault),
            Effect::CleanUp { egress, child } => {
                self.children.remove(&child);
                self.exits.remove(&child);
                self.unready.remove(&egress);
                if let Some(record) = self.records.remove(&egress) {
                    if let Some(file) = record.file.as_ref().filter(|_| record.refused) {
                        story::discard(file);
                    }
                    add(&mut self.finished_stats, &record.stats);
                }
                if let Some(dir) = self.dirs.get_mut(&egress) {
                    dir.left = true;
                }
                self.remove_if_over(&egress);
            }
            Effect::CloseAdmission => {
                if let Some(orders) = self.orders.take() {
                    tokio::spawn(orders.close());
                }
            }
            Effect::Exit { unreported } => {
                for (egress, _) in &unreported {
                    tracing::warn!(egressID = %egress, "its end was not acknowledged; the next worker with this tmp_dir reports it");
                }
                self.outcome = Some(Outcome::Drained);
            }
        }
    }

    /// A worker that is full bids as low as it can: any other wins over it, and if there is none, the caller hears why.
    fn decline(&mut self, request: worker::RequestId, bidder: orders::Bidder, reason: &Decline) {
        let refusal = match reason {
            Decline::Full(denial) => denial.refusal(),
            // Silence: somebody else answers, or it is asked again.
            Decline::Draining | Decline::Unreported | Decline::CleaningUp | Decline::Crowded => {
                return;
            }
        };
        self.declined.insert(request, refusal);
        bidder.bid(LAST_RESORT);
    }

    fn spawn(&mut self, child: ChildId, egress: &EgressId, plan: Plan) -> anyhow::Result<()> {
        let tmp = &self.options.recorder.tmp_dir;
        let file = file_of(&plan, tmp);
        let entry = journal::Entry {
            egress_id: egress.clone(),
            file: file.clone(),
        };
        let open = journal::Open::create(tmp, &entry)?;
        let last = recording::info::initial(&plan);
        open.keep_info(&last.encode_to_vec());
        self.dirs.insert(
            egress.clone(),
            Dir {
                open,
                acknowledged: false,
                left: false,
            },
        );
        self.records.insert(
            egress.clone(),
            Record {
                child,
                last,
                file,
                stats: Stats::default(),
                refused: false,
            },
        );
        self.unready.insert(egress.clone());
        let process = Child::spawn(
            child,
            &self.options.program,
            &self.options.child_log,
            &self.facts,
        )?;
        process.tell(Command::Start {
            plan: Box::new(plan),
            settings: Box::new(self.options.recorder.clone()),
        });
        self.children.insert(child, process);
        Ok(())
    }

    /// The story of a recording whose child cannot tell it any more.
    fn tell(&self, egress: EgressId, last: &Snapshot, fault: recording::Fault) {
        let record = self.records.get(&egress);
        let cause = match record.and_then(|r| self.exits.get(&r.child)) {
            _ if self.unready.contains(&egress) => ExitCause::NeverReady,
            Some(Exit::Signal(signal)) => ExitCause::Signal(*signal),
            Some(Exit::Code(code)) => ExitCause::Code(*code),
            None => ExitCause::Lost,
        };
        let last = convert::info(last);
        let file = record.and_then(|r| r.file.clone());
        tracing::warn!(egressID = %egress, ?cause, %fault, "the recorder died; finishing its story");
        let facts = self.facts.clone();
        tokio::task::spawn_blocking(move || {
            let partial = file.as_ref().and_then(story::save);
            let info = recording::crash::failed(&last, now(), &cause, partial.as_ref());
            let snapshot = convert::last(&info);
            drop(facts.blocking_send(Fact::Worker(Input::Told { egress, snapshot })));
        });
    }

    fn acknowledged(&mut self, egress: &EgressId) {
        if let Some(dir) = self.dirs.get_mut(egress) {
            dir.acknowledged = true;
        }
        self.remove_if_over(egress);
    }

    fn remove_if_over(&mut self, egress: &EgressId) {
        if self
            .dirs
            .get(egress)
            .is_some_and(|d| d.acknowledged && d.left)
            && let Some(dir) = self.dirs.remove(egress)
        {
            dir.open.remove();
        }
    }

    fn show(&self) {
        let recordings = self
            .worker
            .active()
            .filter_map(|egress| Some((egress.clone(), self.records.get(egress)?.last.clone())))
            .collect();
        let mut stats = self.finished_stats.clone();
        for record in self.records.values() {
            add(&mut stats, &record.stats);
        }
        let gauges = self.worker.gauges();
        let ready = self.orders.is_some() && !gauges.is_terminating;
        // `send_replace` works without listeners.
        self.view.send_replace(View {
            ready,
            gauges,
            recordings,
            stats,
        });
    }
}

fn answer(result: Result<Snapshot, Refusal>) -> Result<bytes::Bytes, Error> {
    result
        .map(|s| bytes::Bytes::copy_from_slice(&s.bytes))
        .map_err(|r| convert::error(&r))
}

/// What StopEgress is answered: a child that is overdue is ending all the same.
fn shown(stopping: Stopping) -> Snapshot {
    match stopping {
        Stopping::Now(snapshot) => snapshot,
        Stopping::Overdue(snapshot) => {
            let mut info = convert::info(&snapshot);
            info.set_status(EgressStatus::EgressEnding);
            convert::snapshot(&info)
        }
    }
}

fn file_of(plan: &Plan, tmp: &Path) -> Option<journal::FilePair> {
    plan.outputs.iter().find_map(|output| match output {
        Output::File(file) => {
            let places = local::file(file, &plan.identity.egress_id, tmp, Path::new(ROOT));
            Some(journal::FilePair {
                part: places.part,
                finished: places.finished,
            })
        }
        Output::Segments(_) | Output::Stream(_) | Output::WebSocket(_) | Output::Images(_) => None,
    })
}

/// Counts what is new since the last report.
fn count_uploads(metrics: &Metrics, before: &[Uploads], now: &[Uploads]) {
    for uploads in now {
        let same = |u: &&Uploads| u.kind == uploads.kind && u.status == uploads.status;
        let old = before.iter().find(same);
        let new = uploads.count - old.map_or(0, |u| u.count.min(uploads.count));
        let took = uploads
            .total_ms
            .saturating_sub(old.map_or(0, |u| u.total_ms));
        let status = match uploads.status.as_str() {
            "success" => UploadStatus::Success,
            "4xx" => UploadStatus::Status4xx,
            "5xx" => UploadStatus::Status5xx,
            _ => UploadStatus::Internal,
        };
        for _ in 0..new {
            let took = Duration::from_millis(took / new);
            metrics.upload_ended(&uploads.kind, status, uploads.custom_endpoint, took);
        }
    }
}

fn add(total: &mut Stats, more: &Stats) {
    total.bytes_written += more.bytes_written;
    total.bytes_streamed += more.bytes_streamed;
    total.frames += more.frames;
    total.drops += more.drops;
}

/// A refusal that names no request: nothing in it can be read.
pub(super) fn malformed(error: &wire::prost::DecodeError) -> Error {
    Error::malformed_request(error)
}
