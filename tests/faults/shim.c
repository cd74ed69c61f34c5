/* Strikes at the n-th operation that a run does to its folder, whichever of its processes does it.

   Loaded before the C library (LD_PRELOAD), since Arrow, torch and safetensors write without Python.
   RFT_FAULT names a file that all processes map: what to do, when, and the count so far.
   RFT_FAULT_ROOT is the folder; what lies elsewhere is neither counted nor struck. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, KILL_PARENT, KILL_BOTH, TEAR, TERM_PARENT, FAIL };

struct fault {
    _Atomic int64_t count; /* operations so far */
    int64_t at;            /* the one to strike at, from 0 */
    int64_t last;          /* a failure lasts up to this one */
    int64_t action;
    int64_t error;         /* what a failure is: ENOSPC, EIO, EACCES */
    _Atomic int64_t struck;
};

static struct fault *fault;
static char root[PATH_MAX];
static size_t root_length;

#define REAL(name)                                             \
    static __typeof__(name) *real;                             \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RFT_FAULT"), *folder = getenv("RFT_FAULT_ROOT");
    if (!path || !folder) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) return;
    root_length = (size_t)snprintf(root, sizeof root, "%s", folder);
    fault = mapped;
}

static int inside(int folder, const char *path) {
    char whole[2 * PATH_MAX], here[PATH_MAX];
    if (!fault || !path) return 0;
    if (path[0] == '/') return !strncmp(path, root, root_length);
    if (folder == AT_FDCWD) {
        if (!getcwd(here, sizeof here)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, here, sizeof here - 1);
        if (n < 0) return 0;
        here[n] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", here, path);
    return !strncmp(whole, root, root_length);
}

static int inside_open(int file) {
    char link[64], path[PATH_MAX];
    if (!fault) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return !strncmp(path, root, root_length);
}

/* Count an operation; 0 to go on, 1 to tear it, -1 to fail with errno set. Or there is no return. */
static int strike(void) {
    int64_t number = atomic_fetch_add(&fault->count, 1);
    if (fault->action == COUNT || number < fault->at || number > fault->last) return 0;
    atomic_store(&fault->struck, 1);
    const char *above = getenv("RFT_PARENT");
    pid_t parent = above ? (pid_t)atoi(above) : getpid();
    switch (fault->action) {
    case KILL: kill(getpid(), SIGKILL); break;
    case KILL_PARENT: kill(parent, SIGKILL); break;
    case KILL_BOTH: kill(parent, SIGKILL); kill(getpid(), SIGKILL); break;
    case TERM_PARENT: kill(parent, SIGTERM); break;
    case TEAR: return 1;
    case FAIL: errno = (int)fault->error; return -1;
    }
    return 0;
}

/* Operations that cannot be torn die instead. */
static int struck(void) {
    int how = strike();
    if (how > 0) kill(getpid(), SIGKILL);
    return how;
}

#define PATH_OPERATION(name, parameters, arguments, folder, path)   \
    int name parameters {                                           \
        REAL(name);                                                             \
        if (inside(folder, path) && struck() < 0) return -1;        \
        return real arguments;                                      \
    }

PATH_OPERATION(rename, (const char *a, const char *b), (a, b), AT_FDCWD, b)
PATH_OPERATION(renameat, (int f, const char *a, int g, const char *b), (f, a, g, b), g, b)
PATH_OPERATION(renameat2, (int f, const char *a, int g, const char *b, unsigned u), (f, a, g, b, u), g, b)
PATH_OPERATION(link, (const char *a, const char *b), (a, b), AT_FDCWD, b)
PATH_OPERATION(linkat, (int f, const char *a, int g, const char *b, int u), (f, a, g, b, u), g, b)
PATH_OPERATION(unlink, (const char *a), (a), AT_FDCWD, a)
PATH_OPERATION(unlinkat, (int f, const char *a, int u), (f, a, u), f, a)
PATH_OPERATION(rmdir, (const char *a), (a), AT_FDCWD, a)
PATH_OPERATION(mkdir, (const char *a, mode_t m), (a, m), AT_FDCWD, a)
PATH_OPERATION(mkdirat, (int f, const char *a, mode_t m), (f, a, m), f, a)
PATH_OPERATION(truncate, (const char *a, off_t n), (a, n), AT_FDCWD, a)

#define OPEN(name)                                                               \
    int name(const char *path, int flags, ...) {                                 \
        REAL(name);                                                             \
        va_list rest;                                                            \
        va_start(rest, flags);                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;  \
        va_end(rest);                                                            \
        if (flags & (O_CREAT | O_TRUNC) && inside(AT_FDCWD, path) && struck() < 0) \
            return -1;                                                           \
        return real(path, flags, mode);                                          \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                             \
    int name(int folder, const char *path, int flags, ...) {                     \
        REAL(name);                                                             \
        va_list rest;                                                            \
        va_start(rest, flags);                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;  \
        va_end(rest);                                                            \
        if (flags & (O_CREAT | O_TRUNC) && inside(folder, path) && struck() < 0) \
            return -1;                                                           \
        return real(folder, path, flags, mode);                                  \
    }
OPENAT(openat)
OPENAT(openat64)

#define STREAM(name)                                                             \
    FILE *name(const char *path, const char *mode) {                             \
        REAL(name);                                                             \
        if (strpbrk(mode, "wa+") && inside(AT_FDCWD, path) && struck() < 0)      \
            return NULL;                                                         \
        return real(path, mode);                                                 \
    }
STREAM(fopen)
STREAM(fopen64)

#define FILE_OPERATION(name, parameters, arguments)            \
    int name parameters {                                      \
        REAL(name);                                                             \
        if (inside_open(file) && struck() < 0) return -1;      \
        return real arguments;                                 \
    }
FILE_OPERATION(fsync, (int file), (file))
FILE_OPERATION(fdatasync, (int file), (file))
FILE_OPERATION(ftruncate, (int file, off_t n), (file, n))
FILE_OPERATION(ftruncate64, (int file, off64_t n), (file, n))

/* A torn write has its first half on disk when the process dies. */
#define WRITE(name, parameters, whole, half)                      \
    ssize_t name parameters {                                     \
        REAL(name);                                                             \
        int how = inside_open(file) ? strike() : 0;               \
        if (how < 0) return -1;                                   \
        if (how > 0) {                                            \
            ssize_t ignored = real half;                          \
            (void)ignored;                                        \
            kill(getpid(), SIGKILL);                              \
        }                                                         \
        return real whole;                                        \
    }
WRITE(write, (int file, const void *b, size_t n), (file, b, n), (file, b, n / 2))
WRITE(pwrite, (int file, const void *b, size_t n, off_t o), (file, b, n, o), (file, b, n / 2, o))
WRITE(pwrite64, (int file, const void *b, size_t n, off64_t o), (file, b, n, o), (file, b, n / 2, o))
WRITE(writev, (int file, const struct iovec *v, int n), (file, v, n), (file, v, n / 2))
