/**
 * The daemon: databases, their endpoints, and the order in which all begins and ends.
 *
 * @module
 */
import { endpointOf, endpointOfName } from "../../client/endpoint.ts";
import { SkylineError } from "../../client/errors.ts";
import { IdleTimer } from "../../client/idle_timer.ts";
import { Database } from "../database/database.ts";
import { cannotOpen, prepareFile } from "../database/database_file.ts";
import { Blocks } from "../process/blocks.ts";
import { type DaemonConfig, optionsOf } from "../process/config.ts";
import { fileIdentity } from "../process/file_identity.ts";
import type { Log } from "../process/log.ts";
import { RecentHistogram } from "../process/recent_histogram.ts";
import { privateBytes } from "../process/memory.ts";
import { socketPlace } from "../process/runtime_folder.ts";
import {
  acquireInstance,
  AlreadyRunningError,
  type Holder,
  type Instance,
  listInstances,
  tryInstance,
} from "../process/single_instance.ts";
import { SAFE_CHECKPOINT_VERSION, sqliteVersion, sqliteVersionNumber } from "../sqlite/ffi.ts";
import { AnswerTimes } from "./answer_times.ts";
import { ConnectionMemory } from "./connection_memory.ts";
import { IdleMemory } from "./idle_memory.ts";
import { Listener } from "./listener.ts";
import { Presence } from "./presence.ts";
import { quiet } from "./quiet.ts";
import { type Host, Router, type Served } from "./router.ts";
import { statusFields } from "./status.ts";
import { ClosedTraffic } from "./traffic.ts";

/** One file that is served. */
interface ServedFile extends Served {
  instance: Instance;
  readonly listeners: Listener[];
}

/** A daemon that serves. */
export class Daemon implements Host {
  readonly #config: DaemonConfig;
  readonly #log: Log;
  readonly #files: ServedFile[] = [];
  readonly #startedAt = performance.now();
  readonly #memory = new ConnectionMemory();
  readonly #answerTimes = new AnswerTimes();
  readonly #closedTraffic = new ClosedTraffic();
  readonly #router = new Router(this, this.#answerTimes);
  readonly #idleMemory: IdleMemory;
  readonly #idleExit: IdleTimer;
  readonly #presence: Presence;
  #shutdown: Promise<void> | undefined;
  #shutdownsAsked = 0;
  #resolveStopped!: () => void;
  /** Settles when everything is closed and every answer is sent. */
  readonly stopped: Promise<void> = new Promise((resolve) => this.#resolveStopped = resolve);

  private constructor(config: DaemonConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#presence = new Presence(() => this.#tell(), log);
    this.#idleMemory = new IdleMemory({
      isBusy: () => this.#files.some(({ database }) => database.isBusy),
      release: () => {
        Blocks.releaseSpare();
        this.#files.forEach(({ database }) => database.releaseMemory());
      },
      onGivenBack: () => log.debug("Memory given back", { private: privateBytes() }),
    });
    this.#idleExit = new IdleTimer(config.exitWhenIdleMs, () => this.#activity(), () => {
      log.info("Asked to end when nobody is connected", { forMs: config.exitWhenIdleMs });
      this.shutdown().catch((error) => log.error("Shutting down failed", { error }));
    });
  }

  /** See {@link startDaemon}. */
  static async start(config: DaemonConfig, log: Log): Promise<Daemon> {
    const daemon = new Daemon(config, log);
    daemon.#warnOfOldSqlite();
    try {
      const made = new Set<string>();
      const paths = config.files.map((file) => daemon.#prepare(file, made));
      for (const path of new Set(paths)) await daemon.#serve(path, made.has(path));
    } catch (error) {
      await daemon.#closeAll();
      throw error;
    }
    daemon.#idleExit.start();
    daemon.#presence.start();
    daemon.#idleMemory.note();
    return daemon;
  }

  /** Has a file be there, and adds it to `made` where it had to be made. */
  #prepare(file: string, made: Set<string>): string {
    let created = false;
    const path = prepareFile(file, refuseMoved, () => created = true);
    if (created) {
      made.add(path);
      this.#log.info("Created", { database: path });
    }
    return path;
  }

  /** Lets others find what is served, whatever somebody has removed. */
  async #tell(): Promise<void> {
    for (const file of this.#files) {
      for (const listener of file.listeners) await listener.keep();
      if (!this.stopping) file.instance.tell(holderOf(file));
    }
  }

  #warnOfOldSqlite(): void {
    if (sqliteVersionNumber() >= SAFE_CHECKPOINT_VERSION) return;
    this.#log.warn(
      "This SQLite is older than 3.51.3, whose checkpoints are safer: build the daemon's own",
      {
        sqlite: sqliteVersion(),
      },
    );
  }

  async #serve(path: string, created: boolean): Promise<void> {
    const config = this.#config;
    const endpoint = socketPlace(endpointOf(path));
    const holder = { endpoint, pid: Deno.pid, path };
    const instance = await acquire(path, holder);
    const listeners: Listener[] = [];
    let database: Database;
    try {
      database = await Database.open(path, {
        ...config,
        log: this.#log,
        othersMaySend: () => connectionsOf(listeners) > 1,
        claimFile: () => {
          const renewed = tryInstance(path, holderOf(file));
          if (!renewed) throw cannotOpen(path, "another daemon serves the file that is there now");
          file.instance.release();
          file.instance = renewed;
        },
      });
      if (fileIdentity(path).key !== instance.key) {
        await database.close();
        throw cannotOpen(path, "it was replaced at this moment");
      }
    } catch (error) {
      instance.release();
      throw error;
    }
    const file = {
      get endpoint() {
        return listeners[0]?.endpoint ?? endpoint;
      },
      ...{ database, path, created, instance, listeners },
      ...{ writeTimes: new RecentHistogram(), queryTimes: new RecentHistogram() },
    };
    this.#files.push(file);
    const endpoints = config.pipe === undefined
      ? [endpoint]
      : [endpoint, socketPlace(endpointOfName(config.pipe))];
    for (const each of endpoints) {
      listeners.push(
        await Listener.open(each, {
          router: this.#router,
          home: file,
          memory: this.#memory,
          idleMemory: this.#idleMemory,
          answerTimes: this.#answerTimes,
          closedTraffic: this.#closedTraffic,
          log: this.#log,
        }),
      );
    }
    this.#log.info("Serving", {
      database: path,
      endpoints,
      rev: database.revision,
      sqlite: sqliteVersion(),
    });
  }

  get served(): readonly Served[] {
    return this.#files;
  }

  /** The files that are served, and where. */
  get databases(): readonly Pick<Served, "path" | "endpoint" | "created">[] {
    return this.#files;
  }

  get stopping(): boolean {
    return this.#shutdown !== undefined;
  }

  status(): object {
    return statusFields(this.#files, {
      startedAt: this.#startedAt,
      closedTraffic: this.#closedTraffic,
      options: optionsOf(this.#config),
    });
  }

  /**
   * Stops accepting, drains, checkpoints and closes; settles when the files are closed, and {@link Daemon.stopped} when
   * the last answers have been sent as well.
   */
  shutdown(): Promise<void> {
    this.#shutdownsAsked++;
    return this.#shutdown ??= this.#end();
  }

  /** Connections up to now; `null` while there are any, or what one left is still being done. */
  #activity(): number | null {
    const listeners = this.#listeners();
    const isUsed = connectionsOf(listeners) > 0 ||
      this.#files.some(({ database }) => database.isBusy);
    return isUsed ? null : acceptedBy(listeners);
  }

  async #end(): Promise<void> {
    this.#idleExit.stop();
    this.#presence.stop();
    this.#log.info("Shutting down");
    await this.#closeAll();
    // Whoever asked for it is answered once this settles, and its answer is sent before the connections are closed.
    setTimeout(() => this.#closeConnections(), 0);
  }

  async #closeAll(): Promise<void> {
    const listeners = this.#listeners();
    for (const { database } of this.#files) database.endSoon();
    await Promise.all(listeners.map((listener) => listener.stopAccepting()));
    await Promise.all(listeners.map((listener) => listener.idle()));
    for (const file of this.#files) {
      try {
        await file.database.close();
      } catch (error) {
        // SQLite may have the file open: its lock ends with the process.
        this.#log.error("Closing failed", { database: file.path, error });
        continue;
      }
      // Not before: it changes when another file has come to the path.
      file.instance.release();
    }
  }

  async #closeConnections(): Promise<void> {
    // Those ask for it too whose requests have arrived but were not read yet.
    await quiet(() => this.#shutdownsAsked);
    await Promise.all(this.#listeners().map((listener) => listener.close()));
    this.#log.info("Stopped");
    this.#resolveStopped();
  }

  #listeners(): Listener[] {
    return this.#files.flatMap(({ listeners }) => listeners);
  }
}

