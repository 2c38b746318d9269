// A stand-in for NVIDIA's driver library, for tests: device memory is host memory, a launch is a line in a log.
// It is stricter than the driver where the binding has to be: calls that queue or allocate come from the thread
// that retained the context, sizes of parameters agree with the PTX, nothing outlives the context.
//
// Environment variables bring about what goes wrong; they are read when the call in question is made:
//   FAKECUDA_VERSION=10020     what cuDriverGetVersion says (12080)
//   FAKECUDA_INIT=999          what cuInit answers
//   FAKECUDA_DEVICES=0         how many devices there are (1)
//   FAKECUDA_SM=75             compute capability (90)
//   FAKECUDA_TOTAL_MIB=64      device memory (1024)
//   FAKECUDA_OOM_AT=3          the n-th cuMemAlloc since the context was retained fails
//   FAKECUDA_HOST_OOM=1        cuMemHostAlloc fails
//   FAKECUDA_JIT=218           what cuModuleLoadDataEx answers, with FAKECUDA_JIT_LOG as its log
//   FAKECUDA_LAUNCH=701        what cuLaunchKernel answers
//   FAKECUDA_FAULT=700         a launch succeeds but its kernel faults: every later call answers this
//   FAKECUDA_BUSY=3            as many cuEventQuery answer "not ready"
//   FAKECUDA_UNTIL_ALLOCS=10   cuStreamSynchronize and cuModuleLoadDataEx wait for the n-th cuMemAlloc, 20 s at most
// Built with -DOLD it lacks what drivers before CUDA 11.4 lack.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

typedef int R;
#define API __attribute__((visibility("default")))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char text[1 << 20];
static size_t used;
static int violations, leaks, retained, owner, allocs, lost, queries, holders, by_pointers, idle;
static __thread void *current;

static long setting(const char *name, long otherwise) {
  const char *v = getenv(name);
  return v && *v ? atol(v) : otherwise;
}

static void say(const char *format, ...) {
  va_list a;
  va_start(a, format);
  pthread_mutex_lock(&mutex);
  int n = vsnprintf(text + used, sizeof text - used, format, a);
  if (n > 0 && used + n < sizeof text) used += n;
  pthread_mutex_unlock(&mutex);
  va_end(a);
}

static R violation(const char *call, const char *what) {
  violations++;
  say("VIOLATION %s: %s\n", call, what);
  return 1;
}

static int thread(void) { return (int)syscall(SYS_gettid); }

// A context is current (201 otherwise) and has not been lost.
#define CURRENT                                                              \
  do {                                                                       \
    if (!current || !retained) { violation(__func__, "no context is current"); return 201; } \
    if (lost) return lost;                                                   \
  } while (0)
// Likewise, on the owner's thread. An idle driver does nothing more: then what a call costs is the way there and back.
#define OWNER                                                                \
  do {                                                                       \
    if (idle) return 0;                                                      \
    CURRENT;                                                                 \
    if (thread() != owner) return violation(__func__, "not the owner's thread"); \
  } while (0)

// Everything that a context owns is in one list.
struct object {
  char kind[12];
  uint64_t at;
  size_t bytes;
  struct object *next;
};
static struct object *objects;

