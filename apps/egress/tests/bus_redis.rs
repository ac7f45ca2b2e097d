//! psrpc over a real Redis: claims, locks, outages, authentication, TLS, Sentinel, cluster.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bus_support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bus_support::{LIMIT, Redis, connected, disconnected, eventually, free_port, within};
use bytes::Bytes;
use egress::bus::redis::{ConnectError, Settings, Tls, connect};
use egress::bus::rpc::{Handler, Node, Registration};
use egress::bus::{Audience, Bus, inbox};
use psrpc::client::{Nobody, Options};
use psrpc::server::{Loss, Verdict};
use psrpc::{Error, Method, Selection, Topic};
use recording::Secret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

fn single(redis: &Redis) -> Settings {
    Settings {
        address: redis.address(),
        ..Settings::default()
    }
}

async fn node(settings: &Settings) -> Node {
    Node::spawn(within("connect", connect(settings)).await.unwrap())
}

fn echo(name: &'static str) -> Handler {
    Handler::new(move |request| async move {
        Ok(Bytes::from(
            [name.as_bytes(), &request.raw_request].concat(),
        ))
    })
}

async fn serve(node: &Node, method: &Method, handler: Handler) -> Registration {
    let registration = node
        .serve("Svc", method.clone(), Topic::none(), handler)
        .await
        .unwrap();
    within("subscribed", registration.confirmed()).await;
    registration
}

async fn call(node: &Node, method: &Method, timeout: Duration) -> Result<Bytes, Error> {
    let options = Options {
        timeout,
        ..Options::of(method)
    };
    within(
        "the call ends",
        node.call(
            "Svc",
            method,
            &Topic::none(),
            Bytes::from_static(b"!"),
            options,
        ),
    )
    .await
}

#[tokio::test]
async fn the_highest_bid_is_granted_at_once_and_the_loser_is_told() {
    let redis = Redis::start(&[]).await;
    let (a, b, caller) = (
        node(&single(&redis)).await,
        node(&single(&redis)).await,
        node(&single(&redis)).await,
    );
    let method = Method::affinity("StartEgress");
    let (lost, mut losses) = mpsc::unbounded_channel();
    let low = echo("low")
        .affinity(|_| Verdict::Bid(0.5))
        .lost(move |_, cause| lost.send(cause).unwrap_or_default());
    let _low = serve(&a, &method, low).await;
    let _high = serve(&b, &method, echo("high")).await;
    let options = Options {
        timeout: LIMIT,
        selection: Selection::start_egress(),
        ..Options::of(&method)
    };
    let everywhere = Topic::none();
    let answer = caller.call(
        "Svc",
        &method,
        &everywhere,
        Bytes::from_static(b"!"),
        options,
    );
    assert_eq!(
        within("answered", answer).await,
        Ok(Bytes::from_static(b"high!"))
    );
    assert_eq!(within("told", losses.recv()).await, Some(Loss::Foreign));
}

#[tokio::test]
async fn a_queue_request_is_handled_by_one_process() {
    let redis = Redis::start(&[]).await;
    let method = Method::queue("CreateEgress");
    let handled = Arc::new(AtomicUsize::new(0));
    let mut serving = Vec::new();
    for _ in 0..3 {
        let node = node(&single(&redis)).await;
        let handled = Arc::clone(&handled);
        let handler = Handler::new(move |_| {
            handled.fetch_add(1, Ordering::SeqCst);
            async { Ok(Bytes::new()) }
        });
        serving.push((serve(&node, &method, handler).await, node));
    }
    let caller = node(&single(&redis)).await;
    for _ in 0..10 {
        call(&caller, &method, LIMIT).await.unwrap();
    }
    assert_eq!(handled.load(Ordering::SeqCst), 10);
    let mut unlocked = 0;
    for (_, node) in &serving {
        unlocked += within("stats", node.stats()).await.servers["Svc"].unlocked;
    }
    assert_eq!(unlocked, 20, "the other two found each request locked");
}

#[tokio::test]
async fn a_lock_is_taken_once() {
    let redis = Redis::start(&[]).await;
    let bus = connect(&Settings {
        db: 3,
        ..single(&redis)
    })
    .await
    .unwrap();
    let lifetime = Duration::from_secs(5);
    assert_eq!(bus.lock("k", lifetime).await, Ok(true));
    assert_eq!(bus.lock("k", lifetime).await, Ok(false));
    assert_eq!(bus.lock("other", lifetime).await, Ok(true));
}

