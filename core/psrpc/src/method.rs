//! What a method is: its name, how its requests find a server, and the topic it is served on.

use std::time::Duration;

/// A list of topic parts; usually empty or one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Topic(Vec<String>);

impl Topic {
    /// No topic: everybody who serves the method.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Several parts.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

/// One part; the empty string is no topic.
impl From<&str> for Topic {
    fn from(part: &str) -> Self {
        if part.is_empty() {
            Self::none()
        } else {
            Self::of(&[part])
        }
    }
}

/// Whether a server takes the queue lock before it handles a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// `SET NX` first: several processes serve the same topic.
    Take,
    /// The topic is ours alone (`EgressHandler`): no round trip.
    Skip,
}

/// How a request finds a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Every server bids, the client picks, the winner runs.
    Affinity,
    /// One server receives it (by the lock), bids, is granted, runs.
    Queue(Locking),
    /// Every server runs and answers; nothing is claimed.
    Multi,
    /// The one server of the topic runs and answers; nothing is claimed.
    Direct,
}

/// A method of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The bare rpc name.
    pub name: String,
    /// How its requests find a server.
    pub flow: Flow,
    /// How long a bid may keep a reservation alive without a grant. `None`: until the request expires.
    pub hold: Option<Duration>,
}

impl Method {
    /// A method whose servers are chosen by affinity.
    #[must_use]
    pub fn affinity(name: &str) -> Self {
        Self::new(name, Flow::Affinity)
    }

    /// A method one of many receives, by the lock.
    #[must_use]
    pub fn queue(name: &str) -> Self {
        Self::new(name, Flow::Queue(Locking::Take))
    }

    /// A queue method on topics that only we serve.
    #[must_use]
    pub fn own_queue(name: &str) -> Self {
        Self::new(name, Flow::Queue(Locking::Skip))
    }

    /// A method every server answers.
    #[must_use]
    pub fn multi(name: &str) -> Self {
        Self::new(name, Flow::Multi)
    }

    /// A method whose topic has a single server.
    #[must_use]
    pub fn direct(name: &str) -> Self {
        Self::new(name, Flow::Direct)
    }

    /// Gives up reservations that were not granted `hold` after the bid.
    #[must_use]
    pub fn hold(self, hold: Duration) -> Self {
        Self {
            hold: Some(hold),
            ..self
        }
    }

    /// Whether a server must be granted the request before it runs it.
    #[must_use]
    pub fn claimed(&self) -> bool {
        match self.flow {
            Flow::Affinity | Flow::Queue(Locking::Take | Locking::Skip) => true,
            Flow::Multi | Flow::Direct => false,
        }
    }

    fn new(name: &str, flow: Flow) -> Self {
        Self {
            name: name.to_owned(),
            flow,
            hold: None,
        }
    }
}
