import { whyNoJournal } from "./disk_journal.ts";
import { PowerStage } from "./power_stage.ts";
import { counted, integerBetween, outcome, type Scenario, type Size } from "./scenario.ts";

/** Disks of each case. */
const DISKS: Readonly<Record<Size, number>> = { short: 60, faults: 1_500, soak: 20_000 };
/** And at least of each kill: what it is about is a moment of few calls. */
const DISKS_LEAST = 100;
/** How often syncs fail, at another place each time. */
const SYNC_ROUNDS: Readonly<Record<Size, number>> = { short: 2, faults: 6, soak: 20 };
/** How often the daemon is killed after that. */
const KILL_ROUNDS: Readonly<Record<Size, number>> = { short: 3, faults: 30, soak: 200 };
/** A write of so many bytes takes some twelve frames of the log. */
const LARGE = 5_000;
const SMALL = 40;

type Random = () => number;

/** What a daemon does before the power goes, at any moment of it. */
interface Case {
  readonly name: string;
  readonly args?: readonly string[];
  run(stage: PowerStage, random: Random): Promise<void>;
}

const CASES: readonly Case[] = [
  {
    name: "first creation",
    run: (stage) => stage.write(2, 5, SMALL),
  },
  {
    name: "idle close and reopen",
    args: ["--close-idle", "100ms"],
    async run(stage) {
      for (let times = 1; times <= 3; times++) {
        await stage.write(2, 5, SMALL);
        await stage.said("Closed until the next request", times);
      }
      await stage.write(1, 1, SMALL);
    },
  },
  {
    name: "shutdown and start",
    async run(stage) {
      await stage.write(2, 5, SMALL);
      await stage.shutDown();
      await stage.restart();
      await stage.write(2, 5, SMALL);
      await stage.daemon.kill();
      await stage.restart();
      await stage.write(2, 5, SMALL);
    },
  },
  {
    name: "log kept",
    args: ["--keep-wal"],
    async run(stage) {
      await stage.write(2, 5, SMALL);
      await stage.shutDown();
      await stage.restart();
      await stage.write(2, 5, SMALL);
    },
  },
  {
    name: "writes that run alone",
    async run(stage) {
      for (const sql of ["vacuum", "create index t_part on t(part)", "vacuum", "reindex"]) {
        await stage.write(2, 5, SMALL);
        await stage.alone(sql);
      }
      await stage.write(2, 5, SMALL);
    },
  },
  {
    name: "log restart",
    run: (stage) => stage.write(4, 60, LARGE),
  },
  {
    name: "backlog",
    async run(stage) {
      await stage.whileRead(() => stage.write(4, 60, LARGE));
      // It is copied within a second, and the log starts over.
      await stage.write(1, 20, SMALL);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      await stage.write(2, 20, SMALL);
    },
  },
];

/** Some of the log is copied, which is not synced yet; then the sync of the database file fails. */
const failedCopy = (then: "goes on" | "ends"): Case => ({
  name: `failed sync of a log that was copied in part, ${then}`,
  async run(stage) {
    await stage.write(2, 20, LARGE);
    await stage.whileRead(async () => {
      // Over 1,000 pages: what came before the reader is copied.
      await stage.write(2, 30, LARGE);
      stage.journal.failSyncs(0, 1, 0, "databases");
    });
    if (then === "ends") {
      await stage.shutDown();
      await stage.restart();
    } else {
      await stage.syncsFailed();
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    }
    // The log starts over, if all is copied.
    await stage.write(2, 5, SMALL);
    stage.fromNow();
    await stage.write(2, 10, LARGE);
  },
});

/** Syncs that fail: the first of them at any place. */
function failing(name: string, syncs: number): Case {
  return {
    name,
    async run(stage, random) {
      await stage.write(2, 3, SMALL);
      stage.journal.failSyncs(integerBetween(random, 0, 2), syncs);
      await stage.write(1, 10, SMALL);
      stage.journal.failSyncs(0, 0);
      await stage.write(2, 3, SMALL);
    },
  };
}

/** Syncs that fail, and how many calls after the last of them the daemon is killed: tried in order, then at random. */
const KILLS: readonly [syncs: number, killAfter: number][] = [
  // It never works again; the log is to be begun anew; what is open was just closed.
  [1_000, 0],
  [1, 20],
  [2, 18],
];

/** Syncs fail, the daemon is killed, and its disk works again. */
function failingKilled(): Case {
  let times = 0;
  return {
    name: "failed syncs, killed and started",
    async run(stage, random) {
      await stage.write(2, 3, SMALL);
      const [syncs, killAfter] = KILLS[times++] ??
        [integerBetween(random, 1, 4), integerBetween(random, 1, 35)];
      stage.journal.failSyncs(0, syncs, killAfter);
      await stage.writeAndKill(6, SMALL);
      await stage.write(2, 3, SMALL);
    },
  };
}

/** Loses the power at any moment, and looks at what the disk may hold then. */
export const scenario: Scenario = {
  name: "power loss",
  what: "what was not synced is lost, torn or out of order: the file is whole, with all that was " +
    "acknowledged in it",
  skip: whyNoJournal,
  async run({ size, random, log }) {
    const failures: string[] = [];
    let disks = 0;
    let cases = 0;
    const rounds = SYNC_ROUNDS[size];
    const kills = KILL_ROUNDS[size];
    const all: [Case, times: number, disksEach: number][] = [
      ...CASES.map((each): [Case, number, number] => [each, 1, DISKS[size]]),
      // Each disk is large, and most are wrong if one is.
      [failedCopy("goes on"), 1, DISKS[size] / 3],
      [failedCopy("ends"), 1, DISKS[size] / 3],
      [failing("one failed sync", 1), rounds, DISKS[size] / rounds],
      [failing("two failed syncs", 2), rounds, DISKS[size] / rounds],
      [failingKilled(), kills, Math.max(DISKS_LEAST, DISKS[size] / kills)],
    ];
    for (const [each, times, part] of all) {
      const disksEach = Math.ceil(part);
      let acknowledged = 0;
      const wrong: string[] = [];
      for (let round = 0; round < times; round++) {
        await using stage = await PowerStage.open(each.args);
        await each.run(stage, random);
        wrong.push(...await stage.tryDisks(random, disksEach));
        acknowledged += stage.ledger.acknowledged;
      }
      disks += disksEach * times;
      cases++;
      log(
        `${each.name}: ${counted(disksEach * times)} disks, ${counted(acknowledged)} acknowledged`,
      );
      failures.push(...wrong.map((what) => `${each.name}: ${what}`));
    }
    return outcome(`${cases} cases, ${counted(disks)} disks`, failures);
  },
};
