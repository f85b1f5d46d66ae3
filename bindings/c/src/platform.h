/* What differs between systems: threads, locks, the clock, randomness, waking up, mapped files,
 * datagrams by path. */
#ifndef MG_PLATFORM_H
#define MG_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#include <winsock2.h>
#include <windows.h>
typedef SRWLOCK mg_mutex;
typedef HANDLE mg_thread_handle;
typedef DWORD mg_thread_id;
typedef SOCKET mg_wake_socket;
#else
#include <pthread.h>
typedef pthread_mutex_t mg_mutex;
typedef pthread_t mg_thread_handle;
typedef pthread_t mg_thread_id;
typedef int mg_wake_socket;
#endif

uint64_t mg_now_ns(void);
void mg_sleep_ms(uint32_t milliseconds);
bool mg_random_bytes(void *bytes, size_t size);

void mg_mutex_open(mg_mutex *mutex);
void mg_mutex_close(mg_mutex *mutex);
void mg_lock(mg_mutex *mutex);
void mg_unlock(mg_mutex *mutex);

typedef struct mg_thread {
    void (*run)(void *argument);
    void *argument;
    mg_thread_handle handle;
    mg_thread_id id;
} mg_thread;

/* The struct must stay where it is until joined. */
bool mg_thread_start(mg_thread *thread, void (*run)(void *argument), void *argument);
void mg_thread_join(mg_thread *thread);
bool mg_thread_is_current(const mg_thread *thread);

/* Something a thread can wait for together with sockets, raised by any other thread. */
typedef struct mg_wake {
    mg_wake_socket reader;
    mg_wake_socket writer;
} mg_wake;

bool mg_wake_open(mg_wake *wake);
void mg_wake_close(mg_wake *wake);
bool mg_wake_has_company(const mg_wake *wake, int count); /* so many more descriptors can be had */
void mg_wake_raise(mg_wake *wake);
void mg_wake_lower(mg_wake *wake);
void mg_wake_wait(mg_wake *wake, uint32_t milliseconds); /* returns at once when raised */

/* A file of another process, mapped to be read. */
typedef struct mg_mapping {
    const uint8_t *bytes; /* null: nothing is mapped */
    uint64_t size;
    intptr_t file;
} mg_mapping;

/* False for another user's file, too: whoever cuts it short while it is read ends this process. */
bool mg_mapping_open(mg_mapping *mapping, const char *path);
void mg_mapping_close(mg_mapping *mapping);
bool mg_mapping_still_whole(const mg_mapping *mapping); /* false: the file has shrunk */

/* Datagrams that this user's processes send to a path. */
typedef struct mg_datagrams {
    bool open;
    mg_wake_socket socket; /* to be waited for */
    char path[96];
} mg_datagrams;

/* False when the path is too long or taken, and always on Windows. */
bool mg_datagrams_open(mg_datagrams *datagrams, const char *path);
void mg_datagrams_close(mg_datagrams *datagrams); /* removes the file, too */
/* Bytes of the next one, cut off at `size`; 0 when none is there. */
size_t mg_datagrams_take(mg_datagrams *datagrams, void *bytes, size_t size);

#endif
