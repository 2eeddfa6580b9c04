/**
 * Programs that run as somebody else, or where other folders are mounted.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import type { Program } from "./daemon_fixture.ts";

/** The user `nobody`. */
export const NOBODY = 65_534;

/** Whether this user may run programs as {@link elsewhere} does. */
export const mayRunElsewhere = Deno.build.os === "linux" && Deno.uid() === 0 && canUnshare();

function canUnshare(): boolean {
  try {
    const args = ["-m", "mount", "-t", "tmpfs", "none", "/tmp"];
    return new Deno.Command("unshare", { args, stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

if (!mayRunElsewhere && Deno.build.os === "linux") {
  console.log(
    "Skipping what runs as another user or with other mounts: only root may do that here",
  );
}

/** A program with mounts of its own, made by lines of shell. */
export function elsewhere(program: Program, mounts: string): Program {
  return [
    "unshare",
    "-m",
    "--propagation",
    "private",
    "sh",
    "-ec",
    `${mounts}; exec "$@"`,
    "sh",
    ...program,
  ];
}

/** As a service with PrivateTmp has it, or a container: nothing in /tmp is seen. */
export function withPrivateTmp(program: Program): Program {
  return elsewhere(program, "mount -t tmpfs none /tmp");
}

/** As after a login: a folder of the session is there for this user. */
export function withSession(program: Program, user: number): Program {
  return elsewhere(
    program,
    `mount -t tmpfs none /run/user; mkdir -m 700 /run/user/${user}; chown ${user} /run/user/${user}`,
  );
}

/** As another user, who may read and write the files of the test, and for whom the program lies where it may be read. */
export function asUser([command, ...args]: Program, user: number): Program {
  const capability = "+dac_override";
  const caps = ["--inh-caps", capability, "--ambient-caps", capability];
  const cache = Deno.env.get("DENO_DIR") ?? join(Deno.env.get("HOME") ?? "/root", ".cache/deno");
  return elsewhere(
    [
      "env",
      ...["HOME=/mnt", "DENO_DIR=/mnt/cache"],
      ...["setpriv", "--reuid", String(user), "--clear-groups", ...caps],
      ...[join("/mnt/program", basename(command)), ...args],
    ],
    `mount -t tmpfs none /mnt; mkdir -p /mnt/program /mnt/cache; chmod 755 /mnt
     mount --bind "${
      dirname(command)
    }" /mnt/program; test ! -d "${cache}" || mount --bind "${cache}" /mnt/cache`,
  );
}
