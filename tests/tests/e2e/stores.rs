//! Key-value buckets and object stores, which are streams with habits.

use crate::common::{connect, start, text, within};
use async_nats::jetstream::{self, kv, object_store};
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn key_value_life() {
    let mut server = start();
    let js = jetstream::new(connect(&server).await);
    let config = kv::Config { bucket: "B".into(), history: 5, ..Default::default() };
    let b = within(js.create_key_value(config)).await.unwrap();
    let mut watch = within(b.watch_all()).await.unwrap();
    assert_eq!(within(b.put("k", "1".into())).await.unwrap(), 1);
    assert_eq!(within(b.put("k", "2".into())).await.unwrap(), 2);
    let e = within(b.create("k", "x".into())).await.unwrap_err();
    assert_eq!(e.kind(), kv::CreateErrorKind::AlreadyExists);
    assert_eq!(within(b.update("k", "3".into(), 2)).await.unwrap(), 3);
    let e = within(b.update("k", "x".into(), 2)).await.unwrap_err();
    assert_eq!(e.kind(), kv::UpdateErrorKind::WrongLastRevision);
    within(b.create("other", "o".into())).await.unwrap();
    within(b.delete("k")).await.unwrap();
    assert!(within(b.get("k")).await.unwrap().is_none());
    within(b.create("k", "again".into())).await.unwrap();
    within(b.purge("other")).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..7 {
        let e = within(watch.next()).await.unwrap().unwrap();
        seen.push((e.revision, e.key, e.operation));
    }
    use kv::Operation::{Delete, Purge, Put};
    let wanted = [
        (1, "k", Put),
        (2, "k", Put),
        (3, "k", Put),
        (4, "other", Put),
        (5, "k", Delete),
        (6, "k", Put),
        (7, "other", Purge),
    ];
    assert_eq!(seen, wanted.map(|(n, k, op)| (n, k.to_owned(), op)).to_vec());
    server.restart().unwrap();
    let js = jetstream::new(connect(&server).await);
    let b = within(js.get_key_value("B")).await.unwrap();
    let history: Vec<_> =
        within(within(b.history("k")).await.unwrap().try_collect()).await.unwrap();
    let history: Vec<_> = history.iter().map(|e: &kv::Entry| text(&e.value)).collect();
    assert_eq!(history, ["1", "2", "3", "", "again"]);
    let keys: Vec<String> = within(within(b.keys()).await.unwrap().try_collect()).await.unwrap();
    assert_eq!(keys, ["k"]);
    assert_eq!(within(b.entry("k")).await.unwrap().unwrap().revision, 6);
}

#[tokio::test]
async fn ten_megabytes_as_an_object() {
    let mut server = start();
    let js = jetstream::new(connect(&server).await);
    let config = object_store::Config { bucket: "O".into(), ..Default::default() };
    let o = within(js.create_object_store(config)).await.unwrap();
    let data: Vec<u8> =
        (0..10u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    within(o.put("big", &mut data.as_slice())).await.unwrap();
    within(o.put("small", &mut &b"tiny"[..])).await.unwrap();
    server.kill_and_restart().unwrap();
    let js = jetstream::new(connect(&server).await);
    let o = within(js.get_object_store("O")).await.unwrap();
    let mut read = Vec::new();
    within(within(o.get("big")).await.unwrap().read_to_end(&mut read)).await.unwrap();
    assert!(read == data, "{} of {} bytes", read.len(), data.len());
    within(o.delete("big")).await.unwrap();
    let names: Vec<_> =
        within(within(o.list()).await.unwrap().try_collect::<Vec<_>>()).await.unwrap();
    assert_eq!(names.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["small"]);
}
