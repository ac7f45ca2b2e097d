//! N servers and M clients on a bus that loses, duplicates and reorders, in virtual time.
//!
//! What must hold for every seed: at most one server runs a claimed request, and no server runs any request twice;
//! nothing is begun at or after its expiry; every call ends, in time; every bid ends in a run or in a loss, but once;
//! nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use psrpc::client::{self, Client, Delivery, Nobody, Options};
use psrpc::envelope::{Message, Publication};
use psrpc::server::{self, Incoming, Limits, Server, Verdict};
use psrpc::{Code, Error, Method, Now, RequestId, Selection, Topic};

/// splitmix64
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

#[derive(Clone, Copy)]
struct Weather {
    loss: u64,
    duplicates: u64,
    max_delay_ms: u64,
    skew_ms: u64,
}

enum Event {
    Deliver {
        to: Node,
        channel: String,
        payload: Bytes,
    },
    Locked {
        server: usize,
        id: RequestId,
        taken: bool,
    },
    Verdict {
        server: usize,
        registration: server::RegistrationId,
        id: RequestId,
        verdict: Verdict,
    },
    Reply {
        server: usize,
        id: RequestId,
        result: Result<Bytes, Error>,
    },
    Published {
        client: usize,
        id: RequestId,
        receivers: u64,
    },
    Call {
        client: usize,
        method: usize,
    },
    Restart {
        server: usize,
    },
    Wake,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Server(usize),
    Client(usize),
}

#[derive(Default)]
struct Bid {
    reserved: bool,
    held: bool,
    run: bool,
    lost: bool,
}

struct World {
    dice: Dice,
    weather: Weather,
    start: Instant,
    epoch: SystemTime,
    at: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
    servers: Vec<Server>,
    skews: Vec<Duration>,
    clients: Vec<Client>,
    subscriptions: BTreeMap<String, BTreeSet<Node>>,
    locks: BTreeMap<String, Duration>,
    methods: Vec<Method>,
    runs: BTreeMap<RequestId, Vec<usize>>,
    multi: BTreeSet<RequestId>,
    bids: BTreeMap<(usize, RequestId), Bid>,
    deadlines: BTreeMap<RequestId, Duration>,
    ended: BTreeMap<RequestId, Result<Bytes, Error>>,
    collected: BTreeSet<RequestId>,
}

