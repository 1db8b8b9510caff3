// Giving rights up: each function is one call, or one after the other of a kind. The constants are
// the kernel's (linux/seccomp.h, linux/landlock.h, linux/capability.h), which musl does not bring.
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int32_t linux_refuse_new_privileges(void) {
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int32_t linux_drop_capabilities(void) {
    // Of the bounding set only who has CAP_SETPCAP; the number of the first unknown one is EINVAL.
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++) {}
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct { uint32_t version; int32_t pid; } header = {0x20080522, 0}; // version 3, this thread
    struct { uint32_t effective, permitted, inheritable; } none[2] = {{0, 0, 0}, {0, 0, 0}};
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

enum {
    RULESET_VERSION = 1, // LANDLOCK_CREATE_RULESET_VERSION
    RULE_NET_PORT = 2,
    EXECUTE = 1 << 0, READ_FILE = 1 << 2, READ_DIR = 1 << 3,
    BIND_TCP = 1 << 0, CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1,
};

// All rights to the file system but reading; by version, because an unknown bit is refused.
static uint64_t rights_but_reading(long version) {
    int count = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return ((1ull << count) - 1) & ~(uint64_t)(READ_FILE | READ_DIR);
}

int32_t linux_restrict_reach(const uint16_t *ports, size_t count) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    if (version < 0) return -errno;
    struct { uint64_t files, network, scoped; } handled = {
        .files = rights_but_reading(version),
        .network = version >= 4 ? BIND_TCP | CONNECT_TCP : 0,
        .scoped = version >= 6 ? SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL : 0,
    };
    size_t known = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, known, 0);
    if (ruleset < 0) return -errno;
    int32_t result = (int32_t)version;
    for (size_t i = 0; version >= 4 && i < count; i++) {
        struct { uint64_t allowed, port; } rule = {CONNECT_TCP, ports[i]};
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) < 0) result = -errno;
    }
    if (result > 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) result = -errno;
    close(ruleset);
    return result;
}

int32_t linux_filter_system_calls(const uint64_t *program, size_t count) {
    struct { unsigned short length; const uint64_t *instructions; } filter = {
        (unsigned short)count, program};
    enum { SET_MODE_FILTER = 1, ALL_THREADS = 1 << 0, KEEP_SPECULATION = 1 << 2 };
    // Without the last flag, kernels before 5.16 slow the whole process down (SSBD).
    long result = syscall(SYS_seccomp, SET_MODE_FILTER, ALL_THREADS | KEEP_SPECULATION, &filter);
    if (result < 0) return -errno;
    return result == 0 ? 0 : -ESRCH; // a thread that has another filter
}
