/**
 * The command line: what each command takes, checked and handed to the command's own file.
 *
 * @module
 */
import { Command, CommanderError } from "commander";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { daemonConfig, durationMs, type StartOptions, UsageError } from "../process/config.ts";
import { VERSION } from "../process/version.ts";
import { EXIT } from "./exit_code.ts";
import { print, printError } from "./output.ts";
import { isFileName } from "./plain_start.ts";
import type { RowFormat } from "./result_text.ts";
import type { StatusFormat } from "./status.ts";

/** How long a statement, and how long a shutdown, may take when no `--timeout` is given. */
const STATEMENT_TIMEOUT = "30s", SHUTDOWN_TIMEOUT = "60s";

/**
 * Runs the command that the arguments name.
 *
 * @returns the exit code.
 * @throws {UsageError} when the arguments cannot be understood; else what the command throws.
 */
export async function runCommand(args: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = describe(async (run) => {
    exitCode = await run();
  });
  try {
    await program.parseAsync(withStart(args, program), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done; // help or version
    // It has printed the help of all.
    if (error.code === "commander.help") throw new UsageError(`unknown command '${args[1]}'`);
    throw usageError(error);
  }
  return exitCode;
}

/** Prints the help: as data, or as what is wrong with a command line that says nothing. */
export function printHelp(asError: boolean): void {
  const text = describe(() => Promise.resolve()).helpInformation();
  if (asError) printError(text);
  else print(text);
}

/** Runs a command and keeps its exit code. */
type Run = (command: () => Promise<number> | number) => Promise<void>;

function describe(run: Run): Command {
  const program = new Command("skylinedb-daemon")
    .description("Owns SQLite files: every write of every process goes through one queue.")
    .usage("FILE… | COMMAND")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .configureOutput({ writeOut: print, writeErr: printError, outputError: () => {} })
    .configureHelp({ showGlobalOptions: false })
    .exitOverride();
  addStart(program, run);
  addStatements(program, run);
  addQuestions(program, run);
  addShutdown(program, run);
  return program;
}

function addStart(program: Command, run: Run): void {
  program.command("start").argument("<file...>", "database files; one that is missing is created")
    .description("serve database files; the word start may be left out")
    .option("--background", "return as soon as it serves, and print where, as JSON")
    .option("--pipe <name>", "a plain second name to listen on")
    .option("--durability <level>", "full (default): survives a loss of power; normal")
    .option("--foreign-keys <on|off>", "enforce foreign keys; on by default")
    .option("--keep-wal", "leave -wal and -shm at the end, for readers in read-only folders")
    .option("--wal-limit <size>", "refuse writes from this size of the log on; 1GiB by default")
    .option(
      "--close-idle <time>",
      "close files that nobody uses for so long; 5m by default, or off",
    )
    .option("--exit-when-idle <time>", "end when nobody is connected for so long, such as 30m")
    .option("--log-file <file>", "append the log to a file; standard error by default")
    .option("--log-level <level>", "debug, info (default), warning or error")
    .addHelpText(
      "after",
      "\nOptions may also be given as SKYLINEDB_PIPE, SKYLINEDB_DURABILITY, and so on.",
    )
    .action((files: string[], options: StartOptions) =>
      run(async () => {
        const config = daemonConfig(files, options);
        if (config.background) {
          return await (await import("./background.ts")).startInBackground(config, options);
        }
        return await (await import("./start.ts")).start(config);
      })
    );
}

/** An unset variable in quotes would else name the folder, or where it may be left out, nothing. */
function fileName(text: string): string {
  if (text !== "") return text;
  throw new UsageError("The name of a database file is empty");
}

interface StatementOptions {
  file?: string;
  timeout: string;
  json?: boolean;
  csv?: boolean;
}

function addStatements(program: Command, run: Run): void {
  const statement = (name: string, description: string, sql: string) =>
    program.command(name).description(description)
      .argument("<file>", "a database file that a daemon serves", fileName)
      .argument(sql, "what to execute")
      .option("--file <sql>", "read the SQL from a file; - is standard input")
      .option("--timeout <time>", "500ms, 5s, 2m, 1h", STATEMENT_TIMEOUT)
      .option("--json", "print JSON")
      .option("--csv", "print CSV");
  statement("exec", "write: one transaction, all or nothing", "[sql...]")
    .action((file: string, sql: string[], options: StatementOptions) =>
      run(async () => {
        const format = formatOf(options);
        const timeoutMs = timeoutOf(options);
        const { sqlTexts } = await import("./sql_input.ts");
        const texts = await sqlTexts(sql, options.file);
        return await (await import("./exec.ts")).exec(file, texts, timeoutMs, format);
      })
    );
  statement("query", "read: one statement", "[sql]")
    .action((file: string, sql: string | undefined, options: StatementOptions) =>
      run(async () => {
        const format = formatOf(options);
        const timeoutMs = timeoutOf(options);
        if (sql !== undefined && options.file !== undefined) {
          throw new UsageError("query takes one statement: SQL or --file, not both");
        }
        const { sqlTexts } = await import("./sql_input.ts");
        const [text] = await sqlTexts(sql === undefined ? [] : [sql], options.file);
        return await (await import("./query.ts")).query(file, text, timeoutMs, format);
      })
    );
}

function formatOf({ json, csv }: StatementOptions): RowFormat {
  if (json && csv) throw new UsageError("--json and --csv exclude one another");
  return json ? "json" : csv ? "csv" : "table";
}

function timeoutOf({ timeout }: { timeout: string }): number {
  return durationMs("--timeout", timeout, WIRE_LIMITS.timeoutMsMax);
}

interface StatusOptions {
  json?: boolean;
  prometheus?: boolean;
  watch?: boolean;
}

function statusFormatOf({ json, prometheus, watch }: StatusOptions): StatusFormat {
  if (prometheus && json) throw new UsageError("--prometheus and --json exclude one another");
  if (prometheus && watch) throw new UsageError("--prometheus and --watch exclude one another");
  return prometheus ? "prometheus" : json ? "json" : "page";
}

function addQuestions(program: Command, run: Run): void {
  program.command("status").argument("[file]", "needed where several daemons run", fileName)
    .description("print how a daemon is doing").option("--json", "print JSON")
    .option("--prometheus", "print Prometheus' text format")
    .option("--watch", "show it again every second, until Ctrl+C")
    .action((file: string | undefined, options: StatusOptions) =>
      run(async () => {
        const format = statusFormatOf(options);
        if (!options.watch) return await (await import("./status.ts")).status(file, format);
        return await (await import("./status_watch.ts")).watchStatus(file, format === "json");
      })
    );
  program.command("list").description("print the databases that are served")
    .option("--json", "print JSON")
    .action(({ json = false }: { json?: boolean }) =>
      run(async () => (await import("./list.ts")).list(json))
    );
  program.command("ping").argument("<file>", "a database file", fileName).description(
    "ask a daemon whether it answers",
  )
    .action((file: string) => run(async () => (await import("./ping.ts")).ping(file)));
  program.command("endpoint").argument("<file>", "a database file", fileName)
    .description("print the pipe or socket by which a database file is served")
    .action((file: string) => run(async () => (await import("./endpoint.ts")).endpoint(file)));
}

interface ShutdownOptions {
  all?: boolean;
  pid?: string;
  timeout: string;
}

function processId(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`--pid is a process id, not "${text}"`);
  return Number(text);
}

