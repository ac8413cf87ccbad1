//! Counters: `Nats-Incr` adds to the number a subject holds (ADR-49;
//! contract/jetstream.md §3).
//!
//! The stored body is `{"val":"<number>"}`. Numbers have any size, so they are
//! added as decimal digits.

use super::Stream;
use super::headers::{self, PublishHeaders, name};
use super::lead::Leading;
use super::publish::{Checked, Refusal};
use crate::error::{self, ApiError};
use crate::json::{self, json_struct};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Longest number, digits. Far beyond use, small enough to add at once.
const MAX_DIGITS: usize = 4096;

/// What came from which subject of which stream, as decimal text.
type Sources = BTreeMap<String, BTreeMap<String, String>>;

json_struct! {
    /// The stored body.
    pub struct Value("CounterValue") {
        /// The number.
        val: String = "val",
    }
}

/// A counter's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counter {
    total: Decimal,
    sources: Sources,
}

/// What the headers must look like; the increment, if there is one.
pub(super) fn check(
    enabled: bool,
    h: &PublishHeaders<'_>,
    payload: &[u8],
) -> Result<Option<Decimal>, ApiError> {
    let Some(text) = h.incr else { return Ok(None) };
    let incr = Decimal::parse(text).ok_or_else(error::message_incr_invalid)?;
    if !enabled {
        return Err(error::message_incr_disabled());
    }
    if !payload.is_empty() {
        return Err(error::message_incr_payload());
    }
    let others = h.rollup.is_some()
        || h.stream.is_some()
        || h.last_id.is_some()
        || h.subject.is_some()
        || h.last_seq.is_some()
        || h.subject_seq.is_some();
    if others { Err(error::message_incr_invalid()) } else { Ok(Some(incr)) }
}

impl Stream {
    /// Turns an increment into the message that is stored. A sourced message
    /// brings the other side's total: what it adds is the difference to the
    /// total that side had last time.
    pub(super) fn count(
        &self,
        lead: &mut Leading,
        m: &mut Checked,
        mut incr: Decimal,
        source: Option<&[u8]>,
    ) -> Result<(), Refusal> {
        // Also a total in flight ends where its message is removed.
        self.last_of(lead, &m.subject)?;
        let mut counter = match lead.counters.get(&m.subject) {
            Some(c) => c.clone(),
            None => self.stored_counter(&m.subject)?,
        };
        if let Some(source) = source {
            let text = String::from_utf8_lossy(source);
            let fields: Vec<&str> = text.split(' ').collect();
            let origin = fields.first().copied().unwrap_or_default();
            let subject = match fields.get(4) {
                Some(s) => (*s).to_owned(),
                None => String::from_utf8_lossy(&m.subject).into_owned(),
            };
            let now = read_value(&m.payload)?;
            let subjects = counter.sources.entry(origin.to_owned()).or_default();
            let before = subjects.insert(subject, now.to_string());
            let before = before.and_then(|b| Decimal::parse(b.as_bytes())).unwrap_or_default();
            incr = now.minus(&before);
            m.headers = headers::set(&m.headers, name::INCR, incr.to_string().as_bytes());
        }
        counter.total = counter.total.plus(&incr);
        let total = counter.total.to_string();
        if total.len() > MAX_DIGITS {
            return Err(error::message_incr_invalid().into());
        }
        m.payload = Bytes::from(format!("{{\"val\":\"{total}\"}}"));
        if !counter.sources.is_empty() {
            let text = json::to_bytes(&counter.sources);
            m.headers = headers::set(&m.headers, name::COUNTER_SOURCES, &text);
        }
        m.val = Some(total);
        m.counter = Some(counter);
        Ok(())
    }

    fn stored_counter(&self, subject: &Bytes) -> Result<Counter, Refusal> {
        let Some(last) = self.last_by_subject(subject)? else { return Ok(Counter::default()) };
        let total = read_value(&last.payload)?;
        let sources = match headers::get(&last.headers, name::COUNTER_SOURCES) {
            Some(text) if !text.is_empty() => {
                serde_json::from_slice(text).map_err(|_| error::message_counter_broken())?
            }
            _ => Sources::new(),
        };
        Ok(Counter { total, sources })
    }
}

