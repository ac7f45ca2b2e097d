//! `location` of an uploaded object: the public URL of its store (egress-behaviour.md §13.3, `storage_locations.json`).
//!
//! Pure text; presigned URLs are the storage driver's.

use crate::naming::local;
use crate::plan::{Destination, Store};
use std::fmt::Write as _;
use std::path::Path;

/// Where `storage_path` can be found once stored; relative local paths lie under `cwd`.
#[must_use]
pub fn of(destination: &Destination, storage_path: &str, cwd: &Path) -> String {
    let key = local::key(destination, storage_path);
    let key = encoded(key.trim_start_matches('/'));
    match &destination.store {
        Store::Local => local::location(destination, storage_path, cwd),
        Store::S3(s3) => {
            let host = match host(&s3.endpoint) {
                "" => "s3.amazonaws.com",
                host => host,
            };
            if s3.force_path_style {
                format!("https://{host}/{}/{key}", s3.bucket)
            } else {
                format!("https://{}.{host}/{key}", s3.bucket)
            }
        }
        Store::Gcp(gcp) => format!("https://{}.storage.googleapis.com/{key}", gcp.bucket),
        Store::Azure(azure) => {
            let account = azure.account_name.reveal();
            match azure.container.trim_matches('/') {
                "" => format!("https://{account}.blob.core.windows.net/{key}"),
                container => format!("https://{account}.blob.core.windows.net/{container}/{key}"),
            }
        }
        Store::AliOss(oss) => format!("https://{}.{}/{key}", oss.bucket, host(&oss.endpoint)),
    }
}

/// An endpoint without scheme and trailing slash.
fn host(endpoint: &str) -> &str {
    let host = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, host)| host);
    host.trim_end_matches('/')
}

/// Percent-encodes what a URL path cannot hold.
fn encoded(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/$&+,:;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String never fails");
        }
    }
    out
}
