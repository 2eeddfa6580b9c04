/*
** SQLite with calls of our own, for what it would do on the caller's thread for as long as it likes.
**
** Preparing a statement asks nobody whether to go on: a common table expression or a view that names another one twice, 20 of
** them in a row, or a generated column that does, is a million parts of 1 KB of SQL. All of it allocates memory. So here an
** allocation fails once the call has taken too long or too much, or is interrupted; SQLite ends the call as it does where
** memory is short. That holds only while SQL is parsed and compiled (db->pParse), also where a step prepares anew after a
** change of the schema, or ALTER TABLE parses all views. Where memory is short while a statement runs, SQLite undoes the whole
** transaction: on a connection that only reads, that would end the snapshot which other statements hold. There it is let be.
**
** The source of SQLite is part of this file, for its state is not to be had from outside.
*/
#include "sqlite3.c"
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* A look at the clock for so many allocations: some 5 microseconds. */
#define WATCHED_CALLS 64

/* From so many bytes on that a call took, what it left is given back. */
#define LARGE_BYTES (4*1024*1024)

/* Why a call was ended. */
#define ENDED_BY_TIME 1   /* or by sqlite3_interrupt */
#define ENDED_BY_BYTES 2

/* A call that is watched. */
typedef struct Watch Watch;
struct Watch {
  sqlite3 *db;
  sqlite3_int64 nanoseconds;  /* that it may take, from the first look at the clock; negative: until interrupted */
  sqlite3_int64 until;        /* 0 before that look */
  sqlite3_int64 roughlyUntil; /* the same for a step */
  sqlite3_int64 bytes;
  sqlite3_int64 bytesMost;
  unsigned calls;
  int ended;
};

static sqlite3_mem_methods unwatched;

/* That one call may take to compile SQL. */
static sqlite3_int64 bytesMax;

/* That of the last call that was given a time: of one thread, the one that may not wait. */
static int lastEnded;

