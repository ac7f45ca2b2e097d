//! Storage blocks: `storage`, `backup`, `debug` and the old top-level `s3`, `azure`, `gcp`, `alioss`
//! (egress-behaviour.md §13.2).

use super::block::Block;
use super::host::Host;
use recording::Secret;
use recording::plan::{AliOss, Azure, Destination, Gcp, Proxy, S3, Store};
use recording::policy::Retries;
use serde_yaml_ng::Value;
use std::time::Duration;

/// The names of the provider blocks.
pub(crate) const PROVIDERS: [&str; 4] = ["s3", "azure", "gcp", "alioss"];

/// `prefix`, `generate_presigned_url` and one provider out of a block; `None` without a provider.
pub(crate) fn destination(block: &Block<'_>, host: &dyn Host) -> Option<Destination> {
    let prefix = block.text_or_empty("prefix");
    let presign = block.flag("generate_presigned_url").unwrap_or(false);
    Some(Destination {
        store: provider(block, host)?,
        prefix,
        presign,
        backup: None,
    })
}

/// The one provider of a block.
pub(crate) fn provider(block: &Block<'_>, host: &dyn Host) -> Option<Store> {
    let given: Vec<&str> = PROVIDERS
        .into_iter()
        .filter(|name| block.has(name))
        .collect();
    let stores: Vec<Store> = [
        block.section("s3", |b| Store::S3(s3(b, host))),
        block.section("azure", |b| Store::Azure(azure(b, host))),
        block.section("gcp", |b| Store::Gcp(gcp(b))),
        block.section("alioss", |b| Store::AliOss(alioss(b))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [first, more @ ..] = given.as_slice() {
        for name in more {
            block.error(
                name,
                format!("only one store can be used and `{first}` is there already; remove one"),
            );
        }
    }
    stores.into_iter().next()
}

fn s3(b: &Block<'_>, host: &dyn Host) -> S3 {
    let retries = Retries::default();
    let mut s3 = S3 {
        access_key: b.secret("access_key"),
        secret: b.secret("secret"),
        session_token: b.secret("session_token"),
        assume_role_arn: b.text_or_empty("assume_role_arn"),
        assume_role_external_id: b.secret("assume_role_external_id"),
        region: b.text_or_empty("region"),
        endpoint: b.text_or_empty("endpoint"),
        bucket: required(b, "bucket"),
        force_path_style: b.flag("force_path_style").unwrap_or(false),
        metadata: {
            let mut metadata = b.text_map("metadata");
            metadata.sort();
            metadata
        },
        tagging: b.text_or_empty("tagging"),
        content_disposition: b.text_or_empty("content_disposition"),
        proxy: proxy(b),
        max_retries: b
            .count32("max_retries")
            .filter(|count| *count > 0)
            .unwrap_or(retries.max_retries),
        max_retry_delay: b.duration_or("max_retry_delay", retries.max_delay),
        min_retry_delay: b.duration_or("min_retry_delay", retries.min_delay),
    };
    if s3.min_retry_delay > s3.max_retry_delay {
        b.error("min_retry_delay", "must not be longer than max_retry_delay");
    }
    match (given(&s3.access_key), given(&s3.secret)) {
        (true, false) => b.warn(
            "access_key",
            "has no `secret` beside it; the AWS default credential chain is used",
        ),
        (false, true) => b.warn(
            "secret",
            "has no `access_key` beside it; the AWS default credential chain is used",
        ),
        (false, false) => environment_credentials(&mut s3, host),
        (true, true) => {}
    }
    if s3.region.is_empty() {
        s3.region = host
            .var("AWS_REGION")
            .or_else(|| host.var("AWS_DEFAULT_REGION"))
            .unwrap_or_default();
    }
    s3
}

/// Keys of the environment for a block without keys: only as a pair, only with their own session token, and not when
/// a role is to be assumed (its base credentials are a decision of their own).
fn environment_credentials(s3: &mut S3, host: &dyn Host) {
    if !s3.assume_role_arn.is_empty() {
        return;
    }
    if let (Some(key), Some(secret)) = (
        host.var("AWS_ACCESS_KEY_ID"),
        host.var("AWS_SECRET_ACCESS_KEY"),
    ) {
        s3.access_key = Secret::new(key);
        s3.secret = Secret::new(secret);
        if !given(&s3.session_token) {
            s3.session_token = Secret::new(host.var("AWS_SESSION_TOKEN").unwrap_or_default());
        }
    }
}

fn azure(b: &Block<'_>, host: &dyn Host) -> Azure {
    let or_env = |key: &str, name: &str| {
        let value = b.secret(key);
        if given(&value) {
            return value;
        }
        let value = host.var(name);
        if value.is_none() {
            b.error(key, format!("is missing; set it or the variable {name}"));
        }
        Secret::new(value.unwrap_or_default())
    };
    Azure {
        account_name: or_env("account_name", "AZURE_STORAGE_ACCOUNT"),
        account_key: or_env("account_key", "AZURE_STORAGE_KEY"),
        container: required(b, "container_name"),
    }
}

fn gcp(b: &Block<'_>) -> Gcp {
    Gcp {
        credentials_json: credentials_json(b),
        bucket: required(b, "bucket"),
        proxy: proxy(b),
    }
}

/// A JSON text; also the JSON itself pasted into the YAML, which makes it a mapping.
fn credentials_json(b: &Block<'_>) -> Secret<String> {
    const KEY: &str = "credentials_json";
    let text = match b.value(KEY) {
        Some(Value::Mapping(mapping)) => match serde_json::to_string(mapping) {
            Ok(text) => text,
            Err(_) => {
                b.error(KEY, "is not the JSON of a service account key");
                String::new()
            }
        },
        Some(
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Tagged(_),
        )
        | None => b.text_or_empty(KEY),
    };
    if !text.is_empty()
        && !serde_json::from_str(&text).is_ok_and(|v: serde_json::Value| v.is_object())
    {
        b.error(
            KEY,
            "is not JSON; paste the whole content of the service account's key file",
        );
    }
    Secret::new(text)
}

fn alioss(b: &Block<'_>) -> AliOss {
    let region = b.text_or_empty("region");
    let mut endpoint = b.text_or_empty("endpoint");
    if endpoint.is_empty() && !region.is_empty() {
        // Public endpoints of regions are named oss-<region>.aliyuncs.com.
        let region = region.strip_prefix("oss-").unwrap_or(&region);
        endpoint = format!("https://oss-{region}.aliyuncs.com");
    }
    if endpoint.is_empty() {
        b.error("endpoint", "is missing; set it or `region`");
    }
    AliOss {
        access_key: Secret::new(required(b, "access_key")),
        secret: Secret::new(required(b, "secret")),
        endpoint,
        bucket: required(b, "bucket"),
    }
}

fn proxy(b: &Block<'_>) -> Option<Proxy> {
    b.section("proxy_config", |p| Proxy {
        url: Secret::new(required(p, "url")),
        username: p.secret("username"),
        password: p.secret("password"),
    })
}

fn required(b: &Block<'_>, key: &str) -> String {
    let had = b.has(key);
    let text = b.text(key);
    // A value of the wrong type has been reported already.
    if text.as_deref() == Some("") || (!had && text.is_none()) {
        b.error(key, "is missing");
    }
    text.unwrap_or_default()
}

/// Is there anything in it?
pub(crate) fn given(secret: &Secret<String>) -> bool {
    !secret.reveal().is_empty()
}

/// What uploads with the request's own bucket use: the settings of the service's S3 block, when it has one.
pub(crate) fn request_uploads(storage: Option<&Destination>) -> Retries {
    match storage.map(|destination| &destination.store) {
        Some(Store::S3(s3)) => Retries {
            max_retries: s3.max_retries,
            max_delay: s3.max_retry_delay,
            min_delay: s3.min_retry_delay,
        },
        Some(Store::Local | Store::Gcp(_) | Store::Azure(_) | Store::AliOss(_)) | None => {
            Retries::default()
        }
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(b: &Block<'_>, key: &str) -> Option<Duration> {
    b.count(key)
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis)
}
