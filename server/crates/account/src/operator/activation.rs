//! Judging the tokens that activate imports.

use crate::account::Account;
use crate::exchange::{Activation, ExchangeKind};
use crate::jwt::{Kind, decode_activation, is_revoked};
use gust_subject::subset;

/// Until when the token of an import is good (seconds since the epoch, `None`:
/// for ever), or why it is not. `exporter` is the account that must have issued
/// it, `now` seconds since the epoch.
pub(super) fn judge(
    question: &Activation<'_>,
    exporter: Option<&Account>,
    now: i64,
) -> Result<Option<i64>, String> {
    let import = question.import;
    if import.token.is_empty() {
        return Err("the export requires an activation token; ask its account for one".to_owned());
    }
    let token = decode_activation(&import.token).map_err(|e| e.to_string())?;
    if token.subject != question.importer {
        return Err("the activation token is for another account".to_owned());
    }
    let signing_key = token.nats.issuer_account == question.exporter
        && exporter
            .and_then(|account| account.token.as_ref())
            .is_some_and(|facts| facts.signing_keys.contains_key(&token.issuer));
    let own_key = token.issuer == question.exporter && token.nats.issuer_account.is_empty();
    if !signing_key && !own_key {
        return Err(format!(
            "the activation token is signed by {}, which is no key of the exporting account",
            token.issuer
        ));
    }
    if token.is_expired(now) {
        return Err("the activation token has expired; ask for a new one".to_owned());
    }
    if token.is_early(now) {
        return Err("the activation token is not valid yet".to_owned());
    }
    let wanted = match import.kind {
        ExchangeKind::Stream => Kind::Stream,
        ExchangeKind::Service => Kind::Service,
    };
    let covered = subset(import.subject.as_bytes(), token.nats.import_subject.as_bytes());
    if token.nats.kind != wanted || !covered {
        return Err(format!(
            "the activation token is for {:?}, not for this import",
            token.nats.import_subject
        ));
    }
    if is_revoked(question.revoked, &token.subject, token.issued_at) {
        return Err("the activation token was revoked; ask for a new one".to_owned());
    }
    Ok((token.expires > 0).then_some(token.expires))
}
