//! What happened, as a running hash (two runs of a seed must agree) and, on
//! demand, as text.

use std::fmt;

/// See the module documentation.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    print: bool,
}

impl Trace {
    /// An empty trace; `print` writes every event to stderr as well.
    pub fn new(print: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, print }
    }

    /// Notes an event.
    pub fn log(&mut self, event: fmt::Arguments<'_>) {
        use fmt::Write;
        self.events += 1;
        if self.print {
            eprintln!("{:>6} {event}", self.events);
        }
        // Writing to a hash cannot fail.
        let _ = self.write_fmt(event);
    }

    /// Hash of all events so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of events so far.
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// FNV-1a.
impl fmt::Write for Trace {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for b in s.bytes() {
            self.hash = (self.hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