impl World {
    fn new(seed: u64, servers: usize, clients: usize, weather: Weather) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut world = Self {
            dice: Dice(seed),
            weather,
            start,
            epoch: SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000),
            at: Duration::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            servers: Vec::new(),
            skews: Vec::new(),
            clients: Vec::new(),
            subscriptions: BTreeMap::new(),
            locks: BTreeMap::new(),
            methods: vec![
                Method::affinity("Start").hold(Duration::from_millis(1500)),
                Method::queue("Create"),
                Method::own_queue("Stop"),
                Method::multi("List"),
            ],
            runs: BTreeMap::new(),
            multi: BTreeSet::new(),
            bids: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            ended: BTreeMap::new(),
            collected: BTreeSet::new(),
        };
        for index in 0..servers {
            let mut server = Server::new("Svc", &format!("SRV_{index}"), Limits::default());
            for method in world.methods.clone() {
                server.register(method, Topic::none()).unwrap();
            }
            let skew = Duration::from_millis(world.dice.below(world.weather.skew_ms + 1));
            world.skews.push(skew);
            world.servers.push(server);
            world.drain_server(index);
        }
        for index in 0..clients {
            let client = Client::new("Svc", &format!("CLI_{index}"), 64);
            for channel in client.channels() {
                world
                    .subscriptions
                    .entry(channel.as_str().to_owned())
                    .or_default()
                    .insert(Node::Client(index));
            }
            world.clients.push(client);
        }
        world
    }

    fn now(&self, node: Node) -> Now {
        let skew = match node {
            Node::Server(index) => self.skews[index],
            Node::Client(_) => Duration::ZERO,
        };
        Now {
            mono: self.start + self.at,
            wall: self.epoch + self.at + skew,
        }
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.at + after, self.sequence), event);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.dice.below(self.weather.max_delay_ms * 1000 + 1))
    }

    fn publish(&mut self, publication: &Publication) -> u64 {
        let channel = publication.channel().as_str().to_owned();
        let receivers: Vec<Node> = self
            .subscriptions
            .get(&channel)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for to in &receivers {
            let copies = if self.dice.percent(self.weather.loss) {
                0
            } else if self.dice.percent(self.weather.duplicates) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let delay = self.delay();
                let payload = publication.payload().clone();
                self.push(
                    delay,
                    Event::Deliver {
                        to: *to,
                        channel: channel.clone(),
                        payload,
                    },
                );
            }
        }
        receivers.len() as u64
    }

    fn drain_server(&mut self, index: usize) {
        while let Some(effect) = self.servers[index].poll_effect() {
            match effect {
                server::Effect::Subscribe(channel) => {
                    self.subscriptions
                        .entry(channel.as_str().to_owned())
                        .or_default()
                        .insert(Node::Server(index));
                }
                server::Effect::Unsubscribe(channel) => {
                    if let Some(set) = self.subscriptions.get_mut(channel.as_str()) {
                        set.remove(&Node::Server(index));
                    }
                }
                server::Effect::Lock {
                    request_id: id,
                    key,
                    lifetime,
                } => {
                    let taken = self.locks.get(&key).is_none_or(|until| *until <= self.at);
                    if taken {
                        self.locks.insert(key, self.at + lifetime);
                    }
                    let delay = self.delay();
                    self.push(
                        delay,
                        Event::Locked {
                            server: index,
                            id,
                            taken,
                        },
                    );
                }
                server::Effect::Ask {
                    registration,
                    request,
                } => {
                    let id = request.request_id;
                    let verdict = match self.dice.below(10) {
                        0 => Verdict::Silent,
                        1 => Verdict::Bid(-1.0),
                        2 => Verdict::Refuse(Error::malformed_request("cannot parse")),
                        3..=6 => Verdict::Bid(0.5),
                        _ => Verdict::Bid(1.0),
                    };
                    let reserved = matches!(verdict, Verdict::Bid(affinity) if affinity >= 0.0);
                    let bid = self.bids.entry((index, id.clone())).or_default();
                    assert!(!bid.reserved, "asked twice about {id}");
                    bid.reserved = reserved;
                    let delay = if self.dice.percent(80) {
                        Duration::ZERO
                    } else {
                        self.delay()
                    };
                    self.push(
                        delay,
                        Event::Verdict {
                            server: index,
                            registration,
                            id,
                            verdict,
                        },
                    );
                }
                server::Effect::Run { request, .. } => self.run_handler(index, &request),
                server::Effect::Lost {
                    request_id: id,
                    cause,
                    ..
                } => {
                    let bid = self
                        .bids
                        .get_mut(&(index, id.clone()))
                        .expect("only bids are lost");
                    assert!(
                        bid.reserved && !bid.lost && !bid.run,
                        "{id} lost twice or after it ran"
                    );
                    bid.lost = true;
                    bid.held = cause == server::Loss::Held;
                }
                server::Effect::Publish { publication, .. } => {
                    self.publish(&publication);
                }
            }
        }
    }

    fn run_handler(&mut self, index: usize, request: &Incoming) {
        let id = request.request_id.clone();
        assert!(
            self.start + self.at < request.deadline,
            "{id} begun after its deadline"
        );
        if let Some(deadline) = self.deadlines.get(&id) {
            assert!(self.at < *deadline, "{id} begun after its expiry");
        }
        if request.method == "List" {
            self.multi.insert(id.clone());
        } else {
            let bid = self
                .bids
                .get_mut(&(index, id.clone()))
                .expect("only bids run");
            assert!(
                bid.reserved && !bid.run && (!bid.lost || bid.held),
                "{id} run twice or after it was lost"
            );
            bid.run = true;
        }
        self.runs.entry(id.clone()).or_default().push(index);
        let result = if self.dice.percent(20) {
            Err(Error::new(Code::NotFound, "egress not found"))
        } else {
            Ok(Bytes::copy_from_slice(format!("{index}").as_bytes()))
        };
        let work = Duration::from_millis(self.dice.below(4000));
        self.push(
            work,
            Event::Reply {
                server: index,
                id,
                result,
            },
        );
    }

    fn drain_client(&mut self, index: usize) {
        while let Some(effect) = self.clients[index].poll_effect() {
            match effect {
                client::Effect::Ask {
                    request_id: id,
                    publication,
                } => {
                    let receivers = self.publish(&publication);
                    let delay = self.delay();
                    self.push(
                        delay,
                        Event::Published {
                            client: index,
                            id,
                            receivers,
                        },
                    );
                }
                client::Effect::Grant { publication, .. } => {
                    self.publish(&publication);
                }
                client::Effect::Done {
                    request_id: id,
                    result,
                } => {
                    assert!(self.at <= self.deadlines[&id], "{id} ended late");
                    assert!(self.ended.insert(id, result).is_none(), "ended twice");
                }
                client::Effect::Answer { request_id: id, .. } => {
                    assert!(!self.collected.contains(&id))
                }
                client::Effect::Collected { request_id: id } => {
                    assert!(self.at <= self.deadlines[&id], "{id} ended late");
                    assert!(self.collected.insert(id), "ended twice");
                }
            }
        }
    }

    fn call(&mut self, index: usize, method: usize) {
        let method = self.methods[method].clone();
        let mut random = || self.dice.next();
        let id = RequestId::random(&mut random);
        let mut options = Options::of(&method);
        options.timeout = Duration::from_millis(500 + self.dice.below(9500));
        options.selection = if method.name == "Start" {
            Selection::start_egress()
        } else {
            Selection::first_whenever()
        };
        options.nobody = if self.dice.percent(50) {
            Nobody::Fail
        } else {
            Nobody::Wait
        };
        self.deadlines.insert(id.clone(), self.at + options.timeout);
        let now = self.now(Node::Client(index));
        self.clients[index].call(
            now,
            id,
            &method,
            &Topic::none(),
            Bytes::from_static(b"x"),
            options,
        );
        self.drain_client(index);
    }

    fn step(&mut self) -> bool {
        let wake = self
            .servers
            .iter()
            .map(Server::poll_timeout)
            .chain(self.clients.iter().map(Client::poll_timeout))
            .flatten()
            .min()
            .map(|at| at.saturating_duration_since(self.start));
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let event = match (queued, wake) {
            (None, None) => return false,
            (Some(at), Some(wake)) if wake < at => Event::Wake,
            (None, Some(_)) => Event::Wake,
            (Some(_), _) => {
                let ((at, _), event) = self.queue.pop_first().unwrap();
                self.at = at;
                event
            }
        };
        match event {
            Event::Wake => {
                self.at = wake.unwrap().max(self.at);
                for index in 0..self.servers.len() {
                    let now = self.now(Node::Server(index));
                    self.servers[index].timeout(now);
                    self.drain_server(index);
                }
                for index in 0..self.clients.len() {
                    let now = self.now(Node::Client(index));
                    self.clients[index].timeout(now);
                    self.drain_client(index);
                }
            }
            Event::Deliver {
                to: Node::Server(index),
                channel,
                payload,
            } => {
                let now = self.now(Node::Server(index));
                self.servers[index].receive(now, &channel, payload);
                self.drain_server(index);
            }
            Event::Deliver {
                to: Node::Client(index),
                channel,
                payload,
            } => {
                let now = self.now(Node::Client(index));
                self.clients[index].receive(now, &channel, payload);
                self.drain_client(index);
            }
            Event::Locked { server, id, taken } => {
                self.servers[server].locked(&id, taken);
                self.drain_server(server);
            }
            Event::Verdict {
                server,
                registration,
                id,
                verdict,
            } => {
                let now = self.now(Node::Server(server));
                self.servers[server].bid(now, registration, &id, verdict);
                self.drain_server(server);
            }
            Event::Reply { server, id, result } => {
                let now = self.now(Node::Server(server));
                self.servers[server].reply(now, &id, result);
                self.drain_server(server);
            }
            Event::Published {
                client,
                id,
                receivers,
            } => {
                self.clients[client].published(&id, &Delivery::To(receivers));
                self.drain_client(client);
            }
            Event::Call { client, method } => self.call(client, method),
            Event::Restart { server } => {
                self.servers[server].close();
                self.drain_server(server);
                for method in self.methods.clone() {
                    self.servers[server]
                        .register(method, Topic::none())
                        .unwrap();
                }
                self.drain_server(server);
            }
        }
        true
    }

    fn play(&mut self, calls: usize, restarts: usize) {
        for _ in 0..calls {
            let at = Duration::from_millis(self.dice.below(20_000));
            let client = usize::try_from(self.dice.below(self.clients.len() as u64)).unwrap();
            let method = usize::try_from(self.dice.below(self.methods.len() as u64)).unwrap();
            self.push(at, Event::Call { client, method });
        }
        for _ in 0..restarts {
            let at = Duration::from_millis(self.dice.below(20_000));
            let server = usize::try_from(self.dice.below(self.servers.len() as u64)).unwrap();
            self.push(at, Event::Restart { server });
        }
        while self.step() {}
    }

    fn check(&self) {
        for (id, servers) in &self.runs {
            let distinct: BTreeSet<_> = servers.iter().collect();
            assert_eq!(
                distinct.len(),
                servers.len(),
                "{id} run twice by one server"
            );
            assert!(
                self.multi.contains(id) || servers.len() == 1,
                "{id} run by {servers:?}"
            );
        }
        for id in self.deadlines.keys() {
            assert!(
                self.ended.contains_key(id) ^ self.collected.contains(id),
                "{id} never ended"
            );
        }
        for ((server, id), bid) in &self.bids {
            assert!(
                !bid.reserved || bid.run || bid.lost,
                "server {server} still holds {id}"
            );
        }
        for server in &self.servers {
            assert_eq!(server.in_flight(), 0);
            assert_eq!(server.poll_timeout(), None);
        }
        for client in &self.clients {
            assert_eq!(client.in_flight(), 0);
        }
    }
}

