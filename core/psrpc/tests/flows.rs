//! One request at a time: what each end does at each step, in virtual time.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use psrpc::client::{self, Client, Delivery, Nobody, Options};
use psrpc::envelope::Message;
use psrpc::server::{self, Limits, Loss, Server, Verdict};
use psrpc::{Code, Error, Method, Now, Origin, Selection, Topic};
use wire::internal::{ClaimRequest, ClaimResponse, Request, Response};

const MS: Duration = Duration::from_millis(1);
const REQ: &str = "EgressInternal|StartEgress|REQ";
const RCLAIM: &str = "EgressInternal|StartEgress|RCLAIM";

struct Clock(Now);

impl Clock {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let mono = Instant::now();
        Self(Now {
            mono,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000),
        })
    }
    fn at(&self, ms: u32) -> Now {
        Now {
            mono: self.0.mono + MS * ms,
            wall: self.0.wall + MS * ms,
        }
    }
}

fn server(method: Method) -> (Server, server::RegistrationId) {
    let mut server = Server::new(
        "EgressInternal",
        "SRV_1",
        Limits {
            pending: 4,
            ..Limits::default()
        },
    );
    let id = server.register(method, Topic::none()).unwrap();
    while server.poll_effect().is_some() {}
    (server, id)
}

fn request(now: Now, id: &str, lives: Duration) -> Bytes {
    Message::Request(Request {
        request_id: id.to_owned(),
        client_id: "CLI_1".to_owned(),
        sent_at: now.unix_nanos(),
        expiry: now.unix_nanos() + i64::try_from(lives.as_nanos()).unwrap(),
        raw_request: Bytes::from_static(b"secret"),
        skip_claim: true,
        ..Request::default()
    })
    .encode()
}

fn grant(id: &str, server: &str) -> Bytes {
    Message::ClaimResponse(ClaimResponse {
        request_id: id.to_owned(),
        server_id: server.to_owned(),
    })
    .encode()
}

fn effects(server: &mut Server) -> Vec<server::Effect> {
    std::iter::from_fn(|| server.poll_effect()).collect()
}

fn published(effect: &server::Effect) -> (String, Message) {
    let server::Effect::Publish { publication, .. } = effect else {
        panic!("not a publication: {effect:?}");
    };
    let message = Message::decode(publication.payload().clone()).unwrap();
    (publication.channel().to_string(), message)
}

#[test]
fn a_server_asks_bids_waits_for_its_grant_runs_and_answers() {
    let clock = Clock::new();
    let (mut server, registration) = server(Method::affinity("StartEgress"));
    let now = clock.at(0);
    server.receive(now, REQ, request(now, "REQ_1", 10_000 * MS));
    let asked = effects(&mut server);
    let [server::Effect::Ask { request, .. }] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(request.raw_request, "secret");
    assert!(!format!("{request:?}").contains("secret"));

    server.bid(now, registration, &"REQ_1".into(), Verdict::Bid(0.5));
    let (channel, message) = published(&effects(&mut server)[0]);
    assert_eq!(channel, "EgressInternal|CLI_1|CLAIM");
    let Message::ClaimRequest(claim) = message else {
        panic!()
    };
    assert_eq!(
        (claim.server_id.as_str(), claim.affinity, claim.handling),
        ("SRV_1", 0.5, false)
    );

    server.receive(clock.at(5), RCLAIM, grant("REQ_1", "SRV_1"));
    let ran = effects(&mut server);
    assert!(
        matches!(ran.as_slice(), [server::Effect::Run { .. }]),
        "{ran:?}"
    );
    server.receive(clock.at(6), RCLAIM, grant("REQ_1", "SRV_1"));
    assert!(
        effects(&mut server).is_empty(),
        "a second grant changes nothing"
    );

    // The answer goes out even after the expiry.
    server.reply(
        clock.at(11_000),
        &"REQ_1".into(),
        Ok(Bytes::from_static(b"info")),
    );
    let (channel, message) = published(&effects(&mut server)[0]);
    assert_eq!(channel, "EgressInternal|CLI_1|RES");
    let Message::Response(response) = message else {
        panic!()
    };
    assert_eq!(
        (response.error.as_str(), response.raw_response.as_ref()),
        ("", b"info".as_slice())
    );
    server.reply(clock.at(11_000), &"REQ_1".into(), Ok(Bytes::new()));
    assert!(effects(&mut server).is_empty(), "answered once");
}

