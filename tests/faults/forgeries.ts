/**
 * How files are forged: by SQL with SQLite's defences off, byte by byte, and by what lies beside them.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { execUndefended } from "./undefended.ts";

/** One such file, made from one that a daemon served and closed. */
export interface ForgedFile {
  readonly name: string;
  /** It is refused, and the error matches; without it, it is served as far as it can be read. */
  readonly refused?: RegExp;
  /** Whether it is among the tests. */
  readonly short?: boolean;
  /** Whether the daemon is busy with it for long, and is ended. */
  readonly isEndless?: boolean;
  /** What is done to the file at this path. */
  forge(file: string): void;
}

/** Bytes of a page of the files that are forged. */
export const PAGE_BYTES = 4096;

export const rootOf = (name: string) =>
  `(select rootpage from sqlite_master where name = '${name}')`;

export function sql(name: string, text: string): ForgedFile {
  return { name, forge: (file) => execUndefended(file, text) };
}

/** The schema of a table that lies elsewhere than it says. */
export function root(name: string, table: string, page: string): ForgedFile {
  return sql(name, `update sqlite_master set rootpage = ${page} where name = '${table}'`);
}

export function bytes(name: string, change: (view: DataView, file: string) => void): ForgedFile {
  return {
    name,
    forge(file) {
      const content = Deno.readFileSync(file);
      change(new DataView(content.buffer), file);
      Deno.writeFileSync(file, content);
    },
  };
}

/** The page where a table or an index begins. */
export function pageOf(file: string, name: string): number {
  using database = new DatabaseSync(file, { readOnly: true });
  return Number(
    database.prepare("select rootpage from sqlite_master where name = ?").get(name)!.rootpage,
  );
}

/** So many tables more, all on the pages of `t`: to make them by SQL would take an hour. */
export function many(name: string, count: number, columns: string): ForgedFile {
  return sql(
    name,
    `insert into sqlite_master with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
      select 'table', 'many' || i, 'many' || i, ${
      rootOf("t")
    }, 'create table many' || i || '(${columns})' from n`,
  );
}

/** Pages of a tree without loops, each of which names the next one in all its places: to walk it takes for ever. */
export const MAZE: ForgedFile = {
  name: "a maze of pages",
  forge(file) {
    const page = addMaze(file, "t");
    execUndefended(file, `update sqlite_master set rootpage = ${page} where name = 'deep'`);
  },
};

/** As {@link MAZE}, of the daemon's keys, which have to be read as the revision is gone. */
export const KEYS_MAZE: ForgedFile = {
  name: "a maze in place of the daemon's keys",
  forge(file) {
    const row = "(9, 'key', '', '1 1', 0)";
    execUndefended(
      file,
      `delete from _skylinedb_clients; delete from _skylinedb_keys; insert into _skylinedb_keys values ${row}`,
    );
    const page = addMaze(file, "_skylinedb_keys");
    const change = `update sqlite_master set rootpage = ${page} where name = '_skylinedb_keys'`;
    execUndefended(file, change);
  },
};

/** As {@link MAZE}, of the schema itself. */
export const SCHEMA_MAZE: ForgedFile = {
  name: "a maze in place of the schema",
  isEndless: true,
  short: true,
  forge(file) {
    const row = "('table', 'x', 'x', 2, 'create table if not exists x(a)')";
    execUndefended(file, `create table nobody(a, b, c, d, e); insert into nobody values ${row}`);
    const page = addMaze(file, "nobody");
    const content = Deno.readFileSync(file);
    content.set(mazePage(page + 1, HEADER_BYTES), HEADER_BYTES);
    Deno.writeFileSync(file, content);
  },
};

