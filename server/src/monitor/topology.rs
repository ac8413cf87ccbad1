//! `/routez`, `/gatewayz` and `/leafz`: a server without cluster, gateways or
//! leafnodes still answers, with empty lists (contract/monitoring.md §1.4).

use crate::clock::{self, rfc3339};
use crate::server::Server;
use serde_json::{Value, json};

/// Routes to other servers of the cluster.
pub fn routez(server: &Server) -> Value {
    json!({
        "server_id": server.id, "server_name": server.name, "now": rfc3339(clock::now()),
        "num_routes": 0, "routes": [],
    })
}

/// Gateways to other clusters.
pub fn gatewayz(server: &Server) -> Value {
    json!({
        "server_id": server.id, "now": rfc3339(clock::now()),
        "outbound_gateways": {}, "inbound_gateways": {},
    })
}

/// Leafnodes.
pub fn leafz(server: &Server) -> Value {
    json!({
        "server_id": server.id, "now": rfc3339(clock::now()), "leafnodes": 0, "leafs": [],
    })
}
