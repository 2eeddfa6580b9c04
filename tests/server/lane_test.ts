import assert from "node:assert/strict";
import type { SkylineError } from "../../client/errors.ts";
import type { Database } from "../../daemon/database/database.ts";
import { PutOffQuery, type Query } from "../../daemon/database/readers.ts";
import type { Write, WriteOutcome } from "../../daemon/database/write.ts";
import { Lane } from "../../daemon/server/lane.ts";

/** A database whose outcomes the test decides. */
class FakeDatabase {
  readonly started: string[] = [];
  readonly #putOff = new Map<string, Promise<void>>();
  readonly #done = new Map<string, (outcome: WriteOutcome) => void>();

  write({ name }: { name: string }): Promise<WriteOutcome> {
    this.started.push(name);
    return new Promise((resolve) => this.#done.set(name, resolve));
  }

  query({ name }: { name: string }): object {
    this.started.push(name);
    const begun = this.#putOff.get(name);
    const outcome = { rev: 0, columns: "[]", rows: "[]" };
    return begun ? new PutOffQuery(begun, Promise.resolve(outcome)) : outcome;
  }

  /** Has a query wait for its snapshot until what is returned is called. */
  putOff(name: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#putOff.set(name, promise);
    return resolve;
  }

  async finish(name: string): Promise<void> {
    this.#done.get(name)!({ rev: 1, rowsAffected: 0 });
    await settled();
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

function laneOf() {
  const database = new FakeDatabase();
  const lane = new Lane(database as unknown as Database);
  const write = (name: string) => lane.write({ name, deadline: Infinity } as unknown as Write);
  const query = (name: string, deadline = Infinity) =>
    lane.query({ name, deadline } as unknown as Query);
  return { database, write, query };
}

Deno.test("Lane gives writes to the queue at once, and a query at once when none waits", async () => {
  const { database, write, query } = laneOf();
  query("q1");
  write("w1");
  write("w2");
  assert.deepEqual(database.started, ["q1", "w1", "w2"]);
  await database.finish("w1");
  await database.finish("w2");
  assert.ok(!(query("q2") instanceof Promise), "at once again");
});

Deno.test("Lane lets a query wait for the writes before it, and the writes after it for the query", async () => {
  const { database, write, query } = laneOf();
  write("w1");
  query("q1");
  query("q2");
  write("w2");
  query("q3");
  write("w3");
  assert.deepEqual(database.started, ["w1"]);
  await database.finish("w1");
  assert.deepEqual(database.started, ["w1", "q1", "q2", "w2"]);
  await database.finish("w2");
  assert.deepEqual(database.started, ["w1", "q1", "q2", "w2", "q3", "w3"]);
});

Deno.test("Lane lets writes wait until the snapshot of the query before them is taken", async () => {
  const { database, write, query } = laneOf();
  const begin = database.putOff("q1");
  query("q1");
  write("w1");
  query("q2");
  await settled();
  assert.deepEqual(database.started, ["q1"]);
  begin();
  await settled();
  assert.deepEqual(database.started, ["q1", "w1"]);
  await database.finish("w1");
  assert.deepEqual(database.started, ["q1", "w1", "q2"]);
});

Deno.test("Lane lets nothing wait past its deadline, and the others go on", async () => {
  const { database, write, query } = laneOf();
  write("w1");
  const outcome = query("q1", performance.now() + 1);
  const w2 = write("w2");
  assert.equal((await outcome as SkylineError).code, "TIMEOUT");
  assert.deepEqual(database.started, ["w1", "w2"]);
  await database.finish("w1");
  await database.finish("w2");
  await w2;
});
