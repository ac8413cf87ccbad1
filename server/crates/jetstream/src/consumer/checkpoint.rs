//! A consumer's applied state in a stream's checkpoint.
//!
//! ```text
//! version u8 = 1 · delivered (c, s) · floor (c, s) · next
//! · n · n × (seq step, dseq, ts difference)
//! · m · m × (seq step, redeliveries)
//! · skip u8 [· skip list]
//! ```
//! Numbers as in [`super::delta`].

use super::delta::{FormatError, Input, VERSION, put, put_signed, put_skip};
use super::state::{ConsumerState, Pending, Position};
use bytes::{BufMut, BytesMut};
use std::collections::BTreeMap;

/// Appends `state`.
pub fn encode(state: &ConsumerState, out: &mut BytesMut) {
    out.put_u8(VERSION);
    for v in [
        state.delivered.consumer,
        state.delivered.stream,
        state.ack_floor.consumer,
        state.ack_floor.stream,
        state.next,
    ] {
        put(out, v);
    }
    put(out, state.pending.len() as u64);
    let (mut seq, mut ts) = (0u64, 0i64);
    for (&s, p) in &state.pending {
        put(out, s.wrapping_sub(seq));
        put(out, p.dseq);
        put_signed(out, p.ts.wrapping_sub(ts));
        (seq, ts) = (s, p.ts);
    }
    put(out, state.redelivered.len() as u64);
    let mut seq = 0u64;
    for (&s, &n) in &state.redelivered {
        put(out, s.wrapping_sub(seq));
        put(out, n);
        seq = s;
    }
    match &state.skip {
        None => out.put_u8(0),
        Some(skip) => {
            out.put_u8(1);
            put_skip(out, skip);
        }
    }
}

/// Reads what [`encode`] wrote. Memory is bounded by the length of `bytes`;
/// states that break an invariant are refused.
pub fn decode(bytes: &[u8]) -> Result<ConsumerState, FormatError> {
    let mut r = Input::new(bytes);
    match r.u8()? {
        VERSION => {}
        other => return Err(FormatError::Version(other)),
    }
    let delivered = Position { consumer: r.number()?, stream: r.number()? };
    let ack_floor = Position { consumer: r.number()?, stream: r.number()? };
    let next = r.number()?;
    if ack_floor.consumer > delivered.consumer || ack_floor.stream > delivered.stream {
        return Err(FormatError::Bad("ack floor"));
    }
    if delivered.stream >= next.max(1) || delivered.consumer > u64::MAX / 2 {
        return Err(FormatError::Bad("position"));
    }
    let mut pending = BTreeMap::new();
    let n = r.count(3)?;
    let (mut seq, mut ts) = (0u64, 0i64);
    for _ in 0..n {
        seq = step(&mut r, seq)?;
        let dseq = r.number()?;
        ts = ts.wrapping_add(r.signed()?);
        if seq > delivered.stream || dseq > delivered.consumer {
            return Err(FormatError::Bad("pending delivery"));
        }
        pending.insert(seq, Pending { dseq, ts });
    }
    let mut redelivered = BTreeMap::new();
    let n = r.count(2)?;
    let mut seq = 0u64;
    for _ in 0..n {
        seq = step(&mut r, seq)?;
        redelivered.insert(seq, r.number()?);
    }
    let skip = match r.u8()? {
        0 => None,
        1 => Some(r.skip_list()?),
        _ => return Err(FormatError::Bad("skip mark")),
    };
    if r.rest() != 0 {
        return Err(FormatError::Bad("length"));
    }
    Ok(ConsumerState { delivered, ack_floor, next, pending, redelivered, skip })
}

fn step(r: &mut Input<'_>, base: u64) -> Result<u64, FormatError> {
    let step = r.number()?;
    match base.checked_add(step) {
        Some(seq) if step > 0 && seq < u64::MAX => Ok(seq),
        _ => Err(FormatError::Bad("sequence")),
    }
}
