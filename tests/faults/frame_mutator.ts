/**
 * Frames that are nearly right.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { integerBetween } from "./scenario.ts";

const insert = { sql: "insert into t values (?)", params: [1] };

/** Good requests of every type, with every member; they run at once, whatever is changed in them. */
const REQUESTS: readonly unknown[] = [
  { type: "Ping" },
  { type: "Ping", id: 7, db: "app.db" },
  { type: "Ping", id: "text", db: "/no/such/app.db" },
  { type: "Status", id: 1 },
  { type: "ExecBatch", stmts: [insert] },
  { type: "ExecBatch", id: 2, stmts: [insert, insert], results: true, timeout_ms: 500 },
  { type: "ExecBatch", id: 3, stmts: [{ ...insert, expect: { changes: 1, rows: 0 } }], tx: "none" },
  { type: "ExecBatch", id: 4, stmts: [insert], if_rev: 12, tx: "atomic" },
  { type: "ExecBatch", id: 5, stmts: [insert], client: "mutant", seq: 1, acked: 0 },
  { type: "ExecBatch", id: 6, stmts: [insert], client: "mutant", seq: 9, acked: 8, key: "k" },
  { type: "ExecBatch", id: 8, stmts: [insert], key: "a key", results: true },
  {
    type: "ExecBatch",
    id: 9,
    stmts: [{ sql: "insert into t values (:a)", params: { a: { $blob: "AP8=" } } }],
  },
  {
    type: "ExecBatch",
    id: 10,
    stmts: [{
      sql: "insert into t values (?), (?), (?), (?)",
      params: [1.5, { $real: "Infinity" }, 9007199254740993, [{ a: null }]],
    }],
  },
  { type: "ExecBatch", id: 11, stmts: [{ sql: "create table if not exists u(a); drop table u" }] },
  { type: "Query", id: 12, sql: "select a from t limit 3", timeout_ms: 500 },
  { type: "Query", id: 13, sql: "select ?1, x'00ff', 1e300", params: ["text \u0000 \ufeff 😀"] },
  { type: "Bye", client: "mutant" },
  { type: "Backup", to: "" },
  { type: "Subscribe", id: 14, tables: ["t"] },
  { type: "Nonsense", id: 15, db: null },
];

/** Their JSON. */
export const SEEDS: readonly Buffer[] = REQUESTS.map((each) => Buffer.from(JSON.stringify(each)));

/** What may stand where something else stood. */
const PARTS: readonly Buffer[] = [
  ...'{ } [ ] , : " \\ / null true false 0 -0 -1 1.0 1e400 1e-400 9223372036854775807 18446744073709551616'
    .split(" "),
  "9".repeat(400),
  "[".repeat(70),
  '"\\ud800"',
  '"\\u0000"',
  '{"$blob":"!"}',
  '{"$real":"NaN"}',
  '{"$text":"AA=="}',
  '"__proto__"',
  '"id":1,',
  '"stmts"',
  '"params"',
  '"seq"',
  '"acked"',
  "\ufeff",
  "\u2028",
  "\u0000",
  "commit",
  ";",
  "--",
  "/*",
].map((text) => Buffer.from(text));

/** A frame, and whether nothing that follows it in its stream can have a meaning. */
export interface Mutant {
  readonly bytes: Uint8Array;
  readonly endsStream: boolean;
}

/** The next mutant. */
export function mutated(random: () => number): Mutant {
  let body: Uint8Array = SEEDS[integerBetween(random, 0, SEEDS.length - 1)];
  // Some are sent as they are, so that there is something to come between.
  for (let i = integerBetween(random, 0, 4); i > 0; i--) body = change(body, random);
  // It would do what it says, and end the daemon.
  if (Buffer.from(body).includes("Shutdown")) body = SEEDS[0];
  return framed(body, random);
}

/** One length in a hundred is not the body's, which puts the rest of the stream out of step. */
function framed(body: Uint8Array, random: () => number): Mutant {
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32LE(body.length);
  frame.set(body, 4);
  if (random() > 0.01) return { bytes: frame, endsStream: false };
  const lengths = [0xffffffff, 0x80000000, 10 * 1024 * 1024 + 1];
  const length = lengths[integerBetween(random, 0, lengths.length - 1)];
  frame.writeUInt32LE(length);
  return { bytes: frame, endsStream: true };
}

const CHANGES: readonly ((body: Uint8Array, random: () => number) => Uint8Array)[] = [
  // A bit.
  (body, random) => {
    const copy = body.slice();
    const at = integerBetween(random, 0, body.length - 1);
    if (copy.length > 0) copy[at] ^= 1 << integerBetween(random, 0, 7);
    return copy;
  },
  // A byte.
  (body, random) => {
    const copy = body.slice();
    if (copy.length > 0) copy[integerBetween(random, 0, body.length - 1)] = random() * 256;
    return copy;
  },
  // A piece less, its end for one.
  (body, random) => {
    const from = integerBetween(random, 0, body.length);
    const length = integerBetween(random, 0, body.length - from);
    return Buffer.concat([body.subarray(0, from), body.subarray(from + length)]);
  },
  // A piece twice.
  (body, random) => {
    const from = integerBetween(random, 0, body.length);
    const length = integerBetween(random, 0, Math.min(200, body.length - from));
    return spliced(body, body.subarray(from, from + length), 0, random);
  },
  // Something else in between, or in the place of something.
  (body, random) => {
    const part = PARTS[integerBetween(random, 0, PARTS.length - 1)];
    return spliced(body, part, integerBetween(random, 0, 6), random);
  },
  // Something else as a member's value.
  (body, random) => {
    const text = Buffer.from(body).toString("latin1");
    const values = [...text.matchAll(/:("[^"]*"|-?\d+|true|null)/g)];
    if (values.length === 0) return body;
    const value = values[integerBetween(random, 0, values.length - 1)];
    const part = PARTS[integerBetween(random, 0, PARTS.length - 1)];
    const at = value.index + 1;
    return Buffer.concat([body.subarray(0, at), part, body.subarray(at + value[1].length)]);
  },
  // The beginning of one and the end of another.
  (body, random) => {
    const other = SEEDS[integerBetween(random, 0, SEEDS.length - 1)];
    const cut = integerBetween(random, 0, Math.min(body.length, other.length));
    return Buffer.concat([body.subarray(0, cut), other.subarray(cut)]);
  },
];

function spliced(
  body: Uint8Array,
  part: Uint8Array,
  removed: number,
  random: () => number,
): Uint8Array {
  const at = integerBetween(random, 0, body.length);
  return Buffer.concat([body.subarray(0, at), part, body.subarray(at + removed)]);
}

function change(body: Uint8Array, random: () => number): Uint8Array {
  return CHANGES[integerBetween(random, 0, CHANGES.length - 1)](body, random);
}
