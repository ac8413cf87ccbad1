// One line per check, as every suite prints it.
import { connect } from "@nats-io/transport-node";
import { isDeepStrictEqual, inspect } from "node:util";

const only = new RegExp(process.env.FOREIGN_ONLY ?? "");
let failed = 0;

export async function check(name, body, limit = 30_000) {
  if (!only.test(`node/${name}`)) return;
  const nc = await connect({ servers: process.env.NATS_URL, reconnect: false });
  let timer;
  try {
    const late = new Promise((_, no) => {
      timer = setTimeout(() => no(new Error(`not done in ${limit} ms`)), limit);
    });
    await Promise.race([body(nc), late]);
    console.log(`ok node/${name}`);
  } catch (e) {
    failed++;
    const at = /main\.mjs:\d+/.exec(e.stack ?? "")?.[0] ?? "?";
    console.log(`FAIL node/${name}: ${String(e).replace(/\s+/g, " ")} (${at})`);
  } finally {
    clearTimeout(timer);
    await nc.close();
  }
}

export function equal(got, want, what = "value") {
  if (!isDeepStrictEqual(got, want)) {
    throw new Error(`${what}: got ${inspect(got)}, want ${inspect(want)}`);
  }
}

export async function rejects(promise, text) {
  try {
    await promise;
  } catch (e) {
    const all = `${e.name} ${e.message} ${e.code ?? ""}`;
    if (!all.includes(text)) throw new Error(`${text} is not in ${all}`);
    return e;
  }
  throw new Error(`no error with ${text}`);
}

export async function until(condition, what, ms = 10_000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((r) => setTimeout(r, 20));
  }
}

export const finish = () => process.exit(failed ? 1 : 0);