fn storms(
    name: &str,
    seeds: u64,
    servers: usize,
    clients: usize,
    weather: Weather,
) -> (usize, usize) {
    let (mut good, mut all) = (0, 0);
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, servers, clients, weather);
            world.play(40, 3);
            world.check();
            let good = world.ended.values().filter(|r| r.is_ok()).count();
            (good, world.ended.len())
        });
        match outcome {
            Ok((g, a)) => {
                good += g;
                all += a;
            }
            Err(cause) => {
                // The seed has to be in the failure.
                let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
                panic!("{name}: seed {seed}: {text}");
            }
        }
    }
    (good, all)
}

#[test]
fn a_calm_bus_serves_nearly_everything() {
    let weather = Weather {
        loss: 0,
        duplicates: 0,
        max_delay_ms: 2,
        skew_ms: 0,
    };
    let (good, all) = storms("calm", 100, 4, 2, weather);
    // Losses here are handlers that answer an error or take longer than the call, silent and refusing servers.
    assert!(good * 100 > all * 35, "{good} of {all}");
}

#[test]
fn a_stormy_bus_never_runs_a_request_twice_and_every_call_ends() {
    storms(
        "storm",
        300,
        5,
        3,
        Weather {
            loss: 20,
            duplicates: 30,
            max_delay_ms: 900,
            skew_ms: 0,
        },
    );
}

