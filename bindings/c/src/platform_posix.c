#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "platform.h"

#if !defined(_WIN32)

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#include <sys/random.h>
#endif

/* As Python's monotonic clock, which servers tell: on macOS it stands while the machine sleeps. */
uint64_t mg_now_ns(void)
{
#if defined(__APPLE__)
    return clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

void mg_sleep_ms(uint32_t milliseconds)
{
    struct timespec wait = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

bool mg_random_bytes(void *bytes, size_t size)
{
#if defined(__linux__)
    return getrandom(bytes, size, 0) == (ssize_t)size;
#else
    arc4random_buf(bytes, size);
    return true;
#endif
}

void mg_mutex_open(mg_mutex *mutex) { pthread_mutex_init(mutex, NULL); }
void mg_mutex_close(mg_mutex *mutex) { pthread_mutex_destroy(mutex); }
void mg_lock(mg_mutex *mutex) { pthread_mutex_lock(mutex); }
void mg_unlock(mg_mutex *mutex) { pthread_mutex_unlock(mutex); }

static void *run_thread(void *thread_pointer)
{
    mg_thread *thread = thread_pointer;
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "magi_rt");
#elif defined(__APPLE__)
    pthread_setname_np("magi_rt");
#endif
    thread->run(thread->argument);
    return NULL;
}

/* Their handlers belong to the host's threads. All others stay open: garbage collectors (Mono's,
 * Unity's) stop threads by signals, ours too once it has called a logger written in C#, and wait
 * for ever for a thread that blocks them. */
static const int hosts_signals[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,  SIGALRM, SIGCHLD, SIGTSTP,
                                    SIGTTIN, SIGTTOU, SIGPIPE, SIGWINCH, SIGUSR1, SIGUSR2};

bool mg_thread_start(mg_thread *thread, void (*run)(void *argument), void *argument)
{
    thread->run = run;
    thread->argument = argument;
    sigset_t hosts, before;
    sigemptyset(&hosts);
    for (size_t i = 0; i < sizeof hosts_signals / sizeof *hosts_signals; i++)
        sigaddset(&hosts, hosts_signals[i]);
    pthread_sigmask(SIG_BLOCK, &hosts, &before);
    int error = pthread_create(&thread->handle, NULL, run_thread, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->id = thread->handle;
    return error == 0;
}

void mg_thread_join(mg_thread *thread) { pthread_join(thread->handle, NULL); }

bool mg_thread_is_current(const mg_thread *thread)
{
    return pthread_equal(thread->id, pthread_self()) != 0;
}

bool mg_wake_open(mg_wake *wake)
{
#if defined(__linux__)
    wake->reader = wake->writer = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return wake->reader >= 0;
#else
    int ends[2];
    if (pipe(ends) != 0) return false;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    }
    wake->reader = ends[0];
    wake->writer = ends[1];
    return true;
#endif
}

bool mg_wake_has_company(const mg_wake *wake, int count)
{
    int taken = dup(wake->reader);
    bool had = taken >= 0 && (count == 1 || mg_wake_has_company(wake, count - 1));
    if (taken >= 0) close(taken);
    return had;
}

void mg_wake_close(mg_wake *wake)
{
    close(wake->reader);
    if (wake->writer != wake->reader) close(wake->writer);
}

void mg_wake_raise(mg_wake *wake)
{
    uint64_t one = 1;
    ssize_t written;
    do {
        written = write(wake->writer, &one, sizeof one);
    } while (written < 0 && errno == EINTR); /* full means raised already */
}

void mg_wake_lower(mg_wake *wake)
{
    uint64_t count[8];
    while (read(wake->reader, count, sizeof count) == (ssize_t)sizeof count) continue;
}

void mg_wake_wait(mg_wake *wake, uint32_t milliseconds)
{
    struct pollfd item = {.fd = wake->reader, .events = POLLIN};
    poll(&item, 1, (int)milliseconds);
    mg_wake_lower(wake);
}

bool mg_mapping_open(mg_mapping *mapping, const char *path)
{
    *mapping = (mg_mapping){.file = -1};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return false;
    struct stat about;
    void *bytes = MAP_FAILED;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 &&
        about.st_uid == geteuid())
        bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED) {
        close(file);
        return false;
    }
    *mapping = (mg_mapping){.bytes = bytes, .size = (uint64_t)about.st_size, .file = file};
    return true;
}

void mg_mapping_close(mg_mapping *mapping)
{
    if (!mapping->bytes) return;
    munmap((void *)(uintptr_t)mapping->bytes, (size_t)mapping->size);
    close((int)mapping->file);
    *mapping = (mg_mapping){.file = -1};
}

bool mg_mapping_still_whole(const mg_mapping *mapping)
{
    struct stat about;
    return fstat((int)mapping->file, &about) == 0 && (uint64_t)about.st_size >= mapping->size;
}

bool mg_datagrams_open(mg_datagrams *datagrams, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memset(datagrams, 0, sizeof *datagrams);
    size_t size = strlen(path);
    if (size >= sizeof datagrams->path || size >= sizeof address.sun_path) return false;
    memcpy(address.sun_path, path, size + 1);
    int opened = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (opened < 0) return false;
    fcntl(opened, F_SETFL, O_NONBLOCK);
    fcntl(opened, F_SETFD, FD_CLOEXEC);
    if (bind(opened, (struct sockaddr *)&address, sizeof address) != 0) {
        close(opened);
        return false;
    }
    memcpy(datagrams->path, path, size + 1);
    datagrams->socket = opened;
    datagrams->open = true;
    if (chmod(path, S_IRUSR | S_IWUSR) == 0) return true;
    mg_datagrams_close(datagrams);
    return false;
}

void mg_datagrams_close(mg_datagrams *datagrams)
{
    if (!datagrams->open) return;
    datagrams->open = false;
    close(datagrams->socket);
    unlink(datagrams->path);
}

size_t mg_datagrams_take(mg_datagrams *datagrams, void *bytes, size_t size)
{
    ssize_t taken;
    if (!datagrams->open) return 0;
    do {
        taken = recv(datagrams->socket, bytes, size, 0);
    } while (taken < 0 && errno == EINTR);
    return taken > 0 ? (size_t)taken : 0;
}

#else
typedef int mg_platform_posix_is_empty_here;
#endif
