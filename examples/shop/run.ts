/**
 * Runs the shop for ten seconds and prints what came of it.
 *
 *     deno run -A examples/shop/run.ts
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "../../mod.ts";
import { type Ledger, visitShop } from "./customers.ts";
import { findNode, findPython } from "./programs.ts";
import { Process } from "./process.ts";

/** What the order service prints. */
export interface OrdersReport {
  readonly confirmed: number;
  readonly deliveries: number;
  readonly latencies: readonly number[];
}

/** What the e-mail worker prints. */
export interface MailerReport {
  readonly sent: number;
  readonly conflicts: number;
  readonly latencies: readonly number[];
}

/** What the dashboard prints. */
export interface DashboardReport {
  readonly reads: number;
  readonly errors: readonly string[];
  readonly unbalanced: number;
  readonly orders: number;
  readonly emails: number;
  readonly latencies: readonly number[];
}

/** What came of it. */
export interface ShopReport {
  readonly customers: Ledger;
  readonly orders: OrdersReport;
  readonly mailer: MailerReport;
  readonly dashboard: DashboardReport;
}

/** Product 1 is a limited edition: it sells out. */
const PRODUCTS = 20;
const VISITS = { seconds: 10, viewsPerSecond: 20, orderSeconds: 5, ordersPerSecond: 50 };

/** Where the programs are: see `programs.ts`. */
export interface Programs {
  readonly node: string;
  readonly python: string;
}

/**
 * Runs the four processes on `file`, which a daemon serves, and the customers in this one. E-mails are appended to
 * the file `outbox`.
 */
export async function runShop(
  file: string,
  outbox: string,
  { node, python }: Programs,
): Promise<ShopReport> {
  await stock(file);
  await using web = new Process(Deno.execPath(), ["run", "-A", path("web.ts"), file]);
  await using orders = new Process(node, [path("orders.ts"), file]);
  await using mailer = new Process(python, [path("mailer.py"), file, outbox]);
  await using dashboard = new Process(python, [path("dashboard.py"), file]);
  const url = `http://127.0.0.1:${await web.firstLine()}`;
  const customers = await visitShop(url, { ...VISITS, products: PRODUCTS });
  // In this order, so that each can finish what those before it left.
  await web.end();
  return {
    customers,
    orders: JSON.parse(await orders.end()),
    mailer: JSON.parse(await mailer.end()),
    dashboard: JSON.parse(await dashboard.end()),
  };
}

/** Makes the tables and fills the shelves. */
async function stock(file: string): Promise<void> {
  await using db = await connect(file);
  await db.exec(await Deno.readTextFile(path("schema.sql")));
  await db.batch(
    Array.from({ length: PRODUCTS }, (_, i) => [
      db.sql`insert into product (id, name, price_cents, stock, reorder)
      values (${i + 1}, ${`Product ${i + 1}`}, ${199 + 50 * i}, 10, ${i === 0 ? 0 : 100})`,
      db.sql`insert into delivery (product_id, quantity) values (${i + 1}, 10)`,
    ]).flat(),
  );
}

function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** The report as a table. */
export function printReport({ customers, orders, mailer, dashboard }: ShopReport): void {
  const { acknowledged, refused, failures, views } = customers;
  console.table({
    "orders placed": { number: acknowledged.length + refused.length + failures.length },
    "orders acknowledged": { number: acknowledged.length, ...milliseconds(customers.latencies) },
    "orders refused: sold out": { number: refused.length },
    "orders in the file": { number: dashboard.orders },
    "orders confirmed": { number: orders.confirmed, ...milliseconds(orders.latencies) },
    "deliveries": { number: orders.deliveries },
    "e-mails sent": { number: mailer.sent, ...milliseconds(mailer.latencies) },
    "e-mails made up again": { number: mailer.conflicts },
    "products shown": { number: views },
    "reads of the file": { number: dashboard.reads, ...milliseconds(dashboard.latencies) },
    "reads that failed": { number: dashboard.errors.length },
    "reads that did not balance": { number: dashboard.unbalanced },
  });
  for (const failure of [...failures, ...dashboard.errors]) console.error(failure);
}

function milliseconds(latencies: readonly number[]): Record<string, number> {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  const rounded = (ms: number) => Math.round(10 * ms) / 10;
  return { "p50 ms": rounded(at(0.5)), "p99 ms": rounded(at(0.99)), "max ms": rounded(at(1)) };
}

async function main(): Promise<number> {
  const [node, python] = await Promise.all([findNode(), findPython()]);
  if (node === null || python === null) {
    console.error("The shop needs Node 22.18 or later and Python 3.");
    return 1;
  }
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-shop-" });
  const file = join(folder, "shop.db");
  const start = fileURLToPath(new URL("../../tools/start.ts", import.meta.url));
  const args = ["run", "-A", start, "start", file, "--log-level", "warning"];
  const daemon = new Process(Deno.execPath(), args);
  try {
    console.log(await daemon.firstLine());
    console.log(`The shop is open for ${VISITS.seconds} seconds.`);
    printReport(await runShop(file, join(folder, "outbox.txt"), { node, python }));
    const db = await connect(file);
    await db.shutdown();
    await daemon.end();
    return 0;
  } finally {
    await daemon[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main());
