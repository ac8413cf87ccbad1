"""Streams: life cycle, reading, retention, limits, mirrors."""

import json

from nats.js import api as models
from nats.js.errors import BadRequestError, NotFoundError, ServiceUnavailableError

from base import api, check, equal, eventually, gather, has, refused, settled


@check("stream create, update, info, list, delete")
async def _(t):
    nc, js = await t.js()
    info = await js.add_stream(name="S", subjects=["s.>"], description="d", metadata={"k": "v"})
    equal(info.config.subjects, ["s.>"])
    equal(info.config.metadata["k"], "v")
    await js.add_stream(name="S", subjects=["s.>"], description="d", metadata={"k": "v"})
    await refused(BadRequestError, js.add_stream(name="S", subjects=["other"]), "10058")
    await refused(BadRequestError, js.add_stream(name="T", subjects=["s.a"]), "10065")
    info = await js.update_stream(config=info.config.evolve(max_msgs=7))
    equal(info.config.max_msgs, 7)
    await js.add_stream(name="T", subjects=["t"])
    equal(sorted(i.config.name for i in await js.streams_info()), ["S", "T"])
    equal(await js.find_stream_name_by_subject("s.x"), "S")
    equal(await js.delete_stream("S"), True)
    await refused(NotFoundError, js.stream_info("S"))
    await refused(NotFoundError, js.delete_stream("S"))


@check("messages: get, delete, last, next")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"])
    for n in range(1, 6):
        await js.publish(f"s.{n % 2}", b"m%d" % n, headers={"N": str(n)})
    msg = await js.get_msg("S", 2)
    equal((msg.subject, msg.data, msg.headers, msg.seq), ("s.0", b"m2", {"N": "2"}, 2))
    equal((await js.get_last_msg("S", "s.0")).seq, 4)
    equal((await js.get_msg("S", seq=3, subject="s.0", next=True)).seq, 4)
    equal(await js.delete_msg("S", 2), True)
    await refused(NotFoundError, js.get_msg("S", 2))
    state = (await js.stream_info("S", subjects_filter=">")).state
    equal((state.messages, state.first_seq, state.last_seq, state.num_deleted), (4, 1, 5, 1))
    equal(state.subjects, {"s.0": 1, "s.1": 3})


@check("purge by sequence, subject, keep")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"])
    for n in range(20):
        await js.publish(f"s.{n % 2}", b"x")
    await js.purge_stream("S", seq=5)
    equal((await js.stream_info("S")).state.first_seq, 5)
    await js.purge_stream("S", subject="s.0", keep=3)
    equal((await js.stream_info("S", subjects_filter=">")).state.subjects, {"s.0": 3, "s.1": 8})
    await js.purge_stream("S")
    state = (await js.stream_info("S")).state
    equal((state.messages, state.first_seq, state.last_seq), (0, 21, 20))


@check("direct get: single, batch, multi")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"], allow_direct=True)
    for n in range(1, 11):
        await js.publish(f"s.{n % 3}", b"m%d" % n, headers={"N": str(n)})
    msg = await js.get_msg("S", 4, direct=True)
    equal((msg.seq, msg.subject, msg.data), (4, "s.1", b"m4"))
    equal((await js.get_last_msg("S", "s.0", direct=True)).seq, 9)
    await refused(NotFoundError, js.get_msg("S", 99, direct=True))
    batch = await gather(nc, "$JS.API.DIRECT.GET.S", {"seq": 3, "batch": 4})
    equal([m.data for m in batch], [b"m3", b"m4", b"m5", b"m6", b""])
    equal(batch[-1].headers["Status"], "204")
    equal(batch[-1].headers["Nats-Num-Pending"], "4")
    batch = await gather(nc, "$JS.API.DIRECT.GET.S", {"seq": 1, "batch": 9, "next_by_subj": "s.1"})
    equal([m.data for m in batch[:-1]], [b"m1", b"m4", b"m7", b"m10"])
    multi = await gather(nc, "$JS.API.DIRECT.GET.S", {"multi_last": ["s.0", "s.2", "none"]})
    equal([m.data for m in multi[:-1]], [b"m8", b"m9"])
    multi = await gather(nc, "$JS.API.DIRECT.GET.S", {"multi_last": ["s.>"], "up_to_seq": 5})
    equal([m.data for m in multi[:-1]], [b"m3", b"m4", b"m5"])
    equal(multi[-1].headers["Nats-UpTo-Sequence"], "5")


