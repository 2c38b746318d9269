// What libcuda.a has beside the functions of NVIDIA's driver: how the driver's library is opened.
#pragma once
#include "cuda.h"

// libcuda_open loads the driver's library from path and returns 0; the functions of cuda.h lead into it from then on. If it
// cannot, it returns the system's number of the error, and writes what the system says of it, if that is more than the
// number tells, to why, which has room for that many bytes. It calls no function of the library, and may be called again,
// with another path. Nothing may call functions of cuda.h meanwhile.
int libcuda_open(const char *path, char *why, size_t room);

// libcuda_has says whether the library has the function that it exports under name.
int libcuda_has(const char *name);

// libcuda_init is the driver's own cuInit.
CUresult libcuda_init(void);
