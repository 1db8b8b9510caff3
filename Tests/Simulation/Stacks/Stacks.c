// Stacks to switch between, and the few calls that Swift has no access to.
#define _GNU_SOURCE
#include "Stacks.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 512 * 1024, MAX_STACKS = 64 };
static char *stacks[MAX_STACKS];
static int made;

void stack_begin(void);

// Saves what a call must leave as it was, and goes on where `to` was left (System V, AAPCS64).
#if defined(__x86_64__)
__asm__(
    ".globl stack_switch\n.type stack_switch, @function\nstack_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".globl stack_begin\n.type stack_begin, @function\nstack_begin:\n"
    "movq %r13, %rdi\ncallq *%r12\nud2\n");
enum { SAVED_WORDS = 7, BODY = 3, ARGUMENT = 2, RETURN = 6 };
#elif defined(__aarch64__)
__asm__(
    ".globl stack_switch\n.type stack_switch, %function\nstack_switch:\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\n"
    "stp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\n"
    "stp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\n"
    "ldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\n"
    "ldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n"
    ".globl stack_begin\n.type stack_begin, %function\nstack_begin:\n"
    "mov x0, x20\nblr x19\nbrk #1\n");
enum { SAVED_WORDS = 20, BODY = 0, ARGUMENT = 1, RETURN = 11 };
#endif

void *stack_make(void (*body)(void *), void *argument) {
    if (made == MAX_STACKS) abort();
    if (stacks[made] == NULL) {
        stacks[made] = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks[made] == MAP_FAILED) abort();
        mprotect(stacks[made], 4096, PROT_NONE);
    }
    // Aligned to 16 bytes once `stack_switch` has taken its words.
    void **words = (void **)(stacks[made] + STACK_BYTES - 64) - SAVED_WORDS;
    made += 1;
    for (int i = 0; i < SAVED_WORDS; i++) words[i] = NULL;
    words[BODY] = (void *)body;
    words[ARGUMENT] = argument;
    words[RETURN] = (void *)stack_begin;
    return words;
}

void stack_reuse(void) { made = 0; }

struct run { void (*body)(void *); void *argument; };

static void *run(void *opaque) {
    struct run *run = opaque;
    run->body(run->argument);
    return NULL;
}

void thread_run(void (*body)(void *), void *argument) {
    struct run one = {body, argument};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, &one) != 0) abort();
    pthread_join(thread, NULL);
}

void *memory_shared(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int32_t process_fork(void) { return fork(); }

int32_t process_wait(int32_t *code) {
    int status;
    pid_t process = wait(&status);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return process;
}

void process_exit(int32_t code) { _exit(code); }

void process_watch(uint32_t seconds) { alarm(seconds); }

double wall_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void line_write(const char *text, size_t count) {
    if (write(1, text, count) < 0) return;
}
