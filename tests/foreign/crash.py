"""kill -9 under load, then the same store again.

Publishers keep a window of unanswered publishes, a worker takes messages from a
durable consumer; the process is killed in the middle, three times. Every acked
message must be there, under the sequence its ack named, with each publisher's
order kept, and the consumer must go on.
"""

import json
import random
import threading
import time

from harness import Server, Suite, equal, promises_durable_acks, server_binary, until
from rawnats import Client, Closed, TimedOut

suite = Suite("crash")
LIVES = 3
PUBLISHERS = 4
WINDOW = 32


class Publisher(threading.Thread):
    """Publishes load.<id> with counting bodies until the server is gone."""

    def __init__(self, port, number, first):
        super().__init__(daemon=True)
        self.client = Client(port)
        self.number, self.n = number, first
        self.acked = {}
        self.refused = []

    def run(self):
        flying = {}
        try:
            while True:
                while len(flying) < WINDOW:
                    reply = self.client.new_inbox()
                    flying[reply] = self.n
                    self.client.publish(f"load.{self.number}", body(self.number, self.n), None, reply)
                    self.n += 1
                op = self.client.pull("1", 10)
                n = flying.pop(op.subject, None)
                ack = op.json() if op.data else {"error": op.status}
                if n is None or "error" in ack:
                    self.refused.append(ack)
                    if len(self.refused) >= 3:
                        return
                else:
                    self.acked[n] = ack["seq"]
        except (Closed, TimedOut, OSError):
            pass


