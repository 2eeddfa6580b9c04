/**
 * The order service, on Node: confirms orders and buys what runs low.
 *
 *     node orders.ts FILE
 *
 * It ends when its standard input does and nothing is left to confirm, and prints what it did as JSON.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../mod.ts"; // in your app: "@skylinedb/client"

const COUNT_WAITING = "select count(*) as count from orders where confirmed_at is null";
const CONFIRM = `update orders set confirmed_at = ? where id in
  (select id from orders where confirmed_at is null order by placed_at limit 25)`;
const FEW_LEFT = "reorder > 0 and stock < 20";
const DELIVER = `insert into delivery (product_id, quantity)
  select id, reorder from product where ${FEW_LEFT} returning product_id as product`;
const RESTOCK = `update product set stock = stock + reorder where ${FEW_LEFT}`;
const PAUSE_MS = 50;

const db = await connect(process.argv[2]);
const report = { confirmed: 0, deliveries: 0, latencies: [] as number[] };
let open = true;
process.stdin.on("end", () => open = false).resume();

for (;;) {
  const isLast = !open;
  const { count } = (await db.get<{ count: number }>(COUNT_WAITING))!;
  if (count > 0) await confirm();
  else if (isLast) break;
  else await sleep(PAUSE_MS);
}
await db.close();
console.log(JSON.stringify(report));

/** One transaction: nobody orders between a delivery and the new stock. */
async function confirm(): Promise<void> {
  const startedAt = performance.now();
  const { results: [confirmed, delivered] } = await db.batch([
    { sql: CONFIRM, params: [Date.now()] },
    { sql: DELIVER },
    { sql: RESTOCK },
  ]);
  report.latencies.push(performance.now() - startedAt);
  report.confirmed += confirmed.changes;
  report.deliveries += delivered.rows!.length;
}
