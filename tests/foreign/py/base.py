"""What the nats-py checks share: connections, waiting, and the runner."""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nats  # noqa: E402

from harness import Server, Suite, equal, has  # noqa: E402,F401

suite = Suite("py")
CHECKS = []
LIMIT = 40.0


def check(name, config="", later=""):
    """Registers a coroutine as a check; a config gives it a server of its own.

    `later` says what the server must learn first: until then the check is
    expected to fail.
    """

    def add(function):
        CHECKS.append((name, config, later, function))
        return function

    return add


class Context:
    """One check's server and connections."""

    def __init__(self, server):
        self.server = server
        self.open = []

    async def connect(self, **options):
        """A connection that does not reconnect and is closed at the end."""
        options.setdefault("allow_reconnect", False)
        options.setdefault("error_cb", silent)
        nc = await nats.connect(self.server.url, **options)
        self.open.append(nc)
        return nc

    async def js(self):
        """A connection and its JetStream context."""
        nc = await self.connect()
        return nc, nc.jetstream(timeout=5)

    async def close(self):
        """Removes streams and connections."""
        for nc in self.open:
            if not nc.is_closed:
                await nc.close()


async def settled(nc):
    """Returns when the server has done all that was asked of it before.

    nats-py writes the PING of a flush ahead of what is pending, so the first
    PONG may come before a SUB is read; the second PING follows it.
    """
    await nc.flush()
    await nc.flush()


async def silent(_error):
    """Errors are looked at where they are expected."""


async def api(nc, subject, body=None, headers=None, timeout=5):
    """A raw API request."""
    data = b"" if body is None else json.dumps(body).encode()
    answer = await nc.request(f"$JS.API.{subject}", data, timeout=timeout, headers=headers)
    return json.loads(answer.data)


async def ask(nc, subject, data=b"", headers=None):
    """A publish with headers; its PubAck or error."""
    answer = await nc.request(subject, data, timeout=5, headers=headers)
    return json.loads(answer.data)


async def gather(nc, subject, body, until_status=True, count=1000, timeout=3):
    """All answers to one request, until an inline status or silence."""
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish(subject, json.dumps(body).encode(), reply=inbox)
    out = []
    while len(out) < count:
        try:
            msg = await sub.next_msg(timeout=timeout)
        except nats.errors.TimeoutError:
            break
        out.append(msg)
        if until_status and (msg.headers or {}).get("Status"):
            break
    await sub.unsubscribe()
    return out


async def eventually(condition, what, seconds=10):
    """Polls an async condition."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        value = await condition()
        if value:
            return value
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"timed out waiting until {what}")
        await asyncio.sleep(0.02)


async def refused(error, awaitable, text=""):
    """Asserts that it raises; returns the exception."""
    try:
        await awaitable
    except error as e:
        if text not in str(e):
            raise AssertionError(f"{text!r} is not in {e!s}")
        return e
    raise AssertionError(f"no {error.__name__}")


async def run_one(name, later, function, server):
    """One check with its time limit."""
    context = Context(server)
    with suite.check(name, later):
        try:
            await asyncio.wait_for(function(context), LIMIT)
        finally:
            await context.close()


def run_all():
    """All registered checks, each on a server of its own.

    The reference removes a deleted stream's files only later, and a stream of
    the same name may find them: a shared server would need unique names.
    """
    for name, config, later, function in CHECKS:
        if not suite.wanted(name):
            continue
        try:
            with Server(config=config, name="py") as server:
                asyncio.run(run_one(name, later, function, server))
        except RuntimeError as e:
            suite.fail(name, e)
    suite.done()
