// The main paths of the @nats-io packages: core, jetstream, kv, obj.
import { connect, headers, nanos } from "@nats-io/transport-node";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { check, equal, finish, rejects, until } from "./check.mjs";

const bytes = (n) => new Uint8Array(n).map((_, i) => (i * 7 + (i >> 8)) & 255);

// Each check has streams of its own name: the server is shared.
let serial = 0;
const fresh = (base) => `${base}${++serial}`;

async function stream(nc, config = {}) {
  const jsm = await jetstreamManager(nc);
  const name = fresh("S");
  await jsm.streams.add({ name, subjects: [`${name}.>`], ...config });
  return { js: jetstream(nc), jsm, name };
}

await check("server information", (nc) => {
  equal(nc.info.jetstream, true);
  equal(nc.info.headers, true);
  equal(nc.info.max_payload, 1048576);
});

await check("publish, subscribe, headers", async (nc) => {
  const sub = nc.subscribe("foo.*", { max: 2 });
  const h = headers();
  h.set("A", "1");
  h.append("B", "x");
  h.append("B", "y");
  nc.publish("foo.a", "one", { headers: h });
  nc.publish("foo.b", "two");
  const got = [];
  for await (const m of sub) got.push([m.subject, m.string(), m.headers?.values("B")]);
  equal(got, [["foo.a", "one", ["x", "y"]], ["foo.b", "two", undefined]]);
});

await check("request, reply, no responders", async (nc) => {
  nc.subscribe("svc", { callback: (_, m) => m.respond(m.string().toUpperCase()) });
  equal((await nc.request("svc", "hi")).string(), "HI");
  await rejects(nc.request("nobody"), "no responders");
  const many = [];
  for await (const m of await nc.requestMany("svc", "a", { maxMessages: 1, maxWait: 2000 })) {
    many.push(m.string());
  }
  equal(many, ["A"]);
});

await check("queue groups and drain", async (nc) => {
  let a = 0;
  let b = 0;
  nc.subscribe("q", { queue: "g", callback: () => a++ });
  nc.subscribe("q", { queue: "g", callback: () => b++ });
  for (let i = 0; i < 200; i++) nc.publish("q");
  await nc.flush();
  await until(() => a + b === 200, "all arrived");
  if (Math.min(a, b) < 40) throw new Error(`uneven: ${a} and ${b}`);
  await nc.drain();
  equal(nc.isClosed(), true);
});

await check("stream management", async (nc) => {
  const { jsm, name } = await stream(nc, { max_msgs: 10 });
  equal((await jsm.streams.info(name)).config.max_msgs, 10);
  equal((await jsm.streams.update(name, { max_msgs: 20 })).config.max_msgs, 20);
  equal(await jsm.streams.find(`${name}.a`), name);
  const names = [];
  for await (const n of await jsm.streams.names()) names.push(n);
  if (!names.includes(name)) throw new Error(`${name} is not in ${names}`);
  equal((await jsm.getAccountInfo()).api.level, 5);
  equal(await jsm.streams.delete(name), true);
  await rejects(jsm.streams.info(name), "stream not found");
});

await check("publish: acks, duplicates, expectations", async (nc) => {
  const { js, jsm, name } = await stream(nc);
  equal((await js.publish(`${name}.a`, "1", { msgID: "x" })).seq, 1);
  equal((await js.publish(`${name}.a`, "1", { msgID: "x" })).duplicate, true);
  equal((await js.publish(`${name}.a`, "2", { expect: { lastSequence: 1 } })).seq, 2);
  await rejects(js.publish(`${name}.a`, "3", { expect: { lastSequence: 1 } }), "wrong last sequence: 2");
  await rejects(js.publish(`${name}.a`, "3", { expect: { streamName: "other" } }), "expected stream does not match");
  await rejects(js.publish("no.stream.here", ""), "JetStreamNotEnabled");
  equal((await jsm.streams.getMessage(name, { seq: 2 })).string(), "2");
  equal((await jsm.streams.getMessage(name, { last_by_subj: `${name}.a` })).seq, 2);
  equal((await jsm.streams.purge(name, { keep: 1 })).purged, 1);
  equal(await jsm.streams.deleteMessage(name, 2), true);
  equal((await jsm.streams.info(name)).state.messages, 0);
});

