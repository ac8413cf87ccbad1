"""Publishing: duplicates, expectations, rollup, counters, batches, schedules."""

import datetime
import json

from nats.js.errors import BadRequestError

from base import api, ask, check, equal, eventually, refused


@check("duplicates")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", duplicate_window=60)
    first = await js.publish("S", b"x", headers={"Nats-Msg-Id": "1"})
    again = await js.publish("S", b"x", headers={"Nats-Msg-Id": "1"})
    equal((first.duplicate, again.duplicate, again.seq), (None, True, 1))
    equal((await js.stream_info("S")).state.messages, 1)


@check("asynchronous publishes")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S")
    futures = [await js.publish_async("S", b"%d" % n) for n in range(2000)]
    await js.publish_async_completed()
    equal([f.result().seq for f in futures], list(range(1, 2001)))


@check("expected headers")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"])
    await js.publish("s.a", b"x", headers={"Nats-Msg-Id": "first"})
    ok = {"Nats-Expected-Stream": "S", "Nats-Expected-Last-Sequence": "1",
          "Nats-Expected-Last-Msg-Id": "first", "Nats-Expected-Last-Subject-Sequence": "1"}
    equal((await js.publish("s.a", b"x", headers=ok)).seq, 2)
    for headers, text in [
        ({"Nats-Expected-Stream": "T"}, "10060"),
        ({"Nats-Expected-Last-Sequence": "9"}, "wrong last sequence: 2"),
        ({"Nats-Expected-Last-Subject-Sequence": "9"}, "wrong last sequence: 2"),
        ({"Nats-Expected-Last-Msg-Id": "none"}, "10070"),
    ]:
        await refused(BadRequestError, js.publish("s.a", b"x", headers=headers), text)
    equal((await js.publish("s.new", b"x", headers={"Nats-Expected-Last-Subject-Sequence": "0"})).seq, 3)


@check("rollup")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"], allow_rollup_hdrs=True)
    for n in range(10):
        await js.publish(f"s.{n % 2}", b"x")
    await js.publish("s.0", b"sum", headers={"Nats-Rollup": "sub"})
    equal((await js.stream_info("S", subjects_filter=">")).state.subjects, {"s.0": 1, "s.1": 5})
    await js.publish("s.2", b"all", headers={"Nats-Rollup": "all"})
    equal((await js.stream_info("S")).state.messages, 1)


@check("counters")
async def _(t):
    nc, js = await t.js()
    await api(nc, "STREAM.CREATE.C", {"name": "C", "subjects": ["c.>"], "allow_msg_counter": True})
    equal((await ask(nc, "c.hits", b"", {"Nats-Incr": "5"}))["val"], "5")
    equal((await ask(nc, "c.hits", b"", {"Nats-Incr": "+37"}))["val"], "42")
    equal((await ask(nc, "c.hits", b"", {"Nats-Incr": "-50"}))["val"], "-8")
    big = "99999999999999999999999"
    equal((await ask(nc, "c.big", b"", {"Nats-Incr": big}))["val"], big)
    equal((await ask(nc, "c.hits", b"", {"Nats-Incr": "x"}))["error"]["err_code"], 10171)
    equal(json.loads((await js.get_last_msg("C", "c.hits")).data), {"val": "-8"})


@check("atomic batches")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="B", subjects=["b.>"], allow_atomic=True)

    def head(batch, n, commit=False):
        extra = {"Nats-Batch-Commit": "1"} if commit else {}
        return {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(n)} | extra

    for n in range(1, 10):
        answer = await nc.request("b.a", b"%d" % n, timeout=3, headers=head("one", n))
        equal(answer.data, b"", f"answer to {n}")
    equal((await js.stream_info("B")).state.messages, 0, "before the commit")
    done = await ask(nc, "b.a", b"10", head("one", 10, True))
    equal((done["batch"], done["count"], done["seq"]), ("one", 10, 10))
    equal((await js.stream_info("B")).state.messages, 10)
    await nc.request("b.a", b"x", timeout=3, headers=head("two", 1))
    gap = await ask(nc, "b.a", b"x", head("two", 3, True))
    equal(gap["error"]["err_code"], 10176)
    equal((await js.stream_info("B")).state.messages, 10, "an abandoned batch leaves nothing")


@check("fast batches")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="B", subjects=["b.>"], allow_batched=True)
    prefix = nc.new_inbox()
    sub = await nc.subscribe(prefix + ".>")
    for n in range(1, 101):
        op = 0 if n == 1 else 2 if n == 100 else 1
        await nc.publish("b.a", b"%d" % n, reply=f"{prefix}.fast.10.fail.{n}.{op}.$FI")
    last = {}
    while "count" not in last:
        last = json.loads((await sub.next_msg(timeout=5)).data)
    equal((last["batch"], last["count"], last["seq"]), ("fast", 100, 100))
    equal((await js.get_msg("B", 57)).data, b"57")


@check("schedules")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"], allow_msg_schedules=True, allow_msg_ttl=True)
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    head = {"Nats-Schedule": "@at " + at.strftime("%Y-%m-%dT%H:%M:%SZ"), "Nats-Schedule-Target": "s.fired"}
    await js.publish("s.plan", b"payload", headers=head | {"Keep": "me"})

    async def fired():
        state = (await js.stream_info("S", subjects_filter=">")).state
        return (state.subjects or {}) == {"s.fired": 1}

    await eventually(fired, "the schedule fired and went")
    msg = await js.get_last_msg("S", "s.fired")
    equal((msg.data, msg.headers["Keep"]), (b"payload", "me"))
    equal(msg.headers["Nats-Scheduler"], "s.plan")
    await js.publish("s.often", b"tick", headers={
        "Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "s.tick"})

    async def twice():
        state = (await js.stream_info("S", subjects_filter="s.tick")).state
        return (state.subjects or {}).get("s.tick", 0) >= 2

    await eventually(twice, "the repeating schedule fired twice")