static void add(const char *kind, void *at, size_t bytes) {
  struct object *o = calloc(1, sizeof *o);
  snprintf(o->kind, sizeof o->kind, "%s", kind);
  o->at = (uint64_t)at, o->bytes = bytes;
  pthread_mutex_lock(&mutex);
  o->next = objects, objects = o;
  pthread_mutex_unlock(&mutex);
}
static int has(const char *kind, const void *at, size_t bytes) {
  int found = 0;
  pthread_mutex_lock(&mutex);
  for (struct object *o = objects; o; o = o->next)
    found |= !strcmp(o->kind, kind) && o->at <= (uint64_t)at && (uint64_t)at + bytes <= o->at + o->bytes;
  pthread_mutex_unlock(&mutex);
  return found;
}
static int drop(const char *kind, const void *at) {
  pthread_mutex_lock(&mutex);
  for (struct object **p = &objects; *p; p = &(*p)->next)
    if (!strcmp((*p)->kind, kind) && (*p)->at == (uint64_t)at) {
      struct object *o = *p;
      *p = o->next;
      free(o);
      pthread_mutex_unlock(&mutex);
      return 1;
    }
  pthread_mutex_unlock(&mutex);
  return 0;
}
static size_t device_bytes(void) {
  size_t n = 0;
  pthread_mutex_lock(&mutex);
  for (struct object *o = objects; o; o = o->next)
    if (!strcmp(o->kind, "device")) n += o->bytes;
  pthread_mutex_unlock(&mutex);
  return n;
}

// What the tests read.
API int fake_count(const char *what) {
  int n = 0;
  if (!strcmp(what, "violations")) return violations;
  if (!strcmp(what, "leaks")) return leaks;
  if (!strcmp(what, "retained")) return retained;
  if (!strcmp(what, "holders")) return holders; // threads on which the context is current
  if (!strcmp(what, "by_pointers")) return by_pointers; // launches with a pointer to each parameter
  pthread_mutex_lock(&mutex);
  for (struct object *o = objects; o; o = o->next) n += !strcmp(o->kind, what);
  pthread_mutex_unlock(&mutex);
  return n;
}
API const char *fake_log(void) { return text; }
API void fake_idle(int on) { idle = on; }
API void fake_reset(void) {
  used = 0, text[0] = 0;
  violations = leaks = retained = owner = allocs = lost = queries = holders = by_pointers = idle = 0;
  while (objects) { struct object *o = objects; objects = o->next; free(o); }
}

API R cuInit(unsigned flags) { return flags ? 1 : (R)setting("FAKECUDA_INIT", 0); }
API R cuGetErrorString(R r, const char **s) {
  static const struct { R r; const char *s; } known[] = {
    {1, "invalid argument"}, {2, "out of memory"}, {201, "invalid device context"}, {218, "a PTX JIT compilation failed"},
    {500, "named symbol not found"}, {600, "device not ready"}, {700, "an illegal memory access was encountered"},
    {701, "too many resources requested for launch"}, {901, "operation failed due to a previous error during capture"},
    {999, "unknown error"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].r == r) { *s = known[i].s; return 0; }
  *s = NULL;
  return 1;
}
API R cuDriverGetVersion(int *v) { *v = (int)setting("FAKECUDA_VERSION", 12080); return 0; }
API R cuDeviceGetCount(int *n) { *n = (int)setting("FAKECUDA_DEVICES", 1); return 0; }
API R cuDeviceGet(int *d, int i) { *d = 40 + i; return i < setting("FAKECUDA_DEVICES", 1) ? 0 : 101; }
API R cuDeviceGetName(char *b, int n, int d) { snprintf(b, n, "Fake GPU"); return d == 40 ? 0 : 101; }
API R cuDeviceGetUuid(unsigned char *u, int d) { for (int i = 0; i < 16; i++) u[i] = i * 17; return d == 40 ? 0 : 101; }
API R cuDeviceGetPCIBusId(char *b, int n, int d) { snprintf(b, n, "0000:01:00.0"); return d == 40 ? 0 : 101; }
API R cuDeviceTotalMem_v2(size_t *n, int d) { *n = (size_t)setting("FAKECUDA_TOTAL_MIB", 1024) << 20; return d == 40 ? 0 : 101; }
API R cuDeviceGetAttribute(int *v, int a, int d) {
  long sm = setting("FAKECUDA_SM", 90);
  static const struct { int a, v; } known[] = {{10, 32}, {13, 1980000}, {16, 132}, {36, 3201000}, {37, 6144},
    {38, 62914560}, {81, 233472}, {97, 232448}};
  if (d != 40) return 101;
  if (a == 75) { *v = sm / 10; return 0; }
  if (a == 76) { *v = sm % 10; return 0; }
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].a == a) { *v = known[i].v; return 0; }
  return 1;
}

