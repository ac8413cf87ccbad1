"""Consumers: pulls, pushes, acks, redelivery, groups."""

import asyncio
import datetime
import json

import nats
from nats.js import api as models
from nats.js.errors import NotFoundError

from base import api, check, equal, eventually, gather, refused


async def stream(t, count=0, **config):
    """A stream S on s.> with some messages."""
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"], **config)
    for n in range(1, count + 1):
        await js.publish("s.a", b"%d" % n)
    return nc, js


async def pull(nc, consumer, **body):
    """A raw pull: its messages and the status that ended it."""
    count = body.get("batch", 1)
    return await gather(nc, f"$JS.API.CONSUMER.MSG.NEXT.S.{consumer}", body, True, count)


def status(msg):
    """Code and text of a status message."""
    return f"{msg.headers.get('Status')} {msg.headers.get('Description')}"


@check("pull: fetch, ack, floor")
async def _(t):
    nc, js = await stream(t, 50)
    sub = await js.pull_subscribe("s.>", "c")
    msgs = await sub.fetch(20)
    equal([m.metadata.sequence.stream for m in msgs], list(range(1, 21)))
    equal(msgs[0].metadata.num_pending, 49)
    for msg in msgs:
        await msg.ack_sync()
    info = await sub.consumer_info()
    equal((info.ack_floor.stream_seq, info.num_ack_pending, info.num_pending), (20, 0, 30))
    equal(len(await sub.fetch(100, timeout=1)), 30)
    await refused(nats.errors.TimeoutError, sub.fetch(1, timeout=0.3))


@check("pull: no wait, expiry, sizes, heartbeats")
async def _(t):
    nc, js = await stream(t)
    await js.add_consumer("S", durable_name="c", ack_policy="explicit", max_waiting=1)
    equal(status((await pull(nc, "c", no_wait=True))[0]), "404 No Messages")
    equal(status((await pull(nc, "c", expires=100_000_000))[0]), "408 Request Timeout")
    beats = await gather(nc, "$JS.API.CONSUMER.MSG.NEXT.S.c",
                         {"expires": 900_000_000, "idle_heartbeat": 200_000_000}, False, 9, 1.2)
    equal(beats[0].headers["Status"], "100")
    equal(status(beats[-1]), "408 Request Timeout")
    await js.publish("s.a", b"x" * 500)
    equal(status((await pull(nc, "c", max_bytes=100))[0]), "409 Message Size Exceeds MaxBytes")
    await refused(nats.errors.NoRespondersError, nc.request("$JS.API.CONSUMER.MSG.NEXT.S.none", b"", timeout=2))


@check("a deleted consumer ends waiting pulls")
async def _(t):
    nc, js = await stream(t)
    await js.add_consumer("S", durable_name="c", ack_policy="explicit")
    waiting = asyncio.create_task(pull(nc, "c", batch=1, expires=20_000_000_000))
    async def waits():
        return (await js.consumer_info("S", "c")).num_waiting == 1
    await eventually(waits, "the pull waits")
    await js.delete_consumer("S", "c")
    equal(status((await waiting)[0]), "409 Consumer Deleted")


@check("push: durable, ephemeral, queue")
async def _(t):
    nc, js = await stream(t, 10)
    sub = await js.subscribe("s.>", durable="d")
    for n in range(1, 11):
        msg = await sub.next_msg(timeout=3)
        equal(msg.data, b"%d" % n)
        await msg.ack_sync()
    equal((await js.consumer_info("S", "d")).push_bound, True)
    ephemeral = await js.subscribe("s.>")
    equal((await ephemeral.next_msg(timeout=3)).data, b"1")
    name = (await ephemeral.consumer_info()).name
    await ephemeral.unsubscribe()
    got = []

    async def take(msg):
        got.append(msg.data)
        await msg.ack()

    for _ in range(3):
        await js.subscribe("s.>", queue="q", cb=take, manual_ack=True)

    async def all_once():
        return sorted(got, key=int) == [b"%d" % n for n in range(1, 11)]

    await eventually(all_once, f"the group has all (ephemeral {name})")


@check("ack policies")
async def _(t):
    nc, js = await stream(t, 10)
    await js.add_consumer("S", durable_name="all", ack_policy="all")
    msgs = await (await js.pull_subscribe_bind(consumer="all", stream="S")).fetch(6)
    await msgs[3].ack_sync()
    info = await js.consumer_info("S", "all")
    equal((info.ack_floor.stream_seq, info.num_ack_pending), (4, 2))
    await js.add_consumer("S", durable_name="none", ack_policy="none")
    await (await js.pull_subscribe_bind(consumer="none", stream="S")).fetch(6)
    info = await js.consumer_info("S", "none")
    equal((info.ack_floor.stream_seq, info.num_ack_pending), (6, 0))


