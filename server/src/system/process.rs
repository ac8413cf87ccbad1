//! What can be said of the process where nats-server shows the insides of its
//! Go runtime: EXPVARZ, IPQUEUESZ, PROFILEZ.

use crate::monitor::usage;
use crate::server::Server;
use serde_json::{Map, Value, json};

/// The members of Go's `memstats` that have a meaning here. There is no garbage
/// collector, and what is allocated is what is resident. The command line is
/// left out behind the program's name: it may hold passwords.
pub fn expvarz() -> Value {
    let rss = usage::now().rss;
    let program = std::env::args().next().unwrap_or_default();
    json!({
        "memstats": {
            "Alloc": rss, "TotalAlloc": rss, "Sys": rss, "HeapAlloc": rss, "HeapSys": rss,
            "NumGC": 0,
        },
        "cmdline": [program],
    })
}

/// Mail waiting for each shard; without `all` only where there is some.
pub fn queues(server: &Server, all: bool, filter: &str) -> Value {
    let mut m = Map::new();
    for id in 0..server.shard_count() {
        let name = format!("shard {id} mailbox");
        let pending = server.shard(id).len();
        if (all || pending > 0) && name.contains(filter) {
            m.insert(name, json!({ "pending": pending }));
        }
    }
    Value::Object(m)
}

/// Go's profiles do not exist here; the operating system's tools see the threads
/// by their names.
pub fn profilez(name: &str) -> Value {
    let error = if name.is_empty() {
        "Profile name not specified".to_owned()
    } else {
        format!("Profile {name:?} not found: this server makes none; use perf on its process")
    };
    json!({ "profile": null, "error": error })
}
