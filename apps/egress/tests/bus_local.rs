//! psrpc over the bus inside one process: what the façade promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use egress::bus::rpc::{Handler, Node, ServeError};
use egress::bus::{Bus, local::Hub};
use psrpc::client::Options;
use psrpc::server::{Loss, Verdict};
use psrpc::{Code, Error, Method, Selection, Topic};
use tokio::sync::{Semaphore, mpsc};

const LIMIT: Duration = Duration::from_secs(30);

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work)
        .await
        .expect("waited in vain")
}

fn echo(name: &'static str) -> Handler {
    Handler::new(move |request| async move {
        Ok(Bytes::from(
            [name.as_bytes(), &request.raw_request].concat(),
        ))
    })
}

fn patient(method: &Method) -> Options {
    Options {
        timeout: LIMIT,
        ..Options::of(method)
    }
}

#[tokio::test]
async fn the_best_bidder_runs_and_the_others_are_told() {
    let hub = Hub::new();
    let method = Method::affinity("StartEgress");
    let (lost, mut losses) = mpsc::unbounded_channel();
    let mut registrations = Vec::new();
    for (name, affinity) in [("a", 0.25), ("b", 0.75), ("c", -1.0), ("d", 0.5)] {
        let node = Node::spawn(Bus::Local(hub.clone()));
        let lost = lost.clone();
        let handler = echo(name)
            .affinity(move |_| Verdict::Bid(affinity))
            .lost(move |_, cause| lost.send((name, cause)).unwrap_or_default());
        registrations.push(
            node.serve("EgressInternal", method.clone(), Topic::none(), handler)
                .await
                .unwrap(),
        );
    }
    let caller = Node::spawn(Bus::Local(hub));
    let options = Options {
        selection: Selection::start_egress(),
        ..patient(&method)
    };
    let started = Instant::now();
    let answer = within(caller.call(
        "EgressInternal",
        &method,
        &Topic::none(),
        Bytes::from_static(b"!"),
        options,
    ))
    .await;
    assert_eq!(answer, Ok(Bytes::from_static(b"b!")));
    assert!(
        started.elapsed() >= Duration::from_millis(500),
        "nobody bid 1: the short circuit"
    );
    let mut told = [
        within(losses.recv()).await.unwrap(),
        within(losses.recv()).await.unwrap(),
    ];
    told.sort_by_key(|(name, _)| *name);
    assert_eq!(told, [("a", Loss::Foreign), ("d", Loss::Foreign)]);
}

