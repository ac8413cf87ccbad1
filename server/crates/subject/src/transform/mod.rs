//! Subject transforms: from the subjects a source pattern matches to subjects
//! built by a destination template (contract/core.md §5 "Mappings",
//! contract/jetstream.md §2.4).

mod cache;
mod error;
mod function;
mod mappings;
#[cfg(test)]
mod transform_test;

pub use cache::{MappingCache, Renamed};
pub use error::{TransformError, TransformFault};
pub use mappings::{Destination, Mapped, MappingError, Mappings};

use self::function::Function;
use crate::tokens::{ONE, REST, SEP, tokens};
use crate::{matches, valid_publish, valid_subscribe};
use smallvec::SmallVec;

/// A checked pair of source and destination.
#[derive(Debug, Clone)]
pub struct Transform {
    src: Box<[u8]>,
    dest: Box<[u8]>,
    parts: Parts,
}

#[derive(Debug, Clone)]
enum Parts {
    /// The subject is left as it is.
    Same,
    /// Tokens of the destination; with `tail`, those of the subject from the
    /// source's `>` on follow.
    Template { template: Vec<Function>, tail: Option<usize> },
}

impl Transform {
    /// The transform from `src` (empty means `>`) to `dest` (empty means: only
    /// select). Every function is allowed.
    pub fn new(src: &[u8], dest: &[u8]) -> Result<Transform, TransformError> {
        Self::build(src, dest, false)
    }

    /// As [`Transform::new`] for imports, which must be reversible: `dest` uses
    /// every wildcard of `src` and no function but `wildcard`.
    pub fn strict(src: &[u8], dest: &[u8]) -> Result<Transform, TransformError> {
        Self::build(src, dest, true)
    }

    /// The source pattern.
    pub fn src(&self) -> &[u8] {
        &self.src
    }

    /// The destination template.
    pub fn dest(&self) -> &[u8] {
        &self.dest
    }

    /// What `subject` becomes; `None` if the source does not match it or it is
    /// no valid published subject. `random` feeds the function `random`.
    pub fn apply(&self, subject: &[u8], random: u64) -> Option<Vec<u8>> {
        let everything = matches!(self.parts, Parts::Same) && *self.src == *REST;
        if everything {
            return Some(subject.to_vec());
        }
        (valid_publish(subject) && matches(subject, &self.src))
            .then(|| self.rewrite(subject, random))
    }

    /// Whether chance has a part in what it makes.
    pub fn is_random(&self) -> bool {
        let Parts::Template { template, .. } = &self.parts else { return false };
        template.iter().any(|f| matches!(f, Function::Random(_)))
    }

    /// What `subject`, known to match the source, becomes.
    pub fn rewrite(&self, subject: &[u8], random: u64) -> Vec<u8> {
        let Parts::Template { template, tail } = &self.parts else { return subject.to_vec() };
        let toks: SmallVec<[&[u8]; 16]> = tokens(subject).collect();
        let mut out = Vec::with_capacity(subject.len() + self.dest.len());
        for (i, function) in template.iter().enumerate() {
            if i > 0 {
                out.push(SEP);
            }
            function.write(&mut out, subject, &toks, mix(random, i as u64));
        }
        for (n, token) in tail.and_then(|at| toks.get(at..)).unwrap_or_default().iter().enumerate()
        {
            if n > 0 || !template.is_empty() {
                out.push(SEP);
            }
            out.extend_from_slice(token);
        }
        out
    }

    /// The transform that undoes this one, made by [`Transform::strict`]. What a
    /// wildcard used twice becomes is read from its first place.
    pub fn reversed(&self) -> Result<Transform, TransformError> {
        let Parts::Template { template, .. } = &self.parts else { return Ok(self.clone()) };
        let mut src: Vec<&[u8]> = Vec::with_capacity(template.len() + 1);
        let mut stars = 0;
        // Place of a token here, and which wildcard of the result has it.
        let mut found: SmallVec<[(usize, usize); 8]> = SmallVec::new();
        for function in template {
            match function {
                Function::Literal(text) => src.push(text),
                Function::Wildcard(at) => {
                    stars += 1;
                    found.push((*at, stars));
                    src.push(ONE);
                }
                _ => return Err(TransformFault::NotForImport.at(&self.dest)),
            }
        }
        if tokens(&self.dest).last() == Some(REST) {
            src.push(REST);
        }
        let mut dest: Vec<Vec<u8>> = Vec::new();
        for (at, token) in tokens(&self.src).enumerate() {
            match found.iter().find(|(place, _)| *place == at) {
                Some((_, star)) => dest.push(format!("${star}").into_bytes()),
                None => dest.push(token.to_vec()),
            }
        }
        Self::build(&src.join(&SEP), &dest.join(&SEP), false)
    }

    fn build(src: &[u8], dest: &[u8], strict: bool) -> Result<Transform, TransformError> {
        let src = if src.is_empty() { REST } else { src };
        if !valid_subscribe(src) {
            return Err(TransformError::subject());
        }
        if dest.is_empty() {
            return Ok(Transform { src: src.into(), dest: REST.into(), parts: Parts::Same });
        }
        let stars: Vec<usize> =
            tokens(src).enumerate().filter(|(_, t)| *t == ONE).map(|(i, _)| i).collect();
        let count = tokens(src).count();
        let src_rest = tokens(src).last() == Some(REST);
        let has_wildcards = src_rest || !stars.is_empty();

        let mut template = Vec::new();
        let mut used = 0;
        let mut dest_rest = false;
        for token in tokens(dest) {
            if token.is_empty() || dest_rest {
                return Err(TransformFault::Token.at(token));
            }
            if token == REST {
                dest_rest = true;
                continue;
            }
            if token == ONE {
                return Err(TransformError::subject());
            }
            let function = function::parse(token)?;
            if strict && !matches!(function, Function::Literal(_) | Function::Wildcard(_)) {
                return Err(TransformFault::NotForImport.at(token));
            }
            used += function.arguments();
            template.push(function.resolve(token, &stars, has_wildcards)?);
        }
        if src_rest != dest_rest {
            return Err(TransformError::subject());
        }
        if strict && used < stars.len() {
            return Err(TransformFault::UnusedWildcards.at(dest));
        }
        let parts = if src == REST && dest == REST {
            Parts::Same
        } else {
            Parts::Template { template, tail: src_rest.then_some(count - 1) }
        };
        Ok(Transform { src: src.into(), dest: dest.into(), parts })
    }
}

/// The destination that keeps a subject of pattern `src` as it is:
/// `a.*.*` becomes `a.$1.$2`.
pub fn identity(src: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(src.len() + 8);
    let mut stars = 0;
    for (i, token) in tokens(src).enumerate() {
        if i > 0 {
            out.push(SEP);
        }
        if token == ONE {
            stars += 1;
            out.extend_from_slice(format!("${stars}").as_bytes());
        } else {
            out.extend_from_slice(token);
        }
    }
    out
}

/// One random number for each use of one that was passed in.
pub(crate) fn mix(random: u64, n: u64) -> u64 {
    let z = random.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
