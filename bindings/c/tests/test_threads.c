/* Many threads at once: pictures are whole, leases are exclusive, closing is safe. Meant for
 * ThreadSanitizer, true without it. */
#if !defined(_WIN32)
#define _GNU_SOURCE
#include <signal.h>
#endif
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "counters.h"
#include "magi_rt.h"
#include "platform.h"
#include "slots.h"

#define READERS 3
#define PICTURE 4096

static mg_slots slots;
static mg_counters counters;
static _Atomic bool stop;
static _Atomic uint64_t taken;

/* Fills pictures with their own number as fast as it can. */
static void write_pictures(void *count)
{
    uint64_t last = *(const uint64_t *)count;
    for (uint64_t number = 1; number <= last; number++) {
        uint32_t index = mg_slots_begin(&slots);
        mg_slot *slot = &slots.slots[index];
        slot->frame = (magi_frame){.seq = number, .epoch = number / 1000, .size = PICTURE};
        slot->frame.pixels = mg_slot_reserve(slot, PICTURE);
        memset(slot->buffer, (int)(number & 0xff), PICTURE);
        mg_slots_publish(&slots, index);
        if (number % 1000 == 0) mg_slots_raise_epoch(&slots, number / 1000);
    }
    atomic_store(&stop, true);
}

static void read_pictures(void *nothing)
{
    uint64_t before = 0;
    (void)nothing;
    for (;;) {
        bool last_round = atomic_load(&stop);
        magi_frame frame = {.struct_size = sizeof frame};
        if (mg_slots_acquire(&slots, &frame) == MAGI_OK) {
            CHECK(frame.seq > before);
            before = frame.seq;
            for (size_t i = 0; i < PICTURE; i += 61)
                CHECK(frame.pixels[i] == (uint8_t)(frame.seq & 0xff));
            CHECK_NUMBER(mg_slots_release(&slots, frame.lease), MAGI_OK);
            CHECK_NUMBER(mg_slots_release(&slots, frame.lease), MAGI_BAD_HANDLE);
            atomic_fetch_add(&taken, 1);
        } else if (last_round) {
            return;
        }
    }
}

static void run_readers(bool every, uint32_t queue, uint64_t pictures)
{
    mg_thread writer, readers[READERS];
    memset(&counters, 0, sizeof counters);
    atomic_store(&stop, false);
    atomic_store(&taken, 0);
    CHECK(mg_slots_open(&slots, every, queue, READERS, &counters));
    for (int i = 0; i < READERS; i++) CHECK(mg_thread_start(&readers[i], read_pictures, NULL));
    CHECK(mg_thread_start(&writer, write_pictures, &pictures));
    mg_thread_join(&writer);
    for (int i = 0; i < READERS; i++) mg_thread_join(&readers[i]);
    uint64_t dropped = mg_counted(&counters.dropped_replaced) + mg_counted(&counters.dropped_epoch);
    CHECK_NUMBER(atomic_load(&taken) + dropped, pictures);
    CHECK(atomic_load(&taken) > 0);
    mg_slots_close(&slots);
}

static void the_newest_picture_is_always_whole(void) { run_readers(false, 1, 20000); }

static void queued_pictures_are_each_taken_once(void) { run_readers(true, 16, 20000); }

typedef struct user {
    magi_client client;
    mg_thread thread;
} user;

/* Uses a client in every way until it is closed under its feet. */
static void use_client(void *argument)
{
    const user *self = argument;
    magi_status status = MAGI_OK;
    while (status != MAGI_BAD_HANDLE) {
        magi_frame frame = {.struct_size = sizeof frame};
        magi_client_info info = {.struct_size = sizeof info};
        status = magi_client_acquire_frame(self->client, &frame);
        if (status == MAGI_OK) magi_client_release_frame(self->client, frame.lease);
        magi_client_get_info(self->client, &info);
        magi_client_send_prompt(self->client, "a prompt", MAGI_AT_NEXT, 1, NULL);
    }
}

static void a_client_can_be_closed_while_others_use_it(void)
{
    for (int round = 0; round < 10; round++) {
        user users[READERS];
        magi_client_desc desc = {.struct_size = sizeof desc, .dummy = 1, .dummy_width = 16,
                                 .dummy_height = 16, .dummy_fps = 240, .leased_frames = 2};
        magi_client client;
        magi_receipt receipt = {.struct_size = sizeof receipt};
        CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
        for (int i = 0; i < READERS; i++) {
            users[i].client = client;
            CHECK(mg_thread_start(&users[i].thread, use_client, &users[i]));
        }
        for (int i = 0; i < 20; i++) {
            mg_sleep_ms(1);
            magi_client_poll_receipt(client, &receipt);
        }
        CHECK_NUMBER(magi_client_close(client), MAGI_OK);
        for (int i = 0; i < READERS; i++) mg_thread_join(&users[i].thread);
    }
}

#if !defined(_WIN32)
static sigset_t blocked;
static _Atomic bool asked;

static void ask_for_signals(magi_log_level level, const char *message, void *nothing)
{
    (void)level, (void)message, (void)nothing;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    atomic_store(&asked, true);
}

static void the_thread_blocks_the_hosts_signals_and_no_garbage_collectors(void)
{
    magi_client_desc desc = {.struct_size = sizeof desc, .dummy = 1, .log = ask_for_signals};
    magi_client client;
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    CHECK_SOON(atomic_load(&asked));
    CHECK(sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGTERM));
    CHECK(!sigismember(&blocked, SIGXCPU) && !sigismember(&blocked, SIGSEGV));
#if defined(__linux__)
    CHECK(!sigismember(&blocked, SIGPWR) && !sigismember(&blocked, SIGRTMIN + 1));
#endif
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}
#endif

int main(void)
{
#if !defined(_WIN32)
    RUN(the_thread_blocks_the_hosts_signals_and_no_garbage_collectors);
#endif
    RUN(the_newest_picture_is_always_whole);
    RUN(queued_pictures_are_each_taken_once);
    RUN(a_client_can_be_closed_while_others_use_it);
    return 0;
}
