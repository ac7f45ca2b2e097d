//! Makes connections of either kind in any of the three modes. Keeps none; knows settings, not who uses what it made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::io::AsyncDNSResolver;
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo,
    RedisError, RedisFuture, RedisResult, TlsCertificates, TlsMode, Value, cmd,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{ConnectError, Settings};
use crate::bus::redis::ear::{Mouth, Voice};
use crate::bus::table::Table;

const DIAL: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(3);

/// Where connections lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Single,
    Sentinel,
    Cluster,
}

/// A connection for commands.
#[derive(Clone)]
pub(super) enum Commands {
    /// To one node: `address`.
    Node(MultiplexedConnection, Address),
    /// To all nodes of a cluster.
    Cluster(ClusterConnection),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
}

#[derive(Debug)]
pub(super) struct Dialer {
    target: Target,
    tls: Option<Encryption>,
    auth: RedisConnectionInfo,
    dial: Duration,
    answer: Duration,
}

#[derive(Debug)]
enum Target {
    Single(Address),
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
        auth: RedisConnectionInfo,
    },
    Cluster {
        client: Box<ClusterClient>,
        nodes: Vec<Address>,
        next: AtomicUsize,
    },
}

#[derive(Debug)]
struct Encryption {
    insecure: bool,
    server_name: Option<String>,
    certificates: TlsCertificates,
}

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Result<Self, ConnectError> {
        if !settings.configured() {
            return Err(ConnectError::NotConfigured);
        }
        let tls = Encryption::of(settings)?;
        let ms = Duration::from_millis;
        let positive = |value: Option<u64>| value.filter(|ms| *ms > 0);
        let dial = positive(settings.dial_timeout).map_or(DIAL, ms);
        let answer = match (
            positive(settings.read_timeout),
            positive(settings.write_timeout),
        ) {
            (None, None) => ANSWER,
            (read, write) => ms(read.unwrap_or(0).saturating_add(write.unwrap_or(0))),
        };
        let auth = credentials(&settings.username, settings.password.reveal());
        let target = if !settings.sentinel_addresses.is_empty() {
            if settings.sentinel_master_name.is_empty() {
                return Err(ConnectError::Unable(
                    "sentinel_master_name is missing".to_owned(),
                ));
            }
            Target::Sentinel {
                sentinels: addresses(&settings.sentinel_addresses)?,
                master: settings.sentinel_master_name.clone(),
                auth: credentials(
                    &settings.sentinel_username,
                    settings.sentinel_password.reveal(),
                ),
            }
        } else if !settings.cluster_addresses.is_empty() {
            if tls.as_ref().is_some_and(|tls| tls.server_name.is_some()) {
                return Err(ConnectError::Unable(
                    "tls.server_name cannot be used with cluster_addresses".to_owned(),
                ));
            }
            let nodes = addresses(&settings.cluster_addresses)?;
            let client = cluster(&nodes, tls.as_ref(), settings, dial, answer)
                .map_err(|error| ConnectError::Unable(super::explain(&error)))?;
            Target::Cluster {
                client,
                nodes,
                next: AtomicUsize::new(0),
            }
        } else {
            Target::Single(Address::parse(&settings.address)?)
        };
        let auth = match &target {
            Target::Single(_) | Target::Sentinel { .. } => auth.set_db(settings.db),
            Target::Cluster { .. } => auth,
        };
        Ok(Self {
            target,
            tls,
            auth,
            dial,
            answer,
        })
    }

    pub(super) fn mode(&self) -> Mode {
        match &self.target {
            Target::Single(_) => Mode::Single,
            Target::Sentinel { .. } => Mode::Sentinel,
            Target::Cluster { .. } => Mode::Cluster,
        }
    }

    /// How long an answer may take.
    pub(super) fn answer(&self) -> Duration {
        self.answer
    }

    /// A connection for commands that has answered a PING.
    pub(super) async fn commands(&self) -> RedisResult<Commands> {
        let mut commands = match &self.target {
            Target::Single(address) => {
                Commands::Node(self.node(address, &self.auth, None).await?, address.clone())
            }
            Target::Sentinel { .. } => {
                let address = self.master().await?;
                Commands::Node(self.node(&address, &self.auth, None).await?, address)
            }
            Target::Cluster { client, .. } => {
                Commands::Cluster(within(self.dial, client.get_async_connection()).await?)
            }
        };
        within(self.answer, cmd("PING").exec_async(&mut commands)).await?;
        Ok(commands)
    }

    /// A connection for subscriptions; what arrives goes to `table`.
    pub(super) async fn pubsub(&self, table: &Arc<Table>) -> RedisResult<Voice> {
        let address = match &self.target {
            Target::Single(address) => address.clone(),
            Target::Sentinel { .. } => self.master().await?,
            // Any node will do: a cluster repeats publications everywhere. Another one after each failure.
            Target::Cluster { nodes, next, .. } => {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                nodes
                    .get(turn % nodes.len())
                    .cloned()
                    .ok_or_else(|| invalid("no nodes"))?
            }
        };
        let gone = CancellationToken::new();
        if self.server_name().is_some() {
            // Only here does the crate let us connect to one name and verify another. Redis has had this protocol
            // for as long as it has had TLS.
            let mouth = self.resp3(&address, table, gone.clone()).await?;
            return Ok(Voice {
                mouth: Mouth::Resp3(mouth),
                gone,
            });
        }
        let client = Client::open(self.info(&address, &self.auth)?)?;
        let (sink, mut stream) = within(self.dial, client.get_async_pubsub()).await?.split();
        let (reader_table, reader_gone) = (Arc::clone(table), gone.clone());
        let reader = tokio::spawn(async move {
            while let Some(message) = stream.next().await {
                let payload = Bytes::copy_from_slice(message.get_payload_bytes());
                reader_table.dispatch(message.get_channel_name(), &payload);
            }
            reader_gone.cancel();
        });
        let mouth = Mouth::Resp2 { sink, reader };
        Ok(Voice { mouth, gone })
    }

    /// Where the master is now, as the first sentinel that knows says, and only if it agrees itself.
    pub(super) async fn master(&self) -> RedisResult<Address> {
        let Target::Sentinel {
            sentinels,
            master,
            auth,
        } = &self.target
        else {
            return Err(invalid("not in sentinel mode"));
        };
        let mut last = invalid("no sentinels");
        for sentinel in sentinels {
            match self.ask_sentinel(sentinel, master, auth).await {
                Ok(address) => return Ok(address),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_sentinel(
        &self,
        sentinel: &Address,
        master: &str,
        auth: &RedisConnectionInfo,
    ) -> RedisResult<Address> {
        let mut connection = self.node(sentinel, auth, None).await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(master);
        let answer: Option<(String, u16)> = ask.query_async(&mut connection).await?;
        let Some((host, port)) = answer else {
            let error = (
                ErrorKind::MasterNameNotFoundBySentinel,
                "the sentinel knows no such master",
                master.to_owned(),
            );
            return Err(error.into());
        };
        let address = Address { host, port };
        let mut node = self.node(&address, &self.auth, None).await?;
        let role: Vec<Value> = cmd("ROLE").query_async(&mut node).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(address),
            Some(_) | None => Err((
                ErrorKind::Client,
                "the node the sentinel names is not a master",
            )
                .into()),
        }
    }

    async fn resp3(
        &self,
        address: &Address,
        table: &Arc<Table>,
        gone: CancellationToken,
    ) -> RedisResult<MultiplexedConnection> {
        let table = Arc::clone(table);
        let push = move |info: PushInfo| -> Result<(), std::convert::Infallible> {
            if info.kind == PushKind::Disconnection {
                gone.cancel();
            } else if let Some(message) = ::redis::Msg::from_push_info(info) {
                let payload = Bytes::copy_from_slice(message.get_payload_bytes());
                table.dispatch(message.get_channel_name(), &payload);
            }
            Ok(())
        };
        let auth = self.auth.clone().set_protocol(ProtocolVersion::RESP3);
        let config = AsyncConnectionConfig::new().set_push_sender(push);
        self.node(address, &auth, Some(config)).await
    }

    async fn node(
        &self,
        address: &Address,
        auth: &RedisConnectionInfo,
        config: Option<AsyncConnectionConfig>,
    ) -> RedisResult<MultiplexedConnection> {
        let client = Client::open(self.info(address, auth)?)?;
        let mut config = config
            .unwrap_or_default()
            .set_connection_timeout(Some(self.dial))
            .set_response_timeout(Some(self.answer));
        if self.server_name().is_some() {
            config = config.set_dns_resolver(Pinned(address.host.clone()));
        }
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    fn server_name(&self) -> Option<&str> {
        self.tls.as_ref().and_then(|tls| tls.server_name.as_deref())
    }

    fn info(&self, address: &Address, auth: &RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
        let info = match &self.tls {
            None => {
                ConnectionAddr::Tcp(address.host.clone(), address.port).into_connection_info()?
            }
            Some(tls) => tls.info(self.server_name().unwrap_or(&address.host), address.port)?,
        };
        let tcp = info
            .tcp_settings()
            .clone()
            .set_nodelay(true)
            .set_user_timeout(Duration::from_secs(15));
        Ok(info.set_redis_settings(auth.clone()).set_tcp_settings(tcp))
    }
}

impl Encryption {
    fn of(settings: &Settings) -> Result<Option<Self>, ConnectError> {
        let tls = &settings.tls;
        if !tls.enabled && !settings.use_tls {
            return Ok(None);
        }
        // The crate needs a process-wide provider; another part may have installed one.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing the race leaves a provider installed all the same.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let none = Self {
            insecure: false,
            server_name: None,
            certificates: TlsCertificates {
                client_tls: None,
                root_cert: None,
            },
        };
        if !tls.enabled {
            return Ok(Some(none));
        }
        let read = |path: &std::path::PathBuf| {
            std::fs::read(path)
                .map_err(|error| ConnectError::Unable(format!("{}: {error}", path.display())))
        };
        let path = |path: &Option<std::path::PathBuf>| {
            path.clone().filter(|path| !path.as_os_str().is_empty())
        };
        let client_tls = match (path(&tls.client_cert_file), path(&tls.client_key_file)) {
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: read(&cert)?,
                client_key: read(&key)?,
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let text = "tls.client_cert_file and tls.client_key_file belong together";
                return Err(ConnectError::Unable(text.to_owned()));
            }
        };
        let root_cert = path(&tls.ca_cert_file)
            .map(|path| read(&path))
            .transpose()?;
        Ok(Some(Self {
            insecure: tls.insecure,
            server_name: Some(tls.server_name.clone()).filter(|name| !name.is_empty()),
            certificates: TlsCertificates {
                client_tls,
                root_cert,
            },
        }))
    }

    fn info(&self, host: &str, port: u16) -> RedisResult<ConnectionInfo> {
        let address = ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: self.insecure,
            tls_params: None,
        };
        let client = Client::build_with_tls(address, self.certificates.clone())?;
        Ok(client.get_connection_info().clone())
    }
}

