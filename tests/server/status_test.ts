import assert from "node:assert/strict";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { daemonConfig, optionsOf } from "../../daemon/process/config.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { RecentHistogram } from "../../daemon/process/recent_histogram.ts";
import { type ServedAt, statusFields } from "../../daemon/server/status.ts";
import { ClosedTraffic, Traffic } from "../../daemon/server/traffic.ts";
import { readDocument, section } from "../docs/document.ts";

const LARGEST = Number.MAX_SAFE_INTEGER;

/** A file with so many connections; of the database only what the status takes. */
function file(connections: number): ServedAt {
  const session = (id: number) => ({
    traffic: new Traffic(),
    status: () => ({
      ...{ id, age_ms: LARGEST, idle_ms: LARGEST, requests: LARGEST, waiting: LARGEST },
      ...{ received_bytes: LARGEST, sent_bytes: LARGEST },
    }),
  });
  const [writeTimes, queryTimes, commitTimes, groupSizes] = Array.from(
    { length: 4 },
    () => new RecentHistogram(),
  );
  const sessions = Array.from({ length: connections }, (_, id) => session(id));
  const database = { figures: () => ({ commitTimes, groupSizes }) };
  const others = { path: "/a.db", endpoint: "/a.sock", writeTimes, queryTimes };
  return { ...others, database, listeners: [{ sessions }] } as unknown as ServedAt;
}

Deno.test("statusFields() lists as many connections as fit into a frame, and counts all", () => {
  const files = Array.from({ length: 100 }, () => file(240));
  const status = statusFields(files, {
    startedAt: 0,
    closedTraffic: new ClosedTraffic(),
    options: optionsOf(daemonConfig(["a.db"], {}, () => undefined)),
  });
  assert.equal(status.connections, 24_000);
  assert.ok(status.databases.every(({ connections }) => connections === 240));
  const listed = status.databases.flatMap(({ open_connections }) => open_connections);
  assert.equal(listed.length, LIMITS.statusConnectionsMax);
  assert.ok(JSON.stringify(status).length < WIRE_LIMITS.frameBytesMax / 2);
});

Deno.test("protocol.md says how many connections Status lists", () => {
  const text = section(readDocument("docs/protocol.md"), "### Status");
  assert.ok(text.includes(`at most ${LIMITS.statusConnectionsMax.toLocaleString("en-US")} `), text);
});
