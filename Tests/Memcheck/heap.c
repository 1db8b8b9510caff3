// The heap of the static binary while valgrind looks on: valgrind cannot put its own into a program
// that loads no library. Client requests tell it what is allocated and freed, so that it sees what
// is read too early, too late or beyond; what was freed is used again as late as can be.
#include <memcheck.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    // Before each block, out of bounds: a page, which is the largest alignment that is asked for.
    GAP = 4096,
    // The first of a region has what the region says of itself before its gap.
    START = 2 * GAP,
    SMALLEST = 4096,
    CLASSES = 7,  // up to 256 KiB; what is larger is mapped by itself
    FREED_MOST = 4096,
    // So many of a size are free before one of them is used again.
    FREED_LEAST = 256,
};
#define REGION ((size_t)4 << 20)
#define LARGE ((size_t)CLASSES)

// At the start of each region, which is aligned to its size.
struct region {
    size_t class;
    size_t bytes;
};

struct class {
    char *next;
    size_t left;
    void *freed[FREED_MOST];
    size_t first, count;
};

static struct class classes[CLASSES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct region *map(size_t class, size_t bytes) {
    char *memory = mmap(0, bytes + REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (memory == MAP_FAILED) return 0;
    size_t before = -(uintptr_t)memory & (REGION - 1);
    if (before > 0) munmap(memory, before);
    if (before < REGION) munmap(memory + before + bytes, REGION - before);
    struct region *region = (struct region *)(memory + before);
    *region = (struct region){class, bytes};
    VALGRIND_MAKE_MEM_NOACCESS(region + 1, bytes - sizeof *region);
    return region;
}

static void *take(size_t index) {
    struct class *class = &classes[index];
    size_t stride = ((size_t)SMALLEST << index) + GAP;
    if (class->count > FREED_LEAST) {
        void *block = class->freed[class->first];
        class->first = (class->first + 1) % FREED_MOST;
        class->count--;
        return block;
    }
    if (class->left < stride) {
        struct region *region = map(index, REGION);
        if (!region) return 0;
        class->next = (char *)region + START;
        class->left = REGION - START;
    }
    void *block = class->next;
    class->next += stride;
    class->left -= stride;
    return block;
}

void *malloc(size_t bytes) {
    size_t index = 0;
    while (index < CLASSES && ((size_t)SMALLEST << index) < bytes) index++;
    void *block;
    if (index == CLASSES) {
        size_t whole = (bytes + START + REGION - 1) & -REGION;
        struct region *region = whole < bytes ? 0 : map(LARGE, whole);
        block = region ? (char *)region + START : 0;
    } else {
        pthread_mutex_lock(&lock);
        block = take(index);
        pthread_mutex_unlock(&lock);
    }
    if (block) VALGRIND_MALLOCLIKE_BLOCK(block, bytes, GAP, 0);
    return block;
}

void free(void *block) {
    if (!block) return;
    struct region *region = (struct region *)((uintptr_t)block & -REGION);
    VALGRIND_FREELIKE_BLOCK(block, GAP);
    if (region->class == LARGE) {
        munmap(region, region->bytes);
        return;
    }
    struct class *class = &classes[region->class];
    pthread_mutex_lock(&lock);
    // One that finds no room is never used again.
    if (class->count < FREED_MOST)
        class->freed[(class->first + class->count++) % FREED_MOST] = block;
    pthread_mutex_unlock(&lock);
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
    if (alignment > GAP) abort();
    *block = malloc(bytes);
    return *block ? 0 : 12;
}