#[tokio::test]
async fn publications_are_counted_and_an_audience_of_none_fails_fast() {
    let redis = Redis::start(&[]).await;
    let bus = connect(&single(&redis)).await.unwrap();
    assert_eq!(bus.publish("c", Bytes::new()).await, Ok(Audience::Of(0)));
    let (outlet, mut inbox) = inbox(8);
    let subscription = bus.subscribe("c", &outlet);
    within("subscribed", subscription.confirmed()).await;
    assert_eq!(
        bus.publish("c", Bytes::from_static(b"\x00\xff")).await,
        Ok(Audience::Of(1))
    );
    let delivery = within("delivered", inbox.recv()).await.unwrap();
    assert_eq!(
        (&*delivery.channel, delivery.payload.as_ref()),
        ("c", b"\x00\xff".as_slice())
    );
    drop(subscription);
    eventually("unsubscribed", async || {
        bus.publish("c", Bytes::new()).await == Ok(Audience::Of(0))
    })
    .await;

    let node = Node::spawn(bus);
    let started = Instant::now();
    let error = call(&node, &Method::queue("CreateEgress"), LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error, Error::no_response());
    assert!(started.elapsed() < LIMIT / 2);
    let method = Method::queue("CreateEgress");
    let options = Options {
        timeout: Duration::from_millis(300),
        nobody: Nobody::Wait,
        ..Options::of(&method)
    };
    let started = Instant::now();
    let error = node
        .call("Svc", &method, &Topic::none(), Bytes::new(), options)
        .await
        .unwrap_err();
    assert_eq!(error, Error::no_response());
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_killed_redis_kills_nothing_and_every_subscription_comes_back() {
    let mut redis = Redis::start(&[]).await;
    let (worker, caller) = (node(&single(&redis)).await, node(&single(&redis)).await);
    let start = Method::affinity("StartEgress");
    let stop = Method::own_queue("StopEgress");
    let _start = serve(&worker, &start, echo("start")).await;
    let _stop = serve(&worker, &stop, echo("stop")).await;
    assert_eq!(
        call(&caller, &stop, LIMIT).await,
        Ok(Bytes::from_static(b"stop!"))
    );

    for _ in 0..2 {
        redis.kill().await;
        let (mut theirs, mut ours) = (worker.state(), caller.state());
        assert!(!disconnected(&mut theirs).await.is_empty());
        disconnected(&mut ours).await;
        let error = call(&caller, &stop, Duration::from_millis(200))
            .await
            .unwrap_err();
        assert!(error.unanswered(), "{error:?}");

        redis.restart().await;
        connected(&mut theirs).await;
        connected(&mut ours).await;
        assert_eq!(
            call(&caller, &start, LIMIT).await,
            Ok(Bytes::from_static(b"start!"))
        );
        assert_eq!(
            call(&caller, &stop, LIMIT).await,
            Ok(Bytes::from_static(b"stop!"))
        );
    }
}

#[tokio::test]
async fn a_call_made_during_an_outage_waits_for_its_end() {
    let mut redis = Redis::start(&[]).await;
    let (worker, caller) = (node(&single(&redis)).await, node(&single(&redis)).await);
    let method = Method::own_queue("StopEgress");
    let serving = serve(&worker, &method, echo("x")).await;
    within("prepared", caller.prepare("Svc")).await;
    redis.kill().await;
    disconnected(&mut caller.state()).await;
    let pending = {
        let (caller, method) = (caller.clone(), method.clone());
        tokio::spawn(async move {
            loop {
                match call(&caller, &method, LIMIT).await {
                    // Whoever calls retries what nobody answered.
                    Err(error) if error.unanswered() => {
                        tokio::time::sleep(Duration::from_millis(50)).await
                    }
                    done => return done,
                }
            }
        })
    };
    redis.restart().await;
    within("served again", serving.confirmed()).await;
    assert_eq!(
        within("answered", pending).await.unwrap(),
        Ok(Bytes::from_static(b"x!"))
    );
}

/// Passes everything on until it is told to go silent; new connections pass again.
async fn proxy(to: u16) -> (u16, watch::Sender<usize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (silence, silenced) = watch::channel(0_usize);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut silenced = silenced.clone();
            let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            silenced.mark_unchanged();
            tokio::spawn(async move {
                tokio::select! {
                    done = tokio::io::copy_bidirectional(&mut near, &mut far) => drop(done),
                    // Neither closed nor answering: both sockets stay open.
                    _ = silenced.changed() => std::future::pending().await,
                }
            });
        }
    });
    (port, silence)
}

