// Takes the instance of the file named, says so, and keeps it until standard input ends.
import { acquireInstance, AlreadyRunningError } from "../../daemon/process/single_instance.ts";

const [path] = Deno.args;
try {
  using _instance = await acquireInstance(path, { endpoint: `E${Deno.pid}`, pid: Deno.pid, path });
  console.log("got it");
  await new Response(Deno.stdin.readable).bytes();
} catch (error) {
  if (!(error instanceof AlreadyRunningError)) throw error;
  console.log(`running ${error.pid} ${error.endpoint}`);
}