#[test]
fn a_request_at_its_expiry_is_dropped_in_silence() {
    let clock = Clock::new();
    let (mut server, _) = server(Method::affinity("StartEgress"));
    let payload = request(clock.at(0), "REQ_1", 1000 * MS);
    server.receive(clock.at(1000), REQ, payload.clone());
    assert!(effects(&mut server).is_empty());
    assert_eq!(server.stats().expired, 1);
    server.receive(clock.at(999), REQ, payload);
    assert_eq!(effects(&mut server).len(), 1);
    assert_eq!(server.stats().skew, 999_000_000);
}

#[test]
fn extreme_times_are_survived() {
    let clock = Clock::new();
    for (sent_at, expiry) in [
        (i64::MIN, i64::MAX),
        (i64::MAX, i64::MIN),
        (0, 0),
        (i64::MIN, i64::MIN),
    ] {
        let (mut server, registration) = server(Method::affinity("StartEgress"));
        let message = Request {
            request_id: "REQ_1".to_owned(),
            sent_at,
            expiry,
            ..Request::default()
        };
        server.receive(clock.at(0), REQ, Message::Request(message).encode());
        server.bid(
            clock.at(0),
            registration,
            &"REQ_1".into(),
            Verdict::Bid(1.0),
        );
        server.timeout(clock.at(600_000));
        assert_eq!(
            server.in_flight(),
            0,
            "nothing is waited for longer than the limit"
        );
    }
}

#[test]
fn a_negative_bid_is_silence_and_a_zero_bid_is_a_bid() {
    let clock = Clock::new();
    let (mut server, registration) = server(Method::affinity("StartEgress"));
    let now = clock.at(0);
    for (id, affinity, bids) in [
        ("REQ_1", -1.0, 0),
        ("REQ_2", f32::NAN, 0),
        ("REQ_3", 0.0, 1),
    ] {
        server.receive(now, REQ, request(now, id, 1000 * MS));
        effects(&mut server);
        server.bid(now, registration, &id.into(), Verdict::Bid(affinity));
        assert_eq!(effects(&mut server).len(), bids, "{affinity}");
    }
    assert_eq!(server.in_flight(), 1);
}

#[test]
fn a_malformed_request_is_refused_before_any_claim() {
    let clock = Clock::new();
    let (mut server, registration) = server(Method::affinity("StartEgress"));
    let now = clock.at(0);
    server.receive(now, REQ, request(now, "REQ_1", 1000 * MS));
    effects(&mut server);
    server.bid(
        now,
        registration,
        &"REQ_1".into(),
        Verdict::Refuse(Error::malformed_request("cannot parse")),
    );
    let (_, message) = published(&effects(&mut server)[0]);
    let Message::Response(response) = message else {
        panic!()
    };
    assert_eq!(
        (response.code.as_str(), response.error.as_str()),
        ("malformed_request", "cannot parse")
    );
    assert_eq!(server.in_flight(), 0);
}

#[test]
fn a_foreign_grant_an_expiry_and_a_deregistration_each_lose_the_bid_once() {
    let clock = Clock::new();
    for cause in [Loss::Foreign, Loss::Expired, Loss::Closed] {
        let (mut server, registration) = server(Method::affinity("StartEgress"));
        let now = clock.at(0);
        server.receive(now, REQ, request(now, "REQ_1", 1000 * MS));
        server.bid(now, registration, &"REQ_1".into(), Verdict::Bid(1.0));
        effects(&mut server);
        match cause {
            Loss::Foreign => server.receive(clock.at(1), RCLAIM, grant("REQ_1", "SRV_2")),
            Loss::Closed => server.deregister(registration),
            Loss::Expired | Loss::Held => {
                assert_eq!(server.poll_timeout(), Some(clock.at(1000).mono));
                server.timeout(clock.at(1000));
            }
        }
        let lost: Vec<_> = effects(&mut server)
            .into_iter()
            .filter(|effect| matches!(effect, server::Effect::Lost { cause: c, .. } if *c == cause))
            .collect();
        assert_eq!(lost.len(), 1, "{cause:?}");
        server.receive(clock.at(2), RCLAIM, grant("REQ_1", "SRV_1"));
        server.timeout(clock.at(2000));
        assert!(effects(&mut server).is_empty());
    }
}

