//! raft-rs logs through `slog`; this forwards to `tracing`, target `gust::raft`.

use slog::{Drain, KV, Level, Logger, Never, OwnedKVList, Record, Serializer, o};
use std::fmt::{self, Write};
use std::sync::LazyLock;

const TARGET: &str = "gust::raft";

static ROOT: LazyLock<Logger> = LazyLock::new(|| Logger::root(Forward, o!()));

/// A logger whose lines name the group.
pub fn for_group(group: u64) -> Logger {
    ROOT.new(o!("group" => group))
}

struct Forward;

/// Writes one event if its level is on; formatting costs nothing otherwise.
macro_rules! event {
    ($level:ident, $record:expr, $values:expr) => {
        if tracing::enabled!(target: TARGET, tracing::Level::$level) {
            tracing::event!(
                target: TARGET, tracing::Level::$level, "{}", Line($record, $values));
        }
    };
}

impl Drain for Forward {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        match record.level() {
            Level::Critical | Level::Error => event!(ERROR, record, values),
            Level::Warning => event!(WARN, record, values),
            // Elections and configuration: news to an operator of the group,
            // noise on a node with thousands of them.
            Level::Info | Level::Debug => event!(DEBUG, record, values),
            Level::Trace => event!(TRACE, record, values),
        }
        Ok(())
    }
}

/// Message and key-value pairs as text.
struct Line<'a>(&'a Record<'a>, &'a OwnedKVList);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.msg())?;
        let mut pairs = Pairs(f);
        self.0.kv().serialize(self.0, &mut pairs).map_err(|_| fmt::Error)?;
        self.1.serialize(self.0, &mut pairs).map_err(|_| fmt::Error)
    }
}

struct Pairs<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Serializer for Pairs<'_, '_> {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.write_char(' ')?;
        write!(self.0, "{key}={value}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_follow_the_message() {
        struct Check;
        impl Drain for Check {
            type Ok = ();
            type Err = Never;
            fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
                assert_eq!(Line(record, values).to_string(), "became leader term=3 group=7");
                Forward.log(record, values)
            }
        }
        let logger = Logger::root(Check, o!("group" => 7));
        slog::error!(logger, "became {}", "leader"; "term" => 3);
    }
}