#[test]
fn late_duplicates_and_skewed_clocks_change_nothing() {
    storms(
        "skew",
        300,
        3,
        3,
        Weather {
            loss: 5,
            duplicates: 60,
            max_delay_ms: 6000,
            skew_ms: 2000,
        },
    );
}

#[test]
fn one_server_and_one_client_are_a_world_too() {
    storms(
        "pair",
        200,
        1,
        1,
        Weather {
            loss: 10,
            duplicates: 20,
            max_delay_ms: 50,
            skew_ms: 0,
        },
    );
}

#[test]
fn garbage_and_messages_of_the_wrong_kind_are_counted_and_ignored() {
    let mut world = World::new(
        1,
        1,
        1,
        Weather {
            loss: 0,
            duplicates: 0,
            max_delay_ms: 1,
            skew_ms: 0,
        },
    );
    let now = world.now(Node::Server(0));
    let wrong = Message::Response(wire::internal::Response::default()).encode();
    for channel in ["Svc|Start|REQ", "Svc|Start|RCLAIM"] {
        world.servers[0].receive(now, channel, wrong.clone());
        world.servers[0].receive(now, channel, Bytes::from_static(b"\xff\xff"));
        world.servers[0].receive(now, channel, Bytes::new());
    }
    world.servers[0].receive(now, "Svc|Other|REQ", wrong.clone());
    assert_eq!(world.servers[0].stats().garbage, 6);
    assert_eq!(world.servers[0].stats().stray, 1);
    world.clients[0].receive(now, "Svc|CLI_0|CLAIM", wrong.clone());
    world.clients[0].receive(now, "Svc|CLI_0|RES", wrong);
    assert_eq!(world.clients[0].stats().garbage, 1);
    assert_eq!(world.clients[0].stats().stray, 1);
    assert!(world.servers[0].poll_effect().is_none());
    assert!(world.clients[0].poll_effect().is_none());
}
