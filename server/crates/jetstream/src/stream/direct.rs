//! DIRECT.GET: stored messages as plain messages with headers, single, in
//! batches, or the last of many subjects (contract/jetstream.md §1.5).

use super::{Cx, Stream, headers};
use crate::api::request::MsgGetRequest;
use crate::config::level;
use crate::json;
use crate::time::Time;
use bytes::{BufMut, Bytes, BytesMut};
use gust_storage::record::StoredMessage;
use gust_storage::store::{Filter, StoreError};

/// Most subjects a multi request may match.
const MAX_SUBJECTS: usize = 1024;

const NOT_FOUND: &[u8] = b"NATS/1.0 404 Message Not Found\r\n\r\n";
const NO_RESULTS: &[u8] = b"NATS/1.0 404 No Results\r\n\r\n";
const EMPTY: &[u8] = b"NATS/1.0 408 Empty Request\r\n\r\n";
const MALFORMED: &[u8] = b"NATS/1.0 408 Malformed Request\r\n\r\n";
const BAD: &[u8] = b"NATS/1.0 408 Bad Request\r\n\r\n";
const LEVEL: &[u8] = b"NATS/1.0 412 Required Api Level\r\n\r\n";
const TOO_MANY: &[u8] = b"NATS/1.0 413 Too Many Results\r\n\r\n";

/// A place in a batch: what is left after this message and what came before it.
#[derive(Debug, Clone, Copy)]
struct Place {
    pending: u64,
    last: u64,
}

impl Stream {
    /// Serves a DIRECT.GET request; `subject` is what follows the stream's name
    /// in the request's subject, or empty. Whether direct gets are allowed
    /// ([`Stream::serves_direct`]) is the caller's to check.
    pub fn direct_get(
        &self,
        subject: &[u8],
        block: &[u8],
        body: &[u8],
        reply: &Bytes,
        cx: &mut Cx<'_>,
    ) {
        if reply.is_empty() {
            return;
        }
        let level = headers::get(block, headers::name::REQUIRED_LEVEL);
        let request = match level::request_supported(level) {
            true => read_request(subject, body),
            false => Err(LEVEL),
        };
        let done = match request {
            Err(status) => {
                cx.status(reply, status);
                return;
            }
            Ok(r) if !r.multi_last.is_empty() => self.get_multi(&r, reply, cx),
            Ok(r) => self.get_direct(&r, reply, cx),
        };
        if let Err(e) = done {
            let status = format!("NATS/1.0 500 {e}\r\n\r\n");
            cx.send(reply.clone(), status.into(), Bytes::new());
        }
    }

    /// Whether this stream answers direct gets.
    pub fn serves_direct(&self) -> bool {
        self.rules.config.allow_direct
    }

    fn get_direct(
        &self,
        r: &MsgGetRequest,
        reply: &Bytes,
        cx: &mut Cx<'_>,
    ) -> Result<(), StoreError> {
        let next = filter(std::slice::from_ref(&r.next_by_subj));
        let mut seq = match r.start_time {
            Some(t) => self.store.seq_at_time(t.nanos())?,
            None => r.seq,
        };
        let is_batch = r.batch > 0;
        let mut place = Place { pending: 0, last: 0 };
        if is_batch {
            place.pending = self.store.num_pending(&next, seq, false)?;
        }
        let budget = byte_budget(r, cx);
        let mut sent = 0;
        for i in 0..r.batch.max(1) {
            let found = if !r.last_by_subj.is_empty() {
                self.last_by_subject(r.last_by_subj.as_bytes())?
            } else if r.next_by_subj.is_empty() && !is_batch {
                self.store.load(seq)?
            } else {
                self.store.next(&next, seq)?
            };
            let Some(m) = found else {
                if i == 0 {
                    cx.status(reply, NOT_FOUND);
                    return Ok(());
                }
                break;
            };
            seq = m.seq + 1;
            let mut block = Bytes::new();
            if !r.no_hdr {
                place.pending = place.pending.saturating_sub(u64::from(is_batch));
                block = self.headers_of(&m, is_batch.then_some(place));
            }
            place.last = m.seq;
            sent += size(&m);
            cx.send(reply.clone(), block, m.payload);
            if sent >= budget {
                break;
            }
        }
        if is_batch {
            self.end_of_batch(place, None, reply, cx);
        }
        Ok(())
    }

