import assert from "node:assert/strict";
import {
  changesSchema,
  type Circumstances,
  isPassedOver,
  namesOwn,
  type Principal,
  refusal,
} from "../../daemon/sqlite/authorizer.ts";

// Action codes, https://sqlite.org/c3ref/c_alter_table.html
const CREATE_INDEX = 1, CREATE_TABLE = 2, CREATE_TEMP_TABLE = 4, CREATE_TEMP_VIEW = 6;
const CREATE_TRIGGER = 7, CREATE_VIEW = 8;
const DELETE = 9, DROP_TEMP_TABLE = 13, INSERT = 18, PRAGMA = 19, READ = 20, SELECT = 21;
const TRANSACTION = 22, UPDATE = 23, ATTACH = 24, DETACH = 25, ALTER_TABLE = 26, REINDEX = 27;
const ANALYZE = 28, CREATE_VTABLE = 29;
const FUNCTION = 31, SAVEPOINT = 32, RECURSIVE = 33;

function allowed(
  principal: Principal,
  action: number,
  first: string | null = null,
  second: string | null = null,
  database: string | null = "main",
): boolean {
  return refusal(principal, action, () => first, () => second, () => database) === null;
}

Deno.test("refusal() allows everything when the daemon asks for itself", () => {
  for (let action = 1; action <= 33; action++) {
    assert.ok(allowed("own", action, "_skylinedb_clients", "x", "temp"), String(action));
  }
});

Deno.test("refusal() denies a client transactions, attached files and temporary objects", () => {
  const denied: [number, (string | null)?, (string | null)?][] = [
    [TRANSACTION, "BEGIN"],
    [TRANSACTION, "COMMIT"],
    [TRANSACTION, "ROLLBACK"],
    [SAVEPOINT, "RELEASE", "request"],
    [ATTACH, "other.db"],
    [ATTACH, ""],
    [DETACH, "main"],
    [CREATE_TEMP_TABLE, "t"],
    [CREATE_TEMP_VIEW, "v"],
    [DROP_TEMP_TABLE, "t"],
    [FUNCTION, null, "load_extension"],
    [FUNCTION, null, "LOAD_EXTENSION"],
  ];
  for (const each of denied) assert.ok(!allowed("client", ...each), JSON.stringify(each));
});

Deno.test("refusal() denies a client to create in the schema named temp", () => {
  for (const action of [CREATE_INDEX, CREATE_TABLE, CREATE_TRIGGER, CREATE_VIEW]) {
    assert.ok(!allowed("client", action, "x", "t", "temp"), String(action));
  }
  assert.ok(!allowed("client", INSERT, "sqlite_temp_schema", null, "temp"));
  assert.ok(allowed("client", UPDATE, "sqlite_temp_schema", "sql", "temp"), "as a RENAME does");
  assert.ok(!allowed("client", PRAGMA, "user_version", null, "temp"));
  assert.ok(allowed("client", CREATE_TABLE, "t", null, "main"));
});

Deno.test("refusal() denies a client the daemon's own tables in any spelling", () => {
  for (const name of ["_skylinedb_clients", "_SKYLINEDB_KEYS", "_SkylineDb_", "_skylinedb_new"]) {
    for (const action of [READ, INSERT, UPDATE, DELETE, CREATE_TABLE]) {
      assert.ok(!allowed("client", action, name, "x"), `${action} ${name}`);
    }
    assert.ok(!allowed("client", CREATE_INDEX, "i", name));
    assert.ok(!allowed("client", ALTER_TABLE, "main", name));
  }
  for (const name of ["skylinedb_state", "x_skylinedb_", "_skyline", "meta", "_skylinedb"]) {
    for (const action of [READ, INSERT, UPDATE, DELETE, CREATE_TABLE]) {
      assert.ok(allowed("client", action, name, "x"), `${action} ${name}`);
    }
  }
});

Deno.test("refusal() allows a client to read, to write and to recurse", () => {
  assert.ok(allowed("client", SELECT));
  assert.ok(allowed("client", RECURSIVE));
  assert.ok(allowed("client", READ, "t", "a"));
  assert.ok(allowed("client", READ, "sqlite_schema", "sql"));
  assert.ok(allowed("client", FUNCTION, null, "lower"));
  assert.ok(allowed("client", FUNCTION, null, null));
});

