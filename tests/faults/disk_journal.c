/*
 * Preloaded into a daemon: journals what it does to the files of one folder, in order and with the data, so that a test
 * can tell what a disk may hold when the power goes. It syncs nothing, and lets syncs fail when it is told to.
 *
 * SKYLINEDB_DISK_FOLDER    the folder, absolute and real
 * SKYLINEDB_DISK_JOURNAL   the file that records are appended to
 * SKYLINEDB_DISK_CONTROL   a file of four int32: how many syncs still succeed, how many fail after them, how many calls
 *                          are journaled after the last of these until the process is killed (0: it lives), and
 *                          whether all this is of syncs of databases alone, not of logs and folders
 *
 * A record is a header, a path and data; see disk_journal.ts. Calls that change files are made one at a time, so that
 * the order of the records is theirs. The log's index (-shm) is mapped, and lost with the power: it is left out.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { START, OPEN, CLOSE, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, UNLINK, RENAME };

struct header {
  int64_t ns;
  int32_t op, result;
  int64_t fd, number;
  uint32_t path_bytes, data_bytes;
};

#define FDS_MAX 65536
enum { NONE, OTHER, DATABASE };
static unsigned char tracked[FDS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_bytes;
static int journal = -1;
static int32_t *control;
static int counts_down;

#define REAL(type, name, ...)                                    \
  static type (*real_##name)(__VA_ARGS__);                       \
  if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void record(int64_t ns, int op, int64_t result, int64_t fd, int64_t number,
                   const char *path, const void *data, size_t data_bytes) {
  struct header header = {ns, op, (int32_t)result, fd, number,
                          path ? strlen(path) : 0, data_bytes};
  struct iovec parts[3] = {{&header, sizeof header},
                           {(void *)path, header.path_bytes},
                           {(void *)data, data_bytes}};
  int saved = errno;
  REAL(ssize_t, writev, int, const struct iovec *, int);
  ssize_t all = sizeof header + header.path_bytes + data_bytes;
  if (real_writev(journal, parts, 3) != all) abort();
  if (counts_down && --control[2] == 0) kill(getpid(), SIGKILL);
  errno = saved;
}

/* Not the children: they have the variables no more. */
__attribute__((constructor)) static void start(void) {
  const char *path = getenv("SKYLINEDB_DISK_JOURNAL"), *where = getenv("SKYLINEDB_DISK_CONTROL");
  const char *named = getenv("SKYLINEDB_DISK_FOLDER");
  if (!path || !where || !named) return;
  REAL(int, open, const char *, int, ...);
  int fd = real_open(where, O_RDWR | O_CLOEXEC);
  control = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  journal = real_open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (control == MAP_FAILED || journal < 0) abort();
  folder = strdup(named);
  folder_bytes = strlen(folder);
  unsetenv("LD_PRELOAD");
  unsetenv("SKYLINEDB_DISK_JOURNAL");
  record(now(), START, 0, 0, 0, NULL, NULL, 0);
}

static int is_ours(const char *path) {
  if (journal < 0 || !path || strncmp(path, folder, folder_bytes) != 0) return 0;
  size_t bytes = strlen(path);
  if (bytes == folder_bytes) return 1;
  return path[folder_bytes] == '/' && strcmp(path + bytes - 4, "-shm") != 0;
}

