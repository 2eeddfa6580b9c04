/**
 * The web backend: an HTTP server on Deno that shows products and takes orders.
 *
 *     deno run -A web.ts FILE
 *
 * It prints its port, and ends when its standard input does.
 *
 * @module
 */
import { connect, SkylineError } from "../../mod.ts"; // in your app: "@skylinedb/client"

/** An order as the customer's browser sends it. */
export interface Order {
  readonly id: string;
  readonly customer: string;
  readonly lines: readonly { readonly product: number; readonly quantity: number }[];
}

// Constant texts with parameters: the daemon prepares each once.
const ADD_ORDER = "insert into orders (id, customer, placed_at) values (?, ?, ?)";
const TAKE_FROM_STOCK = "update product set stock = stock - :n where id = :id and stock >= :n";
const ADD_LINE = `insert into order_line (order_id, product_id, quantity, price_cents)
  select ?, id, ?, price_cents from product where id = ?`;
const VIEW_PRODUCT = `update product set views = views + 1 where id = ?
  returning name, price_cents as priceCents, stock`;

await using db = await connect(Deno.args[0]);

/** One transaction: where one product is sold out, nothing of the order stays. */
async function placeOrder({ id, customer, lines }: Order): Promise<Response> {
  try {
    await db.batch([
      { sql: ADD_ORDER, params: [id, customer, Date.now()] },
      ...lines.flatMap(({ product, quantity }) => [
        { sql: TAKE_FROM_STOCK, params: { id: product, n: quantity }, expect: { changes: 1 } },
        { sql: ADD_LINE, params: [id, quantity, product] },
      ]),
    ]);
    return new Response("placed", { status: 201 }); // it is on the disk now
  } catch (error) {
    if (!(error instanceof SkylineError)) throw error;
    if (error.code === "EXPECTATION_FAILED") return new Response("sold out", { status: 409 });
    if (error.sqliteCode === "SQLITE_CONSTRAINT_PRIMARYKEY") {
      return new Response("placed before", { status: 200 }); // the browser sent it again
    }
    throw error;
  }
}

async function showProduct(id: number): Promise<Response> {
  const product = await db.get(VIEW_PRODUCT, [id]);
  return product ? Response.json(product) : new Response("no such product", { status: 404 });
}

async function handle(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const [, id] = /^\/products\/(\d{1,9})$/.exec(pathname) ?? [];
  if (request.method === "GET" && id !== undefined) return await showProduct(Number(id));
  if (request.method === "POST" && pathname === "/orders") {
    return await placeOrder(await request.json());
  }
  return new Response("not found", { status: 404 });
}

const server = Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(port),
  onError: (error) => {
    console.error("web:", error);
    return new Response("try again later", { status: 503 });
  },
}, handle);

await Deno.stdin.readable.pipeTo(new WritableStream());
await server.shutdown();
