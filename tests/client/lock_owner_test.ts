import assert from "node:assert/strict";
import process from "node:process";
import { lockingPid, outOfReach } from "../../client/lock_owner.ts";

const LOCKS = `1: POSIX  ADVISORY  READ 11 fe:00:42 1073741826 1073742335
2: FLOCK  ADVISORY  WRITE 12 fe:00:42 0 EOF
2: -> FLOCK  ADVISORY  WRITE 13 fe:00:42 0 EOF
3: FLOCK  ADVISORY  WRITE 14 08:01:43 0 EOF
4: FLOCK  ADVISORY  WRITE 15 fe:00:43 0 EOF
5: FLOCK  ADVISORY  READ 16 fe:00:44 0 EOF
`;
const DEVICE = 0xfe00n;

Deno.test("lockingPid() finds who has a file locked as a whole, by device and inode", () => {
  assert.equal(lockingPid(LOCKS, DEVICE, 42n), 12);
  assert.equal(lockingPid(LOCKS, DEVICE, 43n), 15);
  assert.equal(lockingPid(LOCKS, 0x801n, 43n), 14);
  assert.equal(lockingPid(LOCKS, DEVICE, 44n), null, "a lock that several may have");
  assert.equal(lockingPid(LOCKS, DEVICE, 4n), null);
  assert.equal(lockingPid("", DEVICE, 42n), null);
});

Deno.test("lockingPid() goes by the inode where the file system tells another device", () => {
  assert.equal(lockingPid(LOCKS, 0x2dn, 42n), 12);
});

Deno.test("outOfReach() is NO_PERMISSION unless the process is this user's", () => {
  const user = process.getuid?.() ?? 0;
  const other = outOfReach("a.db", { pid: 7, user: user + 1 });
  assert.deepEqual([other.code, other.retry], ["NO_PERMISSION", "no"]);
  assert.match(other.message, new RegExp(`user ${user + 1} \\(pid 7\\)`));
  assert.equal(outOfReach("a.db", { pid: 0 }).code, "NO_PERMISSION");
  if (Deno.build.os !== "windows") {
    assert.equal(outOfReach("a.db", { pid: 7, user }).code, "NOT_RUNNING");
  }
});