#[tokio::test]
async fn a_connection_that_only_looks_alive_is_noticed_and_replaced() {
    let redis = Redis::start(&[]).await;
    let (port, silence) = proxy(redis.port).await;
    let settings = Settings {
        address: format!("127.0.0.1:{port}"),
        read_timeout: Some(300),
        ..Settings::default()
    };
    let worker = node(&settings).await;
    let caller = node(&single(&redis)).await;
    let method = Method::own_queue("StopEgress");
    let serving = serve(&worker, &method, echo("x")).await;
    silence.send_modify(|n| *n += 1);
    let mut state = worker.state();
    disconnected(&mut state).await;
    connected(&mut state).await;
    within("served again", serving.confirmed()).await;
    assert_eq!(
        call(&caller, &method, LIMIT).await,
        Ok(Bytes::from_static(b"x!"))
    );
}

#[tokio::test]
async fn why_redis_cannot_be_used_is_said() {
    assert_eq!(
        connect(&Settings::default()).await.unwrap_err().to_string(),
        "redis is not configured"
    );
    assert_eq!(
        connect(&Settings::default()).await.unwrap_err(),
        ConnectError::NotConfigured
    );

    let nobody = Settings {
        address: format!("127.0.0.1:{}", free_port()),
        ..Settings::default()
    };
    let text = connect(&nobody).await.unwrap_err().to_string();
    assert!(
        text.starts_with("unable to connect to redis: ") && text.contains("refused"),
        "{text}"
    );

    let redis = Redis::start(&["--requirepass", "right"]).await;
    let with = |password: &str| Settings {
        password: Secret::new(password.to_owned()),
        ..single(&redis)
    };
    assert_eq!(
        connect(&with("wrong")).await.unwrap_err().to_string(),
        "unable to connect to redis: WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(
        connect(&with("")).await.unwrap_err().to_string(),
        "unable to connect to redis: NOAUTH Authentication required."
    );
    connect(&with("right")).await.unwrap();
}

#[tokio::test]
async fn an_acl_user_with_only_the_rights_it_needs_is_enough() {
    let config = tempfile::tempdir().unwrap();
    let file = config.path().join("redis.conf");
    let rules = "user worker on >pw resetkeys ~* resetchannels &IOInfo|* &Svc|* \
                 +ping +select +hello +subscribe +unsubscribe +publish +set\n";
    std::fs::write(&file, rules).unwrap();
    let redis = Redis::start(&[file.to_str().unwrap()]).await;
    let settings = Settings {
        username: "worker".to_owned(),
        password: Secret::new("pw".to_owned()),
        db: 1,
        ..single(&redis)
    };
    let node = node(&settings).await;
    let method = Method::queue("CreateEgress");
    let _serving = serve(&node, &method, echo("x")).await;
    assert_eq!(
        call(&node, &method, LIMIT).await,
        Ok(Bytes::from_static(b"x!"))
    );
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls")
        .join(name)
}

#[tokio::test]
async fn tls_verifies_the_server_and_presents_our_certificate() {
    let (port, text) = (free_port(), |path: PathBuf| {
        path.to_str().unwrap().to_owned()
    });
    let (tls_port, cert, key, ca) = (
        port.to_string(),
        text(pem("server.pem")),
        text(pem("server.key")),
        text(pem("ca.pem")),
    );
    let arguments = [
        "--port",
        "0",
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "yes",
    ];
    let redis = Redis::start_on(port, &arguments).await;
    let with = |tls: Tls| Settings {
        tls,
        ..single(&redis)
    };
    let good = Tls {
        enabled: true,
        server_name: "redis.test".to_owned(),
        ca_cert_file: Some(pem("ca.pem")),
        client_cert_file: Some(pem("client.pem")),
        client_key_file: Some(pem("client.key")),
        ..Tls::default()
    };
    let method = Method::queue("CreateEgress");
    for tls in [
        good.clone(),
        Tls {
            insecure: true,
            server_name: String::new(),
            ..good.clone()
        },
    ] {
        let node = node(&with(tls)).await;
        let serving = serve(&node, &method, echo("x")).await;
        assert_eq!(
            call(&node, &method, LIMIT).await,
            Ok(Bytes::from_static(b"x!"))
        );
        within("left", serving.close()).await;
    }
    for bad in [
        Tls {
            server_name: String::new(),
            ..good.clone()
        },
        Tls {
            server_name: "other.test".to_owned(),
            ..good.clone()
        },
        Tls {
            client_cert_file: None,
            client_key_file: None,
            ..good.clone()
        },
        Tls {
            ca_cert_file: Some(pem("client.pem")),
            ..good
        },
    ] {
        let error = connect(&with(bad.clone())).await;
        assert!(
            matches!(error, Err(ConnectError::Unable(_))),
            "{bad:?} connected"
        );
    }
}

