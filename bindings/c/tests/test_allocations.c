/* What a frame costs: allocations after warm-up (counted in every thread), and the time of an
 * acquire when nothing is there. Linux with glibc, without sanitizers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fake_server.h"
#include "platform.h"

#define WIDTH 320
#define HEIGHT 240
#define PICTURE (WIDTH * HEIGHT * 4)
#define FIRST 4096
#define WARM_UP 50
#define FRAMES 200
#define ROUNDS 200000

static _Atomic bool counting;
static _Atomic uint64_t ours, libzmqs;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *before, size_t size);

/* Whose code asks: libzmq asks for memory itself and through the C++ library's operator new;
 * everything else in this process, libmsgpack too, is ours. */
static void count_one(const void *caller)
{
    Dl_info where;
    if (!atomic_load_explicit(&counting, memory_order_relaxed)) return;
    bool zmq = dladdr(caller, &where) && where.dli_fname &&
               (strstr(where.dli_fname, "libzmq") || strstr(where.dli_fname, "libstdc++"));
    atomic_fetch_add(zmq ? &libzmqs : &ours, 1);
}

void *malloc(size_t size)
{
    count_one(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_one(__builtin_return_address(0));
    return __libc_calloc(count, size);
}

void *realloc(void *before, size_t size)
{
    count_one(__builtin_return_address(0));
    return __libc_realloc(before, size);
}

/* ---- The other process: a server that sends as long as the test lives ------------------------ */

static void write_shared_file(const char *path)
{
    static uint8_t bytes[FIRST + PICTURE];
    const uint64_t numbers[] = {1, PICTURE, FIRST};
    memcpy(bytes, "MAGISHM1" STREAM_A, 24);
    memcpy(bytes + 24, numbers, 24);
    bytes[64] = 2;
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes);
    fclose(file);
}

static void serve(int addresses, int parent, const char *shared)
{
    fake_server server;
    fake_request request;
    char nothing;
    fake_open(&server, STREAM_A);
    server.shared = shared;
    CHECK(write(addresses, server.frames_address, 256) == 256);
    CHECK(write(addresses, server.control_address, 256) == 256);
    while (read(parent, &nothing, 1) < 0) { /* 0: the test has ended */
        while (fake_has_request(&server, &request)) continue;
        fake_frame frame = {.shared_turn = shared ? 2 : 0, .width = WIDTH, .height = HEIGHT};
        if (!shared)
            fake_send_frame(&server, frame);
        else if (server.bells)
            fake_ring(&server, frame);
        mg_sleep_ms(2);
    }
    fake_close(&server);
}

typedef struct other {
    pid_t process;
    int alive; /* closing it ends the other process */
    char addresses[512];
} other;

static other start_other(const char *shared)
{
    int addresses[2], alive[2];
    other started;
    CHECK(pipe2(addresses, 0) == 0 && pipe2(alive, 04000 /* O_NONBLOCK */) == 0);
    started.process = fork();
    CHECK(started.process >= 0);
    if (started.process == 0) {
        close(alive[1]);
        serve(addresses[1], alive[0], shared);
        _exit(0);
    }
    close(alive[0]);
    started.alive = alive[1];
    CHECK(read(addresses[0], started.addresses, 256) == 256);
    CHECK(read(addresses[0], started.addresses + 256, 256) == 256);
    return started;
}

static void stop_other(other *started)
{
    int status;
    close(started->alive);
    CHECK(waitpid(started->process, &status, 0) == started->process && status == 0);
}

/* ---- The test -------------------------------------------------------------------------------- */

static void take_frames(magi_client client, int count)
{
    magi_frame frame = {.struct_size = sizeof frame};
    for (int i = 0; i < count; i++) {
        int left = 20000;
        while (magi_client_acquire_frame(client, &frame) != MAGI_OK && left-- > 0) usleep(500);
        CHECK(left > 0 && frame.size == PICTURE && frame.pixels[PICTURE - 1] == 0);
        CHECK_NUMBER(magi_client_release_frame(client, frame.lease), MAGI_OK);
    }
}

static void count_frames(const char *way, magi_client_desc desc)
{
    magi_client client;
    desc.struct_size = sizeof desc;
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    take_frames(client, WARM_UP);
    atomic_store(&ours, 0);
    atomic_store(&libzmqs, 0);
    atomic_store(&counting, true);
    take_frames(client, FRAMES);
    atomic_store(&counting, false);
    printf("  %s: %llu allocations by this library in %d frames, %.2f per frame by libzmq\n",
           way, (unsigned long long)ours, FRAMES, (double)libzmqs / FRAMES);
    CHECK_NUMBER(ours, 0);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

static void a_frame_through_the_socket_allocates_nothing(void)
{
    other server = start_other(NULL);
    count_frames("socket", (magi_client_desc){.frames = server.addresses,
                                              .control = server.addresses + 256,
                                              .layout = MAGI_LAYOUT_PARTS});
    stop_other(&server);
}

static void a_frame_through_shared_memory_allocates_nothing(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/magi_rt-allocations-%ld", (long)getpid());
    write_shared_file(path);
    other server = start_other(path);
    count_frames("shared memory", (magi_client_desc){.frames = server.addresses,
                                                     .control = server.addresses + 256,
                                                     .layout = MAGI_LAYOUT_SHARED});
    stop_other(&server);
    unlink(path);
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void asking_for_a_frame_that_is_not_there_costs_little(void)
{
    magi_client client;
    magi_client_desc desc = {.struct_size = sizeof desc, .frames = "ipc:///tmp/magi_rt-nobody",
                             .control = "none"};
    magi_frame frame = {.struct_size = sizeof frame};
    static uint64_t took_ns[ROUNDS];
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t before_ns = magi_now_ns();
        CHECK(magi_client_acquire_frame(client, &frame) == MAGI_NO_FRAME);
        took_ns[i] = magi_now_ns() - before_ns;
    }
    qsort(took_ns, ROUNDS, sizeof *took_ns, by_size);
    /* The longest are those in which the system let another program run. */
    printf("  acquire with nothing there, of %d: median %.2f us, 999 of 1000 within %.2f us, "
           "longest %.0f us\n", ROUNDS, (double)took_ns[ROUNDS / 2] / 1e3,
           (double)took_ns[ROUNDS - ROUNDS / 1000] / 1e3, (double)took_ns[ROUNDS - 1] / 1e3);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

int main(void)
{
    RUN(a_frame_through_the_socket_allocates_nothing);
    RUN(a_frame_through_shared_memory_allocates_nothing);
    RUN(asking_for_a_frame_that_is_not_there_costs_little);
    return 0;
}
