//! Deltas: what the leader did since the last one, as the body of a log record.
//!
//! Numbers are LEB128; stream sequences and times are differences to the ones
//! before them in the same delta, so a batch of contiguous deliveries is one op
//! of about 20 bytes.
//!
//! ```text
//! body   version u8 = 1 · epoch u64 le · number u64 le · op*
//! op     tag u8 · fields
//! ```
//!
//! `epoch` and `number` let the leader that wrote a delta find the answers that
//! wait for it; other replicas ignore them.

use super::state::{Op, SkipList};
use crate::effect::Nanos;
use bytes::{BufMut, BytesMut};

/// Version of the format.
pub const VERSION: u8 = 1;
/// Most sequences one op may cover; longer runs are split.
const MAX_RUN: u64 = 1 << 20;

const START: u8 = 1;
const DELIVER: u8 = 2;
const REDELIVER: u8 = 3;
const ACK: u8 = 4;
const ACK_UP_TO: u8 = 5;
const TOUCH: u8 = 6;
const EXCEED: u8 = 7;
const ADVANCE: u8 = 8;
const RESET: u8 = 9;
const SKIP_GONE: u8 = 10;
const SKIP_LIST: u8 = 11;

/// Why bytes are not a delta or a checkpoint of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Written by a newer server.
    #[error("consumer record has version {0}, this server reads up to {VERSION}; upgrade it")]
    Version(u8),
    /// Ends early.
    #[error("consumer record is cut short at byte {0}")]
    Truncated(usize),
    /// A field cannot be right.
    #[error("consumer record has an impossible {0}")]
    Bad(&'static str),
}

/// Collects ops until the owner takes them.
#[derive(Debug, Default)]
pub struct DeltaBuffer {
    body: BytesMut,
    last: Option<Op>,
    base: Base,
    ops: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Base {
    seq: u64,
    ts: Nanos,
}

impl DeltaBuffer {
    /// Whether there is nothing to log.
    pub fn is_empty(&self) -> bool {
        self.last.is_none() && self.body.is_empty()
    }

    /// Bytes collected so far.
    pub fn len(&self) -> usize {
        self.body.len() + if self.last.is_some() { 32 } else { 0 }
    }

    /// Adds an op; runs grow in place.
    pub fn push(&mut self, op: Op) {
        self.ops += 1;
        match (&mut self.last, op) {
            (Some(Op::Deliver { first, n, ts }), Op::Deliver { first: f, n: m, ts: t })
                if *ts == t && first.checked_add(*n) == Some(f) && *n + m <= MAX_RUN =>
            {
                *n += m;
            }
            (Some(Op::Ack { first, n }), Op::Ack { first: f, n: m })
                if first.checked_add(*n) == Some(f) && *n + m <= MAX_RUN =>
            {
                *n += m;
            }
            _ => {
                self.flush();
                self.last = Some(op);
            }
        }
    }

    /// Adds the candidates of `last_per_subject`.
    pub fn push_skip(&mut self, skip: &SkipList) {
        self.flush();
        self.body.put_u8(SKIP_LIST);
        put_skip(&mut self.body, skip);
        self.base = Base::default();
    }

    /// Writes the delta and empties the buffer.
    pub fn take(&mut self, epoch: u64, number: u64, out: &mut BytesMut) {
        self.flush();
        out.put_u8(VERSION);
        out.put_u64_le(epoch);
        out.put_u64_le(number);
        out.put_slice(&self.body);
        self.clear();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.body.clear();
        *self = DeltaBuffer { body: std::mem::take(&mut self.body), ..Default::default() };
    }

    fn flush(&mut self) {
        let Some(op) = self.last.take() else { return };
        let (out, base) = (&mut self.body, &mut self.base);
        let mut seq = |out: &mut BytesMut, tag: u8, seq: u64| {
            out.put_u8(tag);
            put_signed(out, seq.wrapping_sub(base.seq) as i64);
            base.seq = seq;
        };
        let time = match op {
            Op::Start { next } => {
                seq(out, START, next);
                None
            }
            Op::Deliver { first, n, ts } => {
                seq(out, DELIVER, first);
                put(out, n);
                Some(ts)
            }
            Op::Redeliver { seq: s, ts } => {
                seq(out, REDELIVER, s);
                Some(ts)
            }
            Op::Ack { first, n } => {
                seq(out, ACK, first);
                put(out, n);
                None
            }
            Op::AckUpTo { dseq, seq: s } => {
                seq(out, ACK_UP_TO, s);
                put(out, dseq);
                None
            }
            Op::Touch { seq: s, ts } => {
                seq(out, TOUCH, s);
                Some(ts)
            }
            Op::Exceed { seq: s } => {
                seq(out, EXCEED, s);
                None
            }
            Op::Advance { next } => {
                seq(out, ADVANCE, next);
                None
            }
            Op::Reset { next } => {
                seq(out, RESET, next);
                None
            }
            Op::SkipGone { seq: s } => {
                seq(out, SKIP_GONE, s);
                None
            }
        };
        if let Some(ts) = time {
            put_signed(out, ts.wrapping_sub(base.ts));
            base.ts = ts;
        }
    }
}

/// One step of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A change.
    Op(Op),
    /// The candidates of `last_per_subject`.
    Skip(SkipList),
}