API R cuDevicePrimaryCtxSetFlags_v2(int d, unsigned f) { return d == 40 && f == 4 ? 0 : 1; }
API R cuDevicePrimaryCtxRetain(void **c, int d) {
  if (d != 40) return 101;
  if (lost) return lost;
  retained++, owner = thread(), allocs = 0;
  *c = (void *)0x1000;
  return 0;
}
API R cuDevicePrimaryCtxRelease_v2(int d) {
  if (thread() != owner) return violation(__func__, "not the owner's thread");
  if (!retained) return violation(__func__, "not retained");
  retained--;
  for (struct object *o = objects; o && !lost; o = o->next) { leaks++; say("LEAK %s\n", o->kind); }
  return lost;
}
API R cuDevicePrimaryCtxReset_v2(int d) {
  lost = 0;
  while (objects) { struct object *o = objects; objects = o->next; free(o); }
  return d == 40 ? 0 : 101;
}
API R cuCtxSetCurrent(void *c) {
  __atomic_add_fetch(&holders, (c != NULL) - (current != NULL), __ATOMIC_SEQ_CST);
  current = c;
  return 0;
}
static void slow(void) {
  long n = setting("FAKECUDA_UNTIL_ALLOCS", 0);
  for (int i = 0; __atomic_load_n(&allocs, __ATOMIC_SEQ_CST) < n; i++, usleep(1000))
    if (i == 20000) { violation(__func__, "nothing was allocated while this call waited"); return; }
}
API R cuCtxSynchronize(void) { CURRENT; return 0; }

API R cuMemGetInfo_v2(size_t *free, size_t *total) {
  CURRENT;
  cuDeviceTotalMem_v2(total, 40);
  *free = *total - device_bytes();
  return 0;
}
API R cuMemAlloc_v2(uint64_t *p, size_t n) {
  OWNER;
  size_t free, total;
  cuMemGetInfo_v2(&free, &total);
  if (__atomic_add_fetch(&allocs, 1, __ATOMIC_SEQ_CST) == setting("FAKECUDA_OOM_AT", -1) || n > free) return 2;
  void *q = aligned_alloc(256, (n + 255) / 256 * 256);
  memset(q, 0xa5, n);
  *p = (uint64_t)q;
  add("device", q, n);
  return 0;
}
API R cuMemFree_v2(uint64_t p) {
  OWNER;
  if (!drop("device", (void *)p)) return violation(__func__, "not allocated");
  free((void *)p);
  return 0;
}
API R cuMemHostAlloc(void **p, size_t n, unsigned flags) {
  OWNER;
  if (setting("FAKECUDA_HOST_OOM", 0)) return 2;
  *p = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
  add("pinned", *p, n);
  return 0;
}
API R cuMemFreeHost(void *p) {
  OWNER;
  if (!drop("pinned", p)) return violation(__func__, "not allocated");
  free(p);
  return 0;
}

// Modules and functions.
struct function {
  char name[64];
  size_t params, at[64], size[64], param_bytes; // where each parameter lies among all of them, packed
  int dynamic;
  struct function *next;
};
struct module { struct function *functions; };

// The places and sizes of a kernel's parameters, from its declaration in PTX.
static void read_params(struct function *f, const char *p, const char *end) {
  size_t at = 0;
  while ((p = strstr(p, ".param ")) && p < end) {
    size_t align = 0, size = 0, count = 1;
    p += 7;
    if (sscanf(p, ".align %zu", &align) == 1) p = strchr(p + 1, '.');
    size_t bits = strtoul(p + 2, NULL, 10);
    size = bits / 8;
    const char *bracket = strchr(p, '['), *stop = strpbrk(p, ",)");
    if (bracket && bracket < stop) count = strtoul(bracket + 1, NULL, 10);
    if (!align) align = size;
    at = (at + align - 1) / align * align;
    f->at[f->params] = at, f->size[f->params++] = size * count;
    at += size * count;
  }
  f->param_bytes = at;
}

