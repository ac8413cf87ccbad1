//! Values as one line of text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::duration;
use crate::options::accounts::{AccountLimits, JetStreamAccountLimits, MessageTrace};
use crate::options::cluster::{Compression, WriteTimeout};
use crate::options::exchange::{ExchangeKind, Export, Import};
use crate::options::mappings::Mapping;
use crate::options::permissions::{Permissions, SubjectPermission};
use crate::options::tls::TlsVersion;
use crate::url::Url;

/// How a value is shown; never with a secret.
pub(super) trait Show {
    fn show(&self) -> String;
}

macro_rules! plain {
    ($($kind:ty),*) => {
        $(impl Show for $kind {
            fn show(&self) -> String {
                self.to_string()
            }
        })*
    };
}
plain!(String, bool, i64, u8, u16, Url);

macro_rules! by_name {
    ($($kind:ty),*) => {
        $(impl Show for $kind {
            fn show(&self) -> String {
                format!("{self:?}").to_ascii_lowercase()
            }
        })*
    };
}
by_name!(WriteTimeout, TlsVersion, crate::options::jetstream::Cipher);

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map(Show::show).unwrap_or_default()
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> String {
        list(self.iter().map(Show::show))
    }
}

impl<T: Show> Show for BTreeSet<T> {
    fn show(&self) -> String {
        list(self.iter().map(Show::show))
    }
}

impl<V: Show> Show for BTreeMap<String, V> {
    fn show(&self) -> String {
        list(self.iter().map(|(name, value)| format!("{name}: {}", value.show())))
    }
}

impl Show for (String, String) {
    fn show(&self) -> String {
        format!("{} {}", self.0, self.1)
    }
}

/// Nothing for an empty list, so that it reads as "not set".
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { String::new() } else { format!("[{}]", items.join(", ")) }
}

/// Named values, leaving out those that are not set.
fn fields(fields: &[(&str, String)]) -> String {
    let set = fields.iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

impl Show for Compression {
    fn show(&self) -> String {
        let thresholds = list(self.rtt_thresholds_ns.iter().map(|ns| duration::format(*ns)));
        [self.mode.as_str(), &thresholds].join(" ").trim().to_owned()
    }
}

impl Show for AccountLimits {
    fn show(&self) -> String {
        fields(&[
            ("max_connections", self.max_connections.show()),
            ("max_subscriptions", self.max_subscriptions.show()),
            ("max_payload", self.max_payload.show()),
            ("max_leafnodes", self.max_leafnodes.show()),
        ])
    }
}

impl Show for JetStreamAccountLimits {
    fn show(&self) -> String {
        let limit = |n: i64| if n < 0 { String::new() } else { n.to_string() };
        let limits = fields(&[
            ("max_memory", limit(self.max_memory)),
            ("max_store", limit(self.max_store)),
            ("max_streams", limit(self.max_streams)),
            ("max_consumers", limit(self.max_consumers)),
            ("max_ack_pending", limit(self.max_ack_pending)),
            ("memory_max_stream_bytes", limit(self.memory_max_stream_bytes)),
            ("store_max_stream_bytes", limit(self.store_max_stream_bytes)),
            ("max_bytes_required", if self.max_bytes_required { "true" } else { "" }.to_owned()),
        ]);
        if limits.is_empty() { "enabled".to_owned() } else { limits }
    }
}

impl Show for MessageTrace {
    fn show(&self) -> String {
        format!("{} {}%", self.dest, self.sampling)
    }
}

impl Show for Mapping {
    fn show(&self) -> String {
        let to = self.destinations.iter().map(|d| {
            let cluster = if d.cluster.is_empty() { "" } else { " in " };
            format!("{} {}%{cluster}{}", d.subject, d.weight, d.cluster)
        });
        format!("{} -> {}", self.source, to.collect::<Vec<_>>().join(" | "))
    }
}

fn kind(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Stream => "stream",
        ExchangeKind::Service => "service",
    }
}

impl Show for Export {
    fn show(&self) -> String {
        let mut text = format!("{} {}", kind(self.kind), self.subject);
        if let Some(accounts) = &self.accounts {
            let _ = write!(text, " to [{}]", accounts.join(", "));
        }
        text
    }
}

impl Show for Import {
    fn show(&self) -> String {
        let mut text = format!("{} {} from {}", kind(self.kind), self.subject, self.account);
        for (word, value) in [("as", &self.to), ("prefix", &self.prefix)] {
            if !value.is_empty() {
                let _ = write!(text, " {word} {value}");
            }
        }
        text
    }
}

impl Show for SubjectPermission {
    fn show(&self) -> String {
        let allow = self.allow.as_ref().map(|list| format!("allow [{}]", list.join(", ")));
        let deny = (!self.deny.is_empty()).then(|| format!("deny [{}]", self.deny.join(", ")));
        [allow, deny].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl Show for Permissions {
    fn show(&self) -> String {
        let responses = self.responses.map(|r| {
            let expires = duration::format(r.expires_ns);
            format!("max {} expires {expires}", r.max)
        });
        fields(&[
            ("publish", self.publish.show()),
            ("subscribe", self.subscribe.show()),
            ("allow_responses", responses.unwrap_or_default()),
        ])
    }
}
