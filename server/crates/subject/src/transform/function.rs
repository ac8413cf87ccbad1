//! The tokens of a destination: literal text, `$n`, or `{{function(…)}}`.

use super::error::{TransformError, TransformFault};
use crate::tokens::SEP;
use std::io::Write;

/// One token of a destination. A place is first the number of a wildcard, from
/// 1, as written; [`Function::resolve`] turns it into the place of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Function {
    Literal(Vec<u8>),
    Wildcard(usize),
    /// Hash of these tokens, of the whole subject if there are none, modulo `n`.
    Partition {
        n: u32,
        of: Vec<usize>,
    },
    Random(u32),
    Split(usize, Vec<u8>),
    /// A token and a number of bytes.
    Cut(Cut, usize, usize),
}

/// What is done with a token and a number of bytes. A token not longer than the
/// number stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Left,
    Right,
}

/// Reads one token of a destination.
pub(super) fn parse(token: &[u8]) -> Result<Function, TransformError> {
    if let Some(number) = token.strip_prefix(b"$") {
        // Names such as `$JS` are ordinary tokens.
        if let Ok(n) = text(number).parse::<i64>() {
            return index(token, n).map(Function::Wildcard);
        }
    } else if token.len() > 4
        && let Some(call) = token.strip_prefix(b"{{").and_then(|t| t.strip_suffix(b"}}"))
    {
        return parse_call(token, &text(call));
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c);
    if token.iter().any(blank) {
        return Err(TransformFault::Token.at(&[]));
    }
    Ok(Function::Literal(token.to_vec()))
}

fn parse_call(token: &[u8], call: &str) -> Result<Function, TransformError> {
    let unknown = || TransformFault::UnknownFunction.at(token);
    let (name, arguments) =
        call.trim().strip_suffix(')').and_then(|c| c.split_once('(')).ok_or_else(unknown)?;
    // A comma takes the blanks after it along; those before it count.
    let args: Vec<&str> = arguments
        .split(',')
        .enumerate()
        .map(|(i, a)| if i == 0 { a } else { a.trim_start() })
        .collect();
    let cut = |cut| {
        let [at, n] = exactly::<2>(token, &args)?;
        let n = number(token, n)?;
        let n = i32::try_from(n).map_err(|_| TransformFault::BadArgument.at(token))?;
        let at = index(token, number(token, at)?)?;
        // Numbers below 1 leave the token as it is, as the largest does.
        Ok(Function::Cut(cut, at, usize::try_from(n).ok().filter(|&n| n > 0).unwrap_or(usize::MAX)))
    };
    let name = name.trim_end();
    let is = |want: &str| same_name(name, want);
    if is("wildcard") {
        let [at] = exactly::<1>(token, &args)?;
        if at.is_empty() {
            return Err(TransformFault::TooFewArguments.at(token));
        }
        index(token, number(token, at)?).map(Function::Wildcard)
    } else if is("partition") {
        let (n, of) =
            args.split_first().ok_or_else(|| TransformFault::TooFewArguments.at(token))?;
        let n = modulus(token, n)?;
        let of = of.iter().map(|a| index(token, number(token, a)?)).collect::<Result<_, _>>()?;
        Ok(Function::Partition { n, of })
    } else if is("random") {
        match args.as_slice() {
            [n] => modulus(token, n).map(Function::Random),
            _ => Err(TransformFault::TooFewArguments.at(token)),
        }
    } else if is("split") {
        let [at, by] = exactly::<2>(token, &args)?;
        let at = index(token, number(token, at)?)?;
        if by.contains(' ') || by.contains('.') {
            return Err(TransformFault::BadArgument.at(token));
        }
        Ok(Function::Split(at, by.as_bytes().to_vec()))
    } else if is("splitFromLeft") {
        cut(Cut::SplitFromLeft)
    } else if is("splitFromRight") {
        cut(Cut::SplitFromRight)
    } else if is("sliceFromLeft") {
        cut(Cut::SliceFromLeft)
    } else if is("sliceFromRight") {
        cut(Cut::SliceFromRight)
    } else if is("left") {
        cut(Cut::Left)
    } else if is("right") {
        cut(Cut::Right)
    } else {
        Err(unknown())
    }
}

