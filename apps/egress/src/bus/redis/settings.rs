//! The `redis:` block of the configuration, key for key as livekit-server and the original worker read it.
//!
//! Knows yaml, not Redis. `pool_size` and `pool_timeout` are accepted for compatibility and mean nothing here: one
//! multiplexed connection replaces the pool.

use std::fmt;
use std::path::PathBuf;

use recording::Secret;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

use crate::config::{self, Topology};

/// How to reach Redis. Precedence: `sentinel_addresses`, `cluster_addresses`, `address`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `host:port` of a single node.
    #[serde(deserialize_with = "text")]
    pub address: String,
    /// ACL user; of the data nodes in Sentinel mode, of all nodes in cluster mode.
    #[serde(deserialize_with = "text")]
    pub username: String,
    /// Its password, or `requirepass`.
    #[serde(deserialize_with = "secret")]
    pub password: Secret<String>,
    /// Where the queue locks are. Pub/Sub knows no databases; ignored by clusters.
    #[serde(deserialize_with = "or_default")]
    pub db: i64,
    /// TLS with system roots. Deprecated: `tls`.
    #[serde(deserialize_with = "or_default")]
    pub use_tls: bool,
    /// TLS in detail; preferred over `use_tls` when enabled.
    #[serde(deserialize_with = "or_default")]
    pub tls: Tls,
    /// `host:port` of the sentinels.
    #[serde(deserialize_with = "or_default")]
    pub sentinel_addresses: Vec<String>,
    /// The master's name.
    #[serde(deserialize_with = "text")]
    pub sentinel_master_name: String,
    /// ACL user of the sentinels.
    #[serde(deserialize_with = "text")]
    pub sentinel_username: String,
    /// Its password.
    #[serde(deserialize_with = "secret")]
    pub sentinel_password: Secret<String>,
    /// `host:port` of some nodes of a cluster.
    #[serde(deserialize_with = "or_default")]
    pub cluster_addresses: Vec<String>,
    /// How many redirections a cluster command follows.
    pub max_redirects: Option<u32>,
    /// Milliseconds to connect; 5000 if unset.
    pub dial_timeout: Option<u64>,
    /// Milliseconds to wait for an answer, added to `write_timeout`; 3000 together if unset.
    pub read_timeout: Option<u64>,
    /// Milliseconds to send, added to `read_timeout`.
    pub write_timeout: Option<u64>,
    /// Accepted, not used.
    pub pool_timeout: Option<String>,
    /// Accepted, not used.
    pub pool_size: Option<u64>,
}

/// The `tls:` block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// Use TLS (1.2 or later).
    #[serde(deserialize_with = "or_default")]
    pub enabled: bool,
    /// Do not verify the server's certificate.
    #[serde(deserialize_with = "or_default")]
    pub insecure: bool,
    /// The name the certificate must be for, if not the host's.
    #[serde(deserialize_with = "text")]
    pub server_name: String,
    /// PEM of the only authorities to trust.
    pub ca_cert_file: Option<PathBuf>,
    /// PEM of our certificate chain.
    pub client_cert_file: Option<PathBuf>,
    /// PEM of its key.
    pub client_key_file: Option<PathBuf>,
}

impl Settings {
    /// Whether any address is given.
    #[must_use]
    pub fn configured(&self) -> bool {
        !self.address.is_empty()
            || !self.sentinel_addresses.is_empty()
            || !self.cluster_addresses.is_empty()
    }
}

/// What the configuration module has read and checked.
impl From<&config::Redis> for Settings {
    fn from(redis: &config::Redis) -> Self {
        let ms = |value: Option<std::time::Duration>| {
            value.map(|value| u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
        };
        let mut settings = Self {
            username: redis.username.clone(),
            password: redis.password.clone(),
            db: redis.db,
            max_redirects: Some(redis.max_redirects),
            dial_timeout: ms(redis.dial_timeout),
            read_timeout: ms(redis.read_timeout),
            write_timeout: ms(redis.write_timeout),
            ..Self::default()
        };
        if let Some(tls) = &redis.tls {
            settings.tls = Tls {
                enabled: true,
                insecure: tls.insecure,
                server_name: tls.server_name.clone(),
                ca_cert_file: tls.ca_cert_file.clone(),
                client_cert_file: tls.client_cert_file.clone(),
                client_key_file: tls.client_key_file.clone(),
            };
        }
        match &redis.topology {
            Topology::Single { address } => settings.address.clone_from(address),
            Topology::Sentinel {
                addresses,
                master_name,
                username,
                password,
            } => {
                settings.sentinel_addresses.clone_from(addresses);
                settings.sentinel_master_name.clone_from(master_name);
                settings.sentinel_username.clone_from(username);
                settings.sentinel_password = password.clone();
            }
            Topology::Cluster { addresses } => settings.cluster_addresses.clone_from(addresses),
        }
        settings
    }
}

/// A present but empty key is the default, as in Go.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Go takes an unquoted number as text, so passwords like `12345` are in the field.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    struct Scalar;

