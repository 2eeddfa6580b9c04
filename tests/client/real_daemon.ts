import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { endpointOf } from "../../client/endpoint.ts";
import { connect, type Database } from "../../mod.ts";

const START = fileURLToPath(new URL("../../tools/start.ts", import.meta.url));
const START_MS_MAX = 8_000;

/** A real daemon on a new database in a temporary folder, both removed at the end. */
export interface RealDaemon extends AsyncDisposable {
  readonly file: string;
  /** Ends it without giving it a chance. */
  kill(): void;
}

/** Starts a daemon from source; resolves when it serves. */
export async function startDaemon(): Promise<RealDaemon> {
  const folder = mkdtempSync(join(tmpdir(), "client-"));
  const file = join(folder, "app.db");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--v8-flags=--expose-gc", START, "start", file],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let ended = false;
  let endpoint: string | null = null;
  const end = child.status.then(() => ended = true);
  const stop = async () => {
    // Asked to, it leaves nothing in the folder of its sockets.
    const db = ended ? null : await connect(file).catch(() => null);
    await db?.shutdown().catch(() => {});
    if (!ended) child.kill("SIGKILL");
    await end;
    // One that was killed leaves its socket.
    if (endpoint?.startsWith("/")) rmSync(endpoint, { force: true });
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await (await untilServed(file)).close();
    endpoint = endpointOf(file);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    file,
    kill: () => child.kill("SIGKILL"),
    [Symbol.asyncDispose]: stop,
  };
}

async function untilServed(file: string): Promise<Database> {
  const giveUpAt = performance.now() + START_MS_MAX;
  for (;;) {
    try {
      return await connect(file);
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