API R cuModuleLoadDataEx(struct module **m, const char *image, unsigned n, const int *option, void **value) {
  CURRENT;
  R r = (R)setting("FAKECUDA_JIT", 0);
  slow();
  if (r) {
    const char *log = getenv("FAKECUDA_JIT_LOG");
    size_t room = 0;
    for (unsigned i = 0; i < n; i++) if (option[i] == 6) room = (size_t)value[i];
    for (unsigned i = 0; i < n; i++) if (option[i] == 5 && log && room) snprintf(value[i], room, "%s", log);
    return r;
  }
  int line_info = 0;
  for (unsigned i = 0; i < n; i++) line_info |= option[i] == 13 && value[i] == (void *)1;
  *m = calloc(1, sizeof **m);
  for (const char *p = image; (p = strstr(p, ".entry "));) {
    struct function *f = calloc(1, sizeof *f);
    p += 7;
    size_t k = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");
    memcpy(f->name, p, k < 63 ? k : 63);
    const char *open = strchr(p, '('), *close = strchr(p, ')');
    if (open && close) read_params(f, open, close);
    f->next = (*m)->functions, (*m)->functions = f;
  }
  add("module", *m, 1);
  say("load bytes=%zu line_info=%d\n", strlen(image), line_info);
  return 0;
}
API R cuModuleUnload(struct module *m) { OWNER; return drop("module", m) ? 0 : violation(__func__, "not loaded"); }
API R cuModuleGetFunction(struct function **f, struct module *m, const char *name) {
  OWNER;
  if (!has("module", m, 1)) return violation(__func__, "not loaded");
  for (*f = m->functions; *f; *f = (*f)->next) if (!strcmp((*f)->name, name)) return 0;
  return 500;
}
API R cuFuncGetAttribute(int *v, int a, struct function *f) {
  OWNER;
  *v = a == 0 ? 1024 : a == 1 ? 256 : a == 3 ? 16 : a == 4 ? 96 : -1;
  return *v < 0;
}
API R cuFuncSetAttribute(struct function *f, int a, int v) {
  OWNER;
  if (a != 8 || v < 0 || v > 232448) return 1;
  f->dynamic = v;
  return 0;
}

// Streams, and recordings of them.
struct op {
  int kind; // 0 launch, 1 copy, 2 set
  char line[512];
  void *dst; const void *src; size_t bytes; int value;
};
struct graph { int n; struct op ops[64]; };
struct stream { struct graph *recording; };
struct event { unsigned flags; int recorded; struct timespec at; };

static R perform(struct op *o) {
  if (o->kind == 1) memmove(o->dst, o->src, o->bytes);
  if (o->kind == 2) memset(o->dst, o->value, o->bytes);
  say("%s\n", o->line);
  if (o->kind == 0) lost = (R)setting("FAKECUDA_FAULT", 0);
  return 0;
}
static R queue(struct stream *s, struct op o) {
  if (!has("stream", s, 1)) return violation("queue", "no such stream");
  if (!s->recording) return perform(&o);
  if (s->recording->n == 64) return 2;
  s->recording->ops[s->recording->n++] = o;
  return 0;
}

