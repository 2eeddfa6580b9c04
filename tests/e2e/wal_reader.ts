// Holds a read transaction of the file named, says so, and ends it when standard input brings a line or ends.
import { Connection } from "../../daemon/sqlite/connection.ts";

const connection = Connection.open(Deno.args[0], { readOnly: true });
const { statement } = connection.prepare("SELECT 1 FROM sqlite_schema");
statement!.step();
console.log("reading");
await new Response(Deno.stdin.readable).bytes();
statement!.finalize();
connection.close();
console.log("ended");
