//! Renews the statuses of the server's certificates while it runs.
//!
//! Half the time before a status ends a new one is asked for. Failures are tried
//! again after [`FIRST_RETRY`] seconds, then twice as long each time, at most
//! [`LAST_RETRY`].

use super::response::{Answer, Status};
use super::staple::Staple;
use crate::clock;
use crate::server::Server;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Seconds to the first try after a failure.
const FIRST_RETRY: i64 = 2;
/// Seconds between tries at most.
const LAST_RETRY: i64 = 120;
/// Seconds between questions where the answer has no end of its own.
const WITHOUT_END: i64 = 24 * 3600;
/// Longest sleep: clocks may be set, machines may sleep.
const LONGEST_SLEEP: i64 = 3600;

/// When to ask again.
#[derive(Debug, Clone, Copy)]
struct Plan {
    at: i64,
    failures: u32,
}

/// Runs until the server stops.
pub async fn run(server: Arc<Server>) {
    // By the address of the staple, which its Arc keeps in its place.
    let mut plans: HashMap<usize, Plan> = HashMap::new();
    loop {
        let staples = server.tls.staples();
        plans.retain(|at, _| staples.iter().any(|s| address(s) == *at));
        for staple in &staples {
            plans.entry(address(staple)).or_insert_with(|| begin(staple));
        }
        let now = now();
        let due = plans.values().map(|p| p.at).min();
        let wait = due.map_or(LONGEST_SLEEP, |at| (at - now).clamp(0, LONGEST_SLEEP));
        tokio::select! {
            () = sleep(Duration::from_secs(wait.unsigned_abs())) => {}
            () = server.tls.changed() => continue,
            () = server.stopped() => return,
        }
        for staple in &staples {
            let Some(plan) = plans.get_mut(&address(staple)).filter(|p| p.at <= self::now()) else {
                continue;
            };
            *plan = renew(&server, staple, *plan).await;
        }
    }
}

fn address(staple: &Arc<Staple>) -> usize {
    Arc::as_ptr(staple) as usize
}

fn now() -> i64 {
    clock::now() / 1_000_000_000
}

/// Says what there is and plans what comes.
fn begin(staple: &Staple) -> Plan {
    let now = now();
    let Some(answer) = staple.answer() else { return Plan { at: now, failures: 0 } };
    let at = next_question(&answer, now);
    let file = &staple.cert_file;
    let text = describe(&answer, at - now);
    if answer.status == Status::Good {
        tracing::info!("Found OCSP status for Client certificate at '{file}': {text}");
    } else {
        tracing::error!("Found OCSP status for Client certificate at '{file}': {text}");
    }
    Plan { at, failures: 0 }
}

async fn renew(server: &Server, staple: &Staple, plan: Plan) -> Plan {
    let file = &staple.cert_file;
    let answer = match staple.refresh().await {
        Ok(answer) => answer,
        Err(e) => {
            let wait = retry_after(plan.failures);
            tracing::error!(
                "Bad OCSP status update for certificate '{file}': {e}, trying again in {wait}s"
            );
            return Plan { at: now() + wait, failures: plan.failures.saturating_add(1) };
        }
    };
    let now = now();
    let at = next_question(&answer, now);
    let text = describe(&answer, at - now);
    if answer.status == Status::Good {
        tracing::info!("Received OCSP status for Client certificate '{file}': {text}");
    } else {
        tracing::error!("Received OCSP status for Client certificate '{file}': {text}");
        if staple.enforced {
            server.tls.revoked();
        }
    }
    Plan { at, failures: 0 }
}

fn describe(answer: &Answer, wait: i64) -> String {
    let next = match answer.next_update {
        Some(end) => clock::rfc3339(end.saturating_mul(1_000_000_000)),
        None => "unset".to_owned(),
    };
    format!("{}, next update {next}, checking again in {wait}s", answer.status)
}

/// When to ask again after `answer`, seconds since the epoch.
fn next_question(answer: &Answer, now: i64) -> i64 {
    match answer.next_update {
        None => now.saturating_add(WITHOUT_END),
        Some(end) if end <= now => now + FIRST_RETRY,
        Some(end) => now + ((end - now) / 2).max(1),
    }
}

/// Seconds to wait after so many failures before this one.
fn retry_after(failures: u32) -> i64 {
    FIRST_RETRY.checked_shl(failures.min(16)).unwrap_or(LAST_RETRY).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_at_half_time_and_retries_are_bounded() {
        let answer = |next_update| Answer {
            status: Status::Good,
            this_update: 1000,
            next_update,
            der: Vec::new(),
        };
        assert_eq!(next_question(&answer(Some(2000)), 1000), 1500);
        assert_eq!(next_question(&answer(Some(1001)), 1000), 1001);
        assert_eq!(next_question(&answer(Some(900)), 1000), 1002);
        assert_eq!(next_question(&answer(None), 1000), 1000 + 24 * 3600);
        let waits: Vec<_> = (0..9).map(retry_after).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert_eq!(retry_after(u32::MAX), 120);
    }
}
