import assert from "node:assert/strict";
import fc from "fast-check";
import { Histogram } from "../../daemon/process/histogram.ts";
import { RecentHistogram } from "../../daemon/process/recent_histogram.ts";

const shares = [0.001, 0.25, 0.5, 0.9, 0.99, 1];

Deno.test("percentile() is too large by the width of a bucket at most, never too small", () => {
  fc.assert(fc.property(
    fc.array(fc.double({ min: 0.001, max: 4_000_000, noNaN: true }), { minLength: 1 }),
    fc.constantFrom(4, 5, 7),
    (values, bits) => {
      const histogram = new Histogram(bits);
      for (const value of values) histogram.record(value);
      const sorted = values.toSorted((a, b) => a - b);
      for (const share of shares) {
        const exact = sorted[Math.max(1, Math.ceil(share * values.length)) - 1];
        const found = histogram.percentile(share);
        assert.ok(
          found >= exact && found <= exact * (1 + 2 ** -bits),
          `${share}: ${exact}, ${found}`,
        );
      }
      assert.equal(histogram.max, sorted.at(-1));
      assert.equal(histogram.count, values.length);
    },
  ));
});

Deno.test("percentile() tells small whole numbers exactly", () => {
  for (let value = 1; value <= 64; value++) {
    const histogram = new Histogram(5);
    histogram.record(value);
    histogram.record(1_000);
    assert.equal(histogram.percentile(0.5), value);
  }
});

Deno.test("Histogram takes values beyond its buckets", () => {
  const histogram = new Histogram(5);
  for (const value of [0, 1e-9, 0.0009, 5e6, 86_400_000]) histogram.record(value);
  assert.equal(histogram.count, 5);
  assert.ok(histogram.percentile(0.5) < 0.0011);
  assert.equal(histogram.percentile(1), 86_400_000);
  assert.ok(Number.isNaN(new Histogram(5).percentile(0.5)));
});

Deno.test("add() puts together what was counted apart, also as JSON", () => {
  const [all, sum] = [new Histogram(7), new Histogram(7)];
  for (const part of [[0.2, 0.3, 40], [7], []]) {
    const histogram = new Histogram(7);
    for (const value of part) {
      histogram.record(value);
      all.record(value);
    }
    sum.add(JSON.parse(JSON.stringify(histogram)));
  }
  assert.deepEqual(sum.toJSON(), all.toJSON());
});

Deno.test("RecentHistogram forgets after a minute, but not in its total", () => {
  const histogram = new RecentHistogram();
  const second = 1_000;
  for (let at = 0; at < 600; at++) histogram.record(at, at * second);
  const recent = histogram.lastMinute(600 * second);
  assert.ok(recent.count >= 40 && recent.count <= 60, `${recent.count}`);
  assert.ok(recent.p50 >= 540 && recent.max === 599, JSON.stringify(recent));
  assert.equal(histogram.total().count, 600);
  assert.equal(histogram.total().sum, 600 * 599 / 2);
  const later = histogram.lastMinute(661 * second);
  assert.deepEqual(later, { count: 0, sum: 0, p50: 0, p99: 0, max: 0 });
  assert.equal(histogram.total().count, 600);
  histogram.record(5, 10_000 * second);
  assert.equal(histogram.lastMinute(10_001 * second).count, 1);
  assert.deepEqual([histogram.total().count, histogram.total().max], [601, 599]);
});
