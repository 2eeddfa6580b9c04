/**
 * A disk that loses its power: what it may hold then, of what was written to it.
 *
 * @module
 */
import { basename } from "node:path";
import type { DiskRecord } from "./disk_journal.ts";

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512;
const O_CREAT = 0o100;

/** What is still decided when the power goes; each is asked anew, and answers whether it got to the disk. */
export interface Fate {
  /** For a file: whether a sector of a write that is not synced did. */
  sector(name: string): boolean;
  /** Whether a file was cut, or made longer, as it was told. */
  truncate(name: string): boolean;
  /** Whether a name was made, or removed. */
  entry(name: string): boolean;
}

/** The files of a folder, by their names. */
export type DiskState = Map<string, Uint8Array>;

interface Write {
  readonly offset: number;
  readonly data: Uint8Array;
}

/** What was done to a file and is not known to be on the disk. */
type Pending = ({ readonly kind: "write" } & Write) | {
  readonly kind: "truncate";
  readonly size: number;
};

/** A file's content, which grows and shrinks. */
class Content {
  #bytes: Uint8Array;
  #size: number;

  constructor(bytes: Uint8Array = new Uint8Array()) {
    this.#bytes = bytes.slice();
    this.#size = bytes.length;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  write(offset: number, data: Uint8Array): void {
    const end = offset + data.length;
    if (end > this.#size) this.truncate(end);
    this.#bytes.set(data, offset);
  }

  truncate(size: number): void {
    if (size > this.#bytes.length) {
      const more = new Uint8Array(2 * size);
      more.set(this.bytes);
      this.#bytes = more;
    } else if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }
}

class DiskFile {
  readonly #durable = new Content();
  #pending: Pending[] = [];
  /** Writes whose sync failed: the system may have dropped them, and no later sync tells. In the order of the writes. */
  #doubtful: Write[] = [];

  get pending(): readonly Pending[] {
    return this.#pending;
  }

  add(pending: Pending): void {
    this.#pending.push(pending);
  }

  /** What was pending when the sync began is on the disk, but for what an earlier one failed to bring there. */
  synced(pending: readonly Pending[]): void {
    const still = new Set(this.#pending);
    for (const each of pending) {
      if (!still.delete(each)) continue; // another sync was faster
      if (each.kind === "truncate") {
        this.#durable.truncate(each.size);
        this.#doubtful = this.#doubtful.flatMap((write) => without(write, each.size, Infinity));
      } else {
        this.#durable.write(each.offset, each.data);
        const end = each.offset + each.data.length;
        this.#doubtful = this.#doubtful.flatMap((write) => without(write, each.offset, end));
      }
    }
    this.#pending = [...still];
  }

  /** The system takes the writes for done. A file's size is in the file system's own log, which loses nothing. */
  syncFailed(pending: readonly Pending[]): void {
    const covered = new Set(pending);
    const left: Pending[] = [];
    for (const each of this.#pending) {
      if (each.kind === "write" && covered.has(each)) this.#doubtful.push(each);
      else left.push(each);
    }
    this.#pending = left;
  }

  /** What the disk may hold. */
  after(name: string, fate: Fate): Uint8Array {
    const content = new Content(this.#durable.bytes);
    for (const write of this.#doubtful) tear(content, write, () => fate.sector(name));
    for (const each of this.#pending) {
      if (each.kind === "write") tear(content, each, () => fate.sector(name));
      else if (fate.truncate(name)) content.truncate(each.size);
    }
    return content.bytes;
  }
}

/** What is left of a write when the bytes from `begin` to `end` are written anew. */
function without(write: Write, begin: number, end: number): Write[] {
  const { offset, data } = write;
  if (begin >= offset + data.length || end <= offset) return [write];
  const left: Write[] = [];
  if (begin > offset) left.push({ offset, data: data.subarray(0, begin - offset) });
  if (end < offset + data.length) left.push({ offset: end, data: data.subarray(end - offset) });
  return left;
}

/** Writes those of its sectors that are wanted. */
function tear(content: Content, { offset, data }: Write, isWritten: () => boolean): void {
  for (let at = 0; at < data.length;) {
    const next = Math.min(data.length, at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
    if (isWritten()) content.write(offset + at, data.subarray(at, next));
    at = next;
  }
}

/** A change of names, which is made whole or not at all. */
type EntryChange = ReadonlyMap<string, DiskFile | null>;

/** A folder on such a disk, which follows a journal. */
export class PowerDisk {
  readonly #folder: string;
  /** As programs see it. */
  readonly #entries = new Map<string, DiskFile>();
  readonly #durable = new Map<string, DiskFile>();
  #pending: EntryChange[] = [];
  readonly #open = new Map<number, DiskFile | "folder">();
  /** What syncs that have begun will bring to the disk, by their descriptors. */
  readonly #syncing = new Map<number, readonly (Pending | EntryChange)[]>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Follows one record. */
  apply(record: DiskRecord): void {
    const { kind, fd, number, path, data } = record;
    const file = this.#open.get(fd);
    switch (kind) {
      case "start":
        return this.#open.clear();
      case "open":
        return this.#opened(record);
      case "close":
        this.#open.delete(fd);
        return;
      case "unlink":
        return this.#change([basename(path), null]);
      case "rename": {
        const moved = this.#entries.get(basename(path))!;
        const name = basename(new TextDecoder().decode(data));
        return this.#change([basename(path), null], [name, moved]);
      }
      case "sync begins":
        this.#syncing.set(fd, file === "folder" ? this.#pending.slice() : file!.pending.slice());
        return;
      case "sync ends":
        return this.#syncEnded(record);
      case "write":
        return (file as DiskFile).add({ kind: "write", offset: number, data });
      case "truncate":
        return (file as DiskFile).add({ kind: "truncate", size: number });
    }
  }

  #opened({ fd, number, path }: DiskRecord): void {
    if (path === this.#folder) {
      this.#open.set(fd, "folder");
      return;
    }
    const name = basename(path);
    if (!this.#entries.has(name)) {
      if (!(number & O_CREAT)) throw new Error(`${name} was never made`);
      this.#change([name, new DiskFile()]);
    }
    this.#open.set(fd, this.#entries.get(name)!);
  }

  #change(...changes: [name: string, file: DiskFile | null][]): void {
    rename(this.#entries, changes);
    this.#pending.push(new Map(changes));
  }

  #syncEnded({ fd, result }: DiskRecord): void {
    const file = this.#open.get(fd)!;
    const what = this.#syncing.get(fd)!;
    this.#syncing.delete(fd);
    if (file !== "folder") {
      if (result === 0) file.synced(what as Pending[]);
      else file.syncFailed(what as Pending[]);
    } else if (result === 0) {
      for (const change of what as EntryChange[]) rename(this.#durable, change);
      this.#pending = this.#pending.filter((change) => !what.includes(change));
    }
  }

  /** What it may hold when the power goes now. */
  after(fate: Fate): DiskState {
    const entries = new Map(this.#durable);
    for (const change of this.#pending) {
      if (fate.entry([...change.keys()][0])) rename(entries, change);
    }
    return new Map([...entries].map(([name, file]) => [name, file.after(name, fate)]));
  }
}

function rename(
  entries: Map<string, DiskFile>,
  changes: Iterable<readonly [name: string, file: DiskFile | null]>,
): void {
  for (const [name, file] of changes) {
    if (file === null) entries.delete(name);
    else entries.set(name, file);
  }
}
