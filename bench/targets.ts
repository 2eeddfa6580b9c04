/**
 * What the daemon is to reach, as ratios of what was measured beside it.
 *
 * @module
 */
import type { Figures } from "./figures.ts";

/** A target and how far it was reached. */
export interface TargetResult {
  readonly target: string;
  /** What was measured, in the target's unit. */
  readonly measured: number;
  readonly wanted: string;
  readonly reached: boolean;
}

const RATES = [["64x1", 8], ["8x16", 16]] as const;
/** What a session may cost. */
const SESSION_RATIO_MIN = 0.85;
const P999_MS_MAX = 30;
const ONE_CLIENT_RATIO_MAX = 1.4;

/** The targets that can be judged by these figures. */
export function targetResults(figures: readonly Figures[]): TargetResult[] {
  const find = (name: string) => figures.find((each) => each.name === name);
  const results: TargetResult[] = [];
  const direct = find("8 processes full");
  for (const [shape, ratio] of RATES) {
    const daemon = find(`daemon full ${shape}`);
    if (!daemon || !direct) continue;
    const measured = daemon.perSecond / direct.perSecond;
    results.push({
      target: `FULL ${shape}: rate against 8 processes`,
      measured,
      wanted: `at least ${ratio} ×`,
      reached: measured >= ratio,
    });
  }
  for (const [shape] of RATES) {
    const [session, without] = [find(`daemon full session ${shape}`), find(`daemon full ${shape}`)];
    if (!session || !without) continue;
    const measured = session.perSecond / without.perSecond;
    results.push({
      target: `FULL ${shape}: rate with sessions against without`,
      measured,
      wanted: `at least ${SESSION_RATIO_MIN} ×`,
      reached: measured >= SESSION_RATIO_MIN,
    });
  }
  for (const { name, p999 } of figures) {
    if (!name.startsWith("daemon ")) continue;
    results.push({
      target: `p99.9 of ${name}, ms`,
      measured: p999,
      wanted: `at most ${P999_MS_MAX}`,
      reached: p999 <= P999_MS_MAX,
    });
  }
  const [one, ping, alone] = ["daemon full 1x1", "ping 1x1", "in-process full 1"].map(find);
  if (one && ping && alone) {
    const measured = one.p50 / (ping.p50 + alone.p50);
    results.push({
      target: "FULL 1x1: p50 against Ping + in-process",
      measured,
      wanted: `at most ${ONE_CLIENT_RATIO_MAX} ×`,
      reached: measured <= ONE_CLIENT_RATIO_MAX,
    });
  }
  return results;
}