#[test]
fn a_held_bid_gives_its_reservation_back_but_still_takes_a_late_grant() {
    let clock = Clock::new();
    let (mut server, registration) = server(Method::affinity("StartEgress").hold(1500 * MS));
    let now = clock.at(0);
    server.receive(now, REQ, request(now, "REQ_1", 10_000 * MS));
    server.bid(now, registration, &"REQ_1".into(), Verdict::Bid(1.0));
    effects(&mut server);
    server.timeout(clock.at(1500));
    assert!(matches!(
        effects(&mut server).as_slice(),
        [server::Effect::Lost {
            cause: Loss::Held,
            ..
        }]
    ));
    server.receive(clock.at(2000), RCLAIM, grant("REQ_1", "SRV_1"));
    assert!(matches!(
        effects(&mut server).as_slice(),
        [server::Effect::Run { .. }]
    ));
}

#[test]
fn a_verdict_that_comes_too_late_is_a_lost_bid() {
    let clock = Clock::new();
    let (mut server, registration) = server(Method::affinity("StartEgress"));
    let now = clock.at(0);
    server.receive(now, REQ, request(now, "REQ_1", 1000 * MS));
    effects(&mut server);
    server.receive(clock.at(1), RCLAIM, grant("REQ_1", "SRV_2"));
    assert!(effects(&mut server).is_empty(), "nothing was bid yet");
    server.bid(
        clock.at(2),
        registration,
        &"REQ_1".into(),
        Verdict::Bid(1.0),
    );
    assert!(matches!(
        effects(&mut server).as_slice(),
        [server::Effect::Lost {
            cause: Loss::Foreign,
            ..
        }]
    ));
}

#[test]
fn a_queue_method_takes_the_lock_first_unless_the_topic_is_ours() {
    let clock = Clock::new();
    let now = clock.at(0);
    let payload = request(now, "REQ_1", 1000 * MS);
    let (mut server_a, _) = server(Method::queue("StartEgress"));
    server_a.receive(now, REQ, payload.clone());
    let first = effects(&mut server_a);
    let [server::Effect::Lock { key, lifetime, .. }] = first.as_slice() else {
        panic!("{first:?}")
    };
    assert_eq!(
        (key, *lifetime),
        (&psrpc::lock::key(&payload), Duration::from_secs(5))
    );
    server_a.locked(&"REQ_1".into(), true);
    assert!(matches!(
        effects(&mut server_a).as_slice(),
        [server::Effect::Ask { .. }]
    ));

    let (mut server_b, _) = server(Method::queue("StartEgress"));
    server_b.receive(now, REQ, payload.clone());
    effects(&mut server_b);
    server_b.locked(&"REQ_1".into(), false);
    assert!(effects(&mut server_b).is_empty());
    assert_eq!((server_b.in_flight(), server_b.stats().unlocked), (0, 1));

    let (mut own, _) = server(Method::own_queue("StartEgress"));
    own.receive(now, REQ, payload);
    assert!(matches!(
        effects(&mut own).as_slice(),
        [server::Effect::Ask { .. }]
    ));
}

