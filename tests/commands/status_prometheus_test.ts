import assert from "node:assert/strict";
import { prometheusText } from "../../daemon/commands/status_prometheus.ts";
import { busyDatabase, daemonStatus, databaseStatus } from "./status_example.ts";

interface Family {
  readonly type: string;
  readonly samples: { name: string; labels: Record<string, string>; value: number }[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const SAMPLE = new RegExp(
  `^(${NAME})(?:\\{((?:[a-z_]+="(?:[^"\\\\\\n]|\\\\[\\\\"n])*",?)*)\\})? (NaN|-?[0-9.]+(?:e[+-]?\\d+)?)$`,
);

/** Reads the text format as strictly as `promtool check metrics`. */
function parse(text: string): Map<string, Family> {
  assert.ok(text.endsWith("\n"), "the last line has its end");
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  const lines = text.slice(0, -1).split("\n");
  let name = "";
  for (let i = 0; i < lines.length; i++) {
    const help = /^# HELP (\S+) \S.*$/.exec(lines[i]);
    if (help) {
      name = help[1];
      const type = new RegExp(`^# TYPE ${name} (gauge|counter|summary)$`).exec(lines[++i]);
      assert.ok(type && !families.has(name), `${name} has one HELP and one TYPE behind it`);
      families.set(name, { type: type[1], samples: [] });
      continue;
    }
    const sample = SAMPLE.exec(lines[i]);
    assert.ok(sample, `not a sample: ${lines[i]}`);
    const [, full, pairs = "", value] = sample;
    const { type, samples } = families.get(name)!;
    const suffixes = type === "summary" ? ["", "_sum", "_count"] : [""];
    assert.ok(suffixes.some((suffix) => full === name + suffix), `${full} is not of ${name}`);
    assert.ok(!seen.has(`${full}{${pairs}}`), `twice: ${lines[i]}`);
    seen.add(`${full}{${pairs}}`);
    const labels = Object.fromEntries(
      [...pairs.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map((
        [, label, text],
      ) => [label, JSON.parse(`"${text}"`)]),
    );
    samples.push({ name: full, labels, value: Number(value) });
  }
  return families;
}

Deno.test("prometheusText() is what Prometheus reads", () => {
  const path = 'D:\\data "new"\n\\app.db';
  const databases = [busyDatabase(240), databaseStatus({ path, open: false })];
  const memory = { rss: 52_000_000, private: 14_000_000 };
  const families = parse(prometheusText(daemonStatus(databases, { memory })));
  for (const [name, { type, samples }] of families) {
    assert.ok(name.startsWith("skylinedb_"), name);
    assert.equal(name.endsWith("_total"), type === "counter", name);
    assert.doesNotMatch(name, /_(ms|milliseconds|kb|mb)(_|$)/i, "base units");
    assert.ok(samples.length > 0, name);
    // A counter's name without _total is taken in OpenMetrics.
    if (type === "counter") assert.ok(!families.has(name.replace(/_total$/, "")), name);
    if (type === "summary") assert.equal(samples.length, 2 * 5, name);
  }
  const valueOf = (name: string, database?: string, quantile?: string) =>
    [...families.values()].flatMap(({ samples }) => samples).find((each) =>
      each.name === `skylinedb_${name}` && each.labels.database === database &&
      each.labels.quantile === quantile
    )?.value;
  assert.equal(valueOf("uptime_seconds"), 11_520);
  assert.equal(valueOf("private_memory_bytes"), 14_000_000);
  assert.equal(valueOf("connections", "/data/app.db"), 240);
  assert.equal(valueOf("open", path), 0);
  assert.equal(valueOf("write_duration_seconds", "/data/app.db", "0.99"), 0.0123);
  assert.equal(valueOf("write_duration_seconds_sum", "/data/app.db"), 5_000_000);
  assert.equal(valueOf("write_duration_seconds_count", "/data/app.db"), 999_999_999);
  assert.equal(valueOf("write_duration_seconds", path, "0.99"), NaN, "of nothing");
  assert.equal(valueOf("group_size", "/data/app.db", "1"), 1_000);
});

Deno.test("prometheusText() leaves out what the system does not tell", () => {
  const families = parse(prometheusText(daemonStatus([databaseStatus()])));
  assert.ok(families.has("skylinedb_resident_memory_bytes"));
  assert.ok(!families.has("skylinedb_private_memory_bytes"));
});