    fn get_multi(
        &self,
        r: &MsgGetRequest,
        reply: &Bytes,
        cx: &mut Cx<'_>,
    ) -> Result<(), StoreError> {
        let state = self.store.state();
        let up_to = match r.up_to_time {
            Some(t) => match self.store.seq_at_time(t.nanos())? {
                seq if seq <= state.first_seq => {
                    cx.status(reply, NO_RESULTS);
                    return Ok(());
                }
                seq => seq - 1,
            },
            None if r.up_to_seq == 0 => state.last_seq,
            None => r.up_to_seq,
        };
        let found = self.store.last_seqs(&filter(&r.multi_last), up_to, MAX_SUBJECTS)?;
        let Some(mut seqs) = found else {
            cx.status(reply, TOO_MANY);
            return Ok(());
        };
        seqs.retain(|s| *s >= r.seq);
        if seqs.is_empty() {
            cx.status(reply, NO_RESULTS);
            return Ok(());
        }
        let budget = byte_budget(r, cx);
        let limit = if r.batch > 0 { r.batch as usize } else { usize::MAX };
        let mut place = Place { pending: seqs.len() as u64, last: 0 };
        let mut sent = 0;
        for seq in seqs.into_iter().take(limit) {
            let Some(m) = self.store.load(seq)? else {
                cx.status(reply, NOT_FOUND);
                return Ok(());
            };
            place.pending -= 1;
            let block = self.headers_of(&m, Some(place));
            place.last = m.seq;
            sent += size(&m);
            cx.send(reply.clone(), block, m.payload);
            if sent >= budget {
                break;
            }
        }
        self.end_of_batch(place, Some(up_to), reply, cx);
        Ok(())
    }

    fn end_of_batch(&self, place: Place, up_to: Option<u64>, reply: &Bytes, cx: &mut Cx<'_>) {
        let mut h = format!(
            "NATS/1.0 204 EOB\r\nNats-Num-Pending: {}\r\nNats-Last-Sequence: {}\r\n",
            place.pending, place.last
        );
        if let Some(seq) = up_to {
            h.push_str(&format!("Nats-UpTo-Sequence: {seq}\r\n"));
        }
        h.push_str("\r\n");
        cx.send(reply.clone(), h.into(), Bytes::new());
    }

    /// The stored headers followed by where the message was stored.
    fn headers_of(&self, m: &StoredMessage, place: Option<Place>) -> Bytes {
        let mut h = BytesMut::with_capacity(m.headers.len() + m.subject.len() + 160);
        headers::begin(&mut h, &m.headers);
        headers::put(&mut h, b"Nats-Stream", self.name().as_bytes());
        headers::put(&mut h, b"Nats-Subject", &m.subject);
        headers::put_number(&mut h, b"Nats-Sequence", m.seq);
        headers::put(&mut h, b"Nats-Time-Stamp", Time::from_nanos(m.ts).to_string().as_bytes());
        if let Some(p) = place {
            headers::put_number(&mut h, b"Nats-Num-Pending", p.pending);
            headers::put_number(&mut h, b"Nats-Last-Sequence", p.last);
        }
        h.put_slice(b"\r\n");
        h.freeze()
    }
}

impl Cx<'_> {
    /// Sends a status without payload.
    fn status(&mut self, to: &Bytes, block: &'static [u8]) {
        self.send(to.clone(), Bytes::from_static(block), Bytes::new());
    }
}

fn read_request(subject: &[u8], body: &[u8]) -> Result<MsgGetRequest, &'static [u8]> {
    if subject.is_empty() && body.is_empty() {
        return Err(EMPTY);
    }
    let mut r: MsgGetRequest = json::parse_lenient(body).map_err(|_| MALFORMED)?;
    if !subject.is_empty() {
        let only_no_hdr =
            MsgGetRequest { no_hdr: r.no_hdr, max_bytes: r.max_bytes, ..Default::default() };
        if r != only_no_hdr {
            return Err(BAD);
        }
        r.last_by_subj = String::from_utf8(subject.to_vec()).map_err(|_| BAD)?;
        return Ok(r);
    }
    let (last, next) = (!r.last_by_subj.is_empty(), !r.next_by_subj.is_empty());
    let (multi, time) = (!r.multi_last.is_empty(), r.start_time.is_some());
    if r.seq == 0 && !last && !next && !multi && !time {
        return Err(EMPTY);
    }
    let conflict = (r.seq > 0 && (last || time))
        || (last && (time || next || r.batch > 0 || multi))
        || (next && multi)
        || (r.up_to_seq > 0 && r.up_to_time.is_some());
    if conflict { Err(BAD) } else { Ok(r) }
}

fn filter(subjects: &[String]) -> Filter {
    let wanted = subjects.iter().filter(|s| !s.is_empty());
    Filter { subjects: wanted.map(|s| Bytes::copy_from_slice(s.as_bytes())).collect() }
}

fn byte_budget(r: &MsgGetRequest, cx: &Cx<'_>) -> u64 {
    if r.max_bytes > 0 { r.max_bytes as u64 } else { cx.facts.max_pending }
}

fn size(m: &StoredMessage) -> u64 {
    (m.subject.len() + m.headers.len() + m.payload.len()) as u64
}
