/* The client against a real server in Python; live.py starts it.
 *
 *   test_live world FRAMES CONTROL
 *   test_live keys FRAMES CONTROL PUBLIC SECRET SERVER let-in|shut-out
 *   test_live restart FRAMES CONTROL     says "playing", waits for the server's end and its return
 *   test_live next FRAMES CONTROL        says "playing", waits for another server's frames
 */
#include <string.h>

#include "check.h"
#include "magi_rt.h"
#include "platform.h"

static magi_client client;
static magi_client_desc desc = {.struct_size = sizeof desc, .name = "live test"};
static magi_frame frame = {.struct_size = sizeof(magi_frame)};
static magi_receipt receipt = {.struct_size = sizeof(magi_receipt)};
static magi_client_info info = {.struct_size = sizeof(magi_client_info)};

static void log_line(magi_log_level level, const char *message, void *user)
{
    (void)user;
    fprintf(stderr, "  [%d] %s\n", (int)level, message);
}

static void begin(void)
{
    desc.log = log_line;
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
}

static void end(void) { CHECK_NUMBER(magi_client_close(client), MAGI_OK); }

static void know(void) { CHECK_NUMBER(magi_client_get_info(client, &info), MAGI_OK); }

static magi_state state(void)
{
    know();
    return info.state;
}

static magi_layout layout(void)
{
    know();
    return info.layout;
}

static bool has_control(void)
{
    know();
    return info.control != 0;
}

static void take(void) { CHECK_SOON(magi_client_acquire_frame(client, &frame) == MAGI_OK); }

static void give_back(void)
{
    CHECK_NUMBER(magi_client_release_frame(client, frame.lease), MAGI_OK);
}

static uint64_t send(magi_request asked)
{
    uint64_t id = 0;
    asked.struct_size = sizeof asked;
    CHECK_NUMBER(magi_client_send(client, &asked, &id), MAGI_OK);
    return id;
}

static void take_receipt(uint64_t id, magi_receipt_kind kind)
{
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    if (receipt.kind != kind) fprintf(stderr, "  %s %s\n", receipt.message, receipt.details);
    CHECK_NUMBER(receipt.kind, kind);
    CHECK_NUMBER(receipt.request, id);
}

static void frames_follow_each_other(magi_layout wanted)
{
    uint64_t seq = 0;
    desc.layout = wanted;
    begin();
    if (wanted == MAGI_LAYOUT_AUTO) CHECK_SOON(layout() == MAGI_LAYOUT_SHARED);
    for (int i = 0; i < 20; i++) {
        take();
        CHECK(frame.seq > seq && frame.format == MAGI_FORMAT_RGBA8);
        CHECK(frame.size == (uint64_t)frame.stride * frame.height);
        CHECK_NUMBER(frame.pixels[3], 255);
        seq = frame.seq;
        give_back();
    }
    magi_counters counters = {.struct_size = sizeof counters};
    CHECK_NUMBER(magi_client_get_counters(client, &counters), MAGI_OK);
    CHECK_NUMBER(counters.malformed, 0);
    end();
}

static void frames_come_through_the_socket(void)
{
    frames_follow_each_other(MAGI_LAYOUT_PARTS);
}

static void frames_come_through_shared_memory_by_themselves(void)
{
    frames_follow_each_other(MAGI_LAYOUT_AUTO);
}

static void both_ways_give_the_same_pixels(void)
{
    magi_client other;
    magi_frame twin = {.struct_size = sizeof twin};
    magi_client_desc parts = desc;
    parts.layout = MAGI_LAYOUT_PARTS;
    parts.keep = MAGI_KEEP_EVERY;
    parts.queue_frames = 256;
    desc.layout = MAGI_LAYOUT_AUTO;
    CHECK_NUMBER(magi_client_open(&parts, &other), MAGI_OK);
    begin();
    CHECK_SOON(layout() == MAGI_LAYOUT_SHARED);
    for (int i = 0; i < 3; i++) {
        take();
        do {
            if (twin.lease.id) magi_client_release_frame(other, twin.lease);
            twin.lease.id = 0;
            CHECK_SOON(magi_client_acquire_frame(other, &twin) == MAGI_OK);
        } while (twin.seq < frame.seq);
        if (twin.seq == frame.seq) CHECK(memcmp(twin.pixels, frame.pixels, frame.size) == 0);
        give_back();
    }
    end();
    CHECK_NUMBER(magi_client_close(other), MAGI_OK);
}

