//! The access token of the hidden recorder: a JWT signed with HS256.
//!
//! Owns the claims LiveKit expects of an egress participant (egress-behaviour.md §1.6) and the HMAC of RFC 2104 on
//! top of `sha2` (twenty lines against a dependency). Knows nothing of requests.

use crate::{EgressId, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// How long a minted token is valid, seconds.
pub const LIFETIME_SECS: i64 = 24 * 60 * 60;

/// Bytes of a SHA-256 block.
const BLOCK: usize = 64;

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    identity: &'a str,
    nbf: i64,
    iat: i64,
    exp: i64,
    kind: &'static str,
    video: Grants<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grants<'a> {
    room_join: bool,
    room: &'a str,
    can_subscribe: bool,
    can_publish: bool,
    can_publish_data: bool,
    hidden: bool,
    recorder: bool,
}

/// A token that lets `egress_id` join `room` unseen, listen, and publish nothing. `now` in Unix seconds.
#[must_use]
pub fn mint(
    egress_id: &EgressId,
    room: &str,
    api_key: &str,
    api_secret: &str,
    now: i64,
) -> Secret<String> {
    let header = Header {
        alg: "HS256",
        typ: "JWT",
    };
    let claims = Claims {
        iss: api_key,
        sub: egress_id.as_str(),
        identity: egress_id.as_str(),
        nbf: now,
        iat: now,
        exp: now.saturating_add(LIFETIME_SECS),
        kind: "egress",
        video: Grants {
            room_join: true,
            room,
            can_subscribe: true,
            can_publish: false,
            can_publish_data: false,
            hidden: true,
            recorder: true,
        },
    };
    let mut token = encode(&header);
    token.push('.');
    token.push_str(&encode(&claims));
    let signature = hmac_sha256(api_secret.as_bytes(), token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Secret::new(token)
}

fn encode(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part).expect("strings, numbers and booleans always serialize");
    URL_SAFE_NO_PAD.encode(json)
}

/// HMAC-SHA-256 (RFC 2104).
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn hmac_equals_the_vectors_of_rfc_4231() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expect) in cases {
            assert_eq!(hex(&hmac_sha256(key, message)), expect);
        }
    }

    #[test]
    fn a_token_has_the_claims_of_a_hidden_recorder() {
        let id = EgressId::new("EG_x").unwrap();
        let token = mint(&id, "my room", "devkey", "secret", 1_000);
        let parts: Vec<&str> = token.reveal().split('.').collect();
        assert_eq!(parts.len(), 3);
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(
            read(parts[0]),
            serde_json::json!({"alg": "HS256", "typ": "JWT"})
        );
        assert_eq!(
            read(parts[1]),
            serde_json::json!({
                "iss": "devkey", "sub": "EG_x", "identity": "EG_x", "nbf": 1000, "iat": 1000, "exp": 87400,
                "kind": "egress",
                "video": {"roomJoin": true, "room": "my room", "canSubscribe": true, "canPublish": false,
                          "canPublishData": false, "hidden": true, "recorder": true}
            })
        );
        let signed = format!("{}.{}", parts[0], parts[1]);
        assert_eq!(
            URL_SAFE_NO_PAD.decode(parts[2]).unwrap(),
            hmac_sha256(b"secret", signed.as_bytes())
        );
    }
}