#[test]
fn multi_methods_run_at_once_and_listen_to_no_grants() {
    let clock = Clock::new();
    let mut server = Server::new("EgressInternal", "SRV_1", Limits::default());
    let id = server
        .register(Method::multi("StartEgress"), Topic::none())
        .unwrap();
    assert_eq!(server.channels(id).len(), 1);
    effects(&mut server);
    let now = clock.at(0);
    server.receive(now, REQ, request(now, "REQ_1", 1000 * MS));
    server.receive(now, REQ, request(now, "REQ_1", 1000 * MS));
    assert!(matches!(
        effects(&mut server).as_slice(),
        [server::Effect::Run { .. }]
    ));
    server.reply(now, &"REQ_1".into(), Err(Error::new(Code::Internal, "")));
    let (_, message) = published(&effects(&mut server)[0]);
    let Message::Response(response) = message else {
        panic!()
    };
    assert_eq!(
        response.error, "internal",
        "an empty text would mean success"
    );
    server.receive(now, REQ, request(now, "REQ_1", 1000 * MS));
    assert!(
        effects(&mut server).is_empty(),
        "finished ids stay known until their expiry"
    );
    assert_eq!(server.stats().duplicate, 2);
}

#[test]
fn what_is_pending_is_bounded() {
    let clock = Clock::new();
    let (mut server, _) = server(Method::affinity("StartEgress"));
    let now = clock.at(0);
    for id in ["1", "2", "3", "4", "5", "6"] {
        server.receive(now, REQ, request(now, id, 1000 * MS));
    }
    assert_eq!((server.in_flight(), server.stats().overloaded), (4, 2));
    server.timeout(clock.at(1000));
    assert_eq!(server.in_flight(), 0);
}

#[test]
fn a_topic_is_served_once_and_can_be_served_again() {
    let mut server = Server::new("EgressHandler", "SRV_1", Limits::default());
    let topic = Topic::from("EG_1");
    let id = server
        .register(Method::own_queue("StopEgress"), topic.clone())
        .unwrap();
    assert!(
        server
            .register(Method::own_queue("StopEgress"), topic.clone())
            .is_err()
    );
    server
        .register(Method::own_queue("StopEgress"), Topic::from("EG_2"))
        .unwrap();
    effects(&mut server);
    server.deregister(id);
    let names: Vec<String> = effects(&mut server)
        .into_iter()
        .map(|effect| {
            let server::Effect::Unsubscribe(channel) = effect else {
                panic!("{effect:?}");
            };
            channel.to_string()
        })
        .collect();
    assert_eq!(
        names,
        [
            "EgressHandler|StopEgress|EG_1|REQ",
            "EgressHandler|StopEgress|EG_1|RCLAIM"
        ]
    );
    server
        .register(Method::own_queue("StopEgress"), topic)
        .unwrap();
}

// ---- client ----

const CLAIM: &str = "IOInfo|CLI_1|CLAIM";
const RES: &str = "IOInfo|CLI_1|RES";

fn call(clock: &Clock, method: &Method, options: Options) -> Client {
    let mut client = Client::new("IOInfo", "CLI_1", 2);
    client.call(
        clock.at(0),
        "REQ_1".into(),
        method,
        &Topic::none(),
        Bytes::from_static(b"q"),
        options,
    );
    let asked = client.poll_effect();
    assert!(
        matches!(asked, Some(client::Effect::Ask { .. })),
        "{asked:?}"
    );
    client
}

fn claim(server: &str, affinity: f32) -> Bytes {
    let (request_id, server_id) = ("REQ_1".to_owned(), server.to_owned());
    Message::ClaimRequest(ClaimRequest {
        request_id,
        server_id,
        affinity,
        handling: false,
    })
    .encode()
}

fn answer(server: &str, error: &str, code: &str) -> Bytes {
    Message::Response(Response {
        request_id: "REQ_1".to_owned(),
        server_id: server.to_owned(),
        error: error.to_owned(),
        code: code.to_owned(),
        raw_response: Bytes::from_static(b"a"),
        ..Response::default()
    })
    .encode()
}

fn done(client: &mut Client) -> Result<Bytes, Error> {
    match client.poll_effect() {
        Some(client::Effect::Done { result, .. }) => {
            assert_eq!(client.in_flight(), 0);
            assert_eq!(client.poll_timeout(), None);
            result
        }
        other => panic!("not done: {other:?}"),
    }
}