static void no_frame_older_than_a_flushed_prompt_is_shown_after_its_receipt(void)
{
    desc.layout = MAGI_LAYOUT_AUTO;
    begin();
    for (int i = 0; i < 20; i++) {
        char text[32];
        uint64_t id;
        snprintf(text, sizeof text, "prompt %d", i);
        CHECK_NUMBER(magi_client_send_prompt(client, text, MAGI_AT_NEXT, 1, &id), MAGI_OK);
        take_receipt(id, MAGI_RECEIPT_ACCEPTED);
        uint64_t prompt = receipt.prompt;
        take_receipt(id, MAGI_RECEIPT_APPLIED);
        CHECK_NUMBER(receipt.prompt, prompt);
        take();
        CHECK(frame.epoch >= receipt.epoch && frame.seq >= receipt.seq);
        CHECK_NUMBER(frame.prompt, prompt);
        give_back();
    }
    end();
}

static void the_other_requests_are_answered(void)
{
    begin();
    CHECK_SOON(has_control());
    know();
    CHECK(info.width > 0 && info.height > 0 && info.fps > 0 && strlen(info.server) > 0);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_STATS}), MAGI_RECEIPT_ACCEPTED);
    CHECK(strstr(receipt.details, "\"stats\": {") != NULL);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_SNAPSHOT, .name = "one"}),
                 MAGI_RECEIPT_ACCEPTED);
    CHECK(strstr(receipt.details, "\"bytes\": ") != NULL);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_FORK, .name = "left"}),
                 MAGI_RECEIPT_ACCEPTED);
    CHECK(strstr(receipt.details, "\"left\"") != NULL);
    uint64_t id = send((magi_request){.type = MAGI_REQUEST_RESTORE, .name = "one"});
    take_receipt(id, MAGI_RECEIPT_ACCEPTED);
    take_receipt(id, MAGI_RECEIPT_APPLIED);
    id = send((magi_request){.type = MAGI_REQUEST_RESET, .has_seed = 1, .seed = 3});
    take_receipt(id, MAGI_RECEIPT_ACCEPTED);
    take_receipt(id, MAGI_RECEIPT_APPLIED);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_RESTORE, .name = "none"}),
                 MAGI_RECEIPT_ERROR);
    CHECK_NUMBER(receipt.code, MAGI_CODE_NOT_FOUND);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_SET, .fps = 50}), MAGI_RECEIPT_ACCEPTED);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_PAUSE}), MAGI_RECEIPT_ACCEPTED);
    know();
    CHECK(info.paused && info.fps == 50);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_RESUME}), MAGI_RECEIPT_ACCEPTED);
    end();
}

static void a_world_begins_under_a_prompt_and_goes_back_to_its_first_chunk(void)
{
    begin();
    CHECK_SOON(has_control());
    take_receipt(send((magi_request){.type = MAGI_REQUEST_PAUSE}), MAGI_RECEIPT_ACCEPTED);
    uint64_t id = send((magi_request){.type = MAGI_REQUEST_RESET, .text = "night falls"});
    take_receipt(id, MAGI_RECEIPT_ACCEPTED);
    take_receipt(id, MAGI_RECEIPT_APPLIED);
    CHECK_NUMBER(receipt.chunk, 0);
    uint64_t shown = receipt.seq;
    do {
        take();
        give_back();
    } while (frame.seq < shown);
    CHECK(frame.prompt > 0);
    id = send((magi_request){.type = MAGI_REQUEST_REWIND, .has_to = 1, .to = 1});
    take_receipt(id, MAGI_RECEIPT_ERROR);
    CHECK_NUMBER(receipt.code, MAGI_CODE_REFUSED);
    id = send((magi_request){.type = MAGI_REQUEST_REWIND, .has_to = 1});
    take_receipt(id, MAGI_RECEIPT_ACCEPTED);
    take_receipt(id, MAGI_RECEIPT_APPLIED);
    CHECK(receipt.chunk == 0 && receipt.frame == 0);
    take_receipt(send((magi_request){.type = MAGI_REQUEST_RESUME}), MAGI_RECEIPT_ACCEPTED);
    end();
}

