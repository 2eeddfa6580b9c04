import assert from "node:assert/strict";
import { connect, Server } from "node:net";
import { join } from "node:path";
import { daemonConfig } from "../../daemon/process/config.ts";
import { silentLog } from "../../daemon/process/log.ts";
import { startDaemon } from "../../daemon/server/daemon.ts";

/** The servers that listen while `work` runs, in their order. */
async function serversOf(work: () => Promise<unknown>): Promise<Server[]> {
  const servers: Server[] = [];
  const { listen } = Server.prototype;
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    servers.push(this);
    return Reflect.apply(listen, this, args);
  };
  try {
    await work();
  } finally {
    Server.prototype.listen = listen;
  }
  return servers;
}

function canConnect(endpoint: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(endpoint, () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
    setTimeout(() => socket.destroy(), 500);
  });
}

Deno.test("Listener listens anew when accepting has failed", async () => {
  const folder = Deno.realPathSync(await Deno.makeTempDir({ prefix: "skylinedb-listener-" }));
  let daemon: Awaited<ReturnType<typeof startDaemon>> | undefined;
  try {
    const servers = await serversOf(async () => {
      daemon = await startDaemon(daemonConfig([join(folder, "app.db")], {}), silentLog);
    });
    const [failing] = servers;
    const more = await serversOf(async () => {
      failing.emit("error", new Error("accept"));
      await new Promise((resolve) => setTimeout(resolve, 500));
    });
    assert.equal(more.length, 1);
    assert.notEqual(more[0], failing);
    assert.ok(!failing.listening && more[0].listening);
    assert.ok(await canConnect(daemon!.served[0].endpoint));
  } finally {
    await daemon?.shutdown();
    await daemon?.stopped;
    await Deno.remove(folder, { recursive: true });
  }
});
