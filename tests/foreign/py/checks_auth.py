"""Logging in by nkey, and an auth service written in Python."""

import base64
import hashlib
import json
import time

import nats
import nkeys
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey

from base import check, equal, refused, settled

USER_SEED = b"SUAAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBH4FY"
USER = "UDFJHLAXAUMHA4OWPOB4P7YO72AQR2HMIUYFOXLXE2DZGM633K7HYREV"
# From nkeys of 32 equal bytes: an account that signs, a curve key that seals.
ACCOUNT = "ADWUSKGGFDI4FRXK5EBTRECZSVQSSWJHHJOGH6JWG3AUMFFMQ435D6HD"
ACCOUNT_KEY = SigningKey(b"\x03" * 32)
CURVE = "XCL4HMILJVWBGOTY5JO4YHHWIIOT7ANOG6Y7MKGOCTFG7TTXGDZTHMNY"
CURVE_KEY = PrivateKey(b"\x0c" * 32)


@check(
    "an nkey signs the nonce",
    config=f"authorization {{ users: [ {{ nkey: {USER} }} ] }}",
)
async def _(t):
    nc = await t.connect(nkeys_seed_str=USER_SEED.decode())
    sub = await nc.subscribe("n")
    await nc.publish("n", b"signed")
    equal((await sub.next_msg(timeout=3)).data, b"signed")
    other = nkeys.encode_seed(b"\x05" * 32, nkeys.PREFIX_BYTE_USER).decode()
    await refused(nats.errors.Error, t.connect(nkeys_seed_str=other), "uthorization")
    await refused(nats.errors.Error, t.connect(), "uthorization")


def raw_url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims):
    """A token of the account."""
    claims = {"iss": ACCOUNT, "iat": int(time.time()), **claims}
    claims["jti"] = hashlib.sha256(json.dumps(claims).encode()).hexdigest()
    header = raw_url(b'{"typ":"JWT","alg":"ed25519-nkey"}')
    signed = header + "." + raw_url(json.dumps(claims).encode())
    return signed + "." + raw_url(ACCOUNT_KEY.sign(signed.encode()).signature)


def curve_key(text):
    """The 32 bytes of a public curve key."""
    return PublicKey(base64.b32decode(text + "=" * (-len(text) % 8))[1:33])


def answer(data, xkey):
    """The sealed answer to a sealed request: bob gets in, nobody else."""
    box = Box(CURVE_KEY, curve_key(xkey))
    equal(data[:4], b"xkv1")
    token = box.decrypt(data[28:], data[4:28]).decode()
    part = token.split(".")[1]
    request = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    nats = request["nats"]
    equal(nats["server_id"]["xkey"], xkey)
    key = nats["user_nkey"]
    said = {"type": "authorization_response", "version": 2}
    if nats["connect_opts"].get("user") == "bob":
        permissions = {"pub": {"allow": ["bob.>"]}, "sub": {}}
        user = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, **permissions}
        said["jwt"] = sign({"sub": key, "aud": "APP", "name": "bob", "nats": user})
    else:
        said["error"] = "only bob"
    reply = sign({"sub": key, "aud": nats["server_id"]["id"], "nats": said})
    sealed = box.encrypt(reply.encode())
    return b"xkv1" + sealed.nonce + sealed.ciphertext


@check(
    "an auth service with sealed requests",
    config=f"""accounts {{ AUTH {{ users: [ {{ user: auth, password: a }} ] }}, APP {{}} }}
    authorization {{ timeout: 10
        auth_callout {{ issuer: {ACCOUNT}, account: AUTH, auth_users: [auth], xkey: {CURVE} }} }}
    """,
)
async def _(t):
    service = await t.connect(user="auth", password="a")

    async def take(msg):
        await msg.respond(answer(msg.data, msg.headers["Nats-Server-Xkey"]))

    await service.subscribe("$SYS.REQ.USER.AUTH", queue="auth", cb=take)
    await settled(service)
    nc = await t.connect(user="bob", password="x")
    sub = await nc.subscribe("bob.x")
    await nc.publish("bob.x", b"let in")
    equal((await sub.next_msg(timeout=3)).data, b"let in")
    await refused(nats.errors.Error, t.connect(user="eve", password="x"), "uthorization")
