//! Finishing the file of a process that was killed, by nothing but the file itself.
//!
//! ```text
//! Head ─► header read and recognised ─► Finisher (finds the last whole fragment, cuts, indexes, seals)
//!   └───► NothingRecorded · Foreign: the file is not touched
//! ```
//!
//! Killed where, and what becomes of it:
//! in the header → nothing recorded; in a fragment → that one is cut off; in the final index, or between it and the
//! 16 bytes → the index is cut off and written anew; after the 16 bytes → finished, not touched. Repairing twice, or
//! being killed while repairing, is the same as repairing once.
//!
//! Knows only how a file begins.

use super::config::{Error, HEAD, INDEX_MEMORY};
use super::drive::{Step, Steps};
use super::finish::Finisher;
use super::init;

/// Makes an ordinary file of a torn one.
#[derive(Debug)]
pub struct Repair {
    len: u64,
    index_memory: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    Walk(Box<Finisher>),
    Failed(Error),
}

impl Repair {
    /// For a file of `len` bytes.
    #[must_use]
    pub fn new(len: u64) -> Self {
        Self {
            len,
            index_memory: INDEX_MEMORY,
            state: State::Head,
        }
    }

    /// Bytes of the index held at a time; see [`Config::index_memory`](super::Config::index_memory).
    #[must_use]
    pub fn index_memory(mut self, bytes: usize) -> Self {
        self.index_memory = bytes;
        self
    }

    fn head_len(&self) -> usize {
        usize::try_from(self.len.min(HEAD)).unwrap_or(0)
    }
}

impl Steps for Repair {
    fn poll(&mut self) -> Result<Step, Error> {
        match &mut self.state {
            State::Head if self.len == 0 => Err(Error::NothingRecorded),
            State::Head => Ok(Step::Read {
                offset: 0,
                len: self.head_len(),
            }),
            State::Walk(walk) => walk.poll(),
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn supply(&mut self, bytes: &[u8]) {
        let head_len = self.head_len();
        match &mut self.state {
            State::Head if bytes.len() < head_len => {
                self.state = State::Failed(Error::ShortRead { offset: 0 });
            }
            State::Head => {
                self.state = match init::parse(bytes) {
                    Ok(head) => State::Walk(Box::new(Finisher::of_found(
                        head,
                        self.len,
                        self.index_memory,
                    ))),
                    Err(error) => State::Failed(error),
                };
            }
            State::Walk(walk) => walk.supply(bytes),
            State::Failed(_) => {}
        }
    }
}