@check("nak, delay, term, in progress, backoff")
async def _(t):
    nc, js = await stream(t, 4)
    sub = await js.pull_subscribe("s.>", "c", config=models.ConsumerConfig(ack_wait=1))
    one, two, three, four = await sub.fetch(4)
    await one.nak()
    again = (await sub.fetch(1))[0]
    equal((again.data, again.metadata.num_delivered), (b"1", 2))
    await again.ack_sync()
    begin = asyncio.get_running_loop().time()
    await two.nak(delay=0.4)
    await three.term()
    await four.ack_sync()
    again = (await sub.fetch(1, timeout=3))[0]
    equal((again.data, again.metadata.num_delivered), (b"2", 2))
    if asyncio.get_running_loop().time() - begin < 0.35:
        raise AssertionError("the delayed message came at once")
    await again.in_progress()
    await again.ack_sync()
    info = await sub.consumer_info()
    equal((info.num_ack_pending, info.ack_floor.stream_seq), (0, 4))
    await js.add_consumer("S", durable_name="b", ack_policy="explicit", max_deliver=3,
                          backoff=[0.1, 0.4], deliver_policy="last")
    sub = await js.pull_subscribe_bind(consumer="b", stream="S")
    times = []
    for _ in range(3):
        msg = (await sub.fetch(1, timeout=3))[0]
        equal(msg.data, b"4")
        times.append(asyncio.get_running_loop().time())
    if times[2] - times[1] < 0.3:
        raise AssertionError(f"the second wait was too short: {times}")


@check("max deliver and its advisory")
async def _(t):
    nc, js = await stream(t, 1)
    events = await nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c")
    await js.add_consumer("S", durable_name="c", ack_policy="explicit", ack_wait=0.2, max_deliver=2)
    sub = await js.pull_subscribe_bind(consumer="c", stream="S")
    await sub.fetch(1)
    await sub.fetch(1, timeout=3)
    event = json.loads((await sub_next(events, sub)).data)
    equal((event["stream_seq"], event["deliveries"], event["consumer"]), (1, 2, "c"))
    equal(event["type"], "io.nats.jetstream.advisory.v1.max_deliver")


async def sub_next(events, sub):
    """The advisory; the pull keeps the consumer busy meanwhile."""
    try:
        await sub.fetch(1, timeout=0.5)
    except nats.errors.TimeoutError:
        pass
    return await events.next_msg(timeout=5)


@check("max ack pending")
async def _(t):
    nc, js = await stream(t, 10)
    await js.add_consumer("S", durable_name="c", ack_policy="explicit", max_ack_pending=3)
    sub = await js.pull_subscribe_bind(consumer="c", stream="S")
    msgs = await sub.fetch(10, timeout=0.5)
    equal(len(msgs), 3)
    await msgs[0].ack_sync()
    equal([m.data for m in await sub.fetch(10, timeout=0.5)], [b"4"])


@check("filters, headers only, deliver policies")
async def _(t):
    nc, js = await stream(t)
    for n in range(1, 13):
        await js.publish(f"s.{n % 4}", b"%d" % n)

    async def read(**config):
        info = await js.add_consumer("S", ack_policy="none", name="x", **config)
        sub = await js.pull_subscribe_bind(consumer="x", stream="S")
        msgs = await sub.fetch(info.num_pending, timeout=3) if info.num_pending else []
        await js.delete_consumer("S", "x")
        return [int(m.data) if m.data else m.headers["Nats-Msg-Size"] for m in msgs]

    equal(await read(filter_subject="s.1"), [1, 5, 9])
    equal(await read(filter_subjects=["s.1", "s.2"]), [1, 2, 5, 6, 9, 10])
    equal(await read(deliver_policy="last"), [12])
    equal(await read(deliver_policy="last_per_subject", filter_subject="s.>"), [9, 10, 11, 12])
    equal(await read(deliver_policy="by_start_sequence", opt_start_seq=11), [11, 12])
    equal(await read(deliver_policy="new"), [])
    equal(await read(filter_subject="s.0", headers_only=True), ["1", "1", "2"])
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    equal(len(await read(deliver_policy="by_start_time", opt_start_time=past)), 12)


