"""The e-mail worker: writes one e-mail for each confirmed order.

    python3 mailer.py FILE OUTBOX

It talks to the daemon by the protocol alone (docs/protocol.md) and needs nothing but Python. "Sending" appends a line
to the file OUTBOX. It ends when its standard input does and nothing is left to send, and prints what it did as JSON.
"""
import hashlib, json, os, re, socket, struct, sys, threading, time

TO_SEND = """
    select orders.id, customer, sum(quantity), sum(quantity * price_cents)
    from orders join order_line on order_line.order_id = orders.id
    where confirmed_at is not null and orders.id not in (select order_id from email)
    group by orders.id order by confirmed_at limit 10"""
ADD_EMAIL = "insert into email (order_id, address, text) values (?, ?, ?)"
PAUSE_S = 0.05


def main(file, outbox_file):
    db = Database(file)
    report = {"sent": 0, "conflicts": 0, "latencies": []}
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with open(outbox_file, "a", encoding="utf-8", buffering=1) as outbox:
        while True:
            is_last = ended.is_set()
            answer = db.request(type="Query", sql=TO_SEND)
            emails = [email(*row) for row in answer["rows"]]
            if not emails:
                if is_last:
                    break
                time.sleep(PAUSE_S)
                continue
            started_at = time.perf_counter()
            if not add(db, emails, answer["rev"]):
                report["conflicts"] += 1
                continue
            report["latencies"].append(1000 * (time.perf_counter() - started_at))
            # Sent when the row is on the disk: a worker that dies here leaves an e-mail out, rather than sending it twice.
            for order, address, text in emails:
                print(order, address, json.dumps(text), file=outbox)
            report["sent"] += len(emails)
    print(json.dumps(report))


def email(order, customer, count, cents):
    return order, f"{customer}@example.com", f"Your {count} items for {cents // 100}.{cents % 100:02} are on their way."


def add(db, emails, rev):
    """Adds the e-mails unless anything was written since they were made up: then they may be wrong by now."""
    try:
        db.request(type="ExecBatch", if_rev=rev, stmts=[{"sql": ADD_EMAIL, "params": each} for each in emails])
        return True
    except SkylineError as error:
        if error.code != "REVISION_CHANGED":
            raise
        return False


class SkylineError(Exception):
    def __init__(self, answer):
        super().__init__(answer["message"])
        self.code = answer["code"]


class Database:
    """As much of the protocol as this worker needs: one request at a time, texts and integers."""

    def __init__(self, file):
        name = endpoint(file)
        if os.name == "nt":
            self._stream = open(name, "r+b", buffering=0)
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(name)
            self._stream = connection.makefile("rwb")

    def request(self, **fields):
        body = json.dumps(fields).encode()
        self._stream.write(struct.pack("<I", len(body)) + body)
        self._stream.flush()
        answer = json.loads(self._read(*struct.unpack("<I", self._read(4))))
        if answer["status"] == "error":
            raise SkylineError(answer)
        return answer

    def _read(self, count):
        data = b""
        while len(data) < count:
            part = self._stream.read(count - len(data))
            if not part:
                raise ConnectionError("the daemon closed the connection")
            data += part
        return data


def endpoint(file):
    path = os.path.realpath(file, strict=True)
    if os.name == "nt":
        path = re.sub(r"^\\\\\?\\(UNC(?=\\))?", lambda prefix: "\\" if prefix[1] else "", path)
        return "\\\\.\\pipe\\skylinedb-" + hashlib.sha256(path.encode().lower()).hexdigest()[:16]
    user = os.getuid()
    folders = [f"/run/user/{user}/skylinedb", f"/tmp/skylinedb-{user}"]
    own = [each for each in folders if os.path.isdir(each) and os.lstat(each).st_uid == user]
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + ".sock"
    places = [f"{folder}/{name}" for folder in own or folders]
    return next(filter(os.path.exists, places), places[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
