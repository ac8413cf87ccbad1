//! Server-wide counters. Each shard adds what it counted at the end of a turn,
//! so no message touches a shared cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Totals since start, as `/varz` shows them.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: AtomicU64,)*
            /// Subscriptions now, all accounts.
            pub subscriptions: AtomicI64,
            /// Client connections now.
            pub connections: AtomicI64,
        }

        /// What one shard counted since it last reported.
        #[derive(Debug, Default)]
        pub struct LocalStats {
            $($(#[$doc])* pub $name: Cell<u64>,)*
        }

        impl LocalStats {
            /// Adds everything counted here to `total` and starts again at 0.
            pub fn report(&self, total: &Stats) {
                $(
                    let n = self.$name.take();
                    if n != 0 {
                        total.$name.fetch_add(n, Relaxed);
                    }
                )*
            }
        }
    };
}

counters! {
    /// Messages received from clients.
    in_msgs,
    /// Their bytes, headers included.
    in_bytes,
    /// Messages queued to clients.
    out_msgs,
    /// Their bytes.
    out_bytes,
    /// Client connections ever accepted.
    total_connections,
    /// Connections closed as slow consumers.
    slow_consumers,
    /// Connections closed as stale.
    stale_connections,
    /// Times a publisher was made to wait for a slow receiver.
    stalled_clients,
}

/// Adds to a shard-local counter.
pub fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get() + n);
}
