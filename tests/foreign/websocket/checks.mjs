// What a client of @nats-io/nats-core does through WebSocket: the same in Node,
// with the ws package, and in a browser's page, with its own WebSocket.
import { headers, wsconnect } from "@nats-io/nats-core";

const bytes = (n) => new Uint8Array(n).map((_, i) => (i * 7 + (i >> 8)) & 255);
const words = (n) => new TextEncoder().encode("all work and no play ".repeat(n / 21 + 1)).slice(0, n);

function equal(got, want, what = "value") {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`${what}: got ${a}, want ${b}`);
}

function same(got, want) {
  equal(got.length, want.length, "length");
  for (let i = 0; i < want.length; i++) if (got[i] !== want[i]) throw new Error(`byte ${i} differs`);
}

async function rejects(promise, text) {
  try {
    await promise;
  } catch (e) {
    const all = `${e.name} ${e.message} ${e.cause?.message ?? ""}`.toLowerCase();
    if (!all.includes(text.toLowerCase())) throw new Error(`${text} is not in ${all}`);
    return;
  }
  throw new Error(`no error with ${text}`);
}

// A WebSocket with nothing above it: how it opens, what comes first, how it ends.
function bare(url, send) {
  return new Promise((done) => {
    const result = { opened: false, text: "" };
    const ws = new WebSocket(url);
    ws.binaryType = "arraybuffer";
    ws.onopen = () => {
      result.opened = true;
      result.extensions = ws.extensions;
    };
    ws.onmessage = (m) => {
      result.text += new TextDecoder().decode(m.data);
      if (send !== undefined) ws.send(send);
      else ws.close(1000, "enough");
      send = "PING\r\n";
    };
    ws.onerror = () => {};
    ws.onclose = (e) => done({ ...result, code: e.code, reason: e.reason });
  });
}

// `report(name, error)` is told of each check; `place` says which of the two
// this is, `urls` and `browser` where to go.
export async function run({ place, urls, browser, only, report }) {
  const wanted = new RegExp(only ?? "");
  async function check(name, body) {
    if (!wanted.test(`websocket/${place}: ${name}`)) return;
    let timer;
    try {
      const late = new Promise((_, no) => {
        timer = setTimeout(() => no(new Error("not done in 30 s")), 30_000);
      });
      await Promise.race([body(), late]);
      await report(name);
    } catch (e) {
      await report(name, String(e?.stack ?? e).replace(/\s+/g, " ").slice(0, 600));
    } finally {
      clearTimeout(timer);
    }
  }
  const login = (user = "web", pass = "w", servers = urls.plain) =>
    wsconnect({ servers, user, pass, reconnect: false, timeout: 10_000 });
  async function connected(body, ...who) {
    const nc = await login(...who);
    try {
      await body(nc);
    } finally {
      await nc.close();
    }
  }

  await check("publish, subscribe, headers", () =>
    connected(async (nc) => {
      equal(nc.info.client_ip, "127.0.0.1");
      equal(nc.info.port, Number(new URL(urls.plain).port));
      const sub = nc.subscribe(`${place}.*`, { max: 2 });
      const h = headers();
      h.set("A", "1");
      h.append("B", "x");
      h.append("B", "y");
      nc.publish(`${place}.a`, "one", { headers: h });
      nc.publish(`${place}.b`, "two");
      const got = [];
      for await (const m of sub) got.push([m.string(), m.headers?.values("B") ?? null]);
      equal(got, [["one", ["x", "y"]], ["two", null]]);
    }));

  for (const [name, url] of [["ws", urls.plain], ["wss", urls.secure]]) {
    await check(`request, reply, every size over ${name}`, () =>
      connected(async (nc) => {
        nc.subscribe(`${place}.echo`, { callback: (_, m) => m.respond(m.data) });
        for (const make of [bytes, words]) {
          for (const n of [0, 1, 60, 125, 126, 4095, 4096, 5000, 65_535, 65_536, 300_000, 1_000_000]) {
            const payload = make(n);
            same((await nc.request(`${place}.echo`, payload, { timeout: 20_000 })).data, payload);
          }
        }
        await rejects(nc.request(`${place}.nobody`), "no responders");
      }, "web", "w", url));
  }

  await check("many small messages", () =>
    connected(async (nc) => {
      const sub = nc.subscribe(`${place}.many`, { max: 20_000 });
      for (let i = 0; i < 20_000; i++) nc.publish(`${place}.many`, `message ${i}`);
      let i = 0;
      for await (const m of sub) if (m.string() !== `message ${i++}`) throw new Error(`order at ${i}`);
      equal(i, 20_000);
    }));

  await check("compression is agreed on", async () => {
    const ws = await bare(urls.plain);
    equal(ws.opened, true);
    if (!ws.extensions.startsWith("permessage-deflate")) throw new Error(`got ${ws.extensions}`);
    equal([ws.code, ws.reason], [1000, "enough"]);
    if (!ws.text.startsWith("INFO {")) throw new Error(`got ${ws.text}`);
  });

  await check("wrong credentials are refused", async () => {
    await rejects(login("web", "x"), "authorization violation");
    await rejects(login("nobody", "w"), "authorization violation");
    await rejects(wsconnect({ servers: urls.plain, reconnect: false }), "authorization violation");
  });

  await check("a user of other connections is refused", async () => {
    await rejects(login("tcp", "t"), "authorization violation");
  });

  await check("a refusal has code and reason", async () => {
    const ws = await bare(urls.plain, 'CONNECT {"user":"web","pass":"x"}\r\n');
    equal([ws.code, ws.reason], [1008, "Authentication Failure"]);
    if (!ws.text.endsWith("-ERR 'Authorization Violation'\r\n")) throw new Error(ws.text);
  });

  await check("what is not allowed is refused", () =>
    connected(async (nc) => {
      const seen = (async () => {
        for await (const s of nc.status()) if (s.type === "error") return String(s.error);
      })();
      nc.publish("secret.a", "x");
      const error = await seen;
      if (!/permissions violation/i.test(error)) throw new Error(error);
    }));

  await check("another origin is refused", async () => {
    const ws = await bare(urls.foreign);
    equal(ws.opened, !browser, "opened");
    if (browser) await rejects(login("web", "w", urls.foreign), "");
  });

  if (browser) {
    await check("cookies log in", async () => {
      try {
        document.cookie = "nats_user=web";
        document.cookie = "nats_pass=w";
        const nc = await wsconnect({ servers: urls.plain, reconnect: false });
        await nc.flush();
        await nc.close();
        document.cookie = "nats_pass=x";
        const refused = wsconnect({ servers: urls.plain, reconnect: false });
        await rejects(refused, "authorization violation");
      } finally {
        document.cookie = "nats_user=; max-age=0";
        document.cookie = "nats_pass=; max-age=0";
      }
    });
  }
}
