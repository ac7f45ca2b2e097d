//! Channel names: the only place that spells them.
//!
//! Redis sees the *legacy* spelling and nothing else:
//!
//! ```text
//! request          service | method [| topic …] | REQ       client → servers
//! claim request    service | client             | CLAIM     server → client     "I can take it"
//! claim response   service | method [| topic …] | RCLAIM    client → all        "server S won"
//! response         service | client             | RES       server → client
//! ```
//!
//! The two other spellings exist for NATS; [`Names`] lists all three so that they stay comparable with upstream.
//! Source: psrpc `pkg/info/channels.go`.

use std::fmt;
use std::sync::Arc;

use crate::method::Topic;

/// A channel as Redis knows it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Where clients publish requests.
    #[must_use]
    pub fn request(service: &str, method: &str, topic: &Topic) -> Self {
        Self::to_servers(service, method, topic, "REQ")
    }

    /// Where clients publish who won.
    #[must_use]
    pub fn claim_response(service: &str, method: &str, topic: &Topic) -> Self {
        Self::to_servers(service, method, topic, "RCLAIM")
    }

    /// Where servers bid.
    #[must_use]
    pub fn claim_request(service: &str, client: &str) -> Self {
        Self::to_client(service, client, "CLAIM")
    }

    /// Where servers answer.
    #[must_use]
    pub fn response(service: &str, client: &str) -> Self {
        Self::to_client(service, client, "RES")
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn to_servers(service: &str, method: &str, topic: &Topic, suffix: &str) -> Self {
        Self(
            join(
                '|',
                &[
                    Part::One(service),
                    Part::One(method),
                    Part::Many(topic.parts()),
                    Part::One(suffix),
                ],
            )
            .into(),
        )
    }

    fn to_client(service: &str, client: &str, suffix: &str) -> Self {
        Self(
            join(
                '|',
                &[Part::One(service), Part::One(client), Part::One(suffix)],
            )
            .into(),
        )
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The three spellings of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// On Redis.
    pub legacy: String,
    /// On NATS: the subject.
    pub server: String,
    /// On NATS: the key inside the subject; empty for channels of a client.
    pub local: String,
}

impl Names {
    /// A channel of a client; `kind` is `RES`, `CLAIM` or `STR`.
    #[must_use]
    pub fn to_client(service: &str, client: &str, kind: &str) -> Self {
        Self {
            legacy: join(
                '|',
                &[Part::One(service), Part::One(client), Part::One(kind)],
            ),
            server: join(
                '.',
                &[
                    Part::One("CLI"),
                    Part::One(service),
                    Part::One(client),
                    Part::One(kind),
                ],
            ),
            local: String::new(),
        }
    }

    /// A channel of a method; `kind` is `REQ`, `RCLAIM` or `STR`. Only requests have a queue spelling.
    #[must_use]
    pub fn to_servers(service: &str, method: &str, topic: &Topic, kind: &str, queue: bool) -> Self {
        let mut server = vec![Part::One("SRV"), Part::One(service)];
        if !topic.parts().is_empty() {
            server.push(Part::Many(topic.parts()));
        }
        if queue {
            server.push(Part::One("Q"));
        }
        Self {
            legacy: join(
                '|',
                &[
                    Part::One(service),
                    Part::One(method),
                    Part::Many(topic.parts()),
                    Part::One(kind),
                ],
            ),
            server: join('.', &server),
            local: join('.', &[Part::One(method), Part::One(kind)]),
        }
    }
}

/// The key of a method and topic among a server's handlers.
#[must_use]
pub fn handler_key(method: &str, topic: &Topic) -> String {
    if topic.parts().is_empty() {
        return join('.', &[Part::One(method)]);
    }
    join('.', &[Part::One(method), Part::Many(topic.parts())])
}

/// A part of a name: one word, or a list that counts as one where delimiters are concerned.
pub enum Part<'a> {
    /// A word.
    One(&'a str),
    /// A topic.
    Many(&'a [String]),
}

/// Joins sanitised parts. A part that adds nothing swallows the delimiter after it.
#[must_use]
pub fn join(delimiter: char, parts: &[Part<'_>]) -> String {
    let mut text = String::new();
    let mut delimit = false;
    for part in parts {
        if delimit {
            text.push(delimiter);
        }
        let before = text.len();
        match part {
            Part::One(word) => sanitise(&mut text, word),
            Part::Many(words) => {
                let mut delimit = false;
                for word in *words {
                    if delimit {
                        text.push(delimiter);
                    }
                    let before = text.len();
                    sanitise(&mut text, word);
                    delimit = text.len() > before;
                }
            }
        }
        delimit = text.len() > before;
    }
    text
}

fn sanitise(text: &mut String, word: &str) {
    use fmt::Write as _;
    for c in word.chars() {
        let code = u32::from(c);
        let written = if c.is_ascii_alphanumeric() || c == '_' {
            text.write_char(c)
        } else if code < 0x1_0000 {
            write!(text, "u+{code:04x}")
        } else {
            write!(text, "U+{code:08x}")
        };
        // Writing to a String cannot fail.
        debug_assert!(written.is_ok());
    }
}
