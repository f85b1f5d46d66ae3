/* Pixels through shared memory: used when it is there, left when it is not, never half a frame.
 *
 *   test_shared FOLDER
 */
#define _XOPEN_SOURCE 700
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "fake_server.h"
#include "platform.h"
#include "shared.h"

#define SLOT_BYTES 2048 /* 32 x 16 RGBA */
#define FIRST 4096
#define TOPIC "frame/rgba8/top/shared"

static fake_server server;
static magi_client client;
static magi_frame frame = {.struct_size = sizeof(magi_frame)};
static char path[64];
static const char *golden;

static void put_le(uint8_t *at, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++) at[i] = (uint8_t)(value >> (8 * i));
}

/* A file of one slot, whose pixels are `value` at `turn`. */
static void write_file(const char *stream, uint64_t turn, uint8_t value)
{
    static uint8_t bytes[FIRST + SLOT_BYTES];
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, "MAGISHM1", 8);
    memcpy(bytes + 8, stream, 16);
    put_le(bytes + 24, 4, 1);
    put_le(bytes + 32, 8, SLOT_BYTES);
    put_le(bytes + 40, 8, FIRST);
    put_le(bytes + 64, 8, turn);
    memset(bytes + FIRST, value, SLOT_BYTES);
    FILE *file = fopen(path, "r+b");
    if (!file) file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes);
    fclose(file);
}

static magi_client_info info(void)
{
    magi_client_info now = {.struct_size = sizeof now};
    CHECK_NUMBER(magi_client_get_info(client, &now), MAGI_OK);
    return now;
}

static magi_counters counters(void)
{
    magi_counters now = {.struct_size = sizeof now};
    CHECK_NUMBER(magi_client_get_counters(client, &now), MAGI_OK);
    return now;
}

static bool is_shared(void)
{
    fake_turn(&server);
    return info().layout == MAGI_LAYOUT_SHARED && server.shared_subscribers == 1;
}

static uint32_t lost_after_ms;

static void begin(magi_layout layout)
{
    fake_open(&server, STREAM_A);
    server.shared = path;
    magi_client_desc desc = {
        .struct_size = sizeof desc,
        .frames = server.frames_address,
        .control = server.control_address,
        .layout = layout,
        .lost_after_ms = lost_after_ms,
    };
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
}

static void end(void)
{
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
    fake_close(&server);
    unlink(path);
}

static void take_value(uint8_t value)
{
    CHECK_SOON(magi_client_acquire_frame(client, &frame) == MAGI_OK);
    CHECK(frame.pixels[0] == value && frame.pixels[frame.size - 1] == value);
    CHECK_NUMBER(magi_client_release_frame(client, frame.lease), MAGI_OK);
}

static void frames_come_through_the_file_when_both_sides_can(void)
{
    write_file(STREAM_A, 2, 11);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON(is_shared());
    fake_send_frame(&server, (fake_frame){.topic = TOPIC, .shared_turn = 2});
    take_value(11);
    write_file(STREAM_A, 4, 12);
    fake_send_frame(&server, (fake_frame){.topic = TOPIC, .shared_turn = 4});
    take_value(12);
    end();
}

static bool bell_hangs(void)
{
    char at[128];
    snprintf(at, sizeof at, "/tmp/magi_rt-%s-bell-%s", server.stream, server.bell);
    return access(at, F_OK) == 0;
}

static void headers_come_through_the_doorbell_alone_once_it_has_rung(void)
{
    write_file(STREAM_A, 2, 11);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON(is_shared() && server.bells == 1);
    CHECK(bell_hangs());
    CHECK(fake_ring(&server, (fake_frame){.shared_turn = 2}));
    take_value(11);
    CHECK_SOON((fake_turn(&server), server.shared_subscribers == 0 && server.bells == 1));
    write_file(STREAM_A, 4, 12);
    CHECK(fake_ring(&server, (fake_frame){.shared_turn = 4}));
    take_value(12);
    CHECK_NUMBER(info().layout, MAGI_LAYOUT_SHARED);
    int before = server.bell_subscriptions;
    server.seq = 9;
    fake_heartbeat(&server, 24); /* tells of a frame that has not come: it is asked for there */
    CHECK_SOON((fake_turn(&server), server.bell_subscriptions == before + 1));
    CHECK_NUMBER(server.bells, 1);
    end();
    CHECK(!bell_hangs());
}

static void what_rings_and_is_no_header_is_counted(void)
{
    static uint8_t noise[2000];
    write_file(STREAM_A, 2, 13);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON(is_shared() && server.bells == 1);
    CHECK(fake_ring_raw(&server, noise, 1));
    CHECK(fake_ring_raw(&server, noise, 1025));
    CHECK(fake_ring_raw(&server, noise, sizeof noise));
    CHECK_SOON(counters().malformed == 3);
    CHECK(fake_ring(&server, (fake_frame){.shared_turn = 2}));
    take_value(13);
    end();
}

