//! The monitoring endpoints on `-m` (contract/monitoring.md §1).

use crate::server::Server;
use crate::system::process;
use gust_admin::http::Answer;
use gust_admin::query::Query;
use gust_admin::{Handler, Reply, Request};
use std::sync::Arc;

pub mod account_detail;
pub mod accountz;
pub mod connz;
pub mod exchange;
pub mod healthz;
pub mod jsz;
pub mod metrics;
pub mod subsz;
pub mod text;
pub mod topology;
pub mod usage;
pub mod varz;

/// Answers monitoring requests.
pub struct Monitor {
    server: Arc<Server>,
    base: String,
}

impl Monitor {
    /// Serves all endpoints below `base` (`/` or e.g. `/nats/mon`).
    pub fn new(server: Arc<Server>, base: &str) -> Arc<Self> {
        let base = base.trim_end_matches('/').to_owned();
        Arc::new(Self { server, base })
    }

    fn count(&self, path: &'static str) {
        *self.server.http_requests.lock().entry(path).or_insert(0) += 1;
    }

    async fn answer(&self, request: Request) -> Reply {
        let path = request.path.as_str();
        let Some(path) = path.strip_prefix(self.base.as_str()) else { return Reply::not_found() };
        // With a base path the root page has no trailing slash.
        let path = match (path, self.base.is_empty()) {
            ("/", true) | ("", false) => "/",
            ("/", false) => return Reply::not_found(),
            (p, _) => p,
        };
        let query = Query::parse(&request.query);
        let result = match path {
            "/" => {
                self.count("/");
                return Reply::html(root_page(&self.base));
            }
            "/varz" => {
                self.count("/varz");
                Ok(varz::varz(&self.server).await)
            }
            "/connz" => {
                self.count("/connz");
                connz::Options::from_query(&query).and_then(|o| connz::connz(&self.server, &o))
            }
            "/subsz" | "/subscriptionsz" => {
                self.count("/subsz");
                subsz::Options::from_query(&query).and_then(|o| subsz::subsz(&self.server, &o))
            }
            "/accountz" => {
                self.count("/accountz");
                accountz::accountz(&self.server, query.get("acc"))
            }
            "/accstatz" => {
                self.count("/accstatz");
                query.bool("unused").map(|u| accountz::accstatz(&self.server, u, &[]))
            }
            "/jsz" => {
                self.count("/jsz");
                match jsz::Options::from_query(&query) {
                    Ok(o) => jsz::jsz(&self.server, &o).await,
                    Err(e) => Err(e),
                }
            }
            "/healthz" => {
                self.count("/healthz");
                return match healthz::Options::from_query(&query) {
                    Ok(o) => healthz::healthz(&self.server, &o).await.reply(),
                    Err(e) => Reply::text(400, e),
                };
            }
            "/routez" => {
                self.count("/routez");
                Ok(topology::routez(&self.server))
            }
            "/gatewayz" => {
                self.count("/gatewayz");
                Ok(topology::gatewayz(&self.server))
            }
            "/leafz" => {
                self.count("/leafz");
                Ok(topology::leafz(&self.server))
            }
            "/ipqueuesz" => {
                query.bool("all").map(|all| process::queues(&self.server, all, query.get("queues")))
            }
            "/raftz" => return Reply::text(404, "No Raft nodes registered".to_owned()),
            "/debug/vars" => Ok(process::expvarz()),
            "/metrics" => return metrics::metrics(&self.server).await,
            _ => return Reply::not_found(),
        };
        match result {
            Ok(v) => Reply::json(text::pretty(&v)),
            Err(e) => Reply::text(400, e),
        }
    }
}

impl Handler for Monitor {
    fn handle(self: Arc<Self>, request: Request) -> Answer {
        Box::pin(async move { self.answer(request).await })
    }
}

fn root_page(base: &str) -> String {
    let mut links = String::new();
    for (path, title) in [
        ("varz", "General"),
        ("jsz", "JetStream"),
        ("connz", "Connections"),
        ("accountz", "Accounts"),
        ("accstatz", "Account Stats"),
        ("subsz", "Subscriptions"),
        ("routez", "Routes"),
        ("leafz", "LeafNodes"),
        ("gatewayz", "Gateways"),
        ("healthz", "Health Probe"),
        ("metrics", "Prometheus Metrics"),
    ] {
        links.push_str(&format!("<li><a href=\"{base}/{path}\">{title}</a></li>\n"));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Gust</title>\n\
         <style>body{{font:16px system-ui;margin:3rem auto;max-width:40rem}}</style></head>\n\
         <body><h1>Gust</h1>\n<ul>\n{links}</ul></body></html>\n"
    )
}
