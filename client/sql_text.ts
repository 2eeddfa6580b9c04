/**
 * What the text of SQL tells before the daemon has seen it: whether it writes, and whether it is one statement.
 *
 * @module
 */

/**
 * One token of SQL, as SQLite cuts them; blanks and comments too. What is not closed goes on to the end. A doubled quote is
 * read as two texts side by side, which makes no difference here. A parameter such as `$a(…)` is one token.
 */
const TOKEN =
  /[ \t\n\f\r\ufeff]+|--[^\n]*|\/\*[^]*?(?:\*\/|$)|'[^']*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?|[$@#:](?:[\w$\u0080-\uffff]|::)+(?:\([^\s)]*\))?|[\w$\u0080-\uffff]+|[^]/g;
const BLANK = /^(?:[ \t\n\f\r\ufeff]|--|\/\*)/;
/** Most of what is read starts like this; nothing else has to be looked at then. */
const PLAIN_READ = /^\s*(?:select|values)\b/i;
const WRITING_WORDS: ReadonlySet<string> = new Set([
  ...["insert", "replace", "update", "delete"],
  ...["create", "drop", "alter", "analyze", "reindex", "vacuum"],
]);
/** PRAGMAs that write where they are given a value. */
const WRITING_PRAGMAS: ReadonlySet<string> = new Set(["user_version", "application_id"]);

function* tokensOf(sql: string): Generator<string> {
  for (const [token] of sql.matchAll(TOKEN)) {
    if (!BLANK.test(token)) yield token.toLowerCase();
  }
}

/** Whether a statement writes. Where the text does not tell, it is taken to read: the daemon refuses it as a Query then. */
export function isWriting(sql: string): boolean {
  if (PLAIN_READ.test(sql)) return false;
  const tokens = tokensOf(sql);
  const first: string = tokens.next().value ?? "";
  if (first === "with") return WRITING_WORDS.has(wordAfterTables(tokens));
  if (first === "pragma") return isWritingPragma(tokens);
  return WRITING_WORDS.has(first);
}

/** The word after the tables of a WITH: the first one outside of parentheses that follows some, and is not their AS. */
function wordAfterTables(tokens: Iterable<string>): string {
  let depth = 0;
  let before = "";
  for (const token of tokens) {
    if (depth === 0 && before === ")" && token !== "as" && token !== ",") return token;
    if (token === "(") depth++;
    else if (token === ")") depth--;
    before = token;
  }
  return "";
}

function isWritingPragma(tokens: Iterable<string>): boolean {
  let name = "";
  for (const token of tokens) {
    if (token === "=" || token === "(") return WRITING_PRAGMAS.has(name);
    name = token;
  }
  return false;
}

/** Whether the text goes on after its first statement. In a trigger's body, only `; end ;` ends it. */
export function isScript(sql: string): boolean {
  const semicolon = sql.indexOf(";");
  if (semicolon === -1 || semicolon === sql.length - 1) return false;
  let count = 0;
  let isTrigger = false;
  let [last, beforeLast] = ["", ""];
  let hasEnded = false;
  for (const token of tokensOf(sql)) {
    if (token === ";") hasEnded ||= !isTrigger || (last === "end" && beforeLast === ";");
    else if (hasEnded) return true;
    // create trigger, create temp trigger, explain query plan create temporary trigger
    if (++count <= 6 && token === "trigger" && /^(?:create|temp|temporary)$/.test(last)) {
      isTrigger = true;
    }
    [last, beforeLast] = [token, last];
  }
  return false;
}
