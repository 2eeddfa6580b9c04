/**
 * The customers: they look at products, place orders, and remember what the shop told them.
 *
 * @module
 */
import type { Order } from "./web.ts";

/** What the customers saw. */
export interface Ledger {
  /** Orders that the shop said are placed. */
  readonly acknowledged: Order[];
  /** Orders for which too little was left. */
  readonly refused: Order[];
  /** What went wrong. */
  readonly failures: string[];
  /** Products that were shown. */
  views: number;
  /** Milliseconds that each answer to an order took. */
  readonly latencies: number[];
}

/** How long they come, and how often. */
export interface Visits {
  readonly seconds: number;
  readonly viewsPerSecond: number;
  /** Orders come in the first seconds only. */
  readonly orderSeconds: number;
  readonly ordersPerSecond: number;
  /** The products have the ids from 1. */
  readonly products: number;
}

/** So many come at the same moment, so that their orders share commits. */
const COMPANY = 5;

/** Visits the shop at `url`. They come when they come: nobody waits for another's answer. */
export async function visitShop(url: string, visits: Visits): Promise<Ledger> {
  const ledger: Ledger = { acknowledged: [], refused: [], failures: [], views: 0, latencies: [] };
  const { seconds, viewsPerSecond, orderSeconds, ordersPerSecond, products } = visits;
  await Promise.all([
    atRate(viewsPerSecond, seconds, (n) => view(url, n % products + 1, ledger)),
    atRate(ordersPerSecond, orderSeconds, (n) => order(url, nthOrder(n, products), ledger)),
  ]);
  return ledger;
}

async function atRate(
  perSecond: number,
  seconds: number,
  visit: (n: number) => Promise<void>,
): Promise<void> {
  const startedAt = performance.now();
  const running: Promise<void>[] = [];
  for (let n = 0; n < perSecond * seconds; n++) {
    const dueAt = startedAt + 1000 * (n - n % COMPANY) / perSecond;
    const waitMs = dueAt - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    running.push(visit(n));
  }
  await Promise.all(running);
}

/** One product or two. */
function nthOrder(n: number, products: number): Order {
  const chosen = new Set([n % products + 1, 7 * n % products + 1]);
  return {
    id: crypto.randomUUID(),
    customer: `customer-${n}`,
    lines: [...chosen].map((product) => ({ product, quantity: n % 3 + 1 })),
  };
}

async function order(url: string, order: Order, ledger: Ledger): Promise<void> {
  const startedAt = performance.now();
  try {
    const response = await fetch(`${url}/orders`, { method: "POST", body: JSON.stringify(order) });
    const text = await response.text();
    ledger.latencies.push(performance.now() - startedAt);
    if (response.status === 201) ledger.acknowledged.push(order);
    else if (response.status === 409) ledger.refused.push(order);
    else ledger.failures.push(`order: ${response.status} ${text}`);
  } catch (error) {
    ledger.failures.push(`order: ${error}`);
  }
}

async function view(url: string, product: number, ledger: Ledger): Promise<void> {
  try {
    const response = await fetch(`${url}/products/${product}`);
    const text = await response.text();
    if (response.ok) ledger.views++;
    else ledger.failures.push(`product ${product}: ${response.status} ${text}`);
  } catch (error) {
    ledger.failures.push(`product ${product}: ${error}`);
  }
}