await check("direct get", async (nc) => {
  const { js, jsm, name } = await stream(nc, { allow_direct: true });
  for (let i = 1; i <= 6; i++) await js.publish(`${name}.${i % 2}`, `${i}`);
  equal((await jsm.direct.getMessage(name, { seq: 3 })).string(), "3");
  equal((await jsm.direct.getMessage(name, { last_by_subj: `${name}.0` })).seq, 6);
  const batch = [];
  for await (const m of await jsm.direct.getBatch(name, { seq: 2, batch: 3 })) batch.push(m.seq);
  equal(batch, [2, 3, 4]);
  const last = [];
  const multi = { multi_last: [`${name}.>`] };
  for await (const m of await jsm.direct.getLastMessagesFor(name, multi)) last.push(m.seq);
  equal(last, [5, 6]);
});

await check("consumer: fetch, next, ack", async (nc) => {
  const { js, jsm, name } = await stream(nc);
  for (let i = 1; i <= 30; i++) await js.publish(`${name}.a`, `${i}`);
  await jsm.consumers.add(name, { durable_name: "c", ack_policy: AckPolicy.Explicit });
  const c = await js.consumers.get(name, "c");
  const first = await c.next();
  equal([first.string(), first.info.pending], ["1", 29]);
  equal(await first.ackAck(), true);
  const seqs = [];
  for await (const m of await c.fetch({ max_messages: 29, expires: 3000 })) {
    seqs.push(m.seq);
    await m.ackAck();
  }
  equal(seqs.length, 29);
  const info = await c.info();
  equal([info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq], [0, 0, 30]);
  equal(await c.next({ expires: 1000 }), null);
});

await check("consumer: consume with small pulls", async (nc) => {
  const { js, jsm, name } = await stream(nc);
  for (let i = 0; i < 2000; i++) nc.publish(`${name}.a`, `${i}`);
  await nc.flush();
  await jsm.consumers.add(name, { durable_name: "c", ack_policy: AckPolicy.Explicit });
  const c = await js.consumers.get(name, "c");
  const got = [];
  const messages = await c.consume({ max_messages: 50 });
  for await (const m of messages) {
    got.push(Number(m.string()));
    m.ack();
    if (got.length === 2000) break;
  }
  equal(got, [...Array(2000).keys()]);
  await until(async () => (await c.info()).ack_floor.stream_seq === 2000, "all acks arrived");
});

await check("consumer: redelivery, nak, term", async (nc) => {
  const { js, jsm, name } = await stream(nc);
  for (let i = 1; i <= 3; i++) await js.publish(`${name}.a`, `${i}`);
  await jsm.consumers.add(name, {
    durable_name: "c", ack_policy: AckPolicy.Explicit, ack_wait: nanos(400), max_deliver: 3,
  });
  const c = await js.consumers.get(name, "c");
  const [one, two, three] = [await c.next(), await c.next(), await c.next()];
  two.term("bad");
  await three.ackAck();
  one.nak();
  const again = await c.next();
  equal([again.string(), again.redelivered, again.info.deliveryCount], ["1", true, 2]);
  const late = await c.next({ expires: 5000 });
  equal([late.string(), late.info.deliveryCount], ["1", 3]);
  await late.ackAck();
  equal((await c.info()).ack_floor.stream_seq, 3);
});

await check("ordered consumer", async (nc) => {
  const { js, jsm, name } = await stream(nc);
  for (let i = 0; i < 300; i++) nc.publish(`${name}.${i % 3}`, `${i}`);
  await nc.flush();
  const c = await js.consumers.get(name, { filter_subjects: `${name}.1`, deliver_policy: DeliverPolicy.All });
  const got = [];
  for await (const m of await c.consume()) {
    got.push(Number(m.string()));
    if (got.length === 100) break;
  }
  equal(got, Array.from({ length: 100 }, (_, i) => i * 3 + 1));
  equal((await jsm.streams.info(name)).state.messages, 300);
});

