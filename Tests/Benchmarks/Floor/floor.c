// The bare loop, no product: what forwarding costs when nothing else is done. Moves bytes as
// sidecar does (a copy, then splice for bulk), with no names, timers, limits, log or sandbox. A
// thread per CPU, each with a listener of its own. Usage: floor PORT TARGET_PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 32 << 10, PIPE = 1 << 20, PROMOTE = 5, EVENTS = 128 };

// One direction: from ends[i] to ends[1 - i].
struct direction {
    int pipe[2];
    size_t held, offset;
    char *stash;
    // Once the end is announced, a short read no longer says that the socket is empty.
    int full_reads, has_pipe, end_announced, source_ended, is_done;
};

struct connection {
    int ends[2];
    struct direction directions[2];
};

static uint16_t port, target_port;

static struct sockaddr_in loopback(uint16_t of) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(of),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void set(int socket, int level, int name) {
    int on = 1;
    setsockopt(socket, level, name, &on, sizeof on);
}

static ssize_t move(int from, int to, size_t count) {
    return splice(from, NULL, to, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

// Whether what is held has gone to the target.
static int deliver(struct direction *way, int target) {
    while (way->held > 0) {
        ssize_t count = way->stash ? send(target, way->stash + way->offset, way->held, MSG_NOSIGNAL)
                                   : move(way->pipe[0], target, way->held);
        if (count <= 0) return 0;
        way->held -= (size_t)count;
        way->offset += (size_t)count;
    }
    free(way->stash);
    way->stash = NULL;
    return 1;
}

static ssize_t fill(struct direction *way, int source) {
    if (!way->has_pipe) {
        if (pipe2(way->pipe, O_NONBLOCK | O_CLOEXEC) < 0) return -1;
        fcntl(way->pipe[0], F_SETPIPE_SZ, PIPE);
        way->has_pipe = 1;
    }
    ssize_t count = move(source, way->pipe[1], PIPE);
    if (count > 0) way->held = (size_t)count;
    return count;
}

static ssize_t copy(struct direction *way, int source, int target, char *buffer) {
    ssize_t count = recv(source, buffer, BUFFER, 0);
    if (count <= 0) return count;
    if (count == BUFFER) way->full_reads++;
    else if (way->full_reads > 0) way->full_reads--;
    ssize_t sent = send(target, buffer, (size_t)count, MSG_NOSIGNAL);
    if (sent < count) {
        size_t done = sent > 0 ? (size_t)sent : 0;
        way->held = (size_t)count - done;
        way->offset = 0;
        way->stash = malloc(way->held);
        memcpy(way->stash, buffer + done, way->held);
        return deliver(way, target) ? count : -1;
    }
    return count;
}

static void pump(struct connection *c, int i, char *buffer) {
    struct direction *way = &c->directions[i];
    int source = c->ends[i], target = c->ends[1 - i];
    while (!way->is_done && deliver(way, target)) {
        ssize_t count = 0;
        if (!way->source_ended) {
            int is_bulk = way->full_reads >= PROMOTE;
            count = is_bulk ? fill(way, source) : copy(way, source, target, buffer);
            if (count > 0 && !is_bulk && count < BUFFER && !way->end_announced) return;
            if (count < 0 && errno == EAGAIN) return;
        }
        if (count <= 0) {
            way->source_ended = 1;
            way->is_done = 1;
            shutdown(target, SHUT_WR);
        }
    }
}

static void take_clients(int listener, int poller) {
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) return;
        struct connection *c = calloc(1, sizeof *c);
        c->ends[0] = client;
        c->ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        set(c->ends[1], IPPROTO_TCP, TCP_NODELAY);
        struct sockaddr_in target = loopback(target_port);
        connect(c->ends[1], (struct sockaddr *)&target, sizeof target);
        for (uint64_t i = 0; i < 2; i++) {
            struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                        {.u64 = (uint64_t)(uintptr_t)c | i}};
            epoll_ctl(poller, EPOLL_CTL_ADD, c->ends[i], &event);
        }
    }
}

static void end(struct connection *c) {
    for (int i = 0; i < 2; i++) {
        close(c->ends[i]);
        free(c->directions[i].stash);
        if (c->directions[i].has_pipe) {
            close(c->directions[i].pipe[0]);
            close(c->directions[i].pipe[1]);
        }
        c->ends[i] = -1;
    }
}

static int listen_on(uint16_t of) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set(listener, SOL_SOCKET, SO_REUSEADDR);
    set(listener, SOL_SOCKET, SO_REUSEPORT);
    set(listener, IPPROTO_TCP, TCP_NODELAY);
    struct sockaddr_in address = loopback(of);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) exit(1);
    if (listen(listener, 4096) < 0) exit(1);
    return listener;
}

static void *work(void *unused) {
    (void)unused;
    char *buffer = malloc(BUFFER);
    int poller = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(port);
    struct epoll_event events[EVENTS], event = {EPOLLIN, {.u64 = 0}};
    struct connection *ended[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1), over = 0;
        for (int i = 0; i < count; i++) {
            struct connection *c = (void *)(uintptr_t)(events[i].data.u64 & ~1ULL);
            if (!c) {
                take_clients(listener, poller);
            } else if (c->ends[0] >= 0) {
                if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                    c->directions[events[i].data.u64 & 1].end_announced = 1;
                pump(c, 0, buffer);
                pump(c, 1, buffer);
                if (c->directions[0].is_done && c->directions[1].is_done) {
                    end(c);
                    ended[over++] = c;
                }
            }
        }
        // Another event of the same batch may still have named it.
        while (over > 0) free(ended[--over]);
    }
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 3) return 64;
    port = (uint16_t)atoi(arguments[1]);
    target_port = (uint16_t)atoi(arguments[2]);
    signal(SIGPIPE, SIG_IGN);
    cpu_set_t cpus;
    sched_getaffinity(0, sizeof cpus, &cpus);
    for (int i = 1; i < CPU_COUNT(&cpus); i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work, NULL);
    }
    work(NULL);
}