/// Resolves every name to where one host is, so that a certificate can be checked against another name.
struct Pinned(String);

impl AsyncDNSResolver for Pinned {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((self.0.as_str(), port))
                .await?
                .collect();
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Unable(format!("address {text:?} is not host:port"));
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.contains("//") {
            return Err(wrong());
        }
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        // What is wrong with the number is plain from the text.
        let port = port.parse().map_err(|_cause| wrong())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn addresses(list: &[String]) -> Result<Vec<Address>, ConnectError> {
    list.iter().map(|text| Address::parse(text)).collect()
}

fn credentials(username: &str, password: &str) -> RedisConnectionInfo {
    // Fewer rights needed: no CLIENT SETINFO.
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    if !username.is_empty() {
        info = info.set_username(username);
    }
    if !password.is_empty() {
        info = info.set_password(password);
    }
    info
}

fn cluster(
    nodes: &[Address],
    tls: Option<&Encryption>,
    settings: &Settings,
    dial: Duration,
    answer: Duration,
) -> RedisResult<Box<ClusterClient>> {
    let infos = nodes.iter().map(|node| match tls {
        Some(tls) => tls.info(&node.host, node.port),
        None => ConnectionAddr::Tcp(node.host.clone(), node.port).into_connection_info(),
    });
    let infos = infos.collect::<RedisResult<Vec<_>>>()?;
    let mut builder = ClusterClient::builder(infos)
        .connection_timeout(dial)
        .response_timeout(answer);
    if let Some(retries) = settings.max_redirects.filter(|retries| *retries > 0) {
        builder = builder.retries(retries);
    }
    if let Some(tls) = tls {
        builder = builder
            .tls(if tls.insecure {
                TlsMode::Insecure
            } else {
                TlsMode::Secure
            })
            .certs(tls.certificates.clone());
    }
    if !settings.username.is_empty() {
        builder = builder.username(&settings.username);
    }
    if !settings.password.reveal().is_empty() {
        builder = builder.password(settings.password.reveal());
    }
    builder.build().map(Box::new)
}

/// Bounds what the crate does not.
async fn within<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

fn invalid(text: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, text).into()
}

