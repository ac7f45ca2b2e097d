//! The walk that turns fragments into an ordinary file.
//!
//! ```text
//! Flush ─► Count ─► [Probe ─► Untouched] ─► Mend ─► Render ⟲ one window per round ─► Seal ─► Done
//! left-over  one walk:  was it finished      cut the    one walk each, one append       16 bytes
//! writes     counts     already? (repair)    torn end                                 over the hole
//! ```
//!
//! Killed at any step, the file plays: until Seal it is a fragmented file with a tail that players skip and the
//! repair cuts off; after Seal it is finished.
//!
//! Knows the order of things; boxes, tables and layout are its neighbours' business.

use super::boxes::Reader;
use super::config::Error;
use super::drive::{Ending, Step, Steps, Summary, TrackSummary, Write};
use super::index::{CountOnly, Indexer, Sink};
use super::init::{self, HOLE, Head, MOVIE_TIMESCALE, Movie};
use super::moof::{self, Look};
use super::moov::{self, Plan, Window, nanos};
use bytes::Bytes;
use media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

/// First guess at a `moof`; later ones follow what was found.
const FIRST_READ: usize = 4096;
/// Smallest window worth a walk.
const MIN_WINDOW: usize = 1 << 10;

/// Finishes a file. Made by [`Writer::finish`](super::Writer::finish); [`Repair`](super::Repair) runs it on torn files.
#[derive(Debug)]
pub struct Finisher {
    movie: Movie,
    hole: u64,
    first_fragment: u64,
    origin: Origin,
    /// Where the file ends now.
    len: u64,
    window: usize,
    stage: Stage,
    walk: Walk,
    /// What is to be done before the next stage is looked at.
    todo: VecDeque<Step>,
}

/// Whose file it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// Written by this process: anything unexpected is an error.
    Writer,
    /// Found without a whole index: the first thing that is not a whole fragment ends it.
    Torn {
        /// The hole has become an `mdat` header all the same, which only a lost power supply does.
        sealed: bool,
    },
    /// Found with its index whole.
    Finished,
}

#[derive(Debug)]
enum Stage {
    Count,
    Probe {
        index_at: u64,
    },
    Render {
        plan: Plan,
        window: Box<Window>,
        done: u64,
    },
    Done(Summary),
    Failed(Error),
}

/// Position and buffer of a walk over the fragments.
#[derive(Debug)]
struct Walk {
    at: u64,
    /// Where it has to stop.
    limit: u64,
    indexers: Vec<Indexer>,
    fragments: u32,
    buf: Vec<u8>,
    /// Where in the file `buf` is from.
    buf_at: u64,
    /// A read that was asked for.
    asked: Option<(u64, usize)>,
    short: bool,
    guess: usize,
}

impl Finisher {
    pub(super) fn of_writer(
        movie: Movie,
        hole: u64,
        first_fragment: u64,
        len: u64,
        left: VecDeque<Write>,
        window: usize,
    ) -> Self {
        let mut todo = VecDeque::with_capacity(left.len() + 4);
        todo.extend(left.into_iter().map(Step::Write));
        Self {
            walk: Walk::new(&movie, first_fragment, len),
            movie,
            hole,
            first_fragment,
            origin: Origin::Writer,
            len,
            window: window.max(MIN_WINDOW),
            stage: Stage::Count,
            todo,
        }
    }

    pub(super) fn of_found(head: Head, len: u64, window: usize) -> Self {
        let stage = match head.finished {
            Some(index_at) if index_at.checked_add(8).is_some_and(|end| end <= len) => {
                Stage::Probe { index_at }
            }
            Some(_) | None => Stage::Count,
        };
        Self {
            walk: Walk::new(&head.movie, head.fragments, len),
            movie: head.movie,
            hole: head.hole,
            first_fragment: head.fragments,
            origin: Origin::Torn {
                sealed: head.finished.is_some(),
            },
            len,
            window: window.max(MIN_WINDOW),
            stage,
            todo: VecDeque::new(),
        }
    }

