/** Runs the shop of examples/shop for its ten seconds and holds its books against what its customers were told. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { findNode, findPython } from "../../examples/shop/programs.ts";
import { runShop, type ShopReport } from "../../examples/shop/run.ts";
import { startDaemon } from "../daemon_fixture.ts";

const [node, python] = await Promise.all([findNode(), findPython()]);
const missing = node === null ? "there is no Node from 22.18 on" : "there is no Python 3";
const canRun = node !== null && python !== null;

Deno.test({
  name: `the shop keeps every promise when four processes work on its file at once${
    canRun ? "" : ` (skipped: ${missing})`
  }`,
  ignore: !canRun,
  fn: async () => {
    await using daemon = await startDaemon({ files: ["shop.db"] });
    const outbox = join(daemon.folder, "outbox.txt");
    const report = await bounded(runShop(daemon.file, outbox, { node: node!, python: python! }));
    const books = readBooks(daemon.file);
    checkOrders(report, books);
    checkStock(report, books);
    checkEmails(report, books, await Deno.readTextFile(outbox));
    checkDashboard(report);
  },
});

/** What the file says. */
interface Books {
  readonly orders: string[];
  readonly unconfirmed: number;
  /** `order product quantity` */
  readonly lines: string[];
  readonly emails: string[];
  /** What is there, and what should be. */
  readonly stock: { stock: number; balance: number }[];
  readonly views: number;
  readonly integrity: string;
}

/** Reads the file itself, beside the daemon. */
function readBooks(file: string): Books {
  const db = new DatabaseSync(file, { readOnly: true });
  const column = (sql: string) => db.prepare(sql).all().map((row) => Object.values(row)[0]);
  try {
    return {
      orders: column("select id from orders") as string[],
      unconfirmed: column("select count(*) from orders where confirmed_at is null")[0] as number,
      lines: column(
        "select order_id || ' ' || product_id || ' ' || quantity from order_line",
      ) as string[],
      emails: column("select order_id from email") as string[],
      stock: db.prepare(
        `select stock,
          (select sum(quantity) from delivery where product_id = product.id) -
          (select cast(total(quantity) as integer) from order_line where product_id = product.id)
          as balance from product`,
      ).all() as unknown as Books["stock"],
      views: column("select sum(views) from product")[0] as number,
      integrity: column("pragma integrity_check")[0] as string,
    };
  } finally {
    db.close();
  }
}

function checkOrders({ customers, orders }: ShopReport, books: Books): void {
  const { acknowledged, refused, failures, views } = customers;
  assert.deepEqual(failures, []);
  assert.equal(acknowledged.length + refused.length, 250, "50 orders a second for 5 seconds");
  assert.ok(refused.length > 0, "the limited edition sold out");
  assert.deepEqual(books.orders.toSorted(), acknowledged.map(({ id }) => id).sort());
  const lines = acknowledged.flatMap(({ id, lines }) =>
    lines.map(({ product, quantity }) => `${id} ${product} ${quantity}`)
  );
  assert.deepEqual(books.lines.toSorted(), lines.sort());
  assert.equal(books.unconfirmed, 0);
  assert.equal(orders.confirmed, acknowledged.length);
  assert.equal(views, 200, "20 products a second for 10 seconds");
  assert.equal(books.views, views);
  assert.equal(books.integrity, "ok");
}

function checkStock({ orders }: ShopReport, { stock }: Books): void {
  assert.ok(orders.deliveries > 0);
  for (const { stock: left, balance } of stock) {
    assert.ok(left >= 0);
    assert.equal(left, balance);
  }
}

function checkEmails({ mailer }: ShopReport, { orders, emails }: Books, outbox: string): void {
  const sent = outbox.trimEnd().split("\n").map((line) => line.split(" ", 1)[0]);
  assert.deepEqual(emails.toSorted(), orders.toSorted());
  assert.deepEqual(sent.sort(), orders.toSorted());
  assert.equal(mailer.sent, orders.length);
}

function checkDashboard({ customers, dashboard }: ShopReport): void {
  assert.deepEqual(dashboard.errors, []);
  assert.equal(dashboard.unbalanced, 0);
  assert.ok(dashboard.reads > 100, `${dashboard.reads} reads`);
  assert.equal(dashboard.orders, customers.acknowledged.length);
  assert.equal(dashboard.emails, customers.acknowledged.length);
}

async function bounded<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The shop took over 60 s")), 60_000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
