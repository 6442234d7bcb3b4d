/* The calls that newlib's printf, fopen and exit end in, each one semihosting call.
 *
 * A call is `bkpt 0xAB` with its number in r0 and the address of its arguments in r1; the answer is in r0. Numbers and
 * arguments: "Semihosting for AArch32 and AArch64", Arm. */
#include "semihost.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_SEEK = 0x0A,
    SYS_FLEN = 0x0C,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20
};
enum { APPLICATION_EXIT = 0x20026 };
enum { READ_BINARY = 1, WRITE_TEXT = 4, WRITE_BINARY = 5, APPEND_TEXT = 8 }; /* modes of SYS_OPEN: fopen's, by number */
enum { FILES = 8, CONSOLE = 3 };                                             /* of which 0, 1 and 2 are the console */

static intptr_t call(uint32_t number, const void *arguments) {
    register uint32_t r0 __asm("r0") = number;
    register const void *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory", "cc");
    return (intptr_t)r0;
}

void uvlm_host_print(const char *text) { call(SYS_WRITE0, text); }

void uvlm_host_exit(int code) {
    const uint32_t with[2] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) call(SYS_EXIT_EXTENDED, with);
}

static char line[256];

int uvlm_host_arguments(char **arguments) {
    uint32_t with[2] = {(uint32_t)(uintptr_t)line, sizeof line};
    int found = 0;
    if (call(SYS_GET_CMDLINE, with) == 0) {
        for (char *word = strtok(line, " "); word && found < UVLM_ARGUMENTS; word = strtok(0, " ")) {
            arguments[found++] = word;
        }
    }
    arguments[found] = 0;
    return found;
}

/* A file descriptor is a place in this table; the host has handles of its own. 0 is one that is not open. */
static struct {
    intptr_t handle; /* of the host, plus 1 */
    int32_t at;      /* from the start of the file: SYS_SEEK knows no other */
} files[FILES];

static intptr_t open_as(const char *path, uint32_t mode) {
    const uint32_t with[3] = {(uint32_t)(uintptr_t)path, mode, (uint32_t)strlen(path)};
    return call(SYS_OPEN, with) + 1;
}

static int known(int file) {
    if (file < 0 || file >= FILES) return 0;
    if (file < CONSOLE && !files[file].handle) { /* ":tt" is the console */
        files[file].handle = open_as(":tt", file == 0 ? READ_BINARY - 1 : file == 1 ? WRITE_TEXT : APPEND_TEXT);
    }
    return files[file].handle != 0;
}

int _open(const char *path, int flags, int mode) {
    (void)mode;
    for (int file = CONSOLE; file < FILES; file++) {
        if (files[file].handle) continue;
        files[file].handle = open_as(path, (flags & O_ACCMODE) == O_RDONLY ? READ_BINARY : WRITE_BINARY);
        files[file].at = 0;
        if (files[file].handle) return file;
        errno = ENOENT;
        return -1;
    }
    errno = EMFILE;
    return -1;
}

int _close(int file) {
    if (!known(file)) return -1;
    const uint32_t with[1] = {(uint32_t)(files[file].handle - 1)};
    files[file].handle = 0;
    return (int)call(SYS_CLOSE, with);
}

static int transfer(uint32_t number, int file, const void *at, int size) {
    if (!known(file)) {
        errno = EBADF;
        return -1;
    }
    const uint32_t with[3] = {(uint32_t)(files[file].handle - 1), (uint32_t)(uintptr_t)at, (uint32_t)size};
    int left = (int)call(number, with); /* what was not read or written */
    if (left < 0 || left > size) {
        errno = EIO;
        return -1;
    }
    files[file].at += size - left;
    return size - left;
}

int _read(int file, char *to, int size) { return transfer(SYS_READ, file, to, size); }

int _write(int file, const char *from, int size) { return transfer(SYS_WRITE, file, from, size); }

off_t _lseek(int file, off_t by, int whence) {
    if (!known(file)) return -1;
    uint32_t with[2] = {(uint32_t)(files[file].handle - 1), 0};
    int32_t from = whence == 1 ? files[file].at : whence == 2 ? (int32_t)call(SYS_FLEN, with) : 0;
    int32_t to = from + (int32_t)by;
    with[1] = (uint32_t)to;
    if (to < 0 || call(SYS_SEEK, with) != 0) {
        errno = EINVAL;
        return -1;
    }
    files[file].at = to;
    return to;
}

int _isatty(int file) { return file >= 0 && file < CONSOLE; }

int _fstat(int file, struct stat *about) {
    memset(about, 0, sizeof *about);
    about->st_mode = _isatty(file) ? S_IFCHR : S_IFREG;
    about->st_blksize = 4096;
    return 0;
}

extern char uvlm_heap_start[], uvlm_heap_end[];

/* The C library's own heap: buffers of printf and fopen. The kernels allocate nothing. */
void *_sbrk(ptrdiff_t by) {
    static char *top = uvlm_heap_start;
    if (by > uvlm_heap_end - top || by < uvlm_heap_start - top) {
        errno = ENOMEM;
        return (void *)-1;
    }
    char *old = top;
    top += by;
    return old;
}

void _exit(int code) { uvlm_host_exit(code); }

int _kill(int process, int signal) {
    (void)process;
    uvlm_host_exit(128 + signal); /* abort() and a failed assert() come here */
}

int _getpid(void) { return 1; }

/* exit() and start-up of newlib call these; there are no constructors. */
void _init(void) {}
void _fini(void) {}