function addShutdown(program: Command, run: Run): void {
  program.command("shutdown").argument("[file]", "needed where several daemons run", fileName)
    .description("end a daemon; returns when its files are unlocked")
    .option("--all", "end all daemons of this user")
    .option(
      "--pid <number>",
      "end the daemon with this process id, such as where its file was moved",
    )
    .option("--timeout <time>", "500ms, 5s, 2m, 1h", SHUTDOWN_TIMEOUT)
    .action((file: string | undefined, options: ShutdownOptions) =>
      run(async () => {
        const { all, pid } = options;
        if (all && file !== undefined) throw new UsageError("--all and FILE exclude one another");
        if (pid !== undefined && (all || file !== undefined)) {
          throw new UsageError("--pid stands alone, without FILE and --all");
        }
        const target = { file, all, ...(pid !== undefined && { pid: processId(pid) }) };
        const timeoutMs = timeoutOf(options);
        return await (await import("./shutdown.ts")).shutdown(target, timeoutMs);
      })
    );
}

/** `start` may be left out before a file or an option of its own. */
function withStart(args: readonly string[], program: Command): string[] {
  const [first] = args;
  const isCommand = first === "help" || program.commands.some((each) => each.name() === first);
  const isStart = first.startsWith("-")
    ? !/^(-h|--help|-V|--version)$/.test(first)
    : isFileName(first);
  return isStart && !isCommand ? ["start", ...args] : [...args];
}

/** Commander's words, with its suggestion as the hint. */
function usageError({ message }: CommanderError): UsageError {
  const [first, suggestion] = message.replace(/^error: /, "").split("\n", 2);
  const hint = suggestion?.replace(/^\((.*)\)$/, "$1");
  return new UsageError(
    first,
    hint ?? "skylinedb-daemon --help lists the commands, COMMAND --help its options.",
  );
}
