"""Core messaging and logging in."""

import asyncio

import nats

from base import check, equal, eventually, has, refused, settled


@check("publish and subscribe with headers")
async def _(t):
    nc, other = await t.connect(), await t.connect()
    sub = await nc.subscribe("foo.*")
    await settled(nc)
    await other.publish("foo.bar", b"hello", headers={"A": "1", "B": "two words"})
    msg = await sub.next_msg(timeout=3)
    equal((msg.subject, msg.data, msg.headers), ("foo.bar", b"hello", {"A": "1", "B": "two words"}))
    await sub.unsubscribe()


@check("10000 messages in order")
async def _(t):
    nc, other = await t.connect(), await t.connect()
    got, done = [], asyncio.Event()

    async def take(msg):
        got.append(int(msg.data))
        if len(got) == 10000:
            done.set()

    await nc.subscribe("count", cb=take)
    await settled(nc)
    for n in range(10000):
        await other.publish("count", b"%d" % n)
    await settled(other)
    await asyncio.wait_for(done.wait(), 10)
    equal(got, list(range(10000)))


@check("queue groups share the work")
async def _(t):
    nc = await t.connect()
    counts = {"a": 0, "b": 0, "alone": 0}

    def counter(name):
        async def take(msg):
            counts[name] += 1

        return take

    await nc.subscribe("work", "q", cb=counter("a"))
    await nc.subscribe("work", "q", cb=counter("b"))
    await nc.subscribe("work", cb=counter("alone"))
    for _ in range(400):
        await nc.publish("work", b"x")
    await settled(nc)

    async def all_came():
        return counts["a"] + counts["b"] == 400 and counts["alone"] == 400

    await eventually(all_came, "each message reached one of the group")
    if min(counts["a"], counts["b"]) < 100:
        raise AssertionError(f"one member has nearly all: {counts}")


@check("request, no responders, timeout")
async def _(t):
    nc, service = await t.connect(), await t.connect()

    async def answer(msg):
        await msg.respond(msg.data[::-1])

    await service.subscribe("svc", cb=answer)
    await service.subscribe("mute")
    await settled(service)
    equal((await nc.request("svc", b"abc", timeout=3)).data, b"cba")
    await refused(nats.errors.NoRespondersError, nc.request("nobody", b"", timeout=3))
    await refused(nats.errors.TimeoutError, nc.request("mute", b"", timeout=0.2))
    equal((await nc.request("svc", b"old", timeout=3, old_style=True)).data, b"dlo")


@check("auto unsubscribe and drain")
async def _(t):
    nc, other = await t.connect(), await t.connect()
    sub = await nc.subscribe("few")
    await sub.unsubscribe(3)
    await settled(nc)
    for n in range(5):
        await other.publish("few", b"%d" % n)
    await settled(other)
    equal([(await sub.next_msg(timeout=2)).data for _ in range(3)], [b"0", b"1", b"2"])
    got = []

    async def slow(msg):
        await asyncio.sleep(0.001)
        got.append(msg.data)

    await nc.subscribe("drain", cb=slow)
    await settled(nc)
    for _ in range(100):
        await other.publish("drain", b"x")
    await settled(other)
    await nc.drain()
    equal(len(got), 100, "messages handled before the drain ended")
    equal(nc.is_closed, True)


@check("max payload")
async def _(t):
    nc = await t.connect()
    equal(nc.max_payload, 1048576)
    sub = await nc.subscribe("big")
    await nc.publish("big", b"x" * 1048576)
    equal(len((await sub.next_msg(timeout=3)).data), 1048576)
    await refused(nats.errors.MaxPayloadError, nc.publish("big", b"x" * 1048577))


@check("no echo")
async def _(t):
    nc = await t.connect(no_echo=True)
    sub = await nc.subscribe("me")
    await nc.publish("me", b"x")
    await settled(nc)
    await refused(nats.errors.TimeoutError, sub.next_msg(timeout=0.1))


@check("reconnect after a restart")
async def _(t):
    nc = await t.connect(allow_reconnect=True, reconnect_time_wait=0.05, max_reconnect_attempts=200)
    sub = await nc.subscribe("again")
    await settled(nc)
    t.server.stop()
    t.server.start()

    async def back():
        return nc.stats["reconnects"] > 0 and nc.is_connected

    await eventually(back, "the client is back")
    await nc.publish("again", b"x")
    equal((await sub.next_msg(timeout=3)).data, b"x")


@check("user and password", 'authorization { user: u, password: p }')
async def _(t):
    nc = await t.connect(user="u", password="p")
    await settled(nc)
    await refused(Exception, t.connect(user="u", password="no", max_reconnect_attempts=0), "uthorization")
    await refused(Exception, t.connect(max_reconnect_attempts=0), "uthorization")


@check("token", 'authorization { token: "s3cret" }')
async def _(t):
    nc = await t.connect(token="s3cret")
    await settled(nc)
    await refused(Exception, t.connect(token="no"), "uthorization")


PERMISSIONS = """
authorization { users: [
  {user: u, password: p, permissions: {publish: {deny: "secret.>"}, subscribe: {allow: ["ok.>", "_INBOX.>"]}}}
] }
"""


@check("denied permissions", PERMISSIONS)
async def _(t):
    errors = []

    async def note(e):
        errors.append(str(e).lower())

    nc = await t.connect(user="u", password="p", error_cb=note)
    sub = await nc.subscribe("ok.a")
    await nc.publish("secret.a", b"x")
    await nc.subscribe("other")
    await nc.publish("ok.a", b"fine")
    equal((await sub.next_msg(timeout=3)).data, b"fine")

    async def both():
        return len(errors) >= 2

    await eventually(both, "two permission errors")
    has(errors[0], 'permissions violation for publish to "secret.a"')
    has(errors[1], 'permissions violation for subscription to "other"')
    equal(nc.is_connected, True)


ACCOUNTS = """
accounts {
  A: {users: [{user: a, password: a}], exports: [{service: "svc"}, {stream: "feed.>"}], jetstream: enabled}
  B: {users: [{user: b, password: b}], imports: [{service: {account: A, subject: "svc"}}, {stream: {account: A, subject: "feed.>"}}]}
}
"""


@check("accounts share by imports only", ACCOUNTS)
async def _(t):
    a, b = await t.connect(user="a", password="a"), await t.connect(user="b", password="b")

    async def answer(msg):
        await msg.respond(b"from A")

    await a.subscribe("svc", cb=answer)
    await settled(a)
    feed, private = await b.subscribe("feed.>"), await b.subscribe("private")
    await settled(b)
    await a.publish("private", b"x")
    await a.publish("feed.1", b"news")
    equal((await feed.next_msg(timeout=3)).data, b"news")
    equal((await b.request("svc", b"", timeout=3)).data, b"from A")
    await refused(nats.errors.TimeoutError, private.next_msg(timeout=0.1))
    await a.jetstream().add_stream(name="S")
    await refused(Exception, b.jetstream().account_info())