impl ConnectionLike for Commands {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(connection, _) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(connection, _) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(connection, _) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port_with_or_without_brackets() {
        let parse = |text: &str| Address::parse(text).map(|a| (a.host, a.port)).ok();
        assert_eq!(parse("redis:6379"), Some(("redis".to_owned(), 6379)));
        assert_eq!(parse("[::1]:6380"), Some(("::1".to_owned(), 6380)));
        assert_eq!(parse(":6379"), Some(("127.0.0.1".to_owned(), 6379)));
        for wrong in ["redis", "redis:", "redis:x", "redis://h:1", ""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn contradictions_are_refused_before_anything_is_dialled() {
        let text = |settings: &Settings| Dialer::new(settings).map(|_| ()).unwrap_err().to_string();
        assert_eq!(text(&Settings::default()), "redis is not configured");
        let mut settings = Settings {
            sentinel_addresses: vec!["s:1".to_owned()],
            ..Settings::default()
        };
        assert_eq!(
            text(&settings),
            "unable to connect to redis: sentinel_master_name is missing"
        );
        settings = Settings {
            address: "r:1".to_owned(),
            ..Settings::default()
        };
        settings.tls.enabled = true;
        settings.tls.ca_cert_file = Some("/nonexistent/ca".into());
        assert!(text(&settings).starts_with("unable to connect to redis: /nonexistent/ca: "));
    }
}