/// The head of a delta and its steps.
#[derive(Debug)]
pub struct DeltaReader<'a> {
    /// Leadership that wrote it.
    pub epoch: u64,
    /// Its number in that leadership.
    pub number: u64,
    input: Input<'a>,
    base: Base,
}

impl<'a> DeltaReader<'a> {
    /// Reads the head.
    pub fn new(body: &'a [u8]) -> Result<Self, FormatError> {
        let mut input = Input::new(body);
        match input.u8()? {
            VERSION => {}
            other => return Err(FormatError::Version(other)),
        }
        Ok(DeltaReader { epoch: input.u64()?, number: input.u64()?, input, base: Base::default() })
    }

    /// The next step; `None` at the end.
    pub fn next_step(&mut self) -> Result<Option<Step>, FormatError> {
        if self.input.rest() == 0 {
            return Ok(None);
        }
        let tag = self.input.u8()?;
        if tag == SKIP_LIST {
            self.base = Base::default();
            return Ok(Some(Step::Skip(self.input.skip_list()?)));
        }
        let seq = self.base.seq.wrapping_add(self.input.signed()? as u64);
        self.base.seq = seq;
        let op = match tag {
            START => Op::Start { next: seq },
            DELIVER => {
                let n = self.run(seq)?;
                Op::Deliver { first: seq, n, ts: self.time()? }
            }
            REDELIVER => Op::Redeliver { seq, ts: self.time()? },
            ACK => Op::Ack { first: seq, n: self.run(seq)? },
            ACK_UP_TO => Op::AckUpTo { dseq: self.input.number()?, seq },
            TOUCH => Op::Touch { seq, ts: self.time()? },
            EXCEED => Op::Exceed { seq },
            ADVANCE => Op::Advance { next: seq },
            RESET => Op::Reset { next: seq },
            SKIP_GONE => Op::SkipGone { seq },
            _ => return Err(FormatError::Bad("op")),
        };
        Ok(Some(Step::Op(op)))
    }

    fn run(&mut self, first: u64) -> Result<u64, FormatError> {
        let n = self.input.number()?;
        if n == 0 || n > MAX_RUN || first.checked_add(n).is_none() {
            return Err(FormatError::Bad("run length"));
        }
        Ok(n)
    }

    fn time(&mut self) -> Result<Nanos, FormatError> {
        self.base.ts = self.base.ts.wrapping_add(self.input.signed()?);
        Ok(self.base.ts)
    }
}

/// Appends a LEB128 number.
pub(super) fn put(out: &mut BytesMut, mut v: u64) {
    while v >= 0x80 {
        out.put_u8(v as u8 | 0x80);
        v >>= 7;
    }
    out.put_u8(v as u8);
}

/// Appends a zigzag LEB128 number.
pub(super) fn put_signed(out: &mut BytesMut, v: i64) {
    put(out, (v.wrapping_shl(1) ^ (v >> 63)) as u64);
}

/// Appends a skip list.
pub(super) fn put_skip(out: &mut BytesMut, skip: &SkipList) {
    put(out, skip.resume);
    put(out, skip.seqs.len() as u64);
    let mut base = 0;
    for &seq in &skip.seqs {
        put(out, seq.wrapping_sub(base));
        base = seq;
    }
}

/// Bytes read from a log or checkpoint; never trusted.
#[derive(Debug)]
pub(super) struct Input<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Input { all, at: 0 }
    }

    pub(super) fn rest(&self) -> usize {
        self.all.len() - self.at
    }

    pub(super) fn u8(&mut self) -> Result<u8, FormatError> {
        let b = *self.all.get(self.at).ok_or(FormatError::Truncated(self.at))?;
        self.at += 1;
        Ok(b)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        let bytes = self.all.get(self.at..self.at + 8).ok_or(FormatError::Truncated(self.at))?;
        self.at += 8;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| FormatError::Truncated(self.at))?))
    }

    pub(super) fn number(&mut self) -> Result<u64, FormatError> {
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.u8()?;
            let bits = u64::from(b & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            v |= bits << shift;
            if b < 0x80 {
                return Ok(v);
            }
        }
        Err(FormatError::Bad("number"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, FormatError> {
        let v = self.number()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    /// A count of things that take at least `each` bytes, so that it cannot ask
    /// for more memory than the input is long.
    pub(super) fn count(&mut self, each: usize) -> Result<usize, FormatError> {
        let n = self.number()?;
        match usize::try_from(n) {
            Ok(n) if n <= self.rest() / each => Ok(n),
            _ => Err(FormatError::Bad("count")),
        }
    }

    pub(super) fn skip_list(&mut self) -> Result<SkipList, FormatError> {
        let resume = self.number()?;
        let n = self.count(1)?;
        let mut seqs = std::collections::VecDeque::with_capacity(n);
        let mut seq = 0u64;
        for _ in 0..n {
            let step = self.number()?;
            seq = match seq.checked_add(step) {
                Some(s) if step > 0 && s < u64::MAX => s,
                _ => return Err(FormatError::Bad("candidate")),
            };
            seqs.push_back(seq);
        }
        Ok(SkipList { seqs, resume })
    }
}
