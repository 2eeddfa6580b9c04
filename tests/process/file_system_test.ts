import assert from "node:assert/strict";
import {
  type Mount,
  mountOf,
  unfitFileSystem,
  unfitMount,
  unfitPath,
  unfitWindowsPath,
} from "../../daemon/process/file_system.ts";

const MOUNTINFO = String.raw`22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
30 27 0:40 / /srv rw,relatime shared:2 master:1 propagate_from:3 - nfs4 server:/export rw,vers=4.2
31 30 8:1 / /srv/local rw - xfs /dev/sda1 rw
32 27 0:41 / /mnt/my\040drive rw - cifs //server/my\040share rw,vers=3.1.1
33 27 0:42 / /mnt/a\134b rw - 9p host rw,trans=virtio
34 27 0:43 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\134;uid=1000,trans=fd
35 27 0:44 / /home/ä rw - fuse.sshfs me@host:/home/me rw,user_id=1000
36 27 0:45 / /mnt/twice rw - ext4 /dev/sdb1 rw
37 36 0:46 / /mnt/twice rw - nfs server:/late rw
`;

Deno.test("mountOf() finds the file system with the longest mount point, and the last there", () => {
  const found = (path: string) => mountOf(MOUNTINFO, path)?.point;
  assert.equal(found("/data/app.db"), "/");
  assert.equal(found("/"), "/");
  assert.equal(found("/srv"), "/srv");
  assert.equal(found("/srv/app.db"), "/srv");
  assert.equal(found("/srv2/app.db"), "/");
  assert.equal(found("/srv/local/app.db"), "/srv/local");
  assert.equal(mountOf(MOUNTINFO, "/mnt/twice/app.db")?.type, "nfs");
});

Deno.test("mountOf() tells what is read-only, by the mount or by the file system", () => {
  const text = MOUNTINFO.replace("/srv rw,relatime", "/srv ro,relatime")
    .replace("/dev/sda1 rw", "/dev/sda1 ro,noquota");
  const isReadOnly = (path: string) => mountOf(text, path)?.isReadOnly;
  assert.deepEqual(["/srv/a.db", "/srv/local/a.db", "/a.db"].map(isReadOnly), [true, true, false]);
});

Deno.test("mountOf() reads names with spaces, backslashes and umlauts, and optional fields", () => {
  assert.deepEqual(mountOf(MOUNTINFO, "/mnt/my drive/app.db"), {
    point: "/mnt/my drive",
    type: "cifs",
    source: "//server/my share",
    options: "rw,vers=3.1.1",
    isReadOnly: false,
  });
  assert.equal(mountOf(MOUNTINFO, "/mnt/a\\b/app.db")?.type, "9p");
  assert.equal(mountOf(MOUNTINFO, "/home/ä/app.db")?.type, "fuse.sshfs");
  assert.equal(mountOf(MOUNTINFO, "/srv/app.db")?.source, "server:/export");
});

Deno.test("mountOf() finds nothing in an empty or a broken text", () => {
  assert.equal(mountOf("", "/a.db"), null);
  assert.equal(mountOf("22 27 0:21 / / rw\n\n-\nnonsense - - -\n", "/a.db"), null);
});

Deno.test("unfitMount() refuses what other computers serve, and says where it is", () => {
  const of = (path: string) => unfitMount(mountOf(MOUNTINFO, path)!);
  assert.deepEqual(of("/srv/app.db"), {
    reason: "it is on a network drive (/srv, file system nfs4)",
    hint: "Put it on a disk of this computer",
  });
  assert.match(of("/mnt/my drive/app.db")!.reason, /network drive \(\/mnt\/my drive, .* cifs\)/);
  assert.match(of("/home/ä/app.db")!.reason, /network drive .*fuse\.sshfs/);
  assert.match(of("/mnt/a\\b/app.db")!.reason, /shared with the host computer .*9p/);
  assert.equal(of("/srv/local/app.db"), null);
  assert.equal(of("/data/app.db"), null);
});

function mount(type: string, more: Partial<Mount> = {}): Mount {
  return { point: "/mnt/x", type, source: "none", options: "rw", isReadOnly: false, ...more };
}