function holderOf({ endpoint, path }: ServedFile): Holder {
  return { endpoint, pid: Deno.pid, path };
}

/** @throws {SkylineError} also where the file is served under a name that it does not have any more. */
async function acquire(path: string, holder: Holder): Promise<Instance> {
  try {
    return await acquireInstance(path, holder);
  } catch (error) {
    // For a start it is no answer that none runs.
    if (error instanceof SkylineError && error.code === "NOT_RUNNING") {
      throw new SkylineError("CANNOT_OPEN", error.message, { hint: error.hint });
    }
    if (!(error instanceof AlreadyRunningError) || error.path === path) throw error;
    throw cannotOpen(
      path,
      `the daemon with pid ${error.pid} serves it as ${error.path}`,
      movedHint(error.pid),
    );
  }
}

/** Nothing is created where a daemon has a file that was moved away: it may still write to it. */
function refuseMoved(path: string): void {
  const holder = listInstances().find((holder) => holder.path === path && holder.pid !== Deno.pid);
  if (!holder) return;
  throw cannotOpen(
    path,
    `the file was moved or removed, and the daemon with pid ${holder.pid} serves it still`,
    movedHint(holder.pid),
  );
}

function movedHint(pid: number): string {
  return `Move the file back; or end that daemon: skylinedb-daemon shutdown --pid ${pid}`;
}

function connectionsOf(listeners: readonly Listener[]): number {
  return listeners.reduce((sum, { connections }) => sum + connections, 0);
}

function acceptedBy(listeners: readonly Listener[]): number {
  return listeners.reduce((sum, { accepted }) => sum + accepted, 0);
}

/**
 * Opens the databases and listens at their endpoints, one for each and the configured name.
 *
 * @throws {SkylineError} `CANNOT_OPEN`, `DATABASE_BUSY`.
 * @throws {AlreadyRunningError} when a file is served already.
 */
export function startDaemon(config: DaemonConfig, log: Log): Promise<Daemon> {
  return Daemon.start(config, log);
}
