// Each function is one call, with EINTR retried where the call may be repeated, and the error
// number in place of errno. Decides nothing.
#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

_Static_assert(LINUX_READABLE == EPOLLIN && LINUX_URGENT == EPOLLPRI, "epoll bits");
_Static_assert(LINUX_WRITABLE == EPOLLOUT && LINUX_ERROR == EPOLLERR, "epoll bits");
_Static_assert(LINUX_HANG_UP == EPOLLHUP && LINUX_PEER_ENDED == EPOLLRDHUP, "epoll bits");
_Static_assert(LINUX_EDGE_TRIGGERED == (uint32_t)EPOLLET, "epoll bits");
_Static_assert((uint32_t)LINUX_EXCLUSIVE == EPOLLEXCLUSIVE, "epoll bits");
_Static_assert(LINUX_SIGHUP == SIGHUP && LINUX_SIGINT == SIGINT, "signal numbers");
_Static_assert(LINUX_SIGTERM == SIGTERM && LINUX_SIGCHLD == SIGCHLD, "signal numbers");
_Static_assert(LINUX_SIGUSR1 == SIGUSR1, "signal numbers");

#define OR_ERRNO(call) ({ __typeof__(call) result_ = (call); result_ < 0 ? -errno : result_; })
#define RETRIED(call) ({ \
    __typeof__(call) result_; \
    do result_ = (call); while (result_ < 0 && errno == EINTR); \
    result_ < 0 ? -errno : result_; })

// Addresses.

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int is_mapped(const struct linux_address *a) {
    return a->high == 0 && a->low >> 32 == 0xffff;
}

static socklen_t encode(const struct linux_address *a, int ipv6, union any_address *out) {
    memset(out, 0, sizeof *out);
    if (!ipv6) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(a->port);
        out->v4.sin_addr.s_addr = htonl((uint32_t)a->low);
        return sizeof out->v4;
    }
    uint64_t halves[2] = {htobe64(a->high), htobe64(a->low)};
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(a->port);
    memcpy(&out->v6.sin6_addr, halves, sizeof halves);
    return sizeof out->v6;
}

static void decode(const union any_address *in, struct linux_address *a) {
    if (in->any.sa_family == AF_INET) {
        a->high = 0;
        a->low = 0xffff00000000ull | ntohl(in->v4.sin_addr.s_addr);
        a->port = ntohs(in->v4.sin_port);
        return;
    }
    uint64_t halves[2];
    memcpy(halves, &in->v6.sin6_addr, sizeof halves);
    a->high = be64toh(halves[0]);
    a->low = be64toh(halves[1]);
    a->port = ntohs(in->v6.sin6_port);
}

// Sockets.

