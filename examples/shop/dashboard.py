"""The dashboard: reads the database file itself, without the daemon, while the others write.

    python3 dashboard.py FILE

It looks 50 times a second whether the shop's books balance, ends when its standard input does, and prints what it saw as JSON.
"""
import json, pathlib, sqlite3, sys, threading, time

# One statement sees one state of the database, whatever is written meanwhile.
BOOKS = """
    select
      (select count(*) from orders),
      (select count(*) from email),
      (select min(stock) from product),
      (select count(*) from product where stock <>
        (select sum(quantity) from delivery where product_id = product.id) -
        (select total(quantity) from order_line where product_id = product.id)),
      (select count(*) from orders where id not in (select order_id from order_line))"""
PAUSE_S = 0.02


def main(file):
    # Never immutable=1: the file changes. The timeout is for the moments in which a daemon recovers the log.
    db = sqlite3.connect(pathlib.Path(file).absolute().as_uri() + "?mode=ro", uri=True, timeout=5)
    report = {"reads": 0, "errors": [], "unbalanced": 0, "orders": 0, "emails": 0, "latencies": []}
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while True:
        is_last = ended.is_set()
        started_at = time.perf_counter()
        try:
            orders, emails, stock_min, wrong_products, empty_orders = db.execute(BOOKS).fetchone()
        except sqlite3.Error as error:
            report["errors"].append(str(error))
        else:
            report["latencies"].append(1000 * (time.perf_counter() - started_at))
            report["unbalanced"] += stock_min < 0 or wrong_products > 0 or empty_orders > 0 or emails > orders
            report.update(orders=orders, emails=emails)
        report["reads"] += 1
        if is_last:
            break
        time.sleep(PAUSE_S)
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
