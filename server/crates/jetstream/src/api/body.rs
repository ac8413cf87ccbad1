//! Which bodies an endpoint takes (contract/jetstream.md §1.1).

use super::subject::Endpoint;
use crate::error::{self, ApiError};
use crate::json::{JsonRead, Raw, Strictness, parse};
use std::collections::BTreeMap;

/// What a request's body must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// Empty or `{}`, else 10038.
    Empty,
    /// Anything but empty or `{}`, else 10003.
    Required,
    /// Read only when it begins like an object or a list.
    Optional,
    /// Read as it is; empty is an object without members.
    Json,
}

impl Endpoint<'_> {
    /// The rule for its body.
    pub fn body_rule(&self) -> BodyRule {
        use Endpoint as E;
        match self {
            E::StreamDelete { .. } | E::ConsumerInfo { .. } | E::ConsumerDelete { .. } => {
                BodyRule::Empty
            }
            E::MsgGet { .. }
            | E::MsgDelete { .. }
            | E::StreamSnapshot { .. }
            | E::StreamRestore { .. }
            | E::StreamPeerRemove { .. }
            | E::StreamPeerEvacuate { .. }
            | E::ConsumerPeerRemove { .. }
            | E::ConsumerPeerEvacuate { .. }
            | E::ServerRemove {}
            | E::ServerEvacuate {}
            | E::MetaRescue {}
            | E::AccountStreamMove { .. } => BodyRule::Required,
            E::StreamCreate { .. }
            | E::StreamUpdate { .. }
            | E::ConsumerCreate { .. }
            | E::ConsumerCreateNamed { .. }
            | E::ConsumerDurableCreate { .. }
            | E::ConsumerReset { .. }
            | E::ConsumerUnpin { .. }
            | E::MsgNext { .. }
            | E::DirectGet { .. } => BodyRule::Json,
            _ => BodyRule::Optional,
        }
    }

    /// Whether unknown members are always accepted.
    pub fn never_strict(&self) -> bool {
        use Endpoint as E;
        matches!(
            self,
            E::MsgNext { .. }
                | E::DirectGet { .. }
                | E::ConsumerUnpin { .. }
                | E::ConsumerReset { .. }
        )
    }

    /// Reads the body of a request to this endpoint, following its rule. The
    /// error is ready to be answered.
    pub fn read_body<T: JsonRead + Default>(
        &self,
        body: &[u8],
        strictness: Strictness,
    ) -> Result<T, ApiError> {
        match self.body_rule() {
            BodyRule::Empty if is_empty(body) => return Ok(T::default()),
            BodyRule::Empty => return Err(error::not_empty_request()),
            BodyRule::Required if is_empty(body) => return Err(error::bad_request()),
            BodyRule::Optional if !looks_like_json(body) => return Ok(T::default()),
            _ => {}
        }
        let strictness = if self.never_strict() { Strictness::Lenient } else { strictness };
        Ok(parse(body, strictness)?)
    }
}

/// Whether a body is empty or an object without members.
pub fn is_empty(body: &[u8]) -> bool {
    if body.is_empty() || body == b"{}" {
        return true;
    }
    let begins = body.iter().find(|b| !b.is_ascii_whitespace());
    begins == Some(&b'{')
        && parse::<BTreeMap<String, Raw>>(body, Strictness::Lenient).is_ok_and(|m| m.is_empty())
}

fn looks_like_json(body: &[u8]) -> bool {
    let first = body.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    matches!(first, Some(b'{' | b'['))
}