int32_t linux_socket(int32_t ipv6) {
    int32_t family = ipv6 ? AF_INET6 : AF_INET;
    return OR_ERRNO(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int32_t linux_datagram_socket(int32_t ipv6) {
    int32_t family = ipv6 ? AF_INET6 : AF_INET;
    return OR_ERRNO(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int32_t linux_bind(int32_t socket, const struct linux_address *address, int32_t ipv6) {
    union any_address raw;
    socklen_t length = encode(address, ipv6, &raw);
    return OR_ERRNO(bind(socket, &raw.any, length));
}

int32_t linux_listen(int32_t socket, int32_t backlog) { return OR_ERRNO(listen(socket, backlog)); }

int32_t linux_accept(int32_t listener, struct linux_address *peer) {
    union any_address raw;
    socklen_t length = sizeof raw;
    int32_t socket = RETRIED(accept4(listener, &raw.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket >= 0) decode(&raw, peer);
    return socket;
}

// EINTR cannot come: the socket is non-blocking.
int32_t linux_connect(int32_t socket, const struct linux_address *address) {
    union any_address raw;
    socklen_t length = encode(address, !is_mapped(address), &raw);
    return OR_ERRNO(connect(socket, &raw.any, length));
}

int32_t linux_local_address(int32_t socket, struct linux_address *address) {
    union any_address raw;
    socklen_t length = sizeof raw;
    int32_t result = OR_ERRNO(getsockname(socket, &raw.any, &length));
    if (result == 0) decode(&raw, address);
    return result;
}

int32_t linux_shutdown_sending(int32_t socket) { return OR_ERRNO(shutdown(socket, SHUT_WR)); }

int64_t linux_receive(int32_t socket, void *bytes, size_t capacity) {
    return RETRIED(recv(socket, bytes, capacity, MSG_DONTWAIT));
}

int64_t linux_peek(int32_t socket, void *bytes, size_t capacity) {
    return RETRIED(recv(socket, bytes, capacity, MSG_DONTWAIT | MSG_PEEK));
}

int64_t linux_send(int32_t socket, const void *bytes, size_t count, int32_t more) {
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    return RETRIED(send(socket, bytes, count, flags));
}

int32_t linux_set_option(int32_t socket, int32_t option, int32_t value) {
    static const struct { int level, name; } known[] = {
        [LINUX_REUSE_ADDRESS] = {SOL_SOCKET, SO_REUSEADDR},
        [LINUX_KEEPALIVE] = {SOL_SOCKET, SO_KEEPALIVE},
        [LINUX_KEEPALIVE_IDLE_SECONDS] = {IPPROTO_TCP, TCP_KEEPIDLE},
        [LINUX_KEEPALIVE_INTERVAL_SECONDS] = {IPPROTO_TCP, TCP_KEEPINTVL},
        [LINUX_NO_DELAY] = {IPPROTO_TCP, TCP_NODELAY},
        [LINUX_QUICK_ACKNOWLEDGEMENT] = {IPPROTO_TCP, TCP_QUICKACK},
        [LINUX_USER_TIMEOUT_MILLISECONDS] = {IPPROTO_TCP, TCP_USER_TIMEOUT},
        [LINUX_URGENT_INLINE] = {SOL_SOCKET, SO_OOBINLINE},
        [LINUX_IPV6_ONLY] = {IPPROTO_IPV6, IPV6_V6ONLY},
    };
    return OR_ERRNO(
        setsockopt(socket, known[option].level, known[option].name, &value, sizeof value));
}

int32_t linux_reset_on_close(int32_t socket) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    return OR_ERRNO(setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now));
}

int32_t linux_take_error(int32_t socket) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? -errno : error;
}

int32_t linux_unacknowledged(int32_t socket) {
    int bytes = 0;
    return ioctl(socket, TIOCOUTQ, &bytes) < 0 ? -errno : bytes; // SIOCOUTQ is the same number
}

// struct tcp_info of linux/tcp.h by offset: libc's copies end before the fields of newer kernels.
enum {
    TCP_INFO_PROBES = 3,
    TCP_INFO_UNACKED = 24,
    TCP_INFO_LAST_ACK_RECV = 56,
    TCP_INFO_NOTSENT_BYTES = 144,
    TCP_INFO_SND_WND = 228,
    TCP_INFO_END = 232,
};

static uint32_t field(const unsigned char *info, size_t offset) {
    uint32_t value;
    memcpy(&value, info + offset, sizeof value);
    return value;
}

int32_t linux_send_state(int32_t socket, struct linux_send_state *state) {
    unsigned char info[TCP_INFO_END] = {0};
    socklen_t length = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, info, &length) < 0) return -errno;
    state->probes_unanswered = info[TCP_INFO_PROBES];
    state->segments_in_flight = field(info, TCP_INFO_UNACKED);
    state->milliseconds_since_acknowledgement = field(info, TCP_INFO_LAST_ACK_RECV);
    state->unsent_bytes = field(info, TCP_INFO_NOTSENT_BYTES);
    state->window_bytes = field(info, TCP_INFO_SND_WND);
    state->window_known = length >= TCP_INFO_END; // since 5.4
    return 0;
}

// Control sockets: abstract names (unix(7)), which leave no file behind.