/* The call that this thread is in. */
#ifdef _WIN32
static DWORD watchSlot;
static Watch *watching(void){
  DWORD error = GetLastError();  /* TlsGetValue resets it */
  Watch *watch = (Watch*)TlsGetValue(watchSlot);
  SetLastError(error);
  return watch;
}
static void setWatching(Watch *watch){
  TlsSetValue(watchSlot, watch);
}
static sqlite3_int64 nanosecondsNow(void){
  LARGE_INTEGER frequency, count;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&count);
  return (sqlite3_int64)((double)count.QuadPart * 1e9 / (double)frequency.QuadPart);
}
#else
static __thread Watch *watched;
static Watch *watching(void){ return watched; }
static void setWatching(Watch *watch){ watched = watch; }
static sqlite3_int64 nanosecondsNow(void){
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (sqlite3_int64)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

static int isLate(Watch *watch){
  sqlite3_int64 now;
  if( watch->nanoseconds<0 ) return AtomicLoad(&watch->db->u1.isInterrupted)!=0;
  now = nanosecondsNow();
  if( watch->until==0 ) watch->until = now + watch->nanoseconds;
  return now>watch->until;
}

/* The call that compiles SQL now on this thread, and is watched. */
static Watch *compiling(void){
  Watch *watch = watching();
  if( watch==0 || watch->db->pParse==0 ) return 0;
  if( watch->db->nVdbeExec>0 && sqlite3BtreeIsReadonly(watch->db->aDb[0].pBt) ) return 0;
  return watch;
}

/* So many bytes more, or less. Those of the schema, which is read where it was not, are not the SQL's. */
static void countBytes(Watch *watch, int bytes){
  if( watch->db->init.busy ) return;
  watch->bytes += bytes;
  if( watch->bytes>watch->bytesMost ) watch->bytesMost = watch->bytes;
}

static int isRefused(Watch *watch, int bytes){
  if( watch->ended ) return 1;
  countBytes(watch, bytes);
  if( watch->bytes>bytesMax ){
    watch->ended = ENDED_BY_BYTES;
  }else if( ++watch->calls%WATCHED_CALLS==0 && isLate(watch) ){
    watch->ended = ENDED_BY_TIME;
  }
  return watch->ended;
}

static void *watchedMalloc(int bytes){
  Watch *watch = compiling();
  if( watch!=0 && isRefused(watch, bytes) ) return 0;
  return unwatched.xMalloc(bytes);
}

static void *watchedRealloc(void *memory, int bytes){
  Watch *watch = compiling();
  if( watch!=0 && isRefused(watch, bytes - unwatched.xSize(memory)) ) return 0;
  return unwatched.xRealloc(memory, bytes);
}

static void watchedFree(void *memory){
  Watch *watch = compiling();
  if( watch!=0 ) countBytes(watch, -unwatched.xSize(memory));
  unwatched.xFree(memory);
}

/* Before anything else is asked of SQLite in this process. compileBytesMax: that one call may take to compile SQL. */
SQLITE_API int skylinedb_initialize(int compileBytesMax){
  sqlite3_mem_methods methods;
  int code;
  bytesMax = compileBytesMax;
  if( unwatched.xMalloc!=0 ) return SQLITE_OK;
  code = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &unwatched);
  if( code!=SQLITE_OK ) return code;
#ifdef _WIN32
  watchSlot = TlsAlloc();
#endif
  methods = unwatched;
  methods.xMalloc = watchedMalloc;
  methods.xRealloc = watchedRealloc;
  methods.xFree = watchedFree;
  return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

/* milliseconds: that it may take; 0: as much as it needs; negative: until it is interrupted. */
static void beginWatch(Watch *watch, sqlite3 *db, int milliseconds){
  memset(watch, 0, sizeof(*watch));
  watch->db = db;
  watch->nanoseconds = (sqlite3_int64)milliseconds * 1000000;
  /* As sqlite3_step does: an interrupt that came when nothing ran is void. */
  if( milliseconds<0 && db->nVdbeActive==0 ) AtomicStore(&db->u1.isInterrupted, 0);
  if( milliseconds!=0 ) setWatching(watch);
}

static int endWatch(Watch *watch, int code){
  setWatching(0);
#ifdef __GLIBC__
  /* It keeps memory for each thread: 32 MiB of each that ever prepared something large. */
  if( watch->bytesMost>LARGE_BYTES ) malloc_trim(0);
#endif
  if( watch->nanoseconds>=0 ) lastEnded = watch->ended;
  if( watch->ended==0 ) return code;
  /* SQLite goes on without some of what it wants to know: that is not the call's result. */
  if( code==SQLITE_OK || code==SQLITE_ROW || code==SQLITE_DONE ){
    code = watch->db->errCode = SQLITE_INTERRUPT;
  }
  return code | watch->ended<<24;
}

/*
** What the authorizer is asked while another thread prepares, kept for the one that it belongs to: to go there takes 75
** microseconds or more each time, and a large statement asks a hundred thousand times, mostly the same. What is asked of code
** that changes something at once goes there; the rest can as well be refused once the statement is prepared.
**
** An entry is the action, a byte whose bits say which of the first three texts there are and (8) whether a fifth one is, and
** these texts, each ended by a NUL.
*/
typedef struct Slot Slot;
struct Slot {
  unsigned hash;
  int begin;   /* of the last such entry; 0: the slot is free, for there is one byte before the first entry */
  int length;
  int count;
};
typedef struct Asked Asked;
struct Asked {
  int (*xAuth)(void*,int,const char*,const char*,const char*,const char*);
  void *arg;
  char *bytes;
  int size, room;
  Slot *slots;
  unsigned slotCount, used;
  int since;   /* what was read before is read again for whom the order matters */
};

/* So often a function is told of. */
#define CALLS_TOLD 1000

static int growAsked(Asked *asked, int length){
  if( asked->size+length>asked->room ){
    int room = 2*(asked->size+length)+1024;
    char *bytes = realloc(asked->bytes, room);
    if( bytes==0 ) return 0;
    asked->bytes = bytes;
    asked->room = room;
  }
  if( 2*(asked->used+1)>asked->slotCount ){
    unsigned i, at, slotCount = asked->slotCount ? 2*asked->slotCount : 256;
    Slot *slots = calloc(slotCount, sizeof(Slot));
    if( slots==0 ) return 0;
    for(i=0; i<asked->slotCount; i++){
      if( asked->slots[i].begin==0 ) continue;
      for(at=asked->slots[i].hash%slotCount; slots[at].begin!=0; at=(at+1)%slotCount){}
      slots[at] = asked->slots[i];
    }
    free(asked->slots);
    asked->slots = slots;
    asked->slotCount = slotCount;
  }
  return 1;
}

/* The slot of the entry that begins at `begin` and was just written. */
static Slot *slotOf(Asked *asked, int begin, int length){
  unsigned hash = 2166136261u, at;
  int i;
  for(i=0; i<length; i++) hash = (hash ^ (unsigned char)asked->bytes[begin+i])*16777619u;
  for(at=hash%asked->slotCount; asked->slots[at].begin!=0; at=(at+1)%asked->slotCount){
    Slot *slot = &asked->slots[at];
    if( slot->hash==hash && slot->length==length
     && memcmp(asked->bytes+slot->begin, asked->bytes+begin, length)==0 ) return slot;
  }
  asked->slots[at].hash = hash;
  asked->slots[at].length = length;
  asked->used++;
  return &asked->slots[at];
}

static int isAskedAtOnce(int action){
  return action==SQLITE_PRAGMA || action==SQLITE_ATTACH || action==SQLITE_DETACH
      || action==SQLITE_ANALYZE || action==SQLITE_REINDEX;
}

static int ask(
  void *arg, int action, const char *first, const char *second, const char *schema, const char *by
){
  Asked *asked = arg;
  const char *texts[3];
  int i, begin, length = 2, isNew;
  Slot *slot;
  if( isAskedAtOnce(action) ) return asked->xAuth(asked->arg, action, first, second, schema, by);
  texts[0] = first; texts[1] = second; texts[2] = schema;
  for(i=0; i<3; i++) if( texts[i] ) length += (int)strlen(texts[i])+1;
  if( !growAsked(asked, length+1) ) return SQLITE_DENY;
  if( asked->size==0 ) asked->bytes[asked->size++] = 0;
  begin = asked->size;
  asked->bytes[asked->size++] = (char)action;
  asked->bytes[asked->size++] = (char)((first?1:0) | (second?2:0) | (schema?4:0) | (by?8:0));
  for(i=0; i<3; i++){
    if( texts[i]==0 ) continue;
    memcpy(asked->bytes+asked->size, texts[i], strlen(texts[i])+1);
    asked->size += (int)strlen(texts[i])+1;
  }
  slot = slotOf(asked, begin, length);
  isNew = slot->begin==0;
  slot->count++;
  switch( action ){
    case SQLITE_READ: case SQLITE_SELECT: case SQLITE_RECURSIVE:
      if( !isNew && slot->begin>=asked->since ) asked->size = begin;
      break;
    case SQLITE_FUNCTION:
      if( slot->count>CALLS_TOLD ) asked->size = begin;
      else if( isNew ) asked->since = asked->size;
      break;
    default:
      asked->since = asked->size;
  }
  if( asked->size>begin ) slot->begin = begin;
  return SQLITE_OK;
}

/*
** sqlite3_prepare_v3 under watch. Gives in out[0] the statement, in out[1] how many bytes of the SQL it took, in out[2] the
** extended result code and, times 2^24, why it was ended. Until it is interrupted it is on another thread: in out[3] it gives
** what the authorizer is still to be asked, of out[4] bytes, for skylinedb_free; the first of them is no part of it.
*/
SQLITE_API void skylinedb_prepare(
  sqlite3 *db, const char *sql, int bytes, unsigned flags, sqlite3_int64 *out, int milliseconds
){
  Watch watch;
  Asked asked;
  sqlite3_stmt *statement = 0;
  const char *tail = sql;
  int code;
  memset(&asked, 0, sizeof(asked));
  if( milliseconds<0 && db->xAuth!=0 ){
    asked.xAuth = db->xAuth;
    asked.arg = db->pAuthArg;
    /* Not by its call, which has all statements prepared anew. */
    db->xAuth = ask;
    db->pAuthArg = &asked;
  }
  beginWatch(&watch, db, milliseconds);
  code = sqlite3_prepare_v3(db, sql, bytes, flags, &statement, &tail);
  if( asked.xAuth!=0 ){
    db->xAuth = asked.xAuth;
    db->pAuthArg = asked.arg;
  }
  free(asked.slots);
  out[3] = (sqlite3_int64)(size_t)asked.bytes;
  out[4] = asked.size;
  out[2] = endWatch(&watch, code);
  if( code==SQLITE_OK && out[2]!=SQLITE_OK ){
    sqlite3_finalize(statement);
    statement = 0;
  }
  out[0] = (sqlite3_int64)(size_t)statement;
  out[1] = tail - sql;
}

SQLITE_API void skylinedb_free(void *memory){
  free(memory);
}

/* sqlite3_step under watch. Gives the extended result code and, times 2^24, why it was ended. */
SQLITE_API int skylinedb_step(sqlite3_stmt *statement, int milliseconds){
  Watch watch;
  beginWatch(&watch, sqlite3_db_handle(statement), milliseconds);
  return endWatch(&watch, sqlite3_step(statement));
}

/* Why the last call was ended that was given a time. */
SQLITE_API int skylinedb_ended(void){
  return lastEnded;
}

/* The time to some milliseconds, in a fifth of the time that it takes to ask for it exactly. */
static sqlite3_int64 nanosecondsRoughly(void){
#ifdef CLOCK_MONOTONIC_COARSE
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (sqlite3_int64)now.tv_sec * 1000000000 + now.tv_nsec;
#else
  return nanosecondsNow();
#endif
}

/* SQLite asks it whether to end the step, or the preparation, that runs. */
static int onProgress(void *unused){
  Watch *watch = watching();
  sqlite3_int64 now;
  (void)unused;
  if( watch==0 || watch->nanoseconds<=0 ) return 0;
  now = nanosecondsRoughly();
  if( watch->roughlyUntil==0 ) watch->roughlyUntil = now + watch->nanoseconds;
  return now>watch->roughlyUntil;
}

/* Has calls that were given a time end with SQLITE_INTERRUPT after it; looks at the clock once in so many operations. */
SQLITE_API void skylinedb_look_at_clock(sqlite3 *db, int operations){
  sqlite3_progress_handler(db, operations, onProgress, 0);
}
