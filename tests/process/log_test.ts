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

Deno.test("openLog() loses no line and cuts none when the log is opened anew beneath it", async () => {
  using folder = temporaryFolder();
  const logFile = join(folder.path, "app.log");
  const moved: string[] = [];
  {
    await using log = openLog({ logFile, logLevel: "info" });
    for (let i = 0; i < 2_000; i++) {
      log.info("line", { i, text: "x".repeat(i) });
      if (i % 100 !== 50) continue;
      // Every other time while the file before is being written to.
      if (i % 200 === 50) await new Promise((resolve) => setTimeout(resolve));
      moved.push(`${logFile}.${moved.length}`);
      Deno.renameSync(logFile, moved.at(-1)!);
      await log.reopen();
    }
  }
  const texts = [...moved, logFile].map((path) => Deno.readTextFileSync(path));
  for (const text of texts.slice(1)) assert.ok(text.includes("opened anew"));
  const lines = texts.join("").split("\n").filter((line) => !line.includes("opened anew"));
  assert.deepEqual(
    lines.map((line) => /line i=(\d+) text="?(x*)"?$/.exec(line)).map((parts) =>
      parts && [Number(parts[1]), parts[2].length]
    ),
    [...Array.from({ length: 2_000 }, (_, i) => [i, i]), null],
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

Deno.test("LineWriter ends a line in the target where it has begun it when that is replaced", async () => {
  const texts = ["", ""];
  const target = (i: number) => ({
    async write(bytes: Uint8Array) {
      await new Promise((resolve) => setTimeout(resolve));
      texts[i] += String.fromCharCode(bytes[0]);
      return 1;
    },
  });
  const writer = new LineWriter(target(0));
  writer.add("first\n");
  writer.add("second\n");
  await writer.replace(target(1));
  assert.equal(texts[0], "first\n", "all that was begun is there when replace() resolves");
  writer.add("third\n");
  await writer.flush();
  assert.deepEqual(texts, ["first\n", "second\nthird\n"]);
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