API R cuMemcpyHtoDAsync_v2(uint64_t d, const void *src, size_t n, struct stream *s) {
  OWNER;
  if (!has("device", (void *)d, n)) return violation(__func__, "outside of any allocation");
  struct op o = {1, "", (void *)d, src, n, 0};
  snprintf(o.line, sizeof o.line, "htod bytes=%zu pinned=%d", n, has("pinned", src, n));
  return queue(s, o);
}
API R cuMemcpyDtoHAsync_v2(void *dst, uint64_t d, size_t n, struct stream *s) {
  OWNER;
  if (!has("device", (void *)d, n)) return violation(__func__, "outside of any allocation");
  struct op o = {1, "", dst, (void *)d, n, 0};
  snprintf(o.line, sizeof o.line, "dtoh bytes=%zu pinned=%d", n, has("pinned", dst, n));
  return queue(s, o);
}
API R cuMemcpyDtoDAsync_v2(uint64_t d, uint64_t src, size_t n, struct stream *s) {
  OWNER;
  if (!has("device", (void *)d, n) || !has("device", (void *)src, n)) return violation(__func__, "outside of any allocation");
  struct op o = {1, "", (void *)d, (void *)src, n, 0};
  snprintf(o.line, sizeof o.line, "dtod bytes=%zu", n);
  return queue(s, o);
}
API R cuMemsetD8Async(uint64_t d, unsigned char v, size_t n, struct stream *s) {
  OWNER;
  if (!has("device", (void *)d, n)) return violation(__func__, "outside of any allocation");
  struct op o = {2, "", (void *)d, NULL, n, v};
  snprintf(o.line, sizeof o.line, "set bytes=%zu value=%d", n, v);
  return queue(s, o);
}
API R cuLaunchKernel(struct function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                     unsigned shared, struct stream *s, void **params, void **extra) {
  OWNER;
  const unsigned char *buffer = NULL;
  size_t bytes = 0;
  R r = (R)setting("FAKECUDA_LAUNCH", 0);
  if (r) return r;
  if (params && extra) return violation(__func__, "parameters in two ways");
  unsigned char gathered[4096] = {0};
  if (params) { // a pointer to each
    for (size_t i = 0; i < f->params; i++) memcpy(gathered + f->at[i], params[i], f->size[i]);
    buffer = f->params ? gathered : NULL, bytes = f->param_bytes, by_pointers++;
  }
  for (; extra && *extra; extra += 2) {
    if (*extra == (void *)1) buffer = extra[1];
    if (*extra == (void *)2) bytes = *(size_t *)extra[1];
  }
  if (!buffer != !f->param_bytes || bytes != f->param_bytes || !gx || !gy || !gz || (size_t)bx * by * bz > 1024) return 1;
  if (shared > (f->dynamic > 49152 ? f->dynamic : 49152)) return 1;
  struct op o = {0};
  int n = snprintf(o.line, sizeof o.line, "launch %s grid=%u,%u,%u block=%u,%u,%u shared=%u params=", f->name, gx, gy, gz, bx, by, bz, shared);
  for (size_t i = 0; i < bytes && n + 3 < (int)sizeof o.line; i++) n += sprintf(o.line + n, "%02x", buffer[i]);
  return queue(s, o);
}
API R cuStreamCreate(struct stream **s, unsigned flags) {
  OWNER;
  if (flags != 1) return 1;
  *s = calloc(1, sizeof **s);
  add("stream", *s, 1);
  return 0;
}
API R cuStreamDestroy_v2(struct stream *s) { OWNER; return drop("stream", s) ? 0 : violation(__func__, "no such stream"); }
API R cuStreamSynchronize(struct stream *s) {
  CURRENT;
  if (!has("stream", s, 1)) return violation(__func__, "no such stream");
  slow();
  say("synchronize owner=%d\n", thread() == owner);
  return 0;
}
API R cuStreamWaitEvent(struct stream *s, struct event *e, unsigned flags) {
  OWNER;
  if (!has("stream", s, 1) || !has("event", e, 1)) return violation(__func__, "no such stream or event");
  say("wait\n");
  return flags;
}
API R cuEventCreate(struct event **e, unsigned flags) {
  OWNER;
  *e = calloc(1, sizeof **e);
  (*e)->flags = flags;
  add("event", *e, 1);
  return 0;
}
API R cuEventDestroy_v2(struct event *e) { OWNER; return drop("event", e) ? 0 : violation(__func__, "no such event"); }
API R cuEventRecord(struct event *e, struct stream *s) {
  OWNER;
  if (!has("stream", s, 1) || !has("event", e, 1)) return violation(__func__, "no such stream or event");
  e->recorded = 1;
  clock_gettime(CLOCK_MONOTONIC, &e->at);
  say("record\n");
  return 0;
}
API R cuEventQuery(struct event *e) {
  OWNER;
  if (!has("event", e, 1)) return violation(__func__, "no such event");
  return queries++ < setting("FAKECUDA_BUSY", 0) ? 600 : 0;
}
API R cuEventSynchronize(struct event *e) {
  CURRENT;
  return has("event", e, 1) ? 0 : violation(__func__, "no such event");
}
API R cuEventElapsedTime(float *ms, struct event *from, struct event *to) {
  OWNER;
  if (from->flags & 2 || to->flags & 2 || !from->recorded || !to->recorded) return 400;
  *ms = (to->at.tv_sec - from->at.tv_sec) * 1e3f + (to->at.tv_nsec - from->at.tv_nsec) * 1e-6f;
  return 0;
}