/// Whether `name` is `want` up to the case of the first letter of each word.
fn same_name(name: &str, want: &str) -> bool {
    let starts_word = |i: usize, w: u8| i == 0 || w.is_ascii_uppercase();
    name.len() == want.len()
        && name
            .bytes()
            .zip(want.bytes())
            .enumerate()
            .all(|(i, (n, w))| n == w || (starts_word(i, w) && n.eq_ignore_ascii_case(&w)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn exactly<'a, const N: usize>(
    token: &[u8],
    args: &[&'a str],
) -> Result<[&'a str; N], TransformError> {
    <[&str; N]>::try_from(args).map_err(|_| {
        let few = args.len() < N;
        if few { TransformFault::TooFewArguments } else { TransformFault::TooManyArguments }
            .at(token)
    })
}

fn number(token: &[u8], arg: &str) -> Result<i64, TransformError> {
    arg.trim_matches(' ').parse().map_err(|_| TransformFault::BadArgument.at(token))
}

fn modulus(token: &[u8], arg: &str) -> Result<u32, TransformError> {
    let n = number(token, arg)?;
    let n = i32::try_from(n).ok().and_then(|n| u32::try_from(n).ok());
    n.ok_or_else(|| TransformFault::BadArgument.at(token))
}

fn index(token: &[u8], n: i64) -> Result<usize, TransformError> {
    usize::try_from(n)
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| TransformFault::IndexOutOfRange.at(token))
}

impl Function {
    /// How many wildcards it names.
    pub(super) fn arguments(&self) -> usize {
        match self {
            Function::Literal(_) | Function::Random(_) => 0,
            Function::Partition { of, .. } => of.len(),
            Function::Wildcard(_) | Function::Split(..) | Function::Cut(..) => 1,
        }
    }

    /// Turns numbers of wildcards into places of tokens; `stars` has the places
    /// of the source's `*`.
    pub(super) fn resolve(
        self,
        token: &[u8],
        stars: &[usize],
        has_wildcards: bool,
    ) -> Result<Function, TransformError> {
        let place = |n: usize| {
            stars.get(n - 1).copied().ok_or_else(|| {
                let mut at = token.to_vec();
                if has_wildcards {
                    at.extend_from_slice(format!(": [{n}]").as_bytes());
                }
                TransformFault::IndexOutOfRange.at(&at)
            })
        };
        Ok(match self {
            Function::Literal(_) | Function::Random(_) => self,
            Function::Wildcard(n) => Function::Wildcard(place(n)?),
            // Without wildcards the reference ignores the tokens asked for.
            Function::Partition { n, .. } if !has_wildcards => {
                Function::Partition { n, of: Vec::new() }
            }
            Function::Partition { n, of } => {
                let of = of.into_iter().map(place).collect::<Result<_, _>>()?;
                Function::Partition { n, of }
            }
            Function::Split(n, by) => Function::Split(place(n)?, by),
            Function::Cut(cut, n, bytes) => Function::Cut(cut, place(n)?, bytes),
        })
    }

    /// Appends what it makes of a subject.
    pub(super) fn write(&self, out: &mut Vec<u8>, subject: &[u8], toks: &[&[u8]], random: u64) {
        let token = |at: usize| toks.get(at).copied().unwrap_or_default();
        match self {
            Function::Literal(text) => out.extend_from_slice(text),
            Function::Wildcard(at) => out.extend_from_slice(token(*at)),
            Function::Partition { n, of } => {
                let hash = if of.is_empty() {
                    fnv1a(FNV_START, subject)
                } else {
                    of.iter().fold(FNV_START, |h, &at| fnv1a(h, token(at)))
                };
                put_number(out, hash.checked_rem(*n).unwrap_or(0));
            }
            Function::Random(n) => {
                put_number(out, random.checked_rem(u64::from(*n)).unwrap_or(0) as u32);
            }
            Function::Split(at, by) => split(out, token(*at), by),
            Function::Cut(cut, at, n) => cut.write(out, token(*at), *n),
        }
    }
}

impl Cut {
    fn write(self, out: &mut Vec<u8>, token: &[u8], n: usize) {
        let len = token.len();
        if n >= len {
            out.extend_from_slice(token);
            return;
        }
        match self {
            Cut::SplitFromLeft => two(out, token.split_at(n)),
            Cut::SplitFromRight => two(out, token.split_at(len - n)),
            Cut::SliceFromLeft => join(out, token.chunks(n)),
            Cut::SliceFromRight => {
                let (first, rest) = token.split_at(len % n);
                join(out, std::iter::once(first).chain(rest.chunks(n)));
            }
            Cut::Left => out.extend_from_slice(token.split_at(n).0),
            Cut::Right => out.extend_from_slice(token.split_at(len - n).1),
        }
    }
}

fn two(out: &mut Vec<u8>, (a, b): (&[u8], &[u8])) {
    join(out, [a, b]);
}

/// The parts that are not empty, as tokens.
fn join<'a>(out: &mut Vec<u8>, parts: impl IntoIterator<Item = &'a [u8]>) {
    let mut some = false;
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        if some {
            out.push(SEP);
        }
        some = true;
        out.extend_from_slice(part);
    }
}

/// A token of separators only is kept: an empty token would match nothing.
fn split(out: &mut Vec<u8>, token: &[u8], by: &[u8]) {
    if by.is_empty() {
        let chars = token.chunk_by(|_, next| next & 0xc0 == 0x80);
        join(out, chars);
        return;
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut rest = token;
    while let Some(at) = memchr::memmem::find(rest, by) {
        let (part, tail) = rest.split_at(at);
        parts.push(part);
        rest = tail.get(by.len()..).unwrap_or_default();
    }
    parts.push(rest);
    if parts.iter().all(|p| p.is_empty()) {
        parts = vec![token];
    }
    join(out, parts);
}

const FNV_START: u32 = 0x811c_9dc5;

/// FNV-1a with 32 bits.
fn fnv1a(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

fn put_number(out: &mut Vec<u8>, n: u32) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{n}");
}
