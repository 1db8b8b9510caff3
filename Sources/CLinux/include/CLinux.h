// The C edge of the program: every libc and kernel call it makes, over flat types of its own.
// Includes no libc header, because Swift's importer would read glibc's where the shim is compiled
// with musl's. A call returns its result, or the negative error number (errno(3)).
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>

// Inlined into Swift code, a function would lose its stack protector: Swift's has none to keep.
#pragma clang attribute push(__attribute__((noinline)), apply_to = function)

// The release as the build named it: a tag, a commit or "development".
const char *linux_version(void);

// An IPv6 address, or an IPv4 one in mapped form, as two host-order halves; and a port.
struct linux_address {
    uint64_t high;
    uint64_t low;
    uint16_t port;
};

// Sockets. IPv4 sockets serve mapped addresses; `ipv6` chooses the family.
int32_t linux_socket(int32_t ipv6);
int32_t linux_datagram_socket(int32_t ipv6);
int32_t linux_bind(int32_t socket, const struct linux_address *address, int32_t ipv6);
int32_t linux_listen(int32_t socket, int32_t backlog);
int32_t linux_accept(int32_t listener, struct linux_address *peer);
int32_t linux_connect(int32_t socket, const struct linux_address *address);
int32_t linux_local_address(int32_t socket, struct linux_address *address);
int32_t linux_shutdown_sending(int32_t socket);
int64_t linux_receive(int32_t socket, void *bytes, size_t capacity);
int64_t linux_peek(int32_t socket, void *bytes, size_t capacity);
// `more`: held back until what follows is sent too (send(2), MSG_MORE).
int64_t linux_send(int32_t socket, const void *bytes, size_t count, int32_t more);

enum linux_option {
    LINUX_REUSE_ADDRESS,
    LINUX_KEEPALIVE,
    LINUX_KEEPALIVE_IDLE_SECONDS,
    LINUX_KEEPALIVE_INTERVAL_SECONDS,
    LINUX_NO_DELAY,
    LINUX_QUICK_ACKNOWLEDGEMENT,
    LINUX_USER_TIMEOUT_MILLISECONDS,
    LINUX_URGENT_INLINE,
    LINUX_IPV6_ONLY,
};
int32_t linux_set_option(int32_t socket, int32_t option, int32_t value);
int32_t linux_reset_on_close(int32_t socket);
// Takes the socket's pending error (SO_ERROR): zero or a positive error number.
int32_t linux_take_error(int32_t socket);
// Bytes that the peer has not acknowledged (SIOCOUTQ, tcp(7)).
int32_t linux_unacknowledged(int32_t socket);

// What TCP_INFO tells about the sending half of a connection (tcp(7), linux/tcp.h).
struct linux_send_state {
    uint32_t segments_in_flight;
    uint32_t unsent_bytes;
    uint32_t probes_unanswered;
    uint32_t milliseconds_since_acknowledgement;
    uint32_t window_bytes;
    int32_t window_known;
};
int32_t linux_send_state(int32_t socket, struct linux_send_state *state);

// Abstract Unix stream sockets (unix(7)), by names without the leading zero.
int32_t linux_local_socket(void);
int32_t linux_local_bind(int32_t socket, const void *name, size_t length);
int32_t linux_local_connect(int32_t socket, const void *name, size_t length);
int32_t linux_local_accept(int32_t listener);
// The user of the process that is connected or listens at the other end (SO_PEERCRED).
int32_t linux_peer_user(int32_t socket);
int32_t linux_user(void);

// Pipes and splice.
int32_t linux_pipe(int32_t *output, int32_t *input);
int32_t linux_pipe_capacity(int32_t pipe);
int32_t linux_set_pipe_capacity(int32_t pipe, int32_t bytes);
int64_t linux_splice(int32_t source, int32_t target, size_t count);

// epoll(7).
enum {
    LINUX_READABLE = 0x1,
    LINUX_URGENT = 0x2,
    LINUX_WRITABLE = 0x4,
    LINUX_ERROR = 0x8,
    LINUX_HANG_UP = 0x10,
    LINUX_PEER_ENDED = 0x2000,
    LINUX_EXCLUSIVE = 1 << 28,
};
#define LINUX_EDGE_TRIGGERED 0x80000000u
struct linux_event {
    uint64_t token;
    uint32_t readiness;
};
int32_t linux_poller(void);
int32_t linux_poller_add(int32_t poller, int32_t descriptor, uint32_t interest, uint64_t token);
int32_t linux_poller_change(int32_t poller, int32_t descriptor, uint32_t interest, uint64_t token);
int32_t linux_poller_remove(int32_t poller, int32_t descriptor);
// At most LINUX_EVENTS_AT_ONCE events; waits for `milliseconds`, or for ever when negative.
#define LINUX_EVENTS_AT_ONCE 128
int32_t linux_poller_wait(int32_t poller, struct linux_event *events, int32_t milliseconds);
int32_t linux_wait_writable(int32_t descriptor);

// Descriptors and files.
int32_t linux_close(int32_t descriptor);
// With one call if their numbers are neighbours.
void linux_close_both(int32_t one, int32_t other);
int64_t linux_read(int32_t descriptor, void *bytes, size_t capacity);
int64_t linux_write(int32_t descriptor, const void *bytes, size_t count);
int32_t linux_open_to_read(const char *path);
int32_t linux_wait_readable(int32_t descriptor, int32_t milliseconds);
// Descriptors that are open now.
int32_t linux_count_descriptors(void);
int32_t linux_terminal_size(int32_t descriptor, int32_t *columns, int32_t *rows);
struct linux_file_stamp {
    int64_t modified_nanoseconds;
    int64_t size;
    uint64_t inode;
};
int32_t linux_file_stamp(const char *path, struct linux_file_stamp *stamp);
int32_t linux_event_counter(int32_t blocking);
// Raises the soft descriptor limit to the hard one; the limit in force.
int64_t linux_raise_descriptor_limit(void);

// Signals: 0 for none.
enum {
    LINUX_SIGHUP = 1,
    LINUX_SIGINT = 2,
    LINUX_SIGUSR1 = 10,
    LINUX_SIGTERM = 15,
    LINUX_SIGCHLD = 17,
};
// Blocks SIGTERM, SIGINT, SIGUSR1 and SIGCHLD for the process, ignores SIGHUP and SIGPIPE, and
// returns a signalfd(2) that delivers the blocked ones.
int32_t linux_signals(void);
int32_t linux_next_signal(int32_t signals);

// Processes, threads, clocks, memory.
int32_t linux_process_id(void);
int32_t linux_reap_one(void);
void linux_exit(int32_t code) __attribute__((noreturn));
// The thread reads `name` after this has returned: it must last.
int32_t linux_thread(void (*body)(void *), void *argument, const char *name);
int32_t linux_usable_cpus(void);
int64_t linux_monotonic_nanoseconds(void);
int64_t linux_wall_nanoseconds(void);
// Bits that nobody can guess (getrandom(2)).
uint16_t linux_random(void);
const char *linux_environment(const char *name);
void *linux_allocate(size_t bytes);
void linux_free(void *memory);

// Giving rights up (Sandbox.c).
int32_t linux_refuse_new_privileges(void);
int32_t linux_drop_capabilities(void);
// The version of Landlock; `ports` are those that may still be connected to.
int32_t linux_restrict_reach(const uint16_t *ports, size_t count);
int32_t linux_filter_system_calls(const uint64_t *program, size_t count);

#pragma clang attribute pop

#endif
