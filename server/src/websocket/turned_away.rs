//! Places for connections beyond `max_connections`. On the client port such a
//! connection is told so and closed at once; here it takes a TLS handshake and
//! an upgrade before it can be told anything, and `max_connections` must bound
//! what these cost, too.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of a server that may be on the way to being told at the same
/// time; others are closed without a word.
pub const PLACES: usize = 256;

/// See the module documentation.
#[derive(Debug)]
pub struct TurnedAway(Arc<Semaphore>);

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Default for TurnedAway {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl TurnedAway {
    /// A place if one is free.
    pub fn take(&self) -> Option<Place> {
        let permit = self.0.clone().try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let away = TurnedAway::default();
        let mut taken: Vec<_> = (0..PLACES).map_while(|_| away.take()).collect();
        assert_eq!(taken.len(), PLACES);
        assert!(away.take().is_none());
        taken.pop();
        assert!(away.take().is_some());
    }
}
