// The checks in a page, which tells the server it came from how they went.
import { run } from "./checks.mjs";

const tell = (line) => fetch("/report", { method: "POST", body: line });
const { urls, only } = await (await fetch("/task")).json();
try {
  await run({
    place: "browser",
    urls,
    browser: true,
    only,
    report: (name, error) =>
      tell(error === undefined
        ? `ok websocket/browser: ${name}`
        : `FAIL websocket/browser: ${name}: ${error}`),
  });
} catch (e) {
  await tell(`FAIL websocket/browser: ${e}`);
}
await tell("done");
