// A libcuda.a that is linked in the place of NVIDIA's libcuda.so: it has the functions of cuda.h, each of which jumps into
// the driver's library once libcuda_open has loaded that. A program linked with it starts on machines without a driver, and
// touches none until it computes.
#include "libcuda.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

typedef CUresult (*entry)(void);

// What a function leads to before a library is open, and if the library lacks it. The caller removes its arguments.
static CUresult closed(void) { return CUDA_ERROR_NOT_INITIALIZED; }
static CUresult absent(void) { return CUDA_ERROR_NOT_SUPPORTED; }

// One slot a function, in the order of calls.h, and one for cuInit.
enum {
  slot_cuInit,
#define CALL0(name) slot_##name,
#define CALL1(name, ...) slot_##name,
#define CALL2 CALL1
#define CALL3 CALL1
#define CALL4 CALL1
#define CALL5 CALL1
#define CALL6 CALL1
#define CALL8 CALL1
#define CALL11 CALL1
#define CALL12 CALL1
#include "calls.h"
#undef CALL0
#undef CALL1
  slots
};

static const char *const names[slots] = {
  "cuInit",
#define CALL0(name) #name,
#define CALL1(name, ...) #name,
#include "calls.h"
#undef CALL0
#undef CALL1
#undef CALL2
#undef CALL3
#undef CALL4
#undef CALL5
#undef CALL6
#undef CALL8
#undef CALL11
#undef CALL12
};

static entry entries[slots] = {[0 ... slots - 1] = closed};

// gorgonia.org/cu calls cuInit before main runs, and ends the process where it fails: with every start, and for commands that
// compute nothing. It is told that all is well. The driver's answer is libcuda_init's, which is asked once a driver is needed.
CUresult cuInit(unsigned int flags) { return flags ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; }

CUresult libcuda_init(void) { return ((CUresult(*)(unsigned int))entries[slot_cuInit])(0); }

int libcuda_open(const char *path, char *why, size_t room) {
#ifdef _WIN32
  // System32 only: no DLL that lies beside a program or a picture is ever loaded.
  HMODULE library = LoadLibraryExA(path, NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
  if (!library) {
    snprintf(why, room, "%s", "");
    return (int)GetLastError();
  }
#define FIND(name) GetProcAddress(library, name)
#else
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *error = dlerror();
    snprintf(why, room, "%s", error ? error : "");
    return ENOENT;
  }
#define FIND(name) dlsym(library, name)
#endif
  for (int i = 0; i < slots; i++) {
    entry found = (entry)FIND(names[i]);
    entries[i] = found ? found : absent;
  }
  return 0;
}

int libcuda_has(const char *name) {
  for (int i = 0; i < slots; i++)
    if (!strcmp(names[i], name)) return entries[i] != closed && entries[i] != absent;
  return 0;
}

// The functions themselves.
#define INTO(name, ...) ((CUresult(*)(__VA_ARGS__))entries[slot_##name])
#define CALL0(name) \
  CUresult name(void) { return entries[slot_##name](); }
#define CALL1(name, A) \
  CUresult name(A a) { return INTO(name, A)(a); }
#define CALL2(name, A, B) \
  CUresult name(A a, B b) { return INTO(name, A, B)(a, b); }
#define CALL3(name, A, B, C) \
  CUresult name(A a, B b, C c) { return INTO(name, A, B, C)(a, b, c); }
#define CALL4(name, A, B, C, D) \
  CUresult name(A a, B b, C c, D d) { return INTO(name, A, B, C, D)(a, b, c, d); }
#define CALL5(name, A, B, C, D, E) \
  CUresult name(A a, B b, C c, D d, E e) { return INTO(name, A, B, C, D, E)(a, b, c, d, e); }
#define CALL6(name, A, B, C, D, E, F) \
  CUresult name(A a, B b, C c, D d, E e, F f) { return INTO(name, A, B, C, D, E, F)(a, b, c, d, e, f); }
#define CALL8(name, A, B, C, D, E, F, G, H) \
  CUresult name(A a, B b, C c, D d, E e, F f, G g, H h) { return INTO(name, A, B, C, D, E, F, G, H)(a, b, c, d, e, f, g, h); }
#define CALL11(name, A, B, C, D, E, F, G, H, I, J, K) \
  CUresult name(A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k) { \
    return INTO(name, A, B, C, D, E, F, G, H, I, J, K)(a, b, c, d, e, f, g, h, i, j, k); \
  }
#define CALL12(name, A, B, C, D, E, F, G, H, I, J, K, L) \
  CUresult name(A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k, L l) { \
    return INTO(name, A, B, C, D, E, F, G, H, I, J, K, L)(a, b, c, d, e, f, g, h, i, j, k, l); \
  }
#include "calls.h"