Deno.test("unfitMount() names a Windows drive seen from WSL as such, however it is carried", () => {
  const drives = [
    mountOf(MOUNTINFO, "/mnt/c/app.db")!,
    mount("drvfs", { source: "C:" }),
    mount("virtiofs", { source: "drvfsaC0" }),
    mount("9p", { source: "drvfs" }),
  ];
  for (const drive of drives) {
    assert.match(unfitMount(drive)!.reason, /Windows drive, seen from WSL/, JSON.stringify(drive));
    assert.match(unfitMount(drive)!.hint, /skylinedb-daemon\.exe on Windows/);
  }
});

Deno.test("unfitMount() takes the file systems of this computer's own disks and memory", () => {
  const local =
    "ext4 xfs btrfs zfs bcachefs f2fs tmpfs overlay fuseblk ntfs3 exfat vfat apfs virtiofs " +
    "fuse.mergerfs fuse.encfs ecryptfs";
  for (const type of local.split(" ")) assert.equal(unfitMount(mount(type)), null, type);
});

Deno.test("unfitWindowsPath() refuses every spelling of a path on another computer", () => {
  const untouched = () => {
    throw new Error("no drive is named");
  };
  const remote = [
    String.raw`\\server\share\app.db`,
    String.raw`\\192.168.1.2\c$\app.db`,
    "//server/share/app.db",
    String.raw`\\?\UNC\server\share\app.db`,
    String.raw`\\?\unc\server\share\app.db`,
    String.raw`\\.\UNC\server\share\app.db`,
    String.raw`\\localhost\c$\app.db`,
  ];
  for (const path of remote) {
    assert.match(unfitWindowsPath(path, untouched)!.reason, /network drive/, path);
  }
  const linux = [
    String.raw`\\wsl.localhost\Ubuntu\home\me\app.db`,
    String.raw`\\wsl$\Ubuntu\home\me\app.db`,
    String.raw`\\WSL.LOCALHOST\Ubuntu\app.db`,
    String.raw`\\?\UNC\wsl.localhost\Ubuntu\app.db`,
  ];
  for (const path of linux) {
    assert.match(unfitWindowsPath(path, untouched)!.reason, /Linux file system \(WSL\)/, path);
    assert.match(unfitWindowsPath(path, untouched)!.hint, /in WSL/);
  }
});

Deno.test("unfitWindowsPath() asks the system about a drive", () => {
  const asked: string[] = [];
  const driveType = (root: string) => {
    asked.push(root);
    return root === "Z:\\" ? 4 : 3;
  };
  assert.equal(unfitWindowsPath(String.raw`D:\MyApp\app.db`, driveType), null);
  assert.equal(unfitWindowsPath(String.raw`\\?\D:\MyApp\app.db`, driveType), null);
  assert.match(unfitWindowsPath(String.raw`Z:\app.db`, driveType)!.reason, /Z: is a network drive/);
  assert.match(unfitWindowsPath(String.raw`\\?\Z:\app.db`, driveType)!.reason, /network drive/);
  assert.deepEqual(asked, ["D:\\", "D:\\", "Z:\\", "Z:\\"]);
  assert.equal(unfitWindowsPath(String.raw`\\?\Volume{4c1b02c1}\app.db`, driveType), null);
});

Deno.test("unfitWindowsPath() refuses streams of other files, and names of devices", () => {
  const reasonOf = (path: string) => unfitWindowsPath(path, () => 3)?.reason;
  for (const path of [String.raw`D:\a.db:x`, String.raw`\\?\D:\x\a.db:x:$DATA`, "D:/a.db:x"]) {
    assert.match(reasonOf(path)!, /^behind a colon/, path);
  }
  for (const name of ["con", "NUL.db", "Com1", "lpt9.app.db", "aux .db"]) {
    assert.match(reasonOf(`D:\\data\\${name}`)!, /for a device$/, name);
  }
  for (const name of ["console.db", "com10.db", "a.nul", "com0", "nul\\a.db"]) {
    assert.equal(reasonOf(`D:\\data\\${name}`), undefined, name);
  }
});

Deno.test("unfitFileSystem() takes the folder that tests are run in", () => {
  const folder = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "skylinedb-system-" }));
  try {
    assert.equal(unfitPath(folder), null);
    assert.equal(unfitFileSystem(folder), null);
  } finally {
    Deno.removeSync(folder);
  }
});