static socklen_t abstract_name(const void *name, size_t length, struct sockaddr_un *out) {
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (length > sizeof out->sun_path - 1) length = sizeof out->sun_path - 1;
    memcpy(out->sun_path + 1, name, length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int32_t linux_local_socket(void) {
    return OR_ERRNO(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int32_t linux_local_bind(int32_t socket, const void *name, size_t length) {
    struct sockaddr_un address;
    socklen_t size = abstract_name(name, length, &address);
    return OR_ERRNO(bind(socket, (struct sockaddr *)&address, size));
}

int32_t linux_local_connect(int32_t socket, const void *name, size_t length) {
    struct sockaddr_un address;
    socklen_t size = abstract_name(name, length, &address);
    return OR_ERRNO(connect(socket, (struct sockaddr *)&address, size));
}

int32_t linux_local_accept(int32_t listener) {
    return RETRIED(accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int32_t linux_peer_user(int32_t socket) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
    return (int32_t)peer.uid;
}

int32_t linux_user(void) { return (int32_t)geteuid(); }

// Pipes and splice.

int32_t linux_pipe(int32_t *output, int32_t *input) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return -errno;
    *output = ends[0];
    *input = ends[1];
    return 0;
}

int32_t linux_pipe_capacity(int32_t pipe) { return OR_ERRNO(fcntl(pipe, F_GETPIPE_SZ)); }

int32_t linux_set_pipe_capacity(int32_t pipe, int32_t bytes) {
    return OR_ERRNO(fcntl(pipe, F_SETPIPE_SZ, bytes));
}

// Never SPLICE_F_MORE: it holds a short message back for about 200 ms.
int64_t linux_splice(int32_t source, int32_t target, size_t count) {
    return RETRIED(splice(source, NULL, target, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

// epoll(7).

int32_t linux_poller(void) { return OR_ERRNO(epoll_create1(EPOLL_CLOEXEC)); }

static int32_t control(
    int poller, int operation, int descriptor, uint32_t interest, uint64_t token) {
    struct epoll_event event = {.events = interest, .data.u64 = token};
    return OR_ERRNO(epoll_ctl(poller, operation, descriptor, &event));
}

int32_t linux_poller_add(int32_t poller, int32_t descriptor, uint32_t interest, uint64_t token) {
    return control(poller, EPOLL_CTL_ADD, descriptor, interest, token);
}

int32_t linux_poller_change(int32_t poller, int32_t descriptor, uint32_t interest, uint64_t token) {
    return control(poller, EPOLL_CTL_MOD, descriptor, interest, token);
}

int32_t linux_poller_remove(int32_t poller, int32_t descriptor) {
    return control(poller, EPOLL_CTL_DEL, descriptor, 0, 0);
}

int32_t linux_poller_wait(int32_t poller, struct linux_event *events, int32_t milliseconds) {
    struct epoll_event raw[LINUX_EVENTS_AT_ONCE];
    int count = epoll_wait(poller, raw, LINUX_EVENTS_AT_ONCE, milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        events[i].token = raw[i].data.u64;
        events[i].readiness = raw[i].events;
    }
    return count;
}

int32_t linux_wait_writable(int32_t descriptor) {
    struct pollfd one = {.fd = descriptor, .events = POLLOUT};
    return RETRIED(poll(&one, 1, -1));
}

// Descriptors and files.

// Not retried: Linux has released the descriptor even when close(2) reports EINTR.
int32_t linux_close(int32_t descriptor) { return OR_ERRNO(close(descriptor)); }

void linux_close_both(int32_t one, int32_t other) {
    int32_t first = one < other ? one : other, last = one < other ? other : one;
    // close_range(2): Linux 5.9, and not in every sandbox.
    if (last - first == 1 && syscall(SYS_close_range, first, last, 0) == 0) return;
    close(first);
    close(last);
}

int64_t linux_read(int32_t descriptor, void *bytes, size_t capacity) {
    return RETRIED(read(descriptor, bytes, capacity));
}

int64_t linux_write(int32_t descriptor, const void *bytes, size_t count) {
    return RETRIED(write(descriptor, bytes, count));
}

int32_t linux_open_to_read(const char *path) { return RETRIED(open(path, O_RDONLY | O_CLOEXEC)); }

int32_t linux_wait_readable(int32_t descriptor, int32_t milliseconds) {
    struct pollfd one = {.fd = descriptor, .events = POLLIN};
    return RETRIED(poll(&one, 1, milliseconds));
}

int32_t linux_count_descriptors(void) {
    int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rlimit limit;
    // None is left for the folder itself: every number below the limit is taken.
    if (folder < 0 && errno == EMFILE && prlimit(0, RLIMIT_NOFILE, NULL, &limit) == 0)
        return (int32_t)limit.rlim_cur;
    if (folder < 0) return -errno;
    // struct linux_dirent64 (getdents64(2)): an inode, an offset, a length, a type, a name.
    char entries[4096];
    int32_t count = -1; // the folder's own
    ssize_t got;
    while ((got = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0) {
        for (ssize_t at = 0; at < got;) {
            unsigned short length;
            memcpy(&length, entries + at + 16, sizeof length);
            if (entries[at + 19] != '.') count += 1;
            at += length;
        }
    }
    close(folder);
    return count;
}

int32_t linux_terminal_size(int32_t descriptor, int32_t *columns, int32_t *rows) {
    struct winsize size;
    if (ioctl(descriptor, TIOCGWINSZ, &size) < 0) return -errno;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}

int32_t linux_file_stamp(const char *path, struct linux_file_stamp *stamp) {
    struct stat status;
    if (stat(path, &status) < 0) return -errno;
    stamp->modified_nanoseconds =
        (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    stamp->size = status.st_size;
    stamp->inode = status.st_ino;
    return 0;
}

int32_t linux_event_counter(int32_t blocking) {
    return OR_ERRNO(eventfd(0, EFD_CLOEXEC | (blocking ? 0 : EFD_NONBLOCK)));
}

int64_t linux_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0) return -errno;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        // Not setrlimit(2): musl's brings along how to stop all threads, 2 KB.
        if (prlimit(0, RLIMIT_NOFILE, &raised, NULL) == 0) limit = raised;
    }
    return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

// Signals.

int32_t linux_signals(void) {
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (error != 0) return -error;
    return OR_ERRNO(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int32_t linux_next_signal(int32_t signals) {
    struct signalfd_siginfo info;
    ssize_t count = RETRIED(read(signals, &info, sizeof info));
    if (count == sizeof info) return (int32_t)info.ssi_signo;
    return count == -EAGAIN ? 0 : (int32_t)count;
}

// Processes, threads, clocks, memory.

int32_t linux_process_id(void) { return getpid(); }

int32_t linux_reap_one(void) { return RETRIED(waitpid(-1, NULL, WNOHANG)); }

void linux_exit(int32_t code) { _exit(code); }

struct thread {
    void (*body)(void *);
    void *argument;
    const char *name;
};

static void *run_thread(void *opaque) {
    struct thread thread = *(struct thread *)opaque;
    free(opaque);
    // pthread_setname_np(3) would bring musl's printf along: 15 KB, and floating-point helpers that
    // the aarch64 build has none of.
    prctl(PR_SET_NAME, thread.name);
    thread.body(thread.argument);
    return NULL;
}

int32_t linux_thread(void (*body)(void *), void *argument, const char *name) {
    struct thread *thread = malloc(sizeof *thread);
    if (thread == NULL) return -ENOMEM;
    *thread = (struct thread){body, argument, name};
    pthread_t handle;
    int error = pthread_create(&handle, NULL, run_thread, thread);
    if (error != 0) {
        free(thread);
        return -error;
    }
    pthread_detach(handle);
    return 0;
}

int32_t linux_usable_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0) return -errno; // EINVAL: over 1024 CPUs
    return CPU_COUNT(&set);
}

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t linux_monotonic_nanoseconds(void) { return now(CLOCK_MONOTONIC); }

int64_t linux_wall_nanoseconds(void) { return now(CLOCK_REALTIME); }

uint16_t linux_random(void) {
    uint16_t bits = 0;
    // Interrupted only before the kernel's pool is ready: long before any container runs.
    while (getrandom(&bits, sizeof bits, 0) < 0 && errno == EINTR) {}
    return bits;
}

const char *linux_environment(const char *name) { return getenv(name); }

void *linux_allocate(size_t bytes) { return malloc(bytes); }

void linux_free(void *memory) { free(memory); }

#ifndef __GLIBC__
// Swift's Dictionary seeds its hashes with it; musl 1.2.3 has none.
void arc4random_buf(void *bytes, size_t count) {
    unsigned char *next = bytes;
    while (count > 0) {
        ssize_t got = getrandom(next, count, 0);
        if (got < 0 && errno != EINTR) abort();
        if (got > 0) next += got, count -= (size_t)got;
    }
}
#endif