#[tokio::test]
async fn one_of_many_gets_a_queue_request() {
    let hub = Hub::new();
    let method = Method::queue("CreateEgress");
    let handled = Arc::new(AtomicUsize::new(0));
    let mut registrations = Vec::new();
    for _ in 0..4 {
        let handled = Arc::clone(&handled);
        let handler = Handler::new(move |_| {
            handled.fetch_add(1, Ordering::SeqCst);
            async { Ok(Bytes::new()) }
        });
        let node = Node::spawn(Bus::Local(hub.clone()));
        registrations.push(
            node.serve("IOInfo", method.clone(), Topic::none(), handler)
                .await
                .unwrap(),
        );
    }
    let caller = Node::spawn(Bus::Local(hub));
    for _ in 0..20 {
        within(caller.call(
            "IOInfo",
            &method,
            &Topic::none(),
            Bytes::new(),
            patient(&method),
        ))
        .await
        .unwrap();
    }
    assert_eq!(handled.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn nobody_there_is_known_at_once() {
    let node = Node::spawn(Bus::Local(Hub::new()));
    let method = Method::queue("CreateEgress");
    let started = Instant::now();
    let error = node
        .call(
            "IOInfo",
            &method,
            &Topic::none(),
            Bytes::new(),
            patient(&method),
        )
        .await
        .unwrap_err();
    assert_eq!(error, Error::no_response());
    assert!(error.unanswered());
    assert!(started.elapsed() < LIMIT / 2);
}

#[tokio::test]
async fn panics_are_answered_and_the_node_lives_on() {
    let node = Node::spawn(Bus::Local(Hub::new()));
    let method = Method::own_queue("StopEgress");
    let (topic, other) = (Topic::from("EG_1"), Topic::from("EG_2"));
    let handler = Handler::new(|request| async move {
        assert!(request.raw_request.is_empty(), "as it should");
        Ok(Bytes::from_static(b"fine"))
    });
    let _one = node
        .serve("EgressHandler", method.clone(), topic.clone(), handler)
        .await
        .unwrap();
    let mad = echo("x")
        .affinity(|_| panic!("no bid"))
        .lost(|_, _| panic!("no hook"));
    let _two = node
        .serve("EgressHandler", method.clone(), other.clone(), mad)
        .await
        .unwrap();

    let call = |topic: &Topic, body: &'static [u8], timeout| {
        let (node, method, topic) = (node.clone(), method.clone(), topic.clone());
        async move {
            let options = Options {
                timeout,
                ..Options::of(&method)
            };
            node.call(
                "EgressHandler",
                &method,
                &topic,
                Bytes::from_static(body),
                options,
            )
            .await
        }
    };
    let error = within(call(&topic, b"boom", LIMIT)).await.unwrap_err();
    assert_eq!((error.code, error.unanswered()), (Code::Internal, false));
    let error = within(call(&other, b"", Duration::from_millis(200)))
        .await
        .unwrap_err();
    assert_eq!(error, Error::no_response());
    assert_eq!(
        within(call(&topic, b"", LIMIT)).await,
        Ok(Bytes::from_static(b"fine"))
    );
}

#[tokio::test]
async fn a_malformed_request_is_refused_without_a_claim() {
    let node = Node::spawn(Bus::Local(Hub::new()));
    let method = Method::affinity("StartEgress");
    let handler = echo("x").affinity(|_| Verdict::Refuse(Error::malformed_request("cannot parse")));
    let _registration = node
        .serve("EgressInternal", method.clone(), Topic::none(), handler)
        .await
        .unwrap();
    let options = Options {
        timeout: Duration::from_millis(300),
        ..Options::of(&method)
    };
    let error = within(node.call(
        "EgressInternal",
        &method,
        &Topic::none(),
        Bytes::new(),
        options,
    ))
    .await
    .unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::MalformedRequest, "cannot parse")
    );
}