static void a_doorbell_is_taken_down_when_frames_come_through_the_socket(void)
{
    write_file(STREAM_A, 2, 14);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON(is_shared() && server.bells == 1);
    CHECK(fake_ring(&server, (fake_frame){.shared_turn = 2}));
    take_value(14);
    CHECK(truncate(path, 100) == 0);
    CHECK(fake_ring(&server, (fake_frame){.shared_turn = 2}));
    CHECK_SOON((fake_turn(&server), server.subscribers == 1 && server.bells == 0));
    CHECK_NUMBER(server.shared_subscribers, 0);
    CHECK(!bell_hangs());
    fake_send_frame(&server, (fake_frame){.value = 22});
    take_value(22);
    end();
}

static void a_frame_that_was_written_over_does_not_count(void)
{
    write_file(STREAM_A, 6, 1);
    begin(MAGI_LAYOUT_SHARED);
    CHECK_SOON(is_shared());
    fake_send_frame(&server, (fake_frame){.topic = TOPIC, .shared_turn = 4});
    CHECK_SOON(counters().dropped_overwritten == 1);
    CHECK_NUMBER(magi_client_acquire_frame(client, &frame), MAGI_NO_FRAME);
    end();
}

static void a_file_of_another_stream_or_none_leaves_the_socket(void)
{
    write_file(STREAM_B, 2, 1);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON((fake_turn(&server), strstr(info().trouble, "shared memory") != NULL));
    CHECK_NUMBER(info().layout, MAGI_LAYOUT_PARTS);
    fake_wait_for_subscribers(&server, 1);
    fake_send_frame(&server, (fake_frame){.value = 21});
    take_value(21);
    end();
}

static void a_file_cut_short_makes_the_client_go_back_to_the_socket(void)
{
    write_file(STREAM_A, 2, 1);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON(is_shared());
    CHECK(truncate(path, 100) == 0);
    fake_send_frame(&server, (fake_frame){.topic = TOPIC, .shared_turn = 2});
    CHECK_SOON(info().layout == MAGI_LAYOUT_PARTS);
    CHECK_SOON((fake_turn(&server), server.subscribers == 1 && server.shared_subscribers == 0));
    fake_send_frame(&server, (fake_frame){.value = 22});
    take_value(22);
    end();
}

static void frames_that_never_come_through_the_file_come_through_the_socket(void)
{
    write_file(STREAM_A, 2, 1);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON(is_shared());
    int before = server.subscriptions;
    server.seq = 7;
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), server.subscriptions == before + 1));
    server.seq = 9; /* the world goes on, and after a stall many heartbeats are read at once */
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), server.subscriptions == before + 2));
    CHECK(is_shared()); /* asked for again; it may have been lost by itself */
    server.shared = NULL;
    mg_sleep_ms(450);
    server.seq = 19;
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), server.subscribers == 1 && server.shared_subscribers == 0));
    fake_send_frame(&server, (fake_frame){.seq = 20, .value = 23});
    take_value(23);
    end();
}

static void another_file_is_asked_for_when_nothing_comes_through_this_one(void)
{
    write_file(STREAM_A, 2, 1);
    begin(MAGI_LAYOUT_SHARED);
    CHECK_SOON(is_shared() && server.bells == 1);
    int before = server.subscriptions;
    server.seq = 7;
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), server.subscriptions == before + 1));
    mg_sleep_ms(450);
    write_file(STREAM_A, 2, 24);
    server.seq = 19;
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), server.subscriptions == before + 2 && server.bells == 1));
    CHECK(fake_ring(&server, (fake_frame){.seq = 20, .shared_turn = 2}));
    take_value(24);
    end();
}

static void a_silent_file_is_left_and_taken_up_when_the_server_is_heard_again(void)
{
    write_file(STREAM_A, 2, 1);
    lost_after_ms = 300;
    begin(MAGI_LAYOUT_AUTO);
    lost_after_ms = 0;
    CHECK_SOON(is_shared());
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), server.subscribers == 1 && server.shared_subscribers == 0));
    fake_send_frame(&server, (fake_frame){.value = 24});
    take_value(24);
    CHECK_SOON(is_shared());
    end();
}

static void files_of_other_names_or_users_are_not_mapped(void)
{
    mg_shared shared;
    char other[80];
    write_file(STREAM_A, 2, 1);
    snprintf(other, sizeof other, "%s.not", path);
    memcpy(strstr(other, "magi_rt-"), "somebody", 8);
    CHECK(rename(path, other) == 0);
    CHECK(!mg_shared_open(&shared, other, STREAM_A));
    CHECK(rename(other, path) == 0 && mg_shared_open(&shared, path, STREAM_A));
    mg_shared_close(&shared);
    if (geteuid() == 0) { /* only then can a file be given away */
        CHECK(chown(path, 12345, 12345) == 0);
        CHECK(!mg_shared_open(&shared, path, STREAM_A));
    }
    unlink(path);
}