fn read_value(body: &[u8]) -> Result<Decimal, ApiError> {
    let value: Value = json::parse_lenient(body).map_err(|_| error::message_counter_broken())?;
    Ok(Decimal::parse(value.val.as_bytes()).unwrap_or_default())
}

/// A whole number of any size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Lowest digit first, no zeros at the end; empty is 0.
    digits: Vec<u8>,
}

impl Decimal {
    /// Digits with an optional sign, nothing else.
    pub fn parse(text: &[u8]) -> Option<Decimal> {
        let (negative, digits) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let ok = (1..=MAX_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        ok.then(|| Self::of(negative, digits.iter().rev().map(|d| d - b'0').collect()))
    }

    fn of(negative: bool, mut digits: Vec<u8>) -> Decimal {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Decimal { negative: negative && !digits.is_empty(), digits }
    }

    /// The sum.
    pub fn plus(&self, other: &Decimal) -> Decimal {
        if self.negative == other.negative {
            return Self::of(self.negative, add(&self.digits, &other.digits));
        }
        match compare(&self.digits, &other.digits) {
            Ordering::Less => Self::of(other.negative, subtract(&other.digits, &self.digits)),
            _ => Self::of(self.negative, subtract(&self.digits, &other.digits)),
        }
    }

    /// The difference.
    pub fn minus(&self, other: &Decimal) -> Decimal {
        self.plus(&Self::of(!other.negative, other.digits.clone()))
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        let text: String = self.digits.iter().rev().map(|d| char::from(b'0' + d)).collect();
        f.write_str(&text)
    }
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
}

fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut out = Vec::with_capacity(a.len().max(b.len()) + 1);
    for i in 0..a.len().max(b.len()) {
        let sum = a.get(i).unwrap_or(&0) + b.get(i).unwrap_or(&0) + carry;
        out.push(sum % 10);
        carry = sum / 10;
    }
    out.push(carry);
    out
}

/// `a - b` for `a ≥ b`.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut out = Vec::with_capacity(a.len());
    for (i, d) in a.iter().enumerate() {
        let take = b.get(i).unwrap_or(&0) + borrow;
        borrow = u8::from(*d < take);
        out.push(d + 10 * borrow - take);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::fixture::Bench;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_those_of_i128(a in -(1i128 << 100)..(1i128 << 100), b in -(1i128 << 100)..(1i128 << 100)) {
            let (x, y) = (a.to_string(), b.to_string());
            let (x, y) = (Decimal::parse(x.as_bytes()).unwrap(), Decimal::parse(y.as_bytes()).unwrap());
            prop_assert_eq!(x.plus(&y).to_string(), (a + b).to_string());
            prop_assert_eq!(x.minus(&y).to_string(), (a - b).to_string());
        }
    }

    #[test]
    fn increments_add_up_also_in_flight() {
        let mut b = Bench::new(r#""allow_msg_counter":true"#);
        b.send("S.a", &["Nats-Incr: 1"], "");
        b.send("S.a", &["Nats-Incr: +41"], "");
        b.send("S.b", &["Nats-Incr: -3"], "");
        b.commit();
        assert_eq!(
            b.answers(),
            [
                r#"{"stream":"S","seq":1,"val":"1"}"#,
                r#"{"stream":"S","seq":2,"val":"42"}"#,
                r#"{"stream":"S","seq":3,"val":"-3"}"#,
            ]
        );
        b.publish("S.a", &["Nats-Incr: -2"], "");
        assert_eq!(b.messages().last().unwrap(), r#"S.a={"val":"40"}@4"#);
    }

    #[test]
    fn counters_refuse_what_does_not_count() {
        let counter = r#""allow_msg_counter":true"#;
        for (config, headers, payload, code) in [
            ("", &["Nats-Incr: 1"][..], "", 10168),
            (counter, &[][..], "", 10169),
            (counter, &["A: b"][..], "", 10169),
            (counter, &["Nats-Incr: 1"][..], "x", 10170),
            (counter, &["Nats-Incr: x"][..], "", 10171),
            (counter, &["Nats-Incr: 1", "Nats-Expected-Stream: S"][..], "", 10171),
        ] {
            let answer = Bench::new(config).publish("S.a", headers, payload);
            assert!(answer.contains(&format!("\"err_code\":{code},")), "{headers:?} {answer}");
        }
    }
}
