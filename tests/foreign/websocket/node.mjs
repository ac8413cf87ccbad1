// The checks in Node, whose WebSocket is that of the ws package.
import { WebSocket } from "ws";
import { run } from "./checks.mjs";

globalThis.WebSocket = WebSocket;
let failed = 0;

function report(name, error) {
  if (error === undefined) return console.log(`ok websocket/node: ${name}`);
  failed++;
  console.log(`FAIL websocket/node: ${name}: ${error}`);
}

await run({
  place: "node",
  urls: JSON.parse(process.env.URLS),
  browser: false,
  only: process.env.FOREIGN_ONLY,
  report,
});
process.exit(failed ? 1 : 0);
