/**
 * What clients were told, and when: and whether a disk on which the power went holds what it must.
 *
 * @module
 */
import { join } from "node:path";
import { isDone } from "../../daemon/database/write.ts";
import { Connection } from "../../daemon/sqlite/connection.ts";
import type { Answer } from "../wire_client.ts";
import { monotonicNs } from "./disk_journal.ts";
import { openDatabase } from "./open_database.ts";
import type { DiskState } from "./power_disk.ts";
import type { Told } from "./told.ts";

/** Rows of each write. */
export const PARTS = 3;
const ID_STEP = 1_000_000;

/** What a client was told of a write. */
interface Entry {
  readonly id: number;
  readonly told: Told;
  readonly rev: number;
  readonly ns: bigint;
}

/** The tables that {@link PowerLedger} looks into. */
export const SCHEMA = [
  "create table t(id integer, part integer, a)",
  "create index t_a on t(a, id)",
];

/** A write of several rows; what is there of it twice, or in part, is seen. */
export function powerWrite(id: number, bytes: number) {
  const stmts = Array.from({ length: PARTS }, (_, part) => ({
    sql: "insert into t values (?, ?, ?)",
    params: [id, part, `${id}/`.padEnd(bytes, "x")],
  }));
  return { type: "ExecBatch", id, timeout_ms: 20_000, stmts };
}

/** The ids of a client's writes, in the order in which they are sent. */
export function powerId(client: number, number: number): number {
  return client * ID_STEP + number;
}

/** What clients were told. */
export class PowerLedger {
  readonly #entries: Entry[] = [];

  /** Notes an answer that has just come. */
  note(id: number, answer: Answer): Told {
    const told = answer.status === "ok" ? "ok" : answer.retry === "unknown" ? "unknown" : "failed";
    this.#entries.push({ id, told, rev: answer.rev ?? 0, ns: monotonicNs() });
    return told;
  }

  /** Writes of which nobody knows what became of them. */
  get unknown(): number[] {
    return this.#entries.filter(({ told }) => told === "unknown").map(({ id }) => id);
  }

  /** How many writes were acknowledged. */
  get acknowledged(): number {
    return this.#entries.filter(({ told }) => told === "ok").length;
  }

  /**
   * What is wrong with a disk on which the power went before `ns`.
   *
   * @param folder where its files are put.
   * @param really whether a daemon's own open and a write are tried as well.
   */
  async check(
    state: DiskState,
    ns: bigint,
    folder: string,
    really: boolean,
  ): Promise<string[]> {
    const told = this.#entries.filter((entry) => entry.ns < ns);
    if (!state.has("app.db")) {
      if (told.some((entry) => entry.told === "ok")) return ["the database is gone"];
      // It would be refused from then on: what such a log belongs to is not known.
      return state.has("app.db-wal") ? ["the log is there without the database"] : [];
    }
    const file = join(folder, "app.db");
    for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(file + suffix).catch(() => {});
    for (const [name, bytes] of state) Deno.writeFileSync(join(folder, name), bytes);
    try {
      if (really) return await this.#open(file, told);
      const connection = Connection.open(file);
      try {
        connection.exec("pragma synchronous = off");
        return this.#compare(connection, told);
      } finally {
        connection.close();
      }
    } catch (error) {
      return [`it cannot be opened: ${error}`];
    }
  }

  /** As a daemon does; it also writes. */
  async #open(file: string, told: readonly Entry[]): Promise<string[]> {
    const database = await openDatabase(file, "normal");
    const statements = [{ sql: "create table if not exists after(a)", params: [] }];
    const deadline = performance.now() + 20_000;
    const write = { statements, atomic: true, results: false, deadline, units: 100 };
    let isWritten: boolean;
    try {
      isWritten = isDone(await database.write(write));
    } finally {
      await database.close();
    }
    const connection = Connection.open(file, { readOnly: true });
    try {
      return [
        ...this.#compare(connection, told),
        ...(isWritten ? [] : ["nothing can be written to it"]),
      ];
    } finally {
      connection.close();
    }
  }

  #compare(connection: Connection, told: readonly Entry[]): string[] {
    const [integrity] = connection.get("pragma integrity_check")!;
    if (integrity !== "ok") return [`integrity_check says ${integrity}`];
    const [hasTables] = connection.get("select count(*) from sqlite_schema where name = 't_a'")!;
    const acknowledged = told.filter((entry) => entry.told === "ok");
    if (!hasTables) return acknowledged.length > 0 ? ["the tables are gone"] : [];
    const failures: string[] = [];
    const counts = new Map<number, number>();
    const found = connection.get("select json_group_array(id) from t")![0] as string;
    for (const id of JSON.parse(found)) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const [id, times] of counts) {
      if (times !== PARTS) failures.push(`${id} is there ${times} times of ${PARTS}`);
    }
    const lost = acknowledged.filter(({ id }) => id > 0 && !counts.has(id));
    if (lost.length > 0) failures.push(`acknowledged and lost: ${lost.map(({ id }) => id)}`);
    const undone = told.filter((entry) => entry.told === "failed" && counts.has(entry.id));
    if (undone.length > 0) failures.push(`failed and there: ${undone.map(({ id }) => id)}`);
    const revision = connection.get("select seq from _skylinedb_clients where client = ''")![0];
    const highest = Math.max(0, ...acknowledged.map(({ rev }) => rev));
    if (Number(revision) < highest) failures.push(`revision ${revision}, but ${highest} was told`);
    return [...failures, ...this.#holes(counts)];
  }

  /** Writes of a client that are missing though a later one of it is there, and that did not fail. */
  #holes(counts: ReadonlyMap<number, number>): string[] {
    const last = new Map<number, number>();
    for (const id of counts.keys()) {
      const client = Math.floor(id / ID_STEP);
      last.set(client, Math.max(last.get(client) ?? 0, id));
    }
    return this.#entries
      .filter(({ id, told }) =>
        told === "ok" && !counts.has(id) && id < (last.get(Math.floor(id / ID_STEP)) ?? 0)
      )
      .map(({ id }) => `${id} is missing, and later ones of its client are there`);
  }
}
