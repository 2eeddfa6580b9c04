import assert from "node:assert/strict";
import { assertBelow, type DaemonCase, daemonTest } from "./daemon_case.ts";

const BYTES = 10_400_000;

/** As many of a text as fit into a frame, separated by commas. */
function filled(text: string): string {
  return Array(Math.floor(BYTES / (text.length + 1))).fill(text).join();
}

const RECORD = '{"id":123456,"name":"somebody","price":12.5,"tags":["a","b"],"more":null}';

const PARAMETERS: Readonly<Record<string, () => string>> = {
  "empty arrays": () => `[${filled("[]")}]`,
  "empty objects": () => `[${filled("{}")}]`,
  "records": () => `[${filled(RECORD)}]`,
  "numbers": () => `{"a":[${filled("1.5")}]}`,
  "short strings": () => `[${filled('""')}]`,
  "escapes": () => `[${filled('"\\ud83d\\ude00"')}]`,
  "what is nested deeply": () => `[${filled("[".repeat(58) + "]".repeat(58))}]`,
  "names": () => `{${Array.from({ length: 800_000 }, (_, i) => `"x${i.toString(36)}":1`)}}`,
};

/** The longest that a Ping of another connection takes while a request is answered. */
async function longestPing(it: DaemonCase, ping: DaemonCase["client"], text: string) {
  let answered = false;
  it.client.sendText(text);
  const answer = it.client.next().finally(() => answered = true);
  let longest = 0;
  while (!answered) {
    const started = performance.now();
    await ping.ask({ type: "Ping" });
    longest = Math.max(longest, performance.now() - started);
  }
  return { longest, answer: await answer };
}

for (const [name, parameter] of Object.entries(PARAMETERS)) {
  daemonTest(`A parameter of 10 MB of ${name} is its text, and holds nobody up`, async (it) => {
    const ping = await it.open();
    const value = parameter();
    const text = `{"type":"Query","sql":"select length(?), 1.0","params":[${value}]}`;
    await assertBelow(600, name, async () => {
      const { longest, answer } = await longestPing(it, ping, text);
      assert.deepEqual([answer?.status, answer?.rows?.[0][0]], ["ok", value.length]);
      return longest;
    });
  });
}
