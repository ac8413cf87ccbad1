"""Key-value and object store."""

import hashlib
import io
import os

from nats.js.api import KeyValueConfig, ObjectMeta, ObjectStoreConfig
from nats.js.errors import (
    BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError, ObjectNotFoundError,
)

from base import check, equal, eventually, refused


@check("kv: put, get, create, update, delete, purge")
async def _(t):
    nc, js = await t.js()
    kv = await js.create_key_value(bucket="B", history=5)
    equal(await kv.put("a", b"1"), 1)
    entry = await kv.get("a")
    equal((entry.value, entry.revision, entry.key), (b"1", 1, "a"))
    equal(await kv.update("a", b"2", last=1), 2)
    await refused(KeyWrongLastSequenceError, kv.update("a", b"3", last=1))
    await refused(KeyWrongLastSequenceError, kv.create("a", b"no"))
    equal((await kv.get("a", revision=1)).value, b"1")
    await kv.delete("a")
    await refused(KeyNotFoundError, kv.get("a"))
    equal(await kv.create("a", b"again"), 4)
    equal([e.revision for e in await kv.history("a")], [1, 2, 3, 4])
    await kv.purge("a")
    equal(len(await kv.history("a")), 1)
    await refused(KeyNotFoundError, kv.get("none"))
    await kv.put("b.c", b"x")
    equal(await kv.keys(), ["b.c"])
    status = await kv.status()
    equal((status.bucket, status.values, status.history), ("B", 2, 5))
    await js.delete_key_value("B")
    await refused(BucketNotFoundError, js.key_value("B"))


@check("kv: watch")
async def _(t):
    nc, js = await t.js()
    kv = await js.create_key_value(bucket="B")
    await kv.put("t.a", b"1")
    await kv.put("t.b", b"2")
    await kv.put("other", b"3")
    watcher = await kv.watch("t.*")
    seen = [await watcher.updates(timeout=3), await watcher.updates(timeout=3)]
    equal([(e.key, e.value) for e in seen], [("t.a", b"1"), ("t.b", b"2")])
    equal(await watcher.updates(timeout=3), None, "end of the initial values")
    await kv.put("other", b"4")
    await kv.delete("t.a")
    entry = await watcher.updates(timeout=3)
    equal((entry.key, entry.operation), ("t.a", "DEL"))
    await watcher.stop()
    empty = await (await js.create_key_value(bucket="E")).watchall()
    equal(await empty.updates(timeout=3), None)


@check("kv: ttl, limits, mirrors of values")
async def _(t):
    nc, js = await t.js()
    kv = await js.create_key_value(KeyValueConfig(bucket="T", ttl=1))
    await kv.put("a", b"x")

    async def gone():
        try:
            await kv.get("a")
        except KeyNotFoundError:
            return True

    await eventually(gone, "the key expired")
    small = await js.create_key_value(KeyValueConfig(bucket="M", max_bytes=200, max_value_size=50))
    await small.put("a", b"x" * 40)
    await refused(Exception, small.put("a", b"x" * 60))
    marked = await js.create_key_value(KeyValueConfig(bucket="K", limit_marker_ttl=60))
    await marked.create("a", b"x", msg_ttl=1)

    async def marker():
        msg = await js.get_last_msg("KV_K", "$KV.K.a")
        return (msg.headers or {}).get("Nats-Marker-Reason") == "MaxAge"

    await eventually(marker, "a marker replaces the key with its own ttl")


@check("objects: put, get, info, list, watch, delete, seal")
async def _(t):
    nc, js = await t.js()
    store = await js.create_object_store("O", ObjectStoreConfig(description="d"))
    blob = os.urandom(3_000_000)
    info = await store.put("fw", blob, meta=ObjectMeta(description="firmware"))
    equal((info.size, info.chunks), (3_000_000, 23))
    got = await store.get("fw")
    equal(hashlib.sha256(got.data).digest(), hashlib.sha256(blob).digest())
    await store.put("empty", b"")
    equal((await store.get("empty")).data or b"", b"")
    await store.put("fw", io.BytesIO(b"second version"))
    equal((await store.get("fw")).data, b"second version")
    equal(sorted(i.name for i in await store.list()), ["empty", "fw"])
    watcher = await store.watch()
    names = {(await watcher.updates(timeout=3)).name for _ in range(2)}
    equal(names, {"fw", "empty"})
    await watcher.stop()
    await store.delete("fw")
    await refused(ObjectNotFoundError, store.get("none"))
    equal([i.name for i in await store.list(ignore_deletes=True)], ["empty"])
    await store.seal()
    equal((await store.status()).sealed, True)
    await refused(Exception, store.put("more", b"x"))
    await js.delete_object_store("O")
