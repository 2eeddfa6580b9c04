import { type DaemonCase, exec, sleep } from "./daemon_case.ts";

/**
 * The longest that a Ping and a write to the database `b.db` took while `work` went on, in milliseconds. Work that may hold the
 * loop from its first moment is given as a function, which is called once the others have begun.
 */
export async function longestBeside(
  it: DaemonCase,
  work: Promise<unknown> | (() => Promise<unknown>),
): Promise<number> {
  const pinger = await it.open();
  const writer = await it.open(it.daemon.endpoints[1]);
  await exec(writer, "create table if not exists beside(a)");
  let longest = 0;
  let working = true;
  const begun = typeof work === "function" ? sleep(20).then(work) : work;
  const done = begun.finally(() => working = false);
  const times = async (ask: () => Promise<unknown>) => {
    while (working) {
      const started = performance.now();
      await ask();
      longest = Math.max(longest, performance.now() - started);
      await sleep(2);
    }
  };
  await Promise.all([
    done,
    times(() => pinger.ask({ type: "Ping", db: "a.db" })),
    times(() => exec(writer, "insert into beside values (1)")),
  ]);
  return longest;
}