static int is_tracked(int fd) { return fd >= 0 && fd < FDS_MAX && tracked[fd]; }

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, int mode) {
  if (!is_ours(path)) return real(path, flags, mode);
  size_t bytes = strlen(path);
  pthread_mutex_lock(&lock);
  int64_t ns = now();
  int fd = real(path, flags, mode);
  if (fd >= FDS_MAX) abort();
  if (fd >= 0) {
    tracked[fd] = bytes > 3 && strcmp(path + bytes - 3, ".db") == 0 ? DATABASE : OTHER;
    record(ns, OPEN, 0, fd, flags, path, NULL, 0);
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

#define OPENER(name)                                             \
  int name(const char *path, int flags, ...) {                   \
    REAL(int, name, const char *, int, ...);                     \
    va_list rest;                                                \
    va_start(rest, flags);                                       \
    int mode = va_arg(rest, int);                                \
    va_end(rest);                                                \
    return opened(real_##name, path, flags, mode);               \
  }
OPENER(open)
OPENER(open64)

int close(int fd) {
  REAL(int, close, int);
  if (!is_tracked(fd)) return real_close(fd);
  pthread_mutex_lock(&lock);
  tracked[fd] = 0;
  record(now(), CLOSE, 0, fd, 0, NULL, NULL, 0);
  int result = real_close(fd);
  pthread_mutex_unlock(&lock);
  return result;
}

#define WRITER(name)                                                            \
  ssize_t name(int fd, const void *data, size_t bytes, off64_t offset) {        \
    REAL(ssize_t, name, int, const void *, size_t, off64_t);                    \
    if (!is_tracked(fd)) return real_##name(fd, data, bytes, offset);           \
    pthread_mutex_lock(&lock);                                                  \
    int64_t ns = now();                                                         \
    ssize_t result = real_##name(fd, data, bytes, offset);                      \
    if (result > 0) record(ns, WRITE, result, fd, offset, NULL, data, result);  \
    pthread_mutex_unlock(&lock);                                                \
    return result;                                                              \
  }
WRITER(pwrite)
WRITER(pwrite64)

ssize_t write(int fd, const void *data, size_t bytes) {
  REAL(ssize_t, write, int, const void *, size_t);
  if (!is_tracked(fd)) return real_write(fd, data, bytes);
  ssize_t result = pwrite64(fd, data, bytes, lseek(fd, 0, SEEK_CUR));
  if (result > 0) lseek(fd, result, SEEK_CUR);
  return result;
}

#define TRUNCATER(name)                                          \
  int name(int fd, off64_t size) {                               \
    REAL(int, name, int, off64_t);                               \
    if (!is_tracked(fd)) return real_##name(fd, size);           \
    pthread_mutex_lock(&lock);                                   \
    int64_t ns = now();                                          \
    int result = real_##name(fd, size);                          \
    if (result == 0) record(ns, TRUNCATE, 0, fd, size, NULL, NULL, 0); \
    pthread_mutex_unlock(&lock);                                 \
    return result;                                               \
  }
TRUNCATER(ftruncate)
TRUNCATER(ftruncate64)

/* Nothing is synced: the test decides what would have been. */
#define SYNCER(name)                                             \
  int name(int fd) {                                             \
    REAL(int, name, int);                                        \
    if (!is_tracked(fd)) return real_##name(fd);                 \
    pthread_mutex_lock(&lock);                                   \
    record(now(), SYNC_BEGIN, 0, fd, 0, NULL, NULL, 0);          \
    int counts = !control[3] || tracked[fd] == DATABASE;         \
    int fails = counts && control[0] <= 0 && control[1] > 0;     \
    if (counts && control[0] > 0) control[0]--;                  \
    else if (fails) control[1]--;                                \
    record(now(), SYNC_END, fails ? -1 : 0, fd, 0, NULL, NULL, 0); \
    if (fails && control[1] == 0 && control[2] > 0) counts_down = 1; \
    pthread_mutex_unlock(&lock);                                 \
    if (fails) errno = EIO;                                      \
    return fails ? -1 : 0;                                       \
  }
SYNCER(fsync)
SYNCER(fdatasync)

int unlink(const char *path) {
  REAL(int, unlink, const char *);
  if (!is_ours(path)) return real_unlink(path);
  pthread_mutex_lock(&lock);
  int64_t ns = now();
  int result = real_unlink(path);
  if (result == 0) record(ns, UNLINK, 0, 0, 0, path, NULL, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  if (!is_ours(from)) return real_rename(from, to);
  pthread_mutex_lock(&lock);
  int64_t ns = now();
  int result = real_rename(from, to);
  if (result == 0) record(ns, RENAME, 0, 0, 0, from, to, strlen(to));
  pthread_mutex_unlock(&lock);
  return result;
}
