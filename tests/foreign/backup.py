"""Backups cross between servers: nats-server's into ours and ours into theirs.

The stream holds what a format can lose: headers, empty payloads, deleted
messages in the middle, several subjects, consumers with open deliveries.
"""

import json
import time

from cli import Shell
from harness import Server, Suite, equal, has, reference_binary, server_binary
from rawnats import Client

suite = Suite("backup")
COUNT = 3000
DELETED = [5, 6, 1000, 2999]
STREAM = {
    "name": "SRC", "subjects": ["src.>"], "max_msgs_per_subject": 2000,
    "allow_direct": True, "metadata": {"team": "blue"}, "description": "for <backup>",
    "compression": "s2", "allow_msg_ttl": True,
}


def delete(client, seq):
    """Deletes a message. nats-server now and then cannot read what it has only
    just stored, in these words; a moment later it can."""
    for _ in range(20):
        out = client.request("$JS.API.STREAM.MSG.DELETE.SRC", {"seq": seq}).json()
        if out.get("error", {}).get("description") != "stream store EOF":
            break
        time.sleep(0.1)
    equal(out.get("error"), None)


def fill(client):
    """Makes the stream and two consumers in the middle of their work."""
    client.api("STREAM.CREATE.SRC", STREAM)
    for n in range(1, COUNT + 1):
        headers = {"Nats-Msg-Id": f"id-{n}", "X-N": str(n)} if n % 3 == 0 else None
        data = b"" if n % 7 == 0 else f"message {n} ".encode() * (n % 40 + 1)
        client.publish(f"src.{n % 11}.x", data, headers)
    client.flush()
    for seq in DELETED:
        delete(client, seq)
    config = {"durable_name": "work", "ack_policy": "explicit", "ack_wait": 3600 * 10**9,
              "filter_subject": "src.*.x", "metadata": {"k": "v"}}
    client.api("CONSUMER.DURABLE.CREATE.SRC.work", {"stream_name": "SRC", "config": config})
    take(client, "work", 20, lambda n: n not in (3, 8))
    config = {"durable_name": "all", "ack_policy": "all", "deliver_policy": "by_start_sequence",
              "opt_start_seq": 500}
    client.api("CONSUMER.DURABLE.CREATE.SRC.all", {"stream_name": "SRC", "config": config})
    take(client, "all", 10, lambda n: n == 6)


def take(client, consumer, count, acked):
    """Pulls and acks some; returns the stream sequences."""
    inbox = client.new_inbox()
    ask = json.dumps({"batch": count, "expires": 5 * 10**9})
    client.publish(f"$JS.API.CONSUMER.MSG.NEXT.SRC.{consumer}", ask, None, inbox)
    got = [client.pull("1") for _ in range(count)]
    for n, op in enumerate(got, 1):
        equal(op.status, "", "status")
        if acked(n):
            client.request(op.reply, b"+ACK")
    return [int(op.reply.split(".")[5]) for op in got]


def picture(client):
    """All that must survive a backup."""
    info = client.api("STREAM.INFO.SRC", {"deleted_details": True, "subjects_filter": ">"})
    config = {k: v for k, v in info["config"].items() if k != "metadata"}
    state = {k: v for k, v in info["state"].items() if k != "bytes"}
    meta = {k: v for k, v in info["config"]["metadata"].items() if not k.startswith("_nats")}
    messages = []
    for seq in range(1, COUNT + 1):
        found = client.request("$JS.API.STREAM.MSG.GET.SRC", {"seq": seq}).json()
        messages.append(found.get("message") or found["error"]["err_code"])
    consumers = {}
    for name in ("work", "all"):
        c = client.api(f"CONSUMER.INFO.SRC.{name}")
        floor, delivered = c["ack_floor"], c["delivered"]
        consumers[name] = {
            "floor": (floor["consumer_seq"], floor["stream_seq"]),
            "delivered": (delivered["consumer_seq"], delivered["stream_seq"]),
            "pending": c["num_pending"], "acks": c["num_ack_pending"],
            "filter": c["config"].get("filter_subject"), "policy": c["config"]["ack_policy"],
        }
    return {"config": config, "state": state, "metadata": meta,
            "messages": messages, "consumers": consumers}


def cross(source, target):
    """Backup on one binary, restore on another, compare."""
    with Server(source, name="source") as server:
        client = Client(server.port)
        fill(client)
        want = picture(client)
        equal(want["state"]["messages"], COUNT - len(DELETED), "messages in the source")
        kept = server.dir / "kept"
        has(Shell(server)(f"nats stream backup SRC {kept} --no-progress"), "SRC")
        with Server(target, name="target") as other:
            sh = Shell(other)
            has(sh(f"nats stream restore {kept} --no-progress", 120), 'Restored stream "SRC"')
            client = Client(other.port)
            got = picture(client)
            for part in ("config", "metadata", "state", "consumers"):
                equal(got[part], want[part], part)
            for seq, (g, w) in enumerate(zip(got["messages"], want["messages"]), 1):
                equal(g, w, f"message {seq}")
            # The restored consumer goes on behind what was delivered.
            equal(take(client, "work", 2, lambda n: True), [23, 24], "next deliveries")
            ack = client.request("src.0.x", b"next").json()
            equal(ack["seq"], COUNT + 1, "next sequence")


def damaged(source, target):
    """A cut backup is refused and leaves no stream behind."""
    with Server(source, name="source") as server:
        fill(Client(server.port))
        kept = server.dir / "kept"
        Shell(server)(f"nats stream backup SRC {kept} --no-progress")
        archive = kept / "stream.tar.s2"
        archive.write_bytes(archive.read_bytes()[:-2000])
        with Server(target, name="target") as other:
            Shell(other)(f"nats stream restore {kept} --no-progress", 120, code=1)
            client = Client(other.port)
            error = client.request("$JS.API.STREAM.INFO.SRC").json()["error"]
            equal(error["err_code"], 10059)


def main():
    """Every direction that the migration needs."""
    ours, new, old = server_binary(), reference_binary(), reference_binary("2.14.6")
    suite.run("nats-server 2.15.1 to gust", cross, new, ours)
    suite.run("nats-server 2.14.6 to gust", cross, old, ours)
    suite.run("gust to nats-server 2.15.1", cross, ours, new)
    suite.run("gust to gust", cross, ours, ours)
    suite.run("a cut backup is refused", damaged, new, ours)
    suite.done()


if __name__ == "__main__":
    main()