@check("work queue retention")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="W", subjects=["w.>"], retention="workqueue")
    for n in range(5):
        await js.publish("w.a", b"%d" % n)
    sub = await js.pull_subscribe("w.a", "c")
    await refused(BadRequestError, js.pull_subscribe("w.>", "d"))
    msgs = await sub.fetch(3)
    await msgs[0].ack_sync()
    await msgs[2].ack_sync()
    equal((await js.stream_info("W")).state.messages, 3)
    await msgs[1].term()
    await settled(nc)

    async def gone():
        return (await js.stream_info("W")).state.messages == 2

    await eventually(gone, "the terminated message is gone")


@check("interest retention")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="I", subjects=["i.>"], retention="interest")
    equal((await js.publish("i.a", b"nobody")).seq, 1)
    equal((await js.stream_info("I")).state.messages, 0)
    one = await js.pull_subscribe("i.>", "one")
    two = await js.pull_subscribe("i.a", "two")
    await js.publish("i.a", b"both")
    await js.publish("i.b", b"one")
    for msg in await one.fetch(2):
        await msg.ack_sync()
    equal((await js.stream_info("I")).state.messages, 1)
    await (await two.fetch(1))[0].ack_sync()
    equal((await js.stream_info("I")).state.messages, 0)


@check("discard old and new, per subject")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="O", subjects=["o.>"], max_msgs=3)
    for n in range(5):
        await js.publish("o.a", b"x")
    state = (await js.stream_info("O")).state
    equal((state.messages, state.first_seq), (3, 3))
    await js.add_stream(name="N", subjects=["n.>"], max_msgs=2, discard="new")
    await js.publish("n.a", b"x")
    await js.publish("n.a", b"x")
    await refused(ServiceUnavailableError, js.publish("n.a", b"x"), "maximum messages exceeded")
    await js.add_stream(name="P", subjects=["p.>"], max_msgs_per_subject=1)
    for n in range(3):
        await js.publish("p.a", b"%d" % n)
        await js.publish("p.b", b"%d" % n)
    equal((await js.stream_info("P")).state.messages, 2)
    await js.add_stream(name="Q", subjects=["q.>"], max_msgs_per_subject=1, discard="new",
                        discard_new_per_subject=True)
    await js.publish("q.a", b"x")
    await refused(ServiceUnavailableError, js.publish("q.a", b"x"), "per subject exceeded")
    await js.publish("q.b", b"x")


@check("max age")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", max_age=0.5)
    await js.publish("S", b"x")
    equal((await js.stream_info("S")).state.messages, 1)

    async def gone():
        state = (await js.stream_info("S")).state
        return state.messages == 0 and state.first_seq == 2

    await eventually(gone, "the message is gone")


@check("per-message ttl and delete markers")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"], allow_msg_ttl=True, subject_delete_marker_ttl=60)
    await js.publish("s.short", b"x", msg_ttl=1)
    await js.publish("s.long", b"x", headers={"Nats-TTL": "1h"})
    await js.publish("s.plain", b"x")
    equal((await js.get_msg("S", 2)).headers["Nats-TTL"], "1h")
    await js.add_stream(name="T", subjects=["t.>"], allow_msg_ttl=True)
    await js.publish("t.a", b"x", msg_ttl=1)

    async def gone():
        return (await js.stream_info("T")).state.messages == 0

    await eventually(gone, "the short one is gone")


@check("max age leaves a marker")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S", subjects=["s.>"], max_age=1, allow_msg_ttl=True,
                        subject_delete_marker_ttl=60)
    await js.publish("s.a", b"x")

    async def marker():
        msg = await js.get_last_msg("S", "s.a")
        return (msg.headers or {}).get("Nats-Marker-Reason") == "MaxAge"

    await eventually(marker, "a marker replaces the message")


@check("compression and memory storage")
async def _(t):
    nc, js = await t.js()
    for name, extra in {"C": {"compression": "s2"}, "M": {"storage": "memory"}}.items():
        await js.add_stream(name=name, **extra)
        for n in range(300):
            await js.publish(name, b"%d " % n * 300)
        equal((await js.get_msg(name, 150)).data, b"149 " * 300)


