#include "platform.h"

#if defined(_WIN32)

#include <bcrypt.h>
#include <string.h>
#include <ws2tcpip.h>

uint64_t mg_now_ns(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    uint64_t whole = (uint64_t)(ticks.QuadPart / per_second.QuadPart);
    uint64_t rest = (uint64_t)(ticks.QuadPart % per_second.QuadPart);
    return whole * 1000000000u + rest * 1000000000u / (uint64_t)per_second.QuadPart;
}

void mg_sleep_ms(uint32_t milliseconds) { Sleep(milliseconds); }

bool mg_random_bytes(void *bytes, size_t size)
{
    return BCryptGenRandom(NULL, bytes, (ULONG)size, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}

void mg_mutex_open(mg_mutex *mutex) { InitializeSRWLock(mutex); }
void mg_mutex_close(mg_mutex *mutex) { (void)mutex; }
void mg_lock(mg_mutex *mutex) { AcquireSRWLockExclusive(mutex); }
void mg_unlock(mg_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }

static DWORD WINAPI run_thread(void *thread_pointer)
{
    mg_thread *thread = thread_pointer;
    thread->run(thread->argument);
    return 0;
}

bool mg_thread_start(mg_thread *thread, void (*run)(void *argument), void *argument)
{
    thread->run = run;
    thread->argument = argument;
    thread->handle = CreateThread(NULL, 0, run_thread, thread, 0, &thread->id);
    return thread->handle != NULL;
}

void mg_thread_join(mg_thread *thread)
{
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

bool mg_thread_is_current(const mg_thread *thread) { return thread->id == GetCurrentThreadId(); }

/* A datagram socket that talks to itself: the only thing here that waits together with sockets. */
bool mg_wake_open(mg_wake *wake)
{
    WSADATA about;
    if (WSAStartup(MAKEWORD(2, 2), &about) != 0) return false;
    struct sockaddr_in self;
    int size = sizeof self;
    u_long on = 1;
    memset(&self, 0, sizeof self);
    self.sin_family = AF_INET;
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SOCKET own = socket(AF_INET, SOCK_DGRAM, 0);
    if (own != INVALID_SOCKET && bind(own, (struct sockaddr *)&self, size) == 0 &&
        getsockname(own, (struct sockaddr *)&self, &size) == 0 &&
        connect(own, (struct sockaddr *)&self, size) == 0 &&
        ioctlsocket(own, (long)FIONBIO, &on) == 0) {
        wake->reader = wake->writer = own;
        return true;
    }
    if (own != INVALID_SOCKET) closesocket(own);
    WSACleanup();
    return false;
}

bool mg_wake_has_company(const mg_wake *wake, int count)
{
    (void)wake, (void)count; /* sockets are limited by memory alone */
    return true;
}

void mg_wake_close(mg_wake *wake)
{
    closesocket(wake->reader);
    WSACleanup();
}

void mg_wake_raise(mg_wake *wake) { send(wake->writer, "!", 1, 0); }

void mg_wake_lower(mg_wake *wake)
{
    char bytes[16];
    while (recv(wake->reader, bytes, sizeof bytes, 0) > 0) continue;
}

void mg_wake_wait(mg_wake *wake, uint32_t milliseconds)
{
    fd_set readers;
    FD_ZERO(&readers);
    FD_SET(wake->reader, &readers);
    struct timeval wait = {(long)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000};
    select(0, &readers, NULL, NULL, &wait);
    mg_wake_lower(wake);
}

static HANDLE open_file(const char *path)
{
    wchar_t wide[1024];
    if (MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 1024) == 0) return INVALID_HANDLE_VALUE;
    return CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                       NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
}

bool mg_mapping_open(mg_mapping *mapping, const char *path)
{
    memset(mapping, 0, sizeof *mapping);
    HANDLE file = open_file(path);
    if (file == INVALID_HANDLE_VALUE) return false;
    LARGE_INTEGER size;
    const void *bytes = NULL;
    if (GetFileSizeEx(file, &size) && size.QuadPart > 0) {
        HANDLE section = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
        if (section) {
            bytes = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
            CloseHandle(section); /* the view keeps it alive */
        }
    }
    if (!bytes) {
        CloseHandle(file);
        return false;
    }
    mapping->bytes = bytes;
    mapping->size = (uint64_t)size.QuadPart;
    mapping->file = (intptr_t)file;
    return true;
}

void mg_mapping_close(mg_mapping *mapping)
{
    if (!mapping->bytes) return;
    UnmapViewOfFile(mapping->bytes);
    CloseHandle((HANDLE)mapping->file);
    memset(mapping, 0, sizeof *mapping);
}

/* A mapped file cannot be made shorter on Windows. */
bool mg_mapping_still_whole(const mg_mapping *mapping) { return mapping->bytes != NULL; }

/* Servers on Windows have no shared memory, so nobody would send any. */
bool mg_datagrams_open(mg_datagrams *datagrams, const char *path)
{
    (void)path;
    memset(datagrams, 0, sizeof *datagrams);
    return false;
}

void mg_datagrams_close(mg_datagrams *datagrams) { datagrams->open = false; }

size_t mg_datagrams_take(mg_datagrams *datagrams, void *bytes, size_t size)
{
    (void)datagrams, (void)bytes, (void)size;
    return 0;
}

#else
typedef int mg_platform_win32_is_empty_here;
#endif