Deno.test("refusal() allows a client the PRAGMAs that change no promise, and some to be read only", () => {
  for (
    const name of ["user_version", "USER_VERSION", "table_info", "integrity_check", "optimize"]
  ) {
    assert.ok(allowed("client", PRAGMA, name, null), name);
  }
  assert.ok(allowed("client", PRAGMA, "user_version", "7"));
  for (const name of ["journal_mode", "synchronous", "foreign_keys", "page_size", "data_version"]) {
    assert.ok(allowed("client", PRAGMA, name, null), name);
    assert.ok(!allowed("client", PRAGMA, name, "1"), `${name} = 1`);
  }
  const denied = [
    "wal_checkpoint",
    "writable_schema",
    "defer_foreign_keys",
    "mmap_size",
    "key",
    "",
  ];
  for (const name of denied) {
    assert.ok(!allowed("client", PRAGMA, name, null), name);
    assert.ok(!allowed("client", PRAGMA, name, "1"), `${name} = 1`);
  }
});

Deno.test("refusal() lets VACUUM attach its nameless file and no other", () => {
  assert.ok(allowed("vacuum", ATTACH, ""));
  assert.ok(!allowed("vacuum", ATTACH, "copy.db"));
  assert.ok(allowed("vacuum", INSERT, "_skylinedb_clients"));
});

Deno.test("isPassedOver() passes over the daemon's own tables when a client's ANALYZE or REINDEX meets them", () => {
  for (const action of [ANALYZE, REINDEX]) {
    assert.ok(isPassedOver("client", action, () => "_skylinedb_state"), String(action));
    assert.ok(!isPassedOver("client", action, () => "t"), String(action));
    assert.ok(!isPassedOver("own", action, () => "_skylinedb_state"), String(action));
  }
  assert.ok(!isPassedOver("client", READ, () => "_skylinedb_state"));
});

Deno.test("changesSchema() is true for what makes or renames something", () => {
  for (
    const action of [CREATE_TABLE, CREATE_INDEX, CREATE_VIEW, CREATE_TRIGGER, CREATE_VTABLE]
  ) {
    assert.ok(changesSchema(action), String(action));
  }
  assert.ok(changesSchema(ALTER_TABLE));
  for (const action of [READ, SELECT, INSERT, DELETE, FUNCTION]) {
    assert.ok(!changesSchema(action), String(action));
  }
});

Deno.test("namesOwn() finds the daemon's names in any case, and the one whose FTS5 table would hold them", () => {
  const own = [
    "alter table t rename to _skylinedb_state",
    'alter table t rename to "_SkylineDB_x"',
    "alter table f rename to _skylinedb",
    "create table c(p references [_SKYLINEDB_state])",
  ];
  for (const sql of own) assert.ok(namesOwn(sql), sql);
  for (const sql of ["alter table t rename to skylinedb", "create table skyline_db(a)"]) {
    assert.ok(!namesOwn(sql), sql);
  }
});

Deno.test("refusal() lets no trigger or foreign key of a file act for the daemon's own statements", () => {
  const nothing = () => null;
  const from = (action: number, circumstances: Circumstances, table = "t") =>
    refusal("own", action, () => table, nothing, () => "main", circumstances);
  for (const action of [DELETE, INSERT, UPDATE]) {
    assert.match(from(action, { fromSchema: true }, "_skylinedb_keys")!, /trigger/);
    assert.match(from(action, { besideOwn: true })!, /foreign key/);
    assert.equal(from(action, {}), null);
    for (const table of ["_skylinedb_keys", "_SKYLINEDB_clients", "sqlite_master"]) {
      assert.equal(from(action, { besideOwn: true }, table), null);
    }
  }
  for (const action of [SELECT, READ, FUNCTION, RECURSIVE]) {
    assert.match(from(action, { fromSchema: true, besideOwn: true })!, /trigger/);
    assert.equal(from(action, { fromSchema: true }), null);
    assert.equal(from(action, { besideOwn: true }), null);
  }
});