#[tokio::test]
async fn a_cluster_carries_calls_and_locks() {
    let redis = Redis::start(&["--cluster-enabled", "yes"]).await;
    redis
        .command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])
        .await
        .unwrap();
    eventually("the cluster is up", async || {
        let info = redis.command(&["CLUSTER", "INFO"]).await.unwrap();
        format!("{info:?}").contains("cluster_state:ok")
    })
    .await;
    let settings = Settings {
        cluster_addresses: vec![redis.address()],
        ..Settings::default()
    };
    let bus: Bus = within("connect", connect(&settings)).await.unwrap();
    assert_eq!(bus.publish("c", Bytes::new()).await, Ok(Audience::Unknown));
    let node = Node::spawn(bus);
    let method = Method::queue("CreateEgress");
    let _serving = serve(&node, &method, echo("x")).await;
    assert_eq!(
        call(&node, &method, LIMIT).await,
        Ok(Bytes::from_static(b"x!"))
    );
    let caller = Node::spawn(within("connect", connect(&settings)).await.unwrap());
    assert_eq!(
        call(&caller, &method, LIMIT).await,
        Ok(Bytes::from_static(b"x!"))
    );
}

#[tokio::test]
async fn sentinel_mode_finds_the_master_and_follows_it() {
    let mut master = Redis::start(&[
        "--requirepass",
        "pw",
        "--masterauth",
        "pw",
        "--repl-diskless-sync-delay",
        "0",
    ])
    .await;
    let port = master.port.to_string();
    let arguments = [
        "--replicaof",
        "127.0.0.1",
        &port,
        "--requirepass",
        "pw",
        "--masterauth",
        "pw",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let replica = Redis::start(&arguments).await;
    let config = tempfile::tempdir().unwrap();
    let file = config.path().join("sentinel.conf");
    let text = format!(
        "sentinel monitor main 127.0.0.1 {port} 1\nsentinel auth-pass main pw\n\
         sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
    );
    std::fs::write(&file, text).unwrap();
    let sentinel = Redis::start(&[file.to_str().unwrap(), "--sentinel"]).await;
    eventually(
        "the replica is in step and the sentinel knows it",
        async || {
            let replica = format!("{:?}", replica.command(&["INFO", "replication"]).await);
            let known = format!(
                "{:?}",
                sentinel.command(&["SENTINEL", "replicas", "main"]).await
            );
            replica.contains("master_link_status:up") && known.contains("role-reported")
        },
    )
    .await;

    let settings = Settings {
        sentinel_addresses: vec![format!("127.0.0.1:{}", free_port()), sentinel.address()],
        sentinel_master_name: "main".to_owned(),
        password: Secret::new("pw".to_owned()),
        ..Settings::default()
    };
    let (worker, caller) = (node(&settings).await, node(&settings).await);
    let method = Method::queue("CreateEgress");
    let serving = serve(&worker, &method, echo("x")).await;
    assert_eq!(
        call(&caller, &method, LIMIT).await,
        Ok(Bytes::from_static(b"x!"))
    );

    let unknown = Settings {
        sentinel_master_name: "other".to_owned(),
        ..settings
    };
    let text = connect(&unknown).await.unwrap_err().to_string();
    assert!(text.contains("the sentinel knows no such master"), "{text}");

    master.kill().await;
    let mut state = worker.state();
    disconnected(&mut state).await;
    connected(&mut state).await;
    connected(&mut caller.state()).await;
    within("served by the new master", serving.confirmed()).await;
    eventually("answered through the new master", async || {
        call(&caller, &method, Duration::from_secs(1)).await == Ok(Bytes::from_static(b"x!"))
    })
    .await;
}
