//! Stream requests and nats-server 2.15.1's recorded answers, replayed.

use super::replay::{Case, World, cases};
use super::stream_change::{StreamCreate, create, update};
use super::{AccountLimits, StreamConfigRequest};
use crate::error::ApiError;
use crate::json::{Strictness, parse};

const RECORDED: &str = include_str!("../../fixtures/api/stream_config.jsonl");

fn answer(world: &mut World, case: &Case) -> Result<Option<String>, ApiError> {
    let (verb, name) = case.subject.strip_prefix("STREAM.").unwrap().split_once('.').unwrap();
    let request: StreamConfigRequest = parse(case.body.as_bytes(), Strictness::Strict)?;
    let config = match verb {
        "CREATE" => match create(&request, name, world)? {
            StreamCreate::New(config) => *config,
            StreamCreate::Same => world.streams[name].clone(),
        },
        "UPDATE" => update(&request, name, std::iter::empty(), world)?,
        other => panic!("unknown verb {other}"),
    };
    world.streams.insert(name.to_owned(), config.clone());
    Ok(Some(World::shown(config)))
}

#[test]
fn requests_are_answered_as_recorded() {
    let mut a = World::new(AccountLimits {
        max_memory: 50 << 20,
        max_storage: 500 << 20,
        max_streams: 40,
        max_consumers: 6,
        max_ack_pending: 3000,
        ..AccountLimits::NONE
    });
    let mut b = World::new(AccountLimits {
        max_memory: 1 << 20,
        max_storage: 10 << 20,
        max_streams: 2,
        max_bytes_required: true,
        storage_max_stream_bytes: 8 << 20,
        ..AccountLimits::NONE
    });
    let mut wrong = Vec::new();
    for case in cases(RECORDED) {
        let world = if case.account == "A" { &mut a } else { &mut b };
        let got = answer(world, &case);
        case.compare(got, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
