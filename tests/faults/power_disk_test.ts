import assert from "node:assert/strict";
import type { DiskRecord } from "./disk_journal.ts";
import { type Fate, PowerDisk } from "./power_disk.ts";

const FOLDER = "/disk";
const O_CREAT = 0o100;

/** Nothing that is still to be decided got to the disk. */
const NOTHING: Fate = { sector: () => false, truncate: () => false, entry: () => false };

/** A disk, and short names for what is done to it; `a` is open as 3, the folder as 4. */
class Steps {
  readonly disk = new PowerDisk(FOLDER);

  constructor() {
    this.do("open", { fd: 3, path: `${FOLDER}/a`, number: O_CREAT });
    this.do("open", { fd: 4, path: FOLDER });
  }

  do(kind: DiskRecord["kind"], rest: Partial<DiskRecord> = {}): void {
    const none = { ns: 0n, result: 0, fd: 3, number: 0, path: "", data: new Uint8Array() };
    this.disk.apply({ ...none, ...rest, kind });
  }

  write(offset: number, text: string): void {
    this.do("write", { number: offset, data: new TextEncoder().encode(text) });
  }

  sync(fd: number, result = 0): void {
    this.do("sync begins", { fd });
    this.do("sync ends", { fd, result });
  }

  /** What each file holds, as texts. */
  after(fate: Partial<Fate> = {}): Record<string, string> {
    const state = this.disk.after({ ...NOTHING, ...fate });
    return Object.fromEntries(
      [...state].map(([name, bytes]) => [name, new TextDecoder().decode(bytes)]),
    );
  }
}

const yes = () => true;

Deno.test("PowerDisk keeps a file's name only when its folder was synced", () => {
  const steps = new Steps();
  steps.write(0, "one");
  steps.sync(3);
  assert.deepEqual(steps.after(), {});
  assert.deepEqual(steps.after({ entry: yes }), { a: "one" });
  steps.sync(4);
  assert.deepEqual(steps.after(), { a: "one" });
  steps.do("unlink", { path: `${FOLDER}/a` });
  assert.deepEqual(steps.after(), { a: "one" });
  assert.deepEqual(steps.after({ entry: yes }), {});
});

Deno.test("PowerDisk keeps of a file what was synced, and of the rest what fate wants", () => {
  const steps = new Steps();
  steps.sync(4);
  steps.write(0, "one");
  assert.deepEqual(steps.after(), { a: "" });
  steps.sync(3);
  steps.write(0, "two");
  steps.write(3, "more");
  assert.deepEqual(steps.after(), { a: "one" });
  assert.deepEqual(steps.after({ sector: yes }), { a: "twomore" });
  let asked = 0;
  assert.deepEqual(steps.after({ sector: () => ++asked === 2 }), { a: "onemore" });
});

Deno.test("PowerDisk tears a write at 512 bytes of the file", () => {
  const steps = new Steps();
  steps.sync(4);
  steps.write(500, "x".repeat(524));
  let asked = 0;
  const { a } = steps.after({ sector: () => asked++ % 2 === 0 });
  assert.deepEqual([asked, a], [2, "\0".repeat(500) + "x".repeat(12)]);
});

Deno.test("PowerDisk brings back what was cut off when the cut was not synced", () => {
  const steps = new Steps();
  steps.sync(4);
  steps.write(0, "one");
  steps.sync(3);
  steps.do("truncate", { number: 0 });
  steps.write(0, "T");
  assert.deepEqual(steps.after({ sector: yes }), { a: "Tne" });
  assert.deepEqual(steps.after({ sector: yes, truncate: yes }), { a: "T" });
  steps.sync(3);
  assert.deepEqual(steps.after(), { a: "T" });
});

Deno.test("PowerDisk does not know of a write whose sync failed, whatever sync succeeds later", () => {
  const steps = new Steps();
  steps.sync(4);
  steps.write(0, "one");
  steps.sync(3);
  steps.write(0, "two");
  steps.sync(3, -1);
  steps.sync(3);
  assert.deepEqual([steps.after(), steps.after({ sector: yes })], [{ a: "one" }, { a: "two" }]);
  steps.write(1, "XY");
  steps.sync(3);
  assert.deepEqual([steps.after(), steps.after({ sector: yes })], [{ a: "oXY" }, { a: "tXY" }]);
});

Deno.test("PowerDisk does not take a write for synced that came while the sync went on", () => {
  const steps = new Steps();
  steps.sync(4);
  steps.write(0, "one");
  steps.do("sync begins");
  steps.write(0, "two");
  steps.do("sync ends");
  assert.deepEqual(steps.after(), { a: "one" });
});
