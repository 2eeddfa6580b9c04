import assert from "node:assert/strict";
import { Graph } from "../../daemon/commands/graph.ts";
import { countText, latencyText, sizeText } from "../../daemon/commands/quantities.ts";
import { statusText } from "../../daemon/commands/status_text.ts";
import { busyDatabase, daemonStatus, databaseStatus } from "./status_example.ts";

function pageOf(database: Parameters<typeof databaseStatus>[0]): string {
  return statusText(daemonStatus([databaseStatus(database)]));
}

/** The value behind a name of the page. */
function valueOf(page: string, name: string): string | undefined {
  return page.split("\n").find((line) => line.startsWith(`  ${name} `))?.slice(name.length + 2)
    .trim();
}

Deno.test("statusText() fits 80 columns where the numbers are large", () => {
  const page = statusText(
    daemonStatus([busyDatabase(240)], { memory: { rss: 1e9, private: 1e9 } }),
  );
  for (const line of page.split("\n")) assert.ok(line.length < 80, `${line.length}: ${line}`);
  assert.ok(!/undefined|NaN|null/.test(page), page);
});

Deno.test("statusText() says how fast, of late and since the start", () => {
  const page = statusText(daemonStatus([busyDatabase(0)]));
  const cells = (name: string) => valueOf(page, name)?.split(/ {2,}/);
  assert.deepEqual(cells("queries"), ["999,999,999"]);
  const [writes] = page.split("\n").filter((line) => /^ {2}writes .*ms/.test(line));
  assert.deepEqual(
    writes.trim().split(/ {2,}/).slice(1).join("|").replace(/\s/g, "|"),
    [
      ...[
        "5,999,999",
        "0.24",
        "ms",
        "12",
        "ms",
        "60.0",
        "s",
        "0.20",
        "ms",
        "1.2",
        "ms",
        "86400",
        "s",
      ],
    ].join("|"),
  );
  assert.deepEqual(cells("group size"), ["2,000", "5", "64", "1,000", "5", "64", "1,000"]);
  assert.match(valueOf(page, "writes")!, /commits \(lately 5\.3 in one\)$/);
  assert.ok(!pageOf({}).includes("last minute"), "no table of nothing");
});

Deno.test("statusText() says for how long a reader has held the log back, when one has", () => {
  assert.equal(valueOf(pageOf({}), "log (WAL)"), "4.1 MB of 1.1 GB, 0 pages not copied yet");
  assert.equal(
    valueOf(pageOf({ wal_frames_left: 1_200, wal_held_ms: 61_000 }), "log (WAL)"),
    "4.1 MB of 1.1 GB, 1,200 pages not copied yet, held back by a reader for 1 min 1 s",
  );
});

Deno.test("statusText() says whether the database is open, closed or lost", () => {
  assert.equal(valueOf(pageOf({}), "state"), "open");
  assert.match(valueOf(pageOf({ open: false }), "state")!, /^closed, as nobody used it/);
  const lost = "Another file is at /data/app.db now";
  assert.equal(valueOf(pageOf({ open: false, lost }), "state"), `served no more: ${lost}`);
});

Deno.test("statusText() lists who spoke last, and says how many more there are", () => {
  const page = statusText(daemonStatus([busyDatabase(25)]));
  const [, list] = page.split(/^ {2}connection .*silent for\n/m);
  const ids = [...list.matchAll(/^ {2}(\d+) /gm)].map(([, id]) => Number(id));
  assert.deepEqual(ids, Array.from({ length: 20 }, (_, i) => 25 - i));
  assert.match(list, /^ {2}and 5 more, silent for longer: --json lists them\n/m);
});

Deno.test("statusText() has nothing that steers a terminal", () => {
  assert.ok(pageOf({ path: "/data/\x1b[2J.db" }).includes("/data/\\x1b[2J.db"));
});

Deno.test("sizeText(), latencyText() and countText() have units and few digits", () => {
  const sizes = { 0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 999_949: "999.9 kB" };
  for (const [bytes, text] of Object.entries(sizes)) assert.equal(sizeText(Number(bytes)), text);
  assert.equal(sizeText(999_950), "1.0 MB");
  assert.equal(sizeText(5e15), "5000.0 TB");
  const times = [[0.004, "0.00 ms"], [0.996, "1.0 ms"], [9.96, "10 ms"], [
    999.4,
    "999 ms",
  ]] as const;
  for (const [ms, text] of times) assert.equal(latencyText(ms), text);
  assert.equal(latencyText(999.5), "1.0 s");
  assert.equal(countText(1_234_567), "1,234,567");
});

Deno.test("Graph shows its last values, the newest at the right", () => {
  const graph = new Graph(4);
  assert.equal(graph.bars(4), "    ");
  for (const value of [70, 0, 10, 20, 35]) graph.add(value);
  assert.equal(graph.bars(4), "▁▃▅█", "the 70 has gone");
  assert.equal(graph.bars(6), "  ▁▃▅█");
  assert.equal(graph.max, 35);
  assert.equal(graph.last, 35);
  assert.equal(graph.bars(0), "");
});

Deno.test("Graph shows the largest of the values that share a bar, and keeps them together", () => {
  const graph = new Graph(8);
  for (const value of [0, 7, 0, 0, 0, 0, 1, 0]) graph.add(value);
  assert.equal(graph.bars(4), "█▁▁▂");
  graph.add(0);
  assert.equal(graph.bars(4), "▁▁▂▁");
  graph.add(0);
  assert.equal(graph.bars(4), "▁▁█▁", "as high as the largest that is left");
});
