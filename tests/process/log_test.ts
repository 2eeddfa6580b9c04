import assert from "node:assert/strict";
import { join } from "node:path";
import { LineWriter, openLog } from "../../daemon/process/log.ts";
import { SkylineError } from "../../client/errors.ts";

function temporaryFolder(): { path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "skylinedb-log-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

Deno.test("openLog() writes one line an event, from the level given, behind what is there", async () => {
  using folder = temporaryFolder();
  const logFile = join(folder.path, "app.log");
  for (let i = 0; i < 2; i++) {
    await using log = openLog({ logFile, logLevel: "info" });
    log.debug("not this");
    log.info("Serving {path}\nagain", {
      path: "/a b/x",
      n: 1n,
      s: "",
      error: new Error('no "x"\n'),
    });
    log.warn("slow");
    log.error("\x1b[31mred", { list: [1, 2] });
  }
  const lines = Deno.readTextFileSync(logFile).split("\n");
  const events = lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, ""));
  const once = [
    String
      .raw`info    skylinedb: Serving {path}\x0aagain path="/a b/x" n=1 s="" error="no \"x\"\n"`,
    "warning skylinedb: slow",
    String.raw`error   skylinedb: \x1b[31mred list=[1,2]`,
  ];
  assert.deepEqual(events, [...once, ...once, ""]);
});

Deno.test("openLog() throws CANNOT_OPEN with the path when the file cannot be opened", () => {
  using folder = temporaryFolder();
  const logFile = join(folder.path, "missing", "app.log");
  assert.throws(
    () => openLog({ logFile, logLevel: "info" }),
    (error) =>
      error instanceof SkylineError && error.code === "CANNOT_OPEN" &&
      error.message.includes(logFile),
  );
});

Deno.test({
  name: "openLog() goes on without a word when the disk is full",
  ignore: Deno.build.os !== "linux", // the only system with a file that is always full
  fn: async () => {
    await using log = openLog({ logFile: "/dev/full", logLevel: "info" });
    for (let i = 0; i < 100; i++) log.info("event", { i });
  },
});

Deno.test("LineWriter keeps the order and writes all when the target takes bytes one by one", async () => {
  let text = "";
  const writer = new LineWriter({
    write(bytes) {
      text += String.fromCharCode(bytes[0]);
      return Promise.resolve(1);
    },
  });
  for (let i = 0; i < 10; i++) writer.add(`${i}\n`);
  await writer.flush();
  assert.equal(text, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
});

Deno.test("LineWriter drops and counts lines, and flush() gives up, when the target takes none", async () => {
  let release = () => {};
  const stuck = new Promise<void>((resolve) => release = resolve);
  let text = "";
  const writer = new LineWriter({
    async write(bytes) {
      await stuck;
      text += new TextDecoder().decode(bytes);
      return bytes.length;
    },
  });
  const line = "x".repeat(1023) + "\n";
  for (let i = 0; i < 3000; i++) writer.add(line);
  const startedAt = performance.now();
  await writer.flush();
  assert.ok(performance.now() - startedAt < 5_000);
  release();
  await writer.flush();
  assert.match(text.slice(-100), /\n… \d+ lines were dropped\n$/);
  assert.ok(text.length < 1_100_000, `${text.length} units were kept`);
});

Deno.test("LineWriter writes the next line when one has failed", async () => {
  let text = "";
  let failures = 1;
  const writer = new LineWriter({
    write(bytes) {
      if (failures-- > 0) return Promise.reject(new Error("disk full"));
      text += new TextDecoder().decode(bytes);
      return Promise.resolve(bytes.length);
    },
  });
  writer.add("lost\n");
  await writer.flush();
  writer.add("kept\n");
  await writer.flush();
  assert.equal(text, "kept\n");
});