@check("ordered consumer")
async def _(t):
    nc, js = await stream(t)
    for n in range(500):
        await js.publish_async("s.a", b"%d" % n)
    await js.publish_async_completed()
    sub = await js.subscribe("s.>", ordered_consumer=True)
    equal([int((await sub.next_msg(timeout=3)).data) for _ in range(500)], list(range(500)))
    # Its consumer goes away; it makes a new one where it stood.
    await js.delete_consumer("S", (await sub.consumer_info()).name)
    await js.publish("s.a", b"500")
    equal((await sub.next_msg(timeout=20)).data, b"500")


@check("flow control and heartbeats")
async def _(t):
    nc, js = await stream(t)
    block = b"x" * 8000
    for _ in range(1500):
        await js.publish_async("s.a", block)
    await js.publish_async_completed()
    sub = await js.subscribe("s.>", flow_control=True, idle_heartbeat=0.5,
                             config=models.ConsumerConfig(ack_policy="none"))
    for n in range(1, 1501):
        equal((await sub.next_msg(timeout=5)).metadata.sequence.stream, n)
    raw = await nc.subscribe("deliver.raw")
    await js.add_consumer("S", name="hb", deliver_subject="deliver.raw", deliver_policy="new",
                          idle_heartbeat=0.2, ack_policy="none")
    beat = await raw.next_msg(timeout=3)
    equal(beat.headers["Status"], "100")
    equal(beat.headers["Nats-Last-Stream"], "1500")


@check("pause and resume")
async def _(t):
    nc, js = await stream(t, 2)
    sub = await js.pull_subscribe("s.>", "c")
    until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1))
    paused = await js.pause_consumer("S", "c", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
    equal(paused.paused, True)
    await refused(nats.errors.TimeoutError, sub.fetch(1, timeout=0.3))
    equal((await js.consumer_info("S", "c")).paused, True)
    equal((await js.resume_consumer("S", "c")).paused, False)
    equal((await sub.fetch(1))[0].data, b"1")


@check("reset")
async def _(t):
    nc, js = await stream(t, 5)
    sub = await js.pull_subscribe("s.>", "c")
    for msg in await sub.fetch(4):
        await msg.ack_sync()
    await js.reset_consumer("S", "c", seq=2)
    equal([m.data for m in await sub.fetch(2)], [b"2", b"3"])


@check("priority groups: overflow")
async def _(t):
    nc, js = await stream(t, 5)
    config = {"durable_name": "c", "ack_policy": "explicit", "priority_policy": "overflow", "priority_groups": ["g"]}
    await api(nc, "CONSUMER.CREATE.S.c", {"stream_name": "S", "config": config})
    equal(status((await pull(nc, "c", batch=1, no_wait=True))[0])[:15], "400 Bad Request")
    late = await pull(nc, "c", batch=1, group="g", min_pending=100, expires=200_000_000)
    equal(late[0].headers["Status"], "408")
    equal((await pull(nc, "c", batch=1, group="g", min_pending=5, expires=2_000_000_000))[0].data, b"1")


@check("priority groups: pinned client")
async def _(t):
    nc, js = await stream(t, 6)
    config = {"durable_name": "c", "ack_policy": "explicit", "priority_policy": "pinned_client",
              "priority_groups": ["g"], "priority_timeout": 60_000_000_000}
    await api(nc, "CONSUMER.CREATE.S.c", {"stream_name": "S", "config": config})
    first = (await pull(nc, "c", batch=1, group="g", expires=2_000_000_000))[0]
    pin = first.headers["Nats-Pin-Id"]
    other = await pull(nc, "c", batch=1, group="g", expires=300_000_000)
    equal(other[0].headers["Status"], "408", "another client waits")
    mine = (await pull(nc, "c", batch=1, group="g", id=pin, expires=2_000_000_000))[0]
    equal((mine.data, mine.headers["Nats-Pin-Id"]), (b"2", pin))
    await api(nc, "CONSUMER.UNPIN.S.c", {"group": "g"})
    stale = (await pull(nc, "c", batch=1, group="g", id=pin, expires=500_000_000))[0]
    equal(stale.headers["Status"], "423")
    fresh = (await pull(nc, "c", batch=1, group="g", expires=2_000_000_000))[0]
    if fresh.headers["Nats-Pin-Id"] == pin:
        raise AssertionError("the pin did not change")


@check("ephemerals go when unused")
async def _(t):
    nc, js = await stream(t, 1)
    await js.add_consumer("S", name="e", ack_policy="none", inactive_threshold=0.5)
    equal((await js.consumer_info("S", "e")).name, "e")

    async def gone():
        try:
            await js.consumer_info("S", "e")
        except NotFoundError:
            return True

    # Asking for its info does not keep it alive.
    await eventually(gone, "the ephemeral is gone", 15)
    equal([c.name for c in await js.consumers_info("S")], [])
