#ifndef C_LINUX_H
#define C_LINUX_H
#include <stddef.h>
#include <stdint.h>
int64_t linux_write(int32_t fd, const void *bytes, size_t count);
#endif
