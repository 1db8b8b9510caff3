#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>
int64_t linux_write(int32_t fd, const void *bytes, size_t count) { ssize_t r = write(fd, bytes, count); return r < 0 ? -errno : r; }
#ifndef __GLIBC__
void arc4random_buf(void *b, size_t n) { while (n) { ssize_t r = getrandom(b, n, 0); if (r > 0) { b = (char*)b + r; n -= (size_t)r; } } }
#endif
