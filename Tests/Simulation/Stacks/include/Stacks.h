// What Swift cannot do itself: switch between stacks, fork, and share memory with a forked child.
#ifndef STACKS_H
#define STACKS_H

#include <stddef.h>
#include <stdint.h>

// A stack of its own that calls `body(argument)` when it is switched to for the first time; `body`
// never returns. The result is what stack_switch goes to. Stacks are taken again by stack_reuse.
void *stack_make(void (*body)(void *), void *argument);
void stack_switch(void **from, void *to);
// All stacks that were made may be made anew: nobody goes back to them.
void stack_reuse(void);

// Runs `body` on a new thread, to its end: a thread's exclusivity records go with it.
void thread_run(void (*body)(void *), void *argument);

// Zeroed memory that forked children share.
void *memory_shared(size_t bytes);
int32_t process_fork(void);
// Waits for a child to end: its process, and its exit code or the negative number of its signal.
int32_t process_wait(int32_t *code);
void process_exit(int32_t code);
// The process is ended by SIGALRM after so long, unless asked again before.
void process_watch(uint32_t seconds);
double wall_seconds(void);
// Whole lines at once, whoever else writes.
void line_write(const char *text, size_t count);

#endif
