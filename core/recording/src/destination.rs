//! Where finished bytes go: the operator's `storage` and `backup` and the upload blocks of requests become a
//! [`Destination`].
//!
//! ```text
//! v1: upload block of the output ─┐
//! v2: output.storage → request.storage ─┴─► else service `storage` ─► else this machine (unless disallowed)
//! ```
//!
//! Prefix and presigning always come from the service's block, also for a request's own bucket (egress-behaviour.md
//! §13.1). Knows nothing of paths, of YAML, and of how uploads work.

use crate::plan::{AliOss, Azure, Destination, Gcp, Proxy, S3, Store};
use crate::policy::Policy;
use crate::{Code, Refusal, Secret};
use wire::livekit::{self, storage_config::Provider};

/// The destination of an output that brings `upload`, or brings none.
///
/// # Errors
/// Local storage where the operator disallows it (`… field: output`); a role to assume and nobody to assume it.
pub fn resolve(upload: Option<&Provider>, policy: &Policy) -> Result<Destination, Refusal> {
    let service = policy.storage.as_ref();
    let store = match upload {
        Some(Provider::S3(upload)) => Store::S3(request_s3(upload, policy)?),
        Some(Provider::Gcp(upload)) => Store::Gcp(Gcp {
            credentials_json: Secret::new(upload.credentials.clone()),
            bucket: upload.bucket.clone(),
            proxy: upload.proxy.as_ref().map(request_proxy),
        }),
        Some(Provider::Azure(upload)) => Store::Azure(Azure {
            account_name: Secret::new(upload.account_name.clone()),
            account_key: Secret::new(upload.account_key.clone()),
            container: upload.container_name.clone(),
        }),
        Some(Provider::AliOss(upload)) => Store::AliOss(AliOss {
            access_key: Secret::new(upload.access_key.clone()),
            secret: Secret::new(upload.secret.clone()),
            endpoint: upload.endpoint.clone(),
            bucket: upload.bucket.clone(),
        }),
        None => service.map_or(Store::Local, |service| service.store.clone()),
    };
    if policy.disallow_local_storage && store == Store::Local {
        return Err(Refusal::field("output"));
    }
    Ok(Destination {
        store,
        prefix: service.map_or_else(String::new, |service| service.prefix.clone()),
        presign: service.is_some_and(|service| service.presign),
        backup: policy.backup.clone().map(Box::new),
    })
}

fn request_s3(upload: &livekit::S3Upload, policy: &Policy) -> Result<S3, Refusal> {
    let mut metadata: Vec<(String, String)> = Vec::with_capacity(upload.metadata.len());
    #[expect(clippy::iter_over_hash_type, reason = "sorted right after")]
    for (key, value) in &upload.metadata {
        metadata.push((key.clone(), value.clone()));
    }
    metadata.sort();
    let retries = policy.request_uploads;
    let mut s3 = S3 {
        access_key: Secret::new(upload.access_key.clone()),
        secret: Secret::new(upload.secret.clone()),
        session_token: Secret::new(upload.session_token.clone()),
        assume_role_arn: upload.assume_role_arn.clone(),
        assume_role_external_id: Secret::new(upload.assume_role_external_id.clone()),
        region: upload.region.clone(),
        endpoint: upload.endpoint.clone(),
        bucket: upload.bucket.clone(),
        force_path_style: upload.force_path_style,
        metadata,
        tagging: upload.tagging.clone(),
        content_disposition: upload.content_disposition.clone(),
        proxy: upload.proxy.as_ref().map(request_proxy),
        max_retries: retries.max_retries,
        max_retry_delay: retries.max_delay,
        min_retry_delay: retries.min_delay,
    };
    let role = &policy.assume_role;
    if s3.assume_role_arn.is_empty() {
        s3.assume_role_arn.clone_from(&role.arn);
        s3.assume_role_external_id = role.external_id.clone();
    }
    if !s3.assume_role_arn.is_empty() && s3.access_key.reveal().is_empty() {
        if role.access_key.reveal().is_empty() {
            return Err(Refusal::new(
                Code::PermissionDenied,
                "S3 upload using AssumeRole is disabled for this account",
            ));
        }
        s3.access_key = role.access_key.clone();
        s3.secret = role.secret.clone();
    }
    Ok(s3)
}

fn request_proxy(proxy: &livekit::ProxyConfig) -> Proxy {
    Proxy {
        url: Secret::new(proxy.url.clone()),
        username: Secret::new(proxy.username.clone()),
        password: Secret::new(proxy.password.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(arn: &str, key: &str) -> Provider {
        Provider::S3(livekit::S3Upload {
            assume_role_arn: arn.into(),
            access_key: key.into(),
            bucket: "b".into(),
            ..Default::default()
        })
    }

    fn got(destination: Destination) -> S3 {
        match destination.store {
            Store::S3(s3) => s3,
            other @ (Store::Local | Store::Gcp(_) | Store::Azure(_) | Store::AliOss(_)) => {
                panic!("{other:?}")
            }
        }
    }

    fn local(prefix: &str) -> Destination {
        Destination {
            store: Store::Local,
            prefix: prefix.into(),
            presign: false,
            backup: None,
        }
    }

    #[test]
    fn a_request_bucket_keeps_the_services_prefix_and_presigning() {
        let mut policy = Policy {
            storage: Some(Destination {
                store: Store::S3(S3::default()),
                presign: true,
                ..local("team")
            }),
            backup: Some(local("late")),
            ..Policy::default()
        };
        policy.request_uploads.max_retries = 9;
        let destination = resolve(Some(&s3("", "k")), &policy).unwrap();
        assert_eq!(destination.prefix, "team");
        assert!(destination.presign);
        assert_eq!(destination.backup.as_deref(), Some(&local("late")));
        let s3 = got(destination);
        assert_eq!((s3.bucket.as_str(), s3.max_retries), ("b", 9));
    }

    #[test]
    fn roles_are_assumed_with_the_services_key_or_not_at_all() {
        let refused = resolve(Some(&s3("arn:x", "")), &Policy::default()).unwrap_err();
        assert_eq!(refused.code, Code::PermissionDenied);
        let mut policy = Policy::default();
        policy.assume_role.access_key = Secret::new("K".into());
        policy.assume_role.arn = "arn:service".into();
        policy.assume_role.external_id = Secret::new("ext".into());
        let own = got(resolve(Some(&s3("arn:x", "")), &policy).unwrap());
        assert_eq!(
            (
                own.assume_role_arn.as_str(),
                own.access_key.reveal().as_str()
            ),
            ("arn:x", "K")
        );
        assert!(own.assume_role_external_id.reveal().is_empty());
        let service = got(resolve(Some(&s3("", "mine")), &policy).unwrap());
        assert_eq!(
            (
                service.assume_role_arn.as_str(),
                service.access_key.reveal().as_str(),
                service.assume_role_external_id.reveal().as_str()
            ),
            ("arn:service", "mine", "ext")
        );
    }

    #[test]
    fn local_storage_can_be_disallowed() {
        let policy = Policy {
            disallow_local_storage: true,
            storage: Some(local("p")),
            ..Policy::default()
        };
        assert_eq!(
            resolve(None, &policy).unwrap_err(),
            Refusal::field("output")
        );
        assert!(resolve(Some(&s3("", "k")), &policy).is_ok());
    }
}