static void watch_world(void)
{
    RUN(frames_come_through_the_socket);
    RUN(frames_come_through_shared_memory_by_themselves);
    RUN(both_ways_give_the_same_pixels);
    RUN(no_frame_older_than_a_flushed_prompt_is_shown_after_its_receipt);
    RUN(the_other_requests_are_answered);
    RUN(a_world_begins_under_a_prompt_and_goes_back_to_its_first_chunk);
}

static void try_keys(char **arguments)
{
    bool let_in = strcmp(arguments[3], "let-in") == 0;
    desc.curve_public = arguments[0];
    desc.curve_secret = arguments[1];
    desc.curve_server = arguments[2];
    if (strcmp(desc.curve_public, "none") == 0)
        desc.curve_public = desc.curve_secret = desc.curve_server = NULL;
    desc.layout = MAGI_LAYOUT_PARTS;
    begin();
    if (let_in) {
        take();
        give_back();
        CHECK_SOON(has_control());
    } else {
        for (int i = 0; i < 500; i++) {
            CHECK_NUMBER(magi_client_acquire_frame(client, &frame), MAGI_NO_FRAME);
            mg_sleep_ms(1);
        }
        CHECK(state() == MAGI_STATE_WAITING && !has_control());
    }
    end();
}

static void outlive_server(void)
{
    char stream[24];
    desc.layout = MAGI_LAYOUT_AUTO;
    begin();
    take();
    memcpy(stream, frame.stream, sizeof stream);
    give_back();
    CHECK_SOON(has_control());
    printf("playing\n");
    fflush(stdout);
    CHECK_SOON(state() == MAGI_STATE_LOST);
    printf("lost after %.0f ms of silence\n", (double)info.silent_ns / 1e6);
    fflush(stdout);
    for (int left = 60000; strcmp(frame.stream, stream) == 0 && left > 0; left--) {
        if (magi_client_acquire_frame(client, &frame) == MAGI_OK) give_back();
        mg_sleep_ms(1);
    }
    CHECK(strcmp(frame.stream, stream) != 0);
    CHECK_NUMBER(state(), MAGI_STATE_CONNECTED);
    uint64_t id;
    CHECK_NUMBER(magi_client_send_prompt(client, "again", MAGI_AT_NEXT, 1, &id), MAGI_OK);
    take_receipt(id, MAGI_RECEIPT_ACCEPTED);
    take_receipt(id, MAGI_RECEIPT_APPLIED);
    CHECK(strcmp(receipt.stream, frame.stream) == 0);
    printf("connected again\n");
    end();
}

/* The next server's greeting comes before its frames do, and tells of its shared memory. */
static void go_on_with_the_next_server(void)
{
    char stream[24];
    desc.layout = MAGI_LAYOUT_AUTO;
    begin();
    CHECK_SOON(layout() == MAGI_LAYOUT_SHARED);
    take();
    memcpy(stream, frame.stream, sizeof stream);
    give_back();
    printf("playing\n");
    fflush(stdout);
    for (int left = 60000; strcmp(frame.stream, stream) == 0 && left > 0; left--) {
        if (magi_client_acquire_frame(client, &frame) == MAGI_OK) give_back();
        mg_sleep_ms(1);
    }
    CHECK(strcmp(frame.stream, stream) != 0);
    CHECK_SOON(layout() == MAGI_LAYOUT_SHARED);
    for (int i = 0; i < 20; i++) {
        take();
        give_back();
    }
    end();
}

int main(int count, char **arguments)
{
    CHECK(count >= 4);
    desc.frames = arguments[2];
    desc.control = arguments[3];
    if (strcmp(arguments[1], "world") == 0) watch_world();
    if (strcmp(arguments[1], "restart") == 0) outlive_server();
    if (strcmp(arguments[1], "next") == 0) go_on_with_the_next_server();
    if (strcmp(arguments[1], "keys") == 0) {
        CHECK(count == 8);
        try_keys(arguments + 4);
    }
    return 0;
}