static void shared_memory_that_cannot_even_be_asked_for_is_told_at_once(void)
{
    magi_client_desc desc = {.struct_size = sizeof desc, .layout = MAGI_LAYOUT_SHARED};
    desc.frames = "tcp://192.0.2.1:5590";
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    CHECK_SOON(strstr(info().trouble, "not tcp://192.0.2.1:5590") != NULL);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
    desc.frames = "tcp://127.0.0.1:5590";
    desc.control = "none";
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    CHECK_SOON(strstr(info().trouble, "control address") != NULL);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

static void a_restarted_server_brings_its_own_file(void)
{
    write_file(STREAM_A, 2, 31);
    begin(MAGI_LAYOUT_AUTO);
    CHECK_SOON(is_shared());
    fake_send_frame(&server, (fake_frame){.topic = TOPIC, .shared_turn = 2});
    take_value(31);
    fake_close(&server);
    unlink(path);
    write_file(STREAM_B, 2, 32);
    fake_open_at(&server, STREAM_B, &server);
    server.shared = path;
    fake_wait_for_subscribers(&server, 1);
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), counters().streams == 2));
    CHECK_SOON(is_shared());
    fake_send_frame(&server, (fake_frame){.topic = TOPIC, .shared_turn = 2});
    take_value(32);
    end();
}

static void the_golden_file_is_read_slot_by_slot(void)
{
    static uint8_t bytes[8192];
    uint8_t pixels[48];
    char from[1024];
    mg_shared shared;
    snprintf(from, sizeof from, "%s/shared-memory.bin", golden);
    FILE *file = fopen(from, "rb");
    CHECK(file != NULL);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    CHECK_NUMBER(size, FIRST + 2 * sizeof pixels);
    file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, size, file) == size);
    fclose(file);
    CHECK(mg_shared_open(&shared, path, STREAM_A));
    for (unsigned slot = 0; slot < 2; slot++) {
        uint64_t turn = slot == 0 ? 4 : 2;
        CHECK_NUMBER(mg_shared_read(&shared, slot, turn, pixels, sizeof pixels), MG_SHARED_READ);
        CHECK(memcmp(pixels, bytes + FIRST + slot * sizeof pixels, sizeof pixels) == 0);
    }
    CHECK_NUMBER(mg_shared_read(&shared, 1, 4, pixels, sizeof pixels), MG_SHARED_OVERWRITTEN);
    mg_shared_close(&shared);
    unlink(path);
}

static void numbers_that_do_not_fit_the_file_are_refused(void)
{
    static const struct {
        long at;
        unsigned width;
        uint64_t value;
    } wrong[] = {{0, 1, 'X'},    {24, 4, 0},    {24, 4, 2},          {24, 4, UINT32_MAX},
                 {32, 8, 0},     {32, 8, 2049}, {32, 8, UINT64_MAX}, {40, 8, 0},
                 {40, 8, 8192},  {40, 8, 4097}, {40, 8, UINT64_MAX - 4095}};
    mg_shared shared;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t number[8];
        write_file(STREAM_A, 2, 1);
        CHECK(mg_shared_open(&shared, path, STREAM_A));
        mg_shared_close(&shared);
        put_le(number, wrong[i].width, wrong[i].value);
        FILE *file = fopen(path, "r+b");
        CHECK(file && fseek(file, wrong[i].at, SEEK_SET) == 0);
        CHECK(fwrite(number, 1, wrong[i].width, file) == wrong[i].width);
        fclose(file);
        CHECK(!mg_shared_open(&shared, path, STREAM_A));
    }
    unlink(path);
    CHECK(!mg_shared_open(&shared, path, STREAM_A) && !mg_shared_open(&shared, "/dev/null", STREAM_A));
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    golden = arguments[1];
    snprintf(path, sizeof path, "/tmp/magi_rt-test-%ld", (long)getpid());
    RUN(frames_come_through_the_file_when_both_sides_can);
    RUN(headers_come_through_the_doorbell_alone_once_it_has_rung);
    RUN(what_rings_and_is_no_header_is_counted);
    RUN(a_doorbell_is_taken_down_when_frames_come_through_the_socket);
    RUN(a_frame_that_was_written_over_does_not_count);
    RUN(a_file_of_another_stream_or_none_leaves_the_socket);
    RUN(a_file_cut_short_makes_the_client_go_back_to_the_socket);
    RUN(frames_that_never_come_through_the_file_come_through_the_socket);
    RUN(another_file_is_asked_for_when_nothing_comes_through_this_one);
    RUN(a_silent_file_is_left_and_taken_up_when_the_server_is_heard_again);
    RUN(files_of_other_names_or_users_are_not_mapped);
    RUN(shared_memory_that_cannot_even_be_asked_for_is_told_at_once);
    RUN(a_restarted_server_brings_its_own_file);
    RUN(the_golden_file_is_read_slot_by_slot);
    RUN(numbers_that_do_not_fit_the_file_are_refused);
    return 0;
}
