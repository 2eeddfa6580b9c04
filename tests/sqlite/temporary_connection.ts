import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Connection } from "../../daemon/sqlite/connection.ts";

/** A connection to a new database in a temporary folder, both gone at the end. */
export class TemporaryConnection implements Disposable {
  readonly folder: string;
  readonly file: string;
  readonly connection: Connection;
  readonly #others: Connection[] = [];

  /** Opens it in WAL mode. */
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "skylinedb-connection-"));
    this.file = join(this.folder, "app.db");
    this.connection = Connection.open(this.file);
    this.connection.exec("PRAGMA journal_mode = wal");
  }

  /** One more connection to the same file. */
  another(options?: { readOnly?: boolean }): Connection {
    const connection = Connection.open(this.file, options);
    this.#others.push(connection);
    return connection;
  }

  [Symbol.dispose](): void {
    for (const other of this.#others) other.close();
    this.connection.close();
    rmSync(this.folder, { recursive: true });
  }
}
