//! Trusted proxies (contract/core.md §4.6): a proxy that lets clients through
//! signs the nonce they were offered, and so vouches for them.

use crate::decision::{AuthDecision, RefusalReason};
use crate::login::Login;
use crate::secret;
use crate::set::AccountSet;
use std::sync::Arc;

impl AccountSet {
    /// The proxy a login came through. Without trusted keys a signature means
    /// nothing; with them a wrong one is refused.
    pub(crate) fn proxy_of(&self, login: &Login<'_>) -> Result<Option<Arc<str>>, RefusalReason> {
        if login.proxy_sig.is_empty() || self.proxies.is_empty() {
            return Ok(None);
        }
        let signed =
            |key: &&Arc<str>| secret::signature_is_valid(key, login.nonce, login.proxy_sig);
        let key = self.proxies.iter().find(signed).ok_or(RefusalReason::ProxyNotTrusted)?;
        Ok(Some(key.clone()))
    }

    /// Whether this proxy key is still trusted: if not, connections that came
    /// through it must be closed.
    pub fn trusts_proxy(&self, key: &str) -> bool {
        self.proxies.iter().any(|trusted| **trusted == *key)
    }
}

/// Notes the proxy in everybody whom the decision may let in.
pub(crate) fn came_through(decision: &mut AuthDecision, proxy: &Arc<str>) {
    decision.each_identity(&mut |identity| identity.proxy = Some(proxy.clone()));
    if let AuthDecision::Callout(question) = decision {
        question.proxy = Some(proxy.clone());
    }
    if let AuthDecision::CheckPassword { otherwise, .. } = decision
        && let AuthDecision::Callout(question) = &mut **otherwise
    {
        question.proxy = Some(proxy.clone());
    }
}