/** Adds one that leads to the page of a table again and again; gives the page where it begins. */
function addMaze(file: string, table: string): number {
  const content = Deno.readFileSync(file);
  const pages = content.length / PAGE_BYTES;
  const maze = Array.from({ length: MAZE_LEVELS }, (_, i) => mazePage(pages + 2 + i));
  const at = (pageOf(file, table) - 1) * PAGE_BYTES;
  const leaf = content.slice(at, at + PAGE_BYTES);
  new DataView(content.buffer).setUint32(28, pages + MAZE_LEVELS + 1);
  Deno.writeFileSync(file, Buffer.concat([content, ...maze, leaf]));
  return pages + 1;
}

/** Of the file, on its first page. */
const HEADER_BYTES = 100;
const MAZE_LEVELS = 15, MAZE_CELLS = 100, CELL_BYTES = 5;

/** An interior page of a table whose children are all the same; of the page only what comes after `offset` bytes. */
function mazePage(child: number, offset = 0): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  const cellsAt = PAGE_BYTES - MAZE_CELLS * CELL_BYTES;
  view.setUint8(offset, 5);
  view.setUint16(offset + 3, MAZE_CELLS);
  view.setUint16(offset + 5, cellsAt);
  view.setUint32(offset + 8, child);
  for (let i = 0; i < MAZE_CELLS; i++) {
    const at = cellsAt + i * CELL_BYTES;
    view.setUint16(offset + 12 + 2 * i, at);
    view.setUint32(at, child);
    view.setUint8(at + 4, i + 1);
  }
  return page.subarray(offset);
}

/** A frame of a log: a page, and how many pages the database has after its commit. */
export type Frame = [page: number, pages: number, content: Uint8Array<ArrayBuffer>];

/** A log whose sums are right. */
function logOf(frames: readonly Frame[]): Uint8Array {
  const header = new DataView(new ArrayBuffer(32));
  [0x377f0682, 3007000, PAGE_BYTES, 0, 1, 2].forEach((word, i) => header.setUint32(4 * i, word));
  let sums: readonly [number, number] = [0, 0];
  const add = (bytes: Uint8Array) => {
    let [a, b] = sums;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += 8) {
      a = (a + view.getUint32(at, true) + b) >>> 0;
      b = (b + view.getUint32(at + 4, true) + a) >>> 0;
    }
    sums = [a, b];
  };
  const write = (view: DataView, at: number) =>
    sums.forEach((sum, i) => view.setUint32(at + 4 * i, sum));
  add(new Uint8Array(header.buffer, 0, 24));
  write(header, 24);
  const pieces = [new Uint8Array(header.buffer)];
  for (const [page, pages, content] of frames) {
    const frame = new DataView(new ArrayBuffer(24));
    [page, pages, 1, 2].forEach((word, i) => frame.setUint32(4 * i, word));
    add(new Uint8Array(frame.buffer, 0, 8));
    add(content);
    write(frame, 16);
    pieces.push(new Uint8Array(frame.buffer), content);
  }
  return Buffer.concat(pieces);
}

export function log(
  name: string,
  frames: (firstPage: Uint8Array<ArrayBuffer>) => Frame[],
): ForgedFile {
  return {
    name,
    forge(file) {
      const first = Deno.readFileSync(file).slice(0, PAGE_BYTES);
      Deno.writeFileSync(`${file}-wal`, logOf(frames(first)));
    },
  };
}

/** A rollback journal that names a file as its super-journal, which SQLite would remove. */
export function superJournal(file: string): void {
  const name = new TextEncoder().encode(join(dirname(file), VICTIM));
  const end = new DataView(new ArrayBuffer(16));
  end.setUint32(0, name.length);
  end.setUint32(4, name.reduce((sum, byte) => sum + byte, 0));
  end.setBigUint64(8, 0xd9d505f920a163d7n);
  const start = new Uint8Array(600).fill(1);
  Deno.writeFileSync(`${file}-journal`, Buffer.concat([start, name, new Uint8Array(end.buffer)]));
}

/** A file beside the forged one, which nothing may change. */
export const VICTIM = "victim";

export const EMPTY = new Uint8Array(PAGE_BYTES);
