//! What a reload would change: every difference between the running options and new ones, and
//! whether it can be applied while the server runs (contract/core.md §2.5).
//!
//! A reload is all or nothing: one change that needs a restart refuses the whole of it, and the
//! refusal names all of them. Secrets are compared but never shown.

use std::fmt::{self, Write as _};

use thiserror::Error;

use super::Options;

mod access;
mod blocks;
mod compare;
#[cfg(test)]
mod reload_test;
mod show;
mod top;

use compare::Diff;

/// What applying a change takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It is applied while the server runs.
    Live,
    /// The server has to be started again.
    Restart,
}

impl Class {
    /// `live` or `restart`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Live => "live",
            Class::Restart => "restart",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path of the key in the file: `max_payload`, `accounts.A.imports`, `users.bob`.
    pub name: String,
    /// For [`Class::Restart`] what nats-server calls the option (`MaxSubs`), for logs that are
    /// searched; else empty.
    pub option: String,
    /// What it takes.
    pub class: Class,
    /// The value in force, empty where there is none; `[REDACTED]` for a secret.
    pub old: String,
    /// The value wanted; `changed` for a secret.
    pub new: String,
}

/// All differences, in the order of the options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadPlan {
    /// One per option; empty if nothing differs.
    pub changes: Vec<Change>,
}

/// Changes that need a restart; the text names all of them as nats-server does, then by their
/// keys, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("config reload not supported for {0}")]
pub struct ReloadError(pub String);

/// Compares running options with new ones, both with flags and defaults applied.
#[must_use]
pub fn plan(old: &Options, new: &Options) -> ReloadPlan {
    let mut diff = Diff::default();
    top::options(&mut diff, old, new);
    ReloadPlan { changes: diff.changes }
}

/// Whether a reload from `old` to `new` is possible as a whole.
pub fn check_reload(old: &Options, new: &Options) -> Result<ReloadPlan, ReloadError> {
    let plan = plan(old, new);
    plan.refusal().map_or(Ok(plan), Err)
}

impl ReloadPlan {
    /// Changes of a class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.class == class)
    }

    /// Whether an option changes; `name` is that of [`Change::name`] or the start of one, up to a
    /// dot.
    #[must_use]
    pub fn changes(&self, name: &str) -> bool {
        self.changes.iter().any(|change| change.is_in(name))
    }

    /// Why the reload is refused, if it is.
    #[must_use]
    pub fn refusal(&self) -> Option<ReloadError> {
        let (mut text, mut keys) = (String::new(), Vec::new());
        for change in self.of(Class::Restart) {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&change.option);
            // Some of nats-server's options are whole blocks.
            if self.of(Class::Restart).filter(|other| other.option == change.option).count() > 1 {
                let _ = write!(text, " ({})", change.name);
            }
            let _ = write!(text, ": old={}, new={}", change.old, change.new);
            keys.push(change.name.as_str());
        }
        let (last, others) = keys.split_last()?;
        let (and, them) = if others.is_empty() { ("", "it") } else { (" and ", "them") };
        let others = others.join(", ");
        let _ = write!(
            text,
            ". Nothing was changed: restart the server to apply {others}{and}{last}, or put {them} \
             back and reload"
        );
        Some(ReloadError(text))
    }

    /// What the log says behind `Reloaded: ` once the plan is applied, in nats-server's words and
    /// one line for each kind of thing.
    #[must_use]
    pub fn log_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for change in &self.changes {
            let line = change.log_line();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }
}

impl Change {
    fn is_in(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn log_line(&self) -> String {
        let one_for_all =
            [("accounts", "accounts"), ("users", "authorization users"), ("proxies", "proxies")];
        if let Some((_, said)) = one_for_all.iter().find(|(name, _)| self.is_in(name)) {
            return (*said).to_owned();
        }
        if self.name == "tls" {
            let on = if self.new.is_empty() { "disabled" } else { "enabled" };
            return format!("tls = {on}");
        }
        let name = match self.name.as_str() {
            "authorization.user" => return "authorization username".to_owned(),
            "authorization.pass" => return "authorization password".to_owned(),
            "authorization.token" => return "authorization token".to_owned(),
            "authorization.timeout" => "authorization timeout",
            "server_tags" => return "tags".to_owned(),
            "server_metadata" => return "metadata".to_owned(),
            "no_fast_producer_stall" => {
                let not = if self.new == "true" { "not " } else { "" };
                return format!("fast producers will {not}be stalled");
            }
            "jetstream.enabled" => return "JetStream".to_owned(),
            "jetstream.limits" => return "JetStream limits".to_owned(),
            "tls.pinned_certs" => {
                // Without any, nothing is between the brackets.
                let count =
                    self.new.split(|c: char| !c.is_ascii_hexdigit()).filter(|p| !p.is_empty());
                return format!("{} pinned_certs", count.count());
            }
            "jetstream.max_memory_store" => "JetStream max_mem_store",
            "jetstream.max_file_store" => "JetStream max_file_store",
            name => name,
        };
        format!("{name} = {}", self.new)
    }
}

/// For people: what changes live, then what needs a restart.
impl fmt::Display for ReloadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "Nothing changes.");
        }
        for (class, title) in [
            (Class::Live, "Applied by a reload, without a restart:"),
            (Class::Restart, "Needs a restart; a reload would refuse all of the changes:"),
        ] {
            if self.of(class).next().is_none() {
                continue;
            }
            writeln!(f, "{title}")?;
            for change in self.of(class) {
                let shown = |value: &str| {
                    if value.is_empty() { "(not set)".to_owned() } else { value.to_owned() }
                };
                writeln!(f, "  {}: {} -> {}", change.name, shown(&change.old), shown(&change.new))?;
            }
        }
        Ok(())
    }
}
