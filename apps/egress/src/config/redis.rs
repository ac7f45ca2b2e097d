//! The `redis` block (psrpc-wire.md §7), the same as in the server's configuration.

use super::block::Block;
use super::model::{Redis, Tls, Topology};
use super::store::millis;
use std::path::PathBuf;

/// Reads the block; `None` when it names no server.
pub(crate) fn read(b: &Block<'_>) -> Option<Redis> {
    let address = b.text_or_empty("address");
    let sentinels = b.texts("sentinel_addresses");
    let clusters = b.texts("cluster_addresses");
    let master_name = b.text_or_empty("sentinel_master_name");
    let sentinel_username = b.text_or_empty("sentinel_username");
    let sentinel_password = b.secret("sentinel_password");

    let used = if !sentinels.is_empty() {
        "sentinel_addresses"
    } else if !clusters.is_empty() {
        "cluster_addresses"
    } else {
        "address"
    };
    for (key, there) in [
        ("cluster_addresses", !clusters.is_empty()),
        ("address", !address.is_empty()),
    ] {
        if there && key != used {
            b.warn(key, format!("is not used, because `{used}` is set"));
        }
    }
    if !sentinels.is_empty() && master_name.is_empty() {
        b.error(
            "sentinel_master_name",
            "is missing; sentinels need the name of the master they watch",
        );
    }

    let topology = if !sentinels.is_empty() {
        check_addresses(b, "sentinel_addresses", &sentinels);
        Some(Topology::Sentinel {
            addresses: sentinels,
            master_name,
            username: sentinel_username,
            password: sentinel_password,
        })
    } else if !clusters.is_empty() {
        check_addresses(b, "cluster_addresses", &clusters);
        Some(Topology::Cluster {
            addresses: clusters,
        })
    } else if !address.is_empty() {
        check_addresses(b, "address", std::slice::from_ref(&address));
        Some(Topology::Single { address })
    } else {
        None
    };

    let username = b.text_or_empty("username");
    let password = b.secret("password");
    let db = b.int("db").unwrap_or(0);
    if db < 0 {
        b.error("db", format!("is {db}; must be 0 or more"));
    }
    let tls = tls(b);
    let dial_timeout = millis(b, "dial_timeout");
    let read_timeout = millis(b, "read_timeout");
    let write_timeout = millis(b, "write_timeout");
    let max_redirects = b.count32("max_redirects").filter(|n| *n > 0).unwrap_or(2);
    let pool_timeout = b.duration("pool_timeout").filter(|d| !d.is_zero());
    let pool_size = b.count32("pool_size").filter(|n| *n > 0);
    Some(Redis {
        topology: topology?,
        username,
        password,
        db: db.max(0),
        tls,
        dial_timeout,
        read_timeout,
        write_timeout,
        max_redirects,
        pool_timeout,
        pool_size,
    })
}

fn tls(b: &Block<'_>) -> Option<Tls> {
    let old = b.flag("use_tls").unwrap_or(false);
    let block = b.section("tls", |t| {
        let enabled = t.flag("enabled").unwrap_or(false);
        let file = |key: &str| {
            let text = t.text_or_empty(key);
            (!text.is_empty()).then(|| PathBuf::from(text))
        };
        let tls = Tls {
            insecure: t.flag("insecure").unwrap_or(false),
            server_name: t.text_or_empty("server_name"),
            ca_cert_file: file("ca_cert_file"),
            client_cert_file: file("client_cert_file"),
            client_key_file: file("client_key_file"),
        };
        match (&tls.client_cert_file, &tls.client_key_file) {
            (Some(_), None) => t.error("client_cert_file", "has no `client_key_file` beside it"),
            (None, Some(_)) => t.error("client_key_file", "has no `client_cert_file` beside it"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if !enabled && tls != Tls::default() {
            b.warn("tls", "has no effect without `enabled: true`");
        }
        enabled.then_some(tls)
    });
    block.flatten().or_else(|| old.then(Tls::default))
}

fn check_addresses(b: &Block<'_>, key: &str, addresses: &[String]) {
    for address in addresses {
        if address.contains("://") {
            b.error(key, "must be host:port without a scheme");
        } else if !has_port(address) {
            b.error(
                key,
                format!("`{address}` has no port; write host:port, for example {address}:6379"),
            );
        }
    }
}

/// Ends in `:` and a port; a bare IPv6 address does not count.
fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok_and(|port| port > 0)
            && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')))
    })
}