@check("a restart keeps file streams and their consumers")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="F", subjects=["f"], compression="s2")
    await js.add_stream(name="M", subjects=["m"], storage="memory")
    for n in range(50):
        await js.publish("f", b"%d" % n, headers={"Nats-Msg-Id": str(n)})
        await js.publish("m", b"x")
    await js.delete_msg("F", 7)
    sub = await js.pull_subscribe("f", "d")
    for msg in await sub.fetch(10):
        await msg.ack_sync()
    await nc.close()
    t.server.stop()
    t.server.start()
    nc, js = await t.js()
    equal([i.config.name for i in await js.streams_info()], ["F"])
    state = (await js.stream_info("F")).state
    equal((state.messages, state.last_seq, state.num_deleted), (49, 50, 1))
    equal((await js.consumer_info("F", "d")).ack_floor.stream_seq, 11)
    equal((await js.publish("f", b"3", headers={"Nats-Msg-Id": "3"})).duplicate, True)
    sub = await js.pull_subscribe("f", "d")
    equal((await sub.fetch(1))[0].data, b"11")


@check("subject transform and republish")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(
        name="S", subjects=["in.*"],
        subject_transform=models.SubjectTransform(src="in.*", dest="out.$1"),
        republish=models.RePublish(src="out.>", dest="copy.>"),
    )
    sub = await nc.subscribe("copy.>")
    await settled(nc)
    await js.publish("in.a", b"one", headers={"K": "v"})
    await js.publish("in.a", b"two")
    first, second = await sub.next_msg(timeout=3), await sub.next_msg(timeout=3)
    equal((first.subject, first.data, first.headers["K"]), ("copy.a", b"one", "v"))
    equal(second.headers["Nats-Last-Sequence"], "1")
    equal((first.headers["Nats-Stream"], first.headers["Nats-Subject"]), ("S", "out.a"))
    equal((await js.get_msg("S", 1)).subject, "out.a")


@check("mirror and sources")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="A", subjects=["a.>"])
    await js.add_stream(name="B", subjects=["b.>"])
    for n in range(20):
        await js.publish(f"a.{n % 2}", b"a%d" % n)
        await js.publish("b.x", b"b%d" % n)
    await js.add_stream(name="M", mirror=models.StreamSource(name="A"))
    await js.add_stream(name="S", sources=[
        models.StreamSource(name="A", filter_subject="a.1"),
        models.StreamSource(name="B", subject_transforms=[models.SubjectTransform(src="b.>", dest="from.b.>")]),
    ])

    async def filled():
        m, s = await js.stream_info("M"), await js.stream_info("S")
        return (m.state.messages, s.state.messages) == (20, 30)

    await eventually(filled, "mirror and sources are filled")
    equal((await js.get_msg("M", 7)).data, b"a6")
    equal((await js.stream_info("S", subjects_filter=">")).state.subjects, {"a.1": 10, "from.b.x": 20})
    has((await js.get_last_msg("S", "a.1")).headers["Nats-Stream-Source"], "A 20 ")
    await js.publish("a.1", b"more")

    async def grown():
        m, s = await js.stream_info("M"), await js.stream_info("S")
        return (m.state.last_seq, s.state.messages) == (21, 31)

    await eventually(grown, "both follow")
    raw = await api(nc, "STREAM.INFO.M")
    equal((raw["mirror"]["name"], raw["mirror"]["lag"]), ("A", 0))


@check("account info")
async def _(t):
    nc, js = await t.js()
    await js.add_stream(name="S")
    await js.publish("S", b"x")
    await js.add_consumer("S", durable_name="c")
    info = await js.account_info()
    equal((info.streams, info.consumers, info.memory), (1, 1, 0))
    equal(info.storage, 32, "bytes of one message")
    equal(info.api.level, 5)


@check("sealed, deny delete and purge")
async def _(t):
    nc, js = await t.js()
    info = await js.add_stream(name="S", deny_delete=True, deny_purge=True)
    await js.publish("S", b"x")
    has(json.dumps(await api(nc, "STREAM.MSG.DELETE.S", {"seq": 1})), "10057")
    has(json.dumps(await api(nc, "STREAM.PURGE.S")), "10110")
    await js.update_stream(config=info.config.evolve(sealed=True))
    await refused(BadRequestError, js.publish("S", b"y"), "10109")