#ifndef OLD
API R cuStreamBeginCapture_v2(struct stream *s, int mode) {
  OWNER;
  if (!has("stream", s, 1)) return violation(__func__, "no such stream");
  if (s->recording || mode != 2) return 1;
  s->recording = calloc(1, sizeof *s->recording);
  say("begin capture\n");
  return 0;
}
API R cuStreamEndCapture(struct stream *s, struct graph **g) {
  OWNER;
  if (!has("stream", s, 1)) return violation(__func__, "no such stream");
  if (!s->recording) return 901;
  *g = s->recording, s->recording = NULL;
  add("graph", *g, 1);
  say("end capture ops=%d\n", (*g)->n);
  return 0;
}
API R cuGraphInstantiateWithFlags(struct graph **x, struct graph *g, unsigned long long flags) {
  OWNER;
  if (!has("graph", g, 1) || flags) return violation(__func__, "no such graph");
  *x = malloc(sizeof **x);
  **x = *g;
  add("exec", *x, 1);
  return 0;
}
API R cuGraphLaunch(struct graph *x, struct stream *s) {
  OWNER;
  if (!has("exec", x, 1) || !has("stream", s, 1)) return violation(__func__, "no such graph or stream");
  say("graph\n");
  for (int i = 0; i < x->n; i++) queue(s, x->ops[i]);
  return 0;
}
API R cuGraphDestroy(struct graph *g) { OWNER; return drop("graph", g) ? 0 : violation(__func__, "no such graph"); }
API R cuGraphExecDestroy(struct graph *x) { OWNER; return drop("exec", x) ? 0 : violation(__func__, "no such graph"); }

API R cuTensorMapEncodeTiled(unsigned char *map, int type, unsigned rank, void *address, const uint64_t *dims, const uint64_t *strides,
                             const unsigned *box, const unsigned *by, int interleave, int swizzle, int promotion, int fill) {
  if ((uintptr_t)map % 64) return violation(__func__, "the map is not aligned");
  say("map type=%d rank=%u dims=", type, rank);
  for (unsigned i = 0; i < rank; i++) say("%llu,", (unsigned long long)dims[i]);
  say(" strides=");
  for (unsigned i = 0; i + 1 < rank; i++) say("%llu,", (unsigned long long)strides[i]);
  say(" box=");
  for (unsigned i = 0; i < rank; i++) say("%u/%u,", box[i], by[i]);
  say(" interleave=%d swizzle=%d promotion=%d fill=%d\n", interleave, swizzle, promotion, fill);
  memset(map, 0x5c, 128);
  memcpy(map, &address, 8);
  return 0;
}
#endif