#[tokio::test]
async fn everybody_answers_a_multi_call() {
    let hub = Hub::new();
    let method = Method::multi("ListActiveEgress");
    let mut registrations = Vec::new();
    for name in ["a", "b", "c"] {
        let node = Node::spawn(Bus::Local(hub.clone()));
        registrations.push(
            node.serve("EgressInternal", method.clone(), Topic::none(), echo(name))
                .await
                .unwrap(),
        );
    }
    let node = Node::spawn(Bus::Local(hub));
    let options = Options {
        timeout: Duration::from_millis(300),
        ..Options::of(&method)
    };
    let everywhere = Topic::none();
    let call = node.call_multi(
        "EgressInternal",
        &method,
        &everywhere,
        Bytes::new(),
        options,
    );
    let mut answers: Vec<Bytes> = within(call)
        .await
        .unwrap()
        .into_iter()
        .map(|(_, answer)| answer.unwrap())
        .collect();
    answers.sort();
    assert_eq!(answers, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_closed_registration_serves_no_more_and_its_topic_is_free_again() {
    let node = Node::spawn(Bus::Local(Hub::new()));
    let method = Method::own_queue("StopEgress");
    let topic = Topic::from("EG_1");
    let first = node
        .serve("EgressHandler", method.clone(), topic.clone(), echo("1"))
        .await
        .unwrap();
    within(first.confirmed()).await;
    let again = node
        .serve("EgressHandler", method.clone(), topic.clone(), echo("2"))
        .await;
    assert!(matches!(again, Err(ServeError::AlreadyServed(_))));
    first.close().await;
    let error = within(node.call(
        "EgressHandler",
        &method,
        &topic,
        Bytes::new(),
        patient(&method),
    ))
    .await
    .unwrap_err();
    assert_eq!(error, Error::no_response());
    let second = node
        .serve("EgressHandler", method.clone(), topic.clone(), echo("2"))
        .await
        .unwrap();
    let answer = within(node.call(
        "EgressHandler",
        &method,
        &topic,
        Bytes::new(),
        patient(&method),
    ))
    .await;
    assert_eq!(answer, Ok(Bytes::from_static(b"2")));
    drop(second);
    let error = within(node.call(
        "EgressHandler",
        &method,
        &topic,
        Bytes::new(),
        patient(&method),
    ))
    .await
    .unwrap_err();
    assert_eq!(error, Error::no_response());
}

#[tokio::test]
async fn no_more_handlers_run_at_once_than_allowed() {
    let node = Node::spawn(Bus::Local(Hub::new()));
    let method = Method::own_queue("StopEgress");
    let gate = Arc::new(Semaphore::new(0));
    let (entered, mut entries) = mpsc::unbounded_channel();
    let handler = {
        let gate = Arc::clone(&gate);
        Handler::new(move |_| {
            let (gate, entered) = (Arc::clone(&gate), entered.clone());
            async move {
                entered.send(()).ok();
                gate.acquire().await.unwrap().forget();
                Ok(Bytes::new())
            }
        })
        .limit(2)
    };
    let _registration = node
        .serve("EgressHandler", method.clone(), Topic::none(), handler)
        .await
        .unwrap();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let (node, method) = (node.clone(), method.clone());
            let options = Options {
                timeout: Duration::from_millis(700),
                ..Options::of(&method)
            };
            tokio::spawn(async move {
                node.call(
                    "EgressHandler",
                    &method,
                    &Topic::none(),
                    Bytes::new(),
                    options,
                )
                .await
            })
        })
        .collect();
    within(entries.recv()).await;
    within(entries.recv()).await;
    for call in calls {
        let error = within(call).await.unwrap().unwrap_err();
        assert!(
            error.unanswered() || error.message == "too many requests in progress",
            "{error:?}"
        );
    }
    assert!(entries.try_recv().is_err(), "the third never began");
    gate.add_permits(2);
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_its_call() {
    let node = Node::spawn(Bus::Local(Hub::new()));
    let method = Method::own_queue("StopEgress");
    let (entered, mut entries) = mpsc::unbounded_channel();
    let handler = Handler::new(move |_| {
        entered.send(()).ok();
        std::future::pending()
    });
    let _registration = node
        .serve("EgressHandler", method.clone(), Topic::none(), handler)
        .await
        .unwrap();
    let call = {
        let (node, options) = (node.clone(), patient(&method));
        tokio::spawn(async move {
            node.call(
                "EgressHandler",
                &method,
                &Topic::none(),
                Bytes::new(),
                options,
            )
            .await
        })
    };
    within(entries.recv()).await;
    call.abort();
    assert!(within(call).await.unwrap_err().is_cancelled());
    // The node is as good as new.
    assert_eq!(within(node.stats()).await.servers["EgressHandler"].run, 1);
}

#[tokio::test]
async fn closing_ends_every_call_and_refuses_new_ones() {
    let node = Node::spawn(Bus::Local(Hub::new()));
    let method = Method::own_queue("StopEgress");
    let (entered, mut entries) = mpsc::unbounded_channel();
    let handler = Handler::new(move |_| {
        entered.send(()).ok();
        std::future::pending()
    });
    let _registration = node
        .serve("EgressHandler", method.clone(), Topic::none(), handler)
        .await
        .unwrap();
    let call = {
        let (node, method, options) = (node.clone(), method.clone(), patient(&method));
        tokio::spawn(async move {
            node.call(
                "EgressHandler",
                &method,
                &Topic::none(),
                Bytes::new(),
                options,
            )
            .await
        })
    };
    within(entries.recv()).await;
    within(node.close()).await;
    assert_eq!(within(call).await.unwrap(), Err(Error::client_closed()));
    let error = node
        .call(
            "EgressHandler",
            &method,
            &Topic::none(),
            Bytes::new(),
            patient(&method),
        )
        .await;
    assert_eq!(error, Err(Error::client_closed()));
    let refused = node
        .serve("EgressHandler", method, Topic::none(), echo("x"))
        .await;
    assert!(matches!(refused, Err(ServeError::Closed)));
}
