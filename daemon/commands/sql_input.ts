/**
 * The SQL that a command is given: as arguments, from a file or from standard input.
 *
 * @module
 */
import { UsageError } from "../process/config.ts";
import { systemReason } from "../process/system_error.ts";

/**
 * The SQL texts to execute, those of the arguments first.
 *
 * @param file path of a file with SQL; `-` is standard input.
 * @throws {UsageError} when there is none, or the file cannot be read.
 */
export async function sqlTexts(
  sql: readonly string[],
  file: string | undefined,
): Promise<string[]> {
  const texts = [...sql];
  if (file === "") throw new UsageError("--file names no file");
  if (file !== undefined) texts.push(await readSql(file));
  if (texts.length === 0 || texts.some((text) => text.trim() === "")) {
    throw new UsageError(
      "No SQL is given",
      "Write it in quotes, or use --file S.sql, or --file - to read it from a pipe.",
    );
  }
  return texts;
}

async function readSql(file: string): Promise<string> {
  try {
    const bytes = file === "-"
      ? await new Response(Deno.stdin.readable).bytes()
      : await Deno.readFile(file);
    // Not `fatal: false`: SQL with replacement characters in it would be executed.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new UsageError(
      `--file: cannot read ${file === "-" ? "standard input" : file}: ${systemReason(error)}`,
    );
  }
}