await check("push consumer", async (nc) => {
  const { js, jsm, name } = await stream(nc);
  for (let i = 0; i < 50; i++) await js.publish(`${name}.a`, `${i}`);
  await jsm.consumers.add(name, {
    durable_name: "p", ack_policy: AckPolicy.Explicit, deliver_subject: `deliver.${name}`,
    idle_heartbeat: nanos(500), flow_control: true,
  });
  const c = await js.consumers.getPushConsumer(name, "p");
  let n = 0;
  for await (const m of await c.consume()) {
    m.ack();
    if (++n === 50) break;
  }
  equal(n, 50);
});

await check("a deleted consumer ends consume", async (nc) => {
  const { js, jsm, name } = await stream(nc);
  await jsm.consumers.add(name, { durable_name: "c", ack_policy: AckPolicy.Explicit });
  const c = await js.consumers.get(name, "c");
  const messages = await c.consume({ abort_on_missing_resource: true, callback: () => {} });
  const notices = [];
  (async () => {
    for await (const s of messages.status()) notices.push(s.type);
  })();
  await until(async () => (await jsm.consumers.info(name, "c")).num_waiting === 1, "the pull waits");
  await jsm.consumers.delete(name, "c");
  await until(() => notices.includes("consumer_deleted"), "a notice of the deletion");
  await messages.close();
});

await check("kv", async (nc) => {
  const kv = await new Kvm(nc).create(fresh("KV"), { history: 5 });
  equal(await kv.put("a", "1"), 1);
  equal((await kv.get("a")).string(), "1");
  equal(await kv.create("b", "x"), 2);
  await rejects(kv.create("b", "y"), "wrong last sequence");
  equal(await kv.update("a", "2", 1), 3);
  await rejects(kv.update("a", "3", 1), "wrong last sequence");
  await kv.delete("b");
  equal((await kv.get("b")).operation, "DEL");
  equal(await kv.create("b", "back"), 5);
  const keys = [];
  for await (const k of await kv.keys()) keys.push(k);
  equal(keys.sort(), ["a", "b"]);
  const past = [];
  for await (const e of await kv.history({ key: "a" })) past.push(e.revision);
  equal(past, [1, 3]);
  await kv.purge("a");
  equal((await kv.get("a")).operation, "PURGE");
  equal((await kv.status()).values, 4);
  equal(await kv.destroy(), true);
});

await check("kv watch", async (nc) => {
  const kv = await new Kvm(nc).create(fresh("KV"));
  await kv.put("t.a", "1");
  await kv.put("u.a", "2");
  const watch = await kv.watch({ key: "t.*" });
  const got = [];
  (async () => {
    for await (const e of watch) got.push(`${e.operation} ${e.key}`);
  })();
  await until(() => got.length === 1, "the initial value");
  await kv.put("t.b", "3");
  await kv.put("u.b", "3");
  await kv.delete("t.a");
  await until(() => got.length === 3, "the changes");
  equal(got, ["PUT t.a", "PUT t.b", "DEL t.a"]);
  watch.stop();
});

await check("objects", async (nc) => {
  const store = await new Objm(nc).create(fresh("OBJ"), { description: "d" });
  const data = bytes(2_000_000);
  const info = await store.putBlob({ name: "big", description: "numbers" }, data);
  equal([info.size, info.chunks], [2_000_000, 16]);
  const back = await store.getBlob("big");
  equal(Buffer.compare(Buffer.from(back), Buffer.from(data)), 0, "comparison");
  equal((await store.info("big")).description, "numbers");
  await store.putBlob({ name: "empty" }, new Uint8Array(0));
  equal((await store.getBlob("empty")).length, 0);
  equal((await store.list()).map((i) => i.name).sort(), ["big", "empty"]);
  equal((await store.delete("big")).success, true);
  equal(await store.getBlob("big"), null);
  equal((await store.seal()).sealed, true);
  await rejects(store.putBlob({ name: "x" }, bytes(10)), "sealed");
});

await check("no echo and round trip time", async () => {
  const nc = await connect({ servers: process.env.NATS_URL, name: "named", noEcho: true });
  const sub = nc.subscribe("self");
  nc.publish("self", "x");
  await nc.flush();
  equal(sub.getReceived(), 0);
  equal(typeof (await nc.rtt()), "number");
  await nc.close();
});

finish();