    /// Goes on until something has to be done by the driver.
    fn advance(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(step) = self.todo.pop_front() {
                return Ok(step);
            }
            if std::mem::take(&mut self.walk.short) {
                return Err(Error::ShortRead {
                    offset: self.walk.buf_at,
                });
            }
            let read = match &mut self.stage {
                Stage::Count => self.walk.run(&mut CountOnly)?,
                Stage::Probe { index_at } => self.walk.want(*index_at, 8),
                Stage::Render { window, .. } => self.walk.run(&mut **window)?,
                Stage::Done(summary) => return Ok(Step::Done(summary.clone())),
                Stage::Failed(error) => return Err(error.clone()),
            };
            if let Some((offset, len)) = read {
                return Ok(Step::Read { offset, len });
            }
            self.next_stage()?;
        }
    }

    /// The current stage has what it needs.
    fn next_stage(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.stage, Stage::Count) {
            Stage::Probe { index_at } => {
                // A whole index is never thrown away, whatever the fragments look like: players use nothing else.
                if self.walk.holds_index(index_at, self.len) {
                    self.origin = Origin::Finished;
                    self.walk.restart(self.first_fragment, index_at);
                }
                Ok(())
            }
            Stage::Count => self.counted(),
            Stage::Render { plan, window, done } => {
                if self.walk.at != self.walk.limit {
                    return Err(Error::Corrupt {
                        offset: self.walk.at,
                    });
                }
                let bytes = window.into_data();
                let done = done + bytes.len() as u64;
                self.todo
                    .push_back(Step::Write(Write::Append(Bytes::from(bytes))));
                if done < plan.size() {
                    self.render(plan, done);
                    return Ok(());
                }
                self.todo
                    .push_back(self.write_hole(init::mdat(self.walk.limit - self.hole)));
                self.stage = Stage::Done(self.summary(
                    self.walk.limit + plan.size(),
                    Ending::Finished {
                        cut: self.len - self.walk.limit,
                    },
                ));
                Ok(())
            }
            done @ (Stage::Done(_) | Stage::Failed(_)) => {
                self.stage = done;
                Ok(())
            }
        }
    }

    /// All fragments were seen once.
    fn counted(&mut self) -> Result<(), Error> {
        let (at, limit) = (self.walk.at, self.walk.limit);
        match self.origin {
            Origin::Writer if at != limit => return Err(Error::Corrupt { offset: at }),
            Origin::Finished => {
                self.stage = Stage::Done(self.summary(self.len, Ending::Untouched));
                return Ok(());
            }
            Origin::Writer | Origin::Torn { .. } => {}
        }
        if self.walk.fragments == 0 {
            return Err(Error::NothingRecorded);
        }
        let plan = moov::plan(&self.movie, &self.walk.indexers)?;
        if self.origin == (Origin::Torn { sealed: true }) {
            self.todo.push_back(self.write_hole(init::free()));
        }
        if at < self.len {
            self.todo.push_back(Step::Truncate(at));
        }
        self.walk.limit = at;
        self.render(plan, 0);
        Ok(())
    }

    fn render(&mut self, plan: Plan, done: u64) {
        self.walk.restart(self.first_fragment, self.walk.limit);
        let window = Box::new(plan.window(done, self.window));
        self.stage = Stage::Render { plan, window, done };
    }

    fn write_hole(&self, header: [u8; HOLE as usize]) -> Step {
        Step::Write(Write::At {
            offset: self.hole,
            bytes: Bytes::copy_from_slice(&header),
        })
    }

    fn summary(&self, size: u64, ending: Ending) -> Summary {
        let timing = moov::timing(&self.movie, &self.walk.indexers);
        let tracks = self.movie.tracks.iter().zip(&self.walk.indexers);
        Summary {
            ending,
            size,
            duration: Duration::from_nanos(nanos(timing.duration, MOVIE_TIMESCALE)),
            origin: MediaTime::from_nanos(timing.origin),
            fragments: self.walk.fragments,
            tracks: tracks
                .filter(|(_, x)| x.samples() > 0)
                .map(|(t, x)| TrackSummary {
                    kind: t.kind,
                    samples: x.samples(),
                    keyframes: x.keys(),
                    bytes: x.bytes(),
                    start: Duration::from_nanos(
                        nanos(x.first_pts(), t.timescale).saturating_sub(timing.origin),
                    ),
                    duration: Duration::from_nanos(nanos(x.presented(), t.timescale)),
                })
                .collect(),
        }
    }
}