fn granted(client: &mut Client) -> String {
    let effect = client.poll_effect();
    let Some(client::Effect::Grant { publication, .. }) = effect else {
        panic!("not a grant: {effect:?}");
    };
    assert_eq!(publication.channel().as_str(), "IOInfo|CreateEgress|RCLAIM");
    let Ok(Message::ClaimResponse(message)) = Message::decode(publication.payload().clone()) else {
        panic!("not a grant");
    };
    message.server_id
}

#[test]
fn a_queue_call_grants_the_first_bid_and_takes_the_answer() {
    let clock = Clock::new();
    let method = Method::queue("CreateEgress");
    let mut client = call(&clock, &method, Options::of(&method));
    client.receive(clock.at(1), CLAIM, claim("SRV_a", 1.0));
    assert_eq!(granted(&mut client), "SRV_a");
    client.receive(clock.at(2), CLAIM, claim("SRV_b", 1.0));
    assert_eq!(client.poll_effect(), None, "late bids are nothing");
    client.receive(
        clock.at(3),
        RES,
        answer("SRV_b", "nonsense", "malformed_request"),
    );
    assert_eq!(
        client.poll_effect(),
        None,
        "another server's error is not about our grant"
    );
    client.receive(clock.at(4), RES, answer("SRV_a", "", ""));
    assert_eq!(done(&mut client), Ok(Bytes::from_static(b"a")));
    client.receive(clock.at(5), RES, answer("SRV_a", "", ""));
    assert_eq!(client.poll_effect(), None);
    assert_eq!(client.stats().stray, 3);
}

#[test]
fn the_request_on_the_wire_expires_with_the_call_and_asks_for_no_favours() {
    let clock = Clock::new();
    let method = Method::queue("CreateEgress");
    let mut client = Client::new("IOInfo", "CLI_1", 2);
    let mut options = Options::of(&method);
    options.timeout = Duration::from_secs(15);
    options.deadline = Some(clock.at(10_000).mono);
    client.call(
        clock.at(0),
        "REQ_1".into(),
        &method,
        &Topic::from("t"),
        Bytes::new(),
        options,
    );
    let Some(client::Effect::Ask { publication, .. }) = client.poll_effect() else {
        panic!()
    };
    assert_eq!(publication.channel().as_str(), "IOInfo|CreateEgress|t|REQ");
    let Ok(Message::Request(m)) = Message::decode(publication.payload().clone()) else {
        panic!()
    };
    assert_eq!(
        m.expiry - m.sent_at,
        10_000_000_000,
        "clamped to the caller's deadline"
    );
    assert!(!m.skip_claim && !m.multi);
}

#[test]
fn timeouts_have_upstreams_codes_and_texts() {
    let clock = Clock::new();
    let method = Method::queue("CreateEgress");
    let options = || Options {
        nobody: Nobody::Wait,
        ..Options::of(&method)
    };

    let mut client = call(&clock, &method, options());
    client.timeout(clock.at(999));
    assert_eq!(client.poll_effect(), None);
    client.timeout(clock.at(1000));
    let error = done(&mut client).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::Unavailable, "no response from servers")
    );
    assert!(error.unanswered());

    let mut client = call(
        &clock,
        &method,
        Options {
            selection: Selection::first_whenever(),
            ..options()
        },
    );
    client.timeout(clock.at(2999));
    assert_eq!(client.poll_effect(), None);
    client.timeout(clock.at(3000));
    assert_eq!(done(&mut client), Err(Error::no_response()));

    let mut client = call(&clock, &method, options());
    client.receive(clock.at(1), CLAIM, claim("SRV_a", 1.0));
    granted(&mut client);
    client.timeout(clock.at(3000));
    let error = done(&mut client).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::DeadlineExceeded, "request timed out")
    );

    let mut client = call(&clock, &method, options());
    client.cancel(&"REQ_1".into());
    let error = done(&mut client).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::Canceled, "request canceled")
    );

    let mut client = call(&clock, &method, options());
    client.close();
    let error = done(&mut client).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::Canceled, "client is closed")
    );
}

