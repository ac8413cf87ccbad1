//! `gust config diff`: the plan of a reload, from two files or from a server.

use crate::{ask, clock, reload, run};
use gust_account::AccountSet;
use gust_config::Options;
use gust_config::cli::CliOptions;
use gust_config::cli::access::Access;
use gust_config::cli::config_diff::{Between, DiffRequest};
use gust_config::options::reload::{Change, Class, ReloadPlan, plan};
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;

/// Prints what a reload would do. 0: nothing needs a restart, 1: something does,
/// 2: it cannot be told.
pub fn run(request: &DiffRequest) -> ExitCode {
    let plan = match &request.between {
        Between::Files(sides) => between_files(sides),
        Between::Server(access) => by_server(access),
    };
    match plan {
        Ok(plan) => {
            let text = if request.json {
                format!("{:#}\n", reload::to_json(&plan))
            } else {
                plan.to_string()
            };
            // Who has closed the other end of the pipe still wants the exit code.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(u8::from(plan.refusal().is_some()))
        }
        Err(e) => {
            eprintln!("gust: {}", e.trim_end());
            ExitCode::from(2)
        }
    }
}

fn between_files([old, new]: &[CliOptions; 2]) -> Result<ReloadPlan, String> {
    let (old, new) = (side(old)?, side(new)?);
    Ok(plan(&old, &new))
}

/// Options a server would run with. Files of TLS are not looked at: they may
/// only be there where the server runs.
fn side(cli: &CliOptions) -> Result<Options, String> {
    let file = cli.config_file.as_deref().unwrap_or_default();
    let named = |e: String| format!("{file}: {e}");
    let loaded = run::load(cli).map_err(named)?;
    let options = loaded.ok_or_else(|| named("nothing was loaded".to_owned()))?.options;
    let now = clock::now() / 1_000_000_000;
    AccountSet::build(&options, None, now, jiff::tz::TimeZone::system())
        .map_err(|e| named(e.to_string()))?;
    Ok(options)
}

fn by_server(access: &Access) -> Result<ReloadPlan, String> {
    let subject = |info: &Value| {
        // nats-server would ignore the question and reload.
        if info["go"] != "rust" {
            return Err("the server is not gust: it would reload instead of answering".to_owned());
        }
        let id = info["server_id"].as_str().unwrap_or_default();
        Ok(format!("$SYS.REQ.SERVER.{id}.RELOAD"))
    };
    let answer = ask::request(access, subject, "{\"dry_run\":true}")?;
    if let Some(text) = answer["error"]["description"].as_str() {
        return Err(format!("the server says: {text}"));
    }
    let Some(changes) = answer["data"]["changes"].as_array() else {
        return Err("the server does not know dry runs: it may have reloaded".to_owned());
    };
    let changes = changes.iter().map(change).collect();
    Ok(ReloadPlan { changes })
}

fn change(doc: &Value) -> Change {
    let text = |key: &str| doc[key].as_str().unwrap_or_default().to_owned();
    let class = if doc["class"] == Class::Live.name() { Class::Live } else { Class::Restart };
    Change { name: text("name"), option: text("option"), class, old: text("old"), new: text("new") }
}
