//! Boxes: the nesting writer and the bounded reader that the rest of [`mp4`](super) is built on.
//!
//! The writer can leave *holes*: stretches of known length that are counted in every enclosing size but filled
//! in later, which is how a `moov` of many megabytes is laid out without being in memory.
//! Knows no box by name.

/// A box type.
pub(super) type FourCc = [u8; 4];

/// A stretch of output that somebody else fills.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hole<T> {
    /// Offset in the output, holes before it counted.
    pub(super) at: u64,
    /// Bytes.
    pub(super) len: u64,
    /// Who fills it.
    pub(super) tag: T,
}

/// Writes nested boxes; sizes are patched when a box closes.
#[derive(Debug)]
pub(super) struct Builder<T> {
    out: Vec<u8>,
    holes: Vec<Hole<T>>,
    hollow: u64,
}

impl<T> Builder<T> {
    pub(super) fn new() -> Self {
        Self {
            out: Vec::with_capacity(1024),
            holes: Vec::new(),
            hollow: 0,
        }
    }

    /// What was written between the holes, the holes in order, and the length of both together.
    pub(super) fn into_parts(self) -> (Vec<u8>, Vec<Hole<T>>, u64) {
        let len = self.len();
        (self.out, self.holes, len)
    }

    /// Bytes so far, holes counted.
    pub(super) fn len(&self) -> u64 {
        self.out.len() as u64 + self.hollow
    }

    /// A box. A size beyond 32 bits saturates: whoever may get there checks [`Builder::len`] afterwards.
    pub(super) fn nest(&mut self, kind: &FourCc, body: impl FnOnce(&mut Self)) {
        let (at, start) = (self.out.len(), self.len());
        self.u32(0);
        self.bytes(kind);
        body(self);
        let size = u32::try_from(self.len() - start).unwrap_or(u32::MAX);
        if let Some(field) = self.out.get_mut(at..at + 4) {
            field.copy_from_slice(&size.to_be_bytes());
        }
    }

    /// A box that begins with version and flags.
    pub(super) fn full(
        &mut self,
        kind: &FourCc,
        version: u8,
        flags: u32,
        body: impl FnOnce(&mut Self),
    ) {
        self.nest(kind, |b| {
            b.u32(u32::from(version) << 24 | (flags & 0x00ff_ffff));
            body(b);
        });
    }

    /// Leaves `len` bytes to be filled by whoever understands `tag`.
    pub(super) fn hole(&mut self, len: u64, tag: T) {
        self.holes.push(Hole {
            at: self.len(),
            len,
            tag,
        });
        self.hollow = self.hollow.saturating_add(len);
    }

    pub(super) fn u16(&mut self, v: u16) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }

    pub(super) fn u32(&mut self, v: u32) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }

    pub(super) fn u64(&mut self, v: u64) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, v: &[u8]) {
        self.out.extend_from_slice(v);
    }

    pub(super) fn zeros(&mut self, n: usize) {
        self.out.resize(self.out.len() + n, 0);
    }
}

/// Reads big-endian fields off the front; `None` past the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn four_cc(&mut self) -> Option<FourCc> {
        self.array()
    }

    /// The body of the next box if it is a whole one of this kind; nothing is consumed otherwise.
    pub(super) fn body(&mut self, kind: &FourCc) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, body) = ahead.next_box()?;
        if &found != kind {
            return None;
        }
        *self = ahead;
        Some(body)
    }

    /// The next whole box with a 32-bit size.
    pub(super) fn next_box(&mut self) -> Option<(FourCc, &'a [u8])> {
        let mut ahead = *self;
        let size = ahead.u32()? as usize;
        let kind = ahead.four_cc()?;
        let body = ahead.take(size.checked_sub(8)?)?;
        *self = ahead;
        Some((kind, body))
    }
}

/// The body of the first child of this kind.
pub(super) fn child<'a>(parent: &'a [u8], kind: &FourCc) -> Option<&'a [u8]> {
    let mut r = Reader(parent);
    while let Some((found, body)) = r.next_box() {
        if &found == kind {
            return Some(body);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_counted_in_every_enclosing_size() {
        let mut b = Builder::new();
        b.nest(b"moov", |b| {
            b.full(b"stsz", 0, 0, |b| {
                b.u32(7);
                b.hole(1000, 'x');
            });
            b.nest(b"free", |_| {});
        });
        let (out, holes, len) = b.into_parts();
        assert_eq!(len, 8 + 16 + 1000 + 8);
        assert_eq!(out.len(), 32);
        assert_eq!(&out[..4], &1032_u32.to_be_bytes());
        assert_eq!(&out[8..12], &1016_u32.to_be_bytes());
        assert_eq!(
            holes,
            [Hole {
                at: 24,
                len: 1000,
                tag: 'x'
            }]
        );
    }

    #[test]
    fn a_box_that_claims_more_than_there_is_ends_the_walk() {
        let mut bytes = vec![0, 0, 0, 9, b'a', b'b', b'c', b'd', 1];
        bytes.extend([0, 0, 1, 0, b'm', b'o', b'o', b'v', 0]);
        assert_eq!(child(&bytes, b"abcd"), Some(&[1_u8][..]));
        assert_eq!(child(&bytes, b"moov"), None);
        assert_eq!(child(&[0, 0, 0, 7, b'm', b'o', b'o', b'v'], b"moov"), None);
    }
}