#[test]
fn an_early_success_is_the_answer_and_an_early_error_is_only_remembered() {
    let clock = Clock::new();
    let method = Method::queue("CreateEgress");
    let mut client = call(&clock, &method, Options::of(&method));
    client.receive(clock.at(1), RES, answer("SRV_a", "", ""));
    assert_eq!(done(&mut client), Ok(Bytes::from_static(b"a")));

    let mut client = call(&clock, &method, Options::of(&method));
    client.receive(
        clock.at(1),
        RES,
        answer("SRV_a", "cannot parse", "malformed_request"),
    );
    assert_eq!(client.poll_effect(), None);
    client.timeout(clock.at(1000));
    let error = done(&mut client).unwrap_err();
    assert_eq!(
        (error.code, error.origin),
        (Code::MalformedRequest, Origin::Peer)
    );
    assert!(!error.unanswered());
}

#[test]
fn an_audience_of_none_fails_at_once_only_if_asked_to() {
    let clock = Clock::new();
    let method = Method::queue("CreateEgress");
    let mut client = call(&clock, &method, Options::of(&method));
    client.published(&"REQ_1".into(), &Delivery::To(1));
    client.published(&"REQ_1".into(), &Delivery::Uncounted);
    assert_eq!(client.poll_effect(), None);
    client.published(&"REQ_1".into(), &Delivery::To(0));
    assert_eq!(done(&mut client), Err(Error::no_response()));

    let mut client = call(
        &clock,
        &method,
        Options {
            nobody: Nobody::Wait,
            ..Options::of(&method)
        },
    );
    client.published(&"REQ_1".into(), &Delivery::To(0));
    assert_eq!(client.poll_effect(), None);
    client.published(&"REQ_1".into(), &Delivery::Failed("broken pipe".to_owned()));
    let error = done(&mut client).unwrap_err();
    assert_eq!((error.code, error.unanswered()), (Code::Unavailable, true));
}

#[test]
fn calls_in_flight_are_bounded_and_closed_clients_refuse() {
    let clock = Clock::new();
    let method = Method::queue("CreateEgress");
    let mut client = call(&clock, &method, Options::of(&method));
    for (id, asked) in [("REQ_2", true), ("REQ_3", false), ("REQ_1", false)] {
        client.call(
            clock.at(0),
            id.into(),
            &method,
            &Topic::none(),
            Bytes::new(),
            Options::of(&method),
        );
        let effect = client.poll_effect();
        assert_eq!(
            matches!(effect, Some(client::Effect::Ask { .. })),
            asked,
            "{effect:?}"
        );
    }
    client.close();
    while client.poll_effect().is_some() {}
    client.call(
        clock.at(0),
        "REQ_9".into(),
        &method,
        &Topic::none(),
        Bytes::new(),
        Options::of(&method),
    );
    assert_eq!(done(&mut client), Err(Error::client_closed()));
}

#[test]
fn a_multi_call_collects_one_answer_of_each_server_until_its_timeout() {
    let clock = Clock::new();
    let method = Method::multi("List");
    let mut client = call(&clock, &method, Options::of(&method));
    client.receive(clock.at(1), RES, answer("SRV_a", "", ""));
    client.receive(clock.at(2), RES, answer("SRV_b", "no", "internal"));
    client.receive(clock.at(3), RES, answer("SRV_a", "", ""));
    let mut servers = Vec::new();
    while let Some(client::Effect::Answer { server_id, .. }) = client.poll_effect() {
        servers.push(server_id);
    }
    assert_eq!(servers, ["SRV_a", "SRV_b"]);
    client.timeout(clock.at(3000));
    assert!(matches!(
        client.poll_effect(),
        Some(client::Effect::Collected { .. })
    ));
}

#[test]
fn a_direct_call_needs_no_claim() {
    let clock = Clock::new();
    let method = Method::direct("EgressReady");
    let mut client = call(&clock, &method, Options::of(&method));
    client.receive(clock.at(1), RES, answer("SRV_a", "no", ""));
    let error = done(&mut client).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Unknown, "no"));
    let mut client = call(&clock, &method, Options::of(&method));
    client.timeout(clock.at(3000));
    assert_eq!(done(&mut client), Err(Error::timed_out()));
}