impl Steps for Finisher {
    fn poll(&mut self) -> Result<Step, Error> {
        let step = self.advance();
        if let Err(error) = &step {
            self.todo.clear();
            self.stage = Stage::Failed(error.clone());
        }
        step
    }

    fn supply(&mut self, bytes: &[u8]) {
        self.walk.supply(bytes);
    }
}

impl Walk {
    fn new(movie: &Movie, at: u64, limit: u64) -> Self {
        Self {
            at,
            limit,
            indexers: (0..movie.tracks.len()).map(Indexer::new).collect(),
            fragments: 0,
            buf: Vec::with_capacity(FIRST_READ),
            buf_at: 0,
            asked: None,
            short: false,
            guess: FIRST_READ,
        }
    }

    fn restart(&mut self, at: u64, limit: u64) {
        (self.at, self.limit, self.fragments) = (at, limit, 0);
        self.buf.clear();
        for (i, indexer) in self.indexers.iter_mut().enumerate() {
            *indexer = Indexer::new(i);
        }
    }

    fn supply(&mut self, bytes: &[u8]) {
        if let Some((at, len)) = self.asked.take() {
            self.buf.clear();
            self.buf
                .extend_from_slice(bytes.get(..len).unwrap_or(bytes));
            (self.buf_at, self.short) = (at, bytes.len() < len);
        }
    }

    /// What to read so that the buffer holds `len` bytes from `at`; `None` if it does.
    fn want(&mut self, at: u64, len: usize) -> Option<(u64, usize)> {
        if self.buf_at == at && self.buf.len() >= len {
            return None;
        }
        self.asked = Some((at, len));
        self.asked
    }

    /// Whether the buffer, read at `index_at`, begins a `moov` that the file holds whole.
    fn holds_index(&self, index_at: u64, len: u64) -> bool {
        let mut r = Reader(&self.buf);
        let size = r.u32().map_or(0, u64::from);
        size > 8
            && r.four_cc().as_ref() == Some(b"moov")
            && index_at.checked_add(size).is_some_and(|end| end <= len)
    }

    /// Feeds fragments to the indexers; `None` once there are no more, with the tables closed.
    fn run(&mut self, sink: &mut impl Sink) -> Result<Option<(u64, usize)>, Error> {
        loop {
            let buf = if self.buf_at == self.at {
                &self.buf[..]
            } else {
                &[]
            };
            match moof::look(buf, self.at, self.limit, self.indexers.len()) {
                Look::More(need) => {
                    let left = usize::try_from(self.limit - self.at).unwrap_or(usize::MAX);
                    return Ok(self.want(self.at, need.max(self.guess).min(left)));
                }
                Look::Fragment(fragment) => {
                    let runs = fragment.runs.iter().flatten();
                    let continues = runs
                        .clone()
                        .all(|r| self.indexers.get(r.track).is_some_and(|x| x.continues(r)));
                    if !continues {
                        break;
                    }
                    for run in runs {
                        if let Some(indexer) = self.indexers.get_mut(run.track) {
                            indexer.add(run, &self.buf, sink)?;
                        }
                    }
                    self.fragments = self.fragments.checked_add(1).ok_or(Error::TooLong)?;
                    self.at = fragment.next;
                    // Neighbours are alike; half as much again saves the second read.
                    self.guess = (fragment.moof_len + fragment.moof_len / 2 + 64).max(512);
                }
                Look::End => break,
            }
        }
        self.indexers.iter_mut().for_each(|x| x.close(sink));
        Ok(None)
    }
}