    impl Visitor<'_> for Scalar {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<String, E> {
            Ok(v.to_owned())
        }
        fn visit_i64<E: de::Error>(self, v: i64) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_u64<E: de::Error>(self, v: u64) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_f64<E: de::Error>(self, v: f64) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_bool<E: de::Error>(self, v: bool) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_unit<E: de::Error>(self) -> Result<String, E> {
            Ok(String::new())
        }
    }

    from.deserialize_any(Scalar)
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret<String>, D::Error> {
    text(from).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let settings: Settings = serde_yaml_ng::from_str(
            "address: r:6379\nusername: u\npassword: 12345\ndb: 2\nuse_tls: true\n\
             tls: {enabled: true, insecure: true, server_name: n, ca_cert_file: /ca, client_cert_file: /c, client_key_file: /k}\n\
             sentinel_addresses: [s:1]\nsentinel_master_name: m\nsentinel_username: su\nsentinel_password: sp\n\
             cluster_addresses:\nmax_redirects: 4\ndial_timeout: 1\nread_timeout: 2\nwrite_timeout: 3\npool_timeout: 1s\npool_size: 9\n",
        )
        .unwrap();
        assert_eq!(settings.password.reveal(), "12345");
        assert_eq!(settings.tls.ca_cert_file, Some("/ca".into()));
        assert_eq!(settings.sentinel_addresses, ["s:1"]);
        assert!(settings.cluster_addresses.is_empty());
        assert!(settings.configured());
        assert_eq!(settings.max_redirects, Some(4));
    }

    #[test]
    fn nothing_is_not_configured_and_secrets_do_not_print() {
        let settings: Settings = serde_yaml_ng::from_str("{unknown: 1, tls: null}").unwrap();
        assert!(!settings.configured());
        assert_eq!(settings, Settings::default());
        let settings: Settings =
            serde_yaml_ng::from_str("{password: hunter2, sentinel_password: hunter3}").unwrap();
        assert!(!format!("{settings:?}").contains("hunter"));
    }

    #[test]
    fn the_configuration_is_taken_over_whole() {
        let config = config::Redis {
            topology: Topology::Sentinel {
                addresses: vec!["s:1".to_owned()],
                master_name: "m".to_owned(),
                username: "su".to_owned(),
                password: Secret::new("sp".to_owned()),
            },
            username: "u".to_owned(),
            password: Secret::new("p".to_owned()),
            db: 2,
            tls: Some(config::Tls {
                insecure: true,
                server_name: "n".to_owned(),
                ca_cert_file: Some("/ca".into()),
                client_cert_file: Some("/c".into()),
                client_key_file: Some("/k".into()),
            }),
            dial_timeout: Some(std::time::Duration::from_millis(1)),
            read_timeout: Some(std::time::Duration::from_millis(2)),
            write_timeout: Some(std::time::Duration::from_millis(3)),
            max_redirects: 4,
            pool_timeout: None,
            pool_size: None,
        };
        let expected: Settings = serde_yaml_ng::from_str(
            "username: u\npassword: p\ndb: 2\n\
             tls: {enabled: true, insecure: true, server_name: n, ca_cert_file: /ca, client_cert_file: /c, client_key_file: /k}\n\
             sentinel_addresses: [s:1]\nsentinel_master_name: m\nsentinel_username: su\nsentinel_password: sp\n\
             max_redirects: 4\ndial_timeout: 1\nread_timeout: 2\nwrite_timeout: 3\n",
        )
        .unwrap();
        assert_eq!(Settings::from(&config), expected);
    }
}