class Worker(threading.Thread):
    """Takes and double-acks messages of a durable consumer."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client = Client(port)
        self.seen = []
        self.confirmed = set()

    def run(self):
        try:
            while True:
                inbox = self.client.new_inbox()
                ask = json.dumps({"batch": 50, "expires": 10**9})
                self.client.publish("$JS.API.CONSUMER.MSG.NEXT.LOAD.w", ask, None, inbox)
                for _ in range(50):
                    op = self.client.pull("1", 5)
                    if op.status:
                        break
                    seq = int(op.reply.split(".")[5])
                    self.seen.append(seq)
                    self.client.request(op.reply, b"+ACK")
                    self.confirmed.add(seq)
        except (Closed, TimedOut, OSError):
            pass


def body(number, n):
    """A payload that says who wrote it, with some weight."""
    return f"{number}:{n}:".encode() + b"x" * (n % 700)


def read_all(client):
    """Every message of the stream, by sequence, through a pull consumer."""
    config = {"name": "reader", "ack_policy": "none", "mem_storage": True, "inactive_threshold": 60 * 10**9}
    made = client.api("CONSUMER.CREATE.LOAD.reader", {"stream_name": "LOAD", "config": config})
    left, found = made["num_pending"], {}
    while left > 0:
        inbox = client.new_inbox()
        ask = json.dumps({"batch": min(left, 500), "expires": 5 * 10**9})
        client.publish("$JS.API.CONSUMER.MSG.NEXT.LOAD.reader", ask, None, inbox)
        for _ in range(min(left, 500)):
            op = client.pull("1", 10)
            if op.status:
                raise AssertionError(f"{op.status} with {left} to come")
            found[int(op.reply.split(".")[5])] = (op.subject, op.data)
            left -= 1
    client.request("$JS.API.CONSUMER.DELETE.LOAD.reader")
    return found


class Story:
    """What was acked in all lives so far."""

    def __init__(self, server):
        self.server = server
        self.acked = [{} for _ in range(PUBLISHERS)]
        self.next = [0] * PUBLISHERS
        self.confirmed = set()
        self.seen = set()
        self.repeated = 0

    def live(self, pause):
        """One life: load, then kill -9."""
        workers = [Publisher(self.server.port, i, self.next[i]) for i in range(PUBLISHERS)]
        worker = Worker(self.server.port)
        for thread in [*workers, worker]:
            thread.start()
        time.sleep(pause)
        done = lambda: all(len(p.acked) > 50 or p.refused for p in workers)
        until(done, "each publisher has acks", 30)
        self.server.kill9()
        for thread in [*workers, worker]:
            thread.join(15)
        for p in workers:
            equal(p.refused, [], "refused publishes")
            self.acked[p.number].update(p.acked)
            self.next[p.number] = p.n
        self.repeated += len([s for s in worker.seen if s in self.confirmed])
        self.confirmed |= worker.confirmed
        self.seen |= set(worker.seen)
        equal(len(worker.seen), len(set(worker.seen)), "deliveries within one life")

    def confirmed_upto(self):
        """The highest sequence up to which every ack was confirmed."""
        upto = 0
        while upto + 1 in self.confirmed:
            upto += 1
        return upto

    def verify(self, client):
        """Everything acked is in place and in order."""
        found = read_all(client)
        state = client.api("STREAM.INFO.LOAD")["state"]
        equal(len(found), state["messages"], "messages read")
        equal(sorted(found), list(range(1, state["last_seq"] + 1)), "sequences without holes")
        for number, acked in enumerate(self.acked):
            for n, seq in acked.items():
                if found.get(seq) != (f"load.{number}", body(number, n)):
                    raise AssertionError(f"acked {number}:{n} is not at {seq}: {found.get(seq)}")
        last = [-1] * PUBLISHERS
        for seq in sorted(found):
            number, n, _ = found[seq][1].split(b":", 2)
            if int(n) <= last[int(number)]:
                raise AssertionError(f"publisher {number!r} is out of order at {seq}")
            last[int(number)] = int(n)
        return state["last_seq"]


def kill_under_load():
    """The whole story."""
    server = Server(name="crash").start()
    try:
        client = Client(server.port)
        client.api("STREAM.CREATE.LOAD", {"name": "LOAD", "subjects": ["load.>"], "storage": "file"})
        config = {"durable_name": "w", "ack_policy": "explicit", "ack_wait": 2 * 10**9, "max_ack_pending": 5000}
        client.api("CONSUMER.DURABLE.CREATE.LOAD.w", {"stream_name": "LOAD", "config": config})
        story = Story(server)
        for life in range(LIVES):
            if suite.failed:
                break
            story.live(0.8 + random.random())
            server.start()
            client = Client(server.port)
            with suite.check(f"life {life + 1}: acked messages are there, in order"):
                story.verify(client)
            with suite.check(f"life {life + 1}: the consumer is where its acks left it"):
                info = client.api("CONSUMER.INFO.LOAD.w")
                floor = info["ack_floor"]["stream_seq"]
                if floor > info["delivered"]["stream_seq"]:
                    raise AssertionError(f"ack floor beyond delivered: {info}")
                upto = story.confirmed_upto()
                if promises_durable_acks(server.binary) and floor < upto:
                    raise AssertionError(f"floor {floor}, but all to {upto} are confirmed")
        if not suite.failed:
            with suite.check("the consumer goes on to the end"):
                finish(story, server, client)
    finally:
        if suite.failed:
            print("the server's log ends with:\n" + server.log_tail(12))
        server.remove()


def finish(story, server, client):
    """Drains the consumer: each sequence was seen in one life or another."""
    last = client.api("STREAM.INFO.LOAD")["state"]["last_seq"]
    info = lambda: client.api("CONSUMER.INFO.LOAD.w")
    rest, end = set(), time.monotonic() + 90
    while info()["ack_floor"]["stream_seq"] < last:
        if time.monotonic() > end:
            raise AssertionError(f"the ack floor does not reach {last}: {info()}")
        inbox = client.new_inbox()
        ask = json.dumps({"batch": 1000, "expires": 10**9})
        client.publish("$JS.API.CONSUMER.MSG.NEXT.LOAD.w", ask, None, inbox)
        for _ in range(1000):
            op = client.pull("1", 10)
            if op.status:
                break
            rest.add(int(op.reply.split(".")[5]))
            client.publish(op.reply, b"+ACK")
        client.flush()
    equal(info()["num_pending"], 0, "num_pending")
    seen = story.seen | rest
    equal(sorted(seen), list(range(1, last + 1)), "sequences seen")
    if promises_durable_acks(server_binary()):
        again = story.confirmed & rest
        equal(len(again) + story.repeated, 0, "confirmed acks delivered again")


def main():
    """One story; its parts are the checks."""
    try:
        kill_under_load()
    except Exception as e:
        suite.fail("story", f"{type(e).__name__}: {e}")
    suite.done()


if __name__ == "__main__":
    main()
