//! Consumer requests and nats-server 2.15.1's recorded answers, replayed.

use super::consumer_change::{ConsumerCreate, ConsumerFacts, CreateForm, check_request, create};
use super::level::stamp_answer;
use super::replay::{Case, World, cases};
use super::stream_change::{StreamCreate, create as create_stream, update};
use super::{AccountLimits, CreateConsumerRequest, StreamConfigRequest, Surroundings};
use crate::error::{self, ApiError};
use crate::json::{Strictness, parse, to_string};

const RECORDED: &str = include_str!("../../fixtures/api/consumer_config.jsonl");

fn answer(world: &mut World, case: &Case) -> Result<Option<String>, ApiError> {
    if let Some(rest) = case.subject.strip_prefix("STREAM.") {
        let (verb, name) = rest.split_once('.').unwrap();
        let request: StreamConfigRequest = parse(case.body.as_bytes(), Strictness::Strict)?;
        let consumers = world.consumers.iter().filter(|((s, _), _)| s == name).map(|(_, c)| c);
        let config = match verb {
            "UPDATE" => update(&request, name, consumers, world)?,
            _ => match create_stream(&request, name, world)? {
                StreamCreate::New(config) => *config,
                StreamCreate::Same => world.streams[name].clone(),
            },
        };
        world.streams.insert(name.to_owned(), config.clone());
        return Ok(Some(World::shown(config)));
    }
    let tokens: Vec<&str> = case.subject.splitn(5, '.').collect();
    let (stream, form) = match tokens[..] {
        [_, "DURABLE", _, stream, consumer] => (stream, CreateForm::Durable { consumer }),
        [_, _, stream] => (stream, CreateForm::Ephemeral),
        [_, _, stream, consumer] => (stream, CreateForm::Named { consumer, filter: "" }),
        [_, _, stream, consumer, filter] => (stream, CreateForm::Named { consumer, filter }),
        _ => panic!("{}", case.subject),
    };
    let mut request: CreateConsumerRequest = parse(case.body.as_bytes(), Strictness::Strict)?;
    check_request(&mut request, stream, form)?;
    let stream_config = world.streams.get(stream).ok_or_else(error::stream_not_found)?;
    let key = (stream.to_owned(), request.config.name.clone());
    let consumers = || -> Box<dyn Iterator<Item = _>> {
        let ours = world.consumers.iter().filter(|((s, _), _)| s == stream);
        Box::new(ours.map(|(_, c)| c))
    };
    let facts = ConsumerFacts {
        stream: stream_config,
        server: world.server(),
        account: world.limits(1).unwrap().0,
        consumers: &consumers,
        existing: world.consumers.get(&key),
        bound: false,
    };
    let config = match create(&request, &facts)? {
        ConsumerCreate::New(config) | ConsumerCreate::Update(config) => *config,
    };
    let mut shown = config.clone();
    world.consumers.insert(key, config);
    stamp_answer(&mut shown.metadata, "2.15.1");
    Ok(Some(to_string(&shown)))
}

#[test]
fn requests_are_answered_as_recorded() {
    let mut world = World::new(AccountLimits {
        max_memory: 50 << 20,
        max_storage: 500 << 20,
        max_streams: 40,
        max_consumers: 6,
        max_ack_pending: 3000,
        ..AccountLimits::NONE
    });
    let mut wrong = Vec::new();
    for case in cases(RECORDED) {
        let got = answer(&mut world, &case);
        case.compare(got, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
