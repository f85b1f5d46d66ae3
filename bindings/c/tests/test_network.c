/* The client against a server that does what each test says. */
#include <stdatomic.h>
#include <string.h>

#include "bounds.h"
#include "check.h"
#include "client.h"
#include "fake_server.h"
#include "platform.h"

static fake_server server;
static magi_client client;
static magi_frame frame = {.struct_size = sizeof(magi_frame)};
static magi_receipt receipt = {.struct_size = sizeof(magi_receipt)};

static magi_client_desc desc_for(const fake_server *there)
{
    return (magi_client_desc){
        .struct_size = sizeof(magi_client_desc),
        .frames = there->frames_address,
        .control = there->control_address,
        .layout = MAGI_LAYOUT_PARTS,
    };
}

static void begin_with(magi_client_desc desc)
{
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    fake_wait_for_subscribers(&server, 1);
}

static void begin(void)
{
    fake_open(&server, STREAM_A);
    begin_with(desc_for(&server));
}

static void end(void)
{
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
    fake_close(&server);
}

static magi_counters counters(void)
{
    magi_counters now = {.struct_size = sizeof now};
    CHECK_NUMBER(magi_client_get_counters(client, &now), MAGI_OK);
    return now;
}

static magi_client_info info(void)
{
    magi_client_info now = {.struct_size = sizeof now};
    CHECK_NUMBER(magi_client_get_info(client, &now), MAGI_OK);
    return now;
}

static magi_status acquire(void) { return magi_client_acquire_frame(client, &frame); }

static void release(void)
{
    CHECK_NUMBER(magi_client_release_frame(client, frame.lease), MAGI_OK);
}

static void take_value(uint8_t value)
{
    CHECK_SOON(acquire() == MAGI_OK);
    CHECK_NUMBER(frame.pixels[0], value);
    CHECK_NUMBER(frame.pixels[frame.size - 1], value);
    release();
}

static void a_frame_arrives_with_its_header_and_pixels(void)
{
    begin();
    fake_send_frame(&server, (fake_frame){.value = 77, .epoch = 2});
    CHECK_SOON(acquire() == MAGI_OK);
    CHECK_NUMBER(frame.width, 32);
    CHECK_NUMBER(frame.height, 16);
    CHECK_NUMBER(frame.stride, 128);
    CHECK_NUMBER(frame.size, 2048);
    CHECK_NUMBER(frame.format, MAGI_FORMAT_RGBA8);
    CHECK_NUMBER(frame.rows, MAGI_ROWS_TOP);
    CHECK_NUMBER(frame.epoch, 2);
    CHECK_NUMBER(frame.seq, 1);
    CHECK_NUMBER(frame.steps, 8);
    CHECK(strcmp(frame.stream, STREAM_A) == 0 && frame.received_ns >= frame.sent_ns);
    CHECK((uintptr_t)frame.pixels % 4 == 0);
    for (size_t i = 0; i < frame.size; i++) CHECK(frame.pixels[i] == 77);
    release();
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    end();
}

static void only_the_newest_of_many_frames_is_handed_out(void)
{
    begin();
    for (int i = 1; i <= 50; i++) fake_send_frame(&server, (fake_frame){.value = (uint8_t)i});
    CHECK_SOON(counters().frames_received == 50);
    uint8_t value = 0; /* one before the last may lie ready while the last is looked at */
    CHECK_SOON(acquire() == MAGI_OK && (value = frame.pixels[0], release(), value == 50));
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    CHECK_NUMBER(counters().frames_acquired + counters().dropped_replaced +
                     counters().dropped_stale, 50);
    end();
}

static void every_frame_is_handed_out_in_order_when_asked_for(void)
{
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    desc.keep = MAGI_KEEP_EVERY;
    desc.queue_frames = 64;
    begin_with(desc);
    for (int i = 1; i <= 40; i++) fake_send_frame(&server, (fake_frame){.value = (uint8_t)i});
    for (int i = 1; i <= 40; i++) take_value((uint8_t)i);
    CHECK_NUMBER(counters().dropped_replaced, 0);
    for (int i = 1; i <= 100; i++) fake_send_frame(&server, (fake_frame){.value = (uint8_t)i});
    CHECK_SOON(counters().frames_received == 140);
    CHECK_SOON(counters().dropped_replaced == 36);
    for (int i = 37; i <= 100; i++) take_value((uint8_t)i);
    end();
}

static void frames_of_an_older_epoch_are_never_shown(void)
{
    begin();
    fake_send_frame(&server, (fake_frame){.epoch = 3, .value = 1});
    take_value(1);
    fake_send_frame(&server, (fake_frame){.epoch = 2, .value = 2});
    CHECK_SOON(counters().dropped_epoch == 1);
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    /* One that waits already is passed over when an event tells of a newer epoch. */
    fake_send_frame(&server, (fake_frame){.epoch = 3, .value = 3});
    CHECK_SOON(counters().frames_received == 3);
    server.epoch = 4;
    fake_event_epoch(&server);
    CHECK_SOON(info().epoch == 4);
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    CHECK_NUMBER(counters().dropped_epoch, 2);
    end();
}

static void a_frame_repeated_for_others_is_dropped(void)
{
    begin();
    fake_send_frame(&server, (fake_frame){.seq = 7, .value = 1});
    take_value(1);
    fake_send_frame(&server, (fake_frame){.seq = 7, .value = 1});
    CHECK_SOON(counters().dropped_seq == 1);
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    end();
}

static void a_last_frame_that_was_lost_is_asked_for_again(void)
{
    begin();
    fake_send_frame(&server, (fake_frame){.value = 1});
    take_value(1);
    fake_heartbeat(&server, 24);
    CHECK_SOON(counters().events == 1);
    server.seq = 20; /* nineteen are sent while nobody reads */
    fake_heartbeat(&server, 24);
    CHECK_SOON((fake_turn(&server), server.subscriptions == 2));
    fake_wait_for_subscribers(&server, 1);
    fake_send_frame(&server, (fake_frame){.seq = 20, .value = 20});
    take_value(20);
    fake_heartbeat(&server, 24);
    CHECK_SOON(counters().events == 3);
    fake_turn(&server);
    CHECK_NUMBER(server.subscriptions, 2);
    end();
}

static void a_stale_frame_is_shown_only_when_nothing_fresh_comes(void)
{
    begin();
    fake_heartbeat(&server, 50);
    fake_send_frame(&server, (fake_frame){.value = 1});
    take_value(1);
    uint64_t long_ago_ns = magi_now_ns() - 5000000000u;
    fake_send_frame(&server, (fake_frame){.value = 2, .sent_ns = long_ago_ns});
    fake_send_frame(&server, (fake_frame){.value = 3});
    take_value(3);
    CHECK_NUMBER(counters().dropped_stale + counters().dropped_replaced, 1);
    fake_send_frame(&server, (fake_frame){.value = 4, .sent_ns = long_ago_ns + 1});
    uint64_t before_ns = magi_now_ns();
    take_value(4);
    CHECK(magi_now_ns() - before_ns >= 90000000u);
    end();
}

static void malformed_messages_are_counted_and_the_next_good_one_shows(void)
{
    static const uint8_t huge_map[] = {0xdf, 0xff, 0xff, 0xff, 0xff};
    begin();
    fake_send_raw(&server, "frame/rgba8/top/parts", "", 0);
    fake_send_raw(&server, "frame/rgba8/top/parts", huge_map, sizeof huge_map);
    fake_send_raw(&server, "event", huge_map, sizeof huge_map);
    fake_send_raw(&server, "event", "no map", 6);
    fake_send_frame(&server, (fake_frame){.short_of_a_byte = true});
    fake_send_frame(&server, (fake_frame){.shared_turn = 2});
    fake_send_frame(&server, (fake_frame){.value = 9});
    take_value(9);
    CHECK_NUMBER(counters().malformed, 6);
    CHECK(strstr(info().trouble, "malformed") != NULL);
    end();
}

static void silence_is_told_as_lost_and_ends_when_the_server_is_heard_again(void)
{
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    desc.lost_after_ms = 600; /* a busy machine must see CONNECTED before it is over */
    begin_with(desc);
    CHECK_NUMBER(info().state, MAGI_STATE_WAITING);
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    fake_heartbeat(&server, 24);
    CHECK_SOON(info().state == MAGI_STATE_CONNECTED);
    CHECK(info().fps == 24);
    CHECK_SOON(acquire() == MAGI_LOST);
    CHECK(strstr(info().trouble, "lost") != NULL);
    fake_send_frame(&server, (fake_frame){.value = 5});
    take_value(5);
    CHECK_NUMBER(counters().reconnects, 1);
    end();
}

static void a_server_that_says_bye_has_ended(void)
{
    begin();
    fake_heartbeat(&server, 24);
    fake_bye(&server);
    CHECK_SOON(info().state == MAGI_STATE_ENDED);
    CHECK_NUMBER(acquire(), MAGI_LOST);
    end();
}

static void text_that_is_too_long_ends_with_a_whole_character(void)
{
    char rain[301] = "";
    for (int i = 0; i < 100; i++) memcpy(rain + 3 * i, "\xe9\x9b\xa8", 3);
    for (size_t shift = 0; shift < 3; shift++) {
        begin();
        char odd[310];
        snprintf(odd, sizeof odd, "%.*s%s", (int)shift, "ab", rain);
        server.reason = odd;
        fake_heartbeat(&server, 24);
        fake_bye(&server);
        CHECK_SOON(info().state == MAGI_STATE_ENDED && info().trouble[0]);
        magi_client_info now = info();
        size_t size = strlen(now.trouble);
        CHECK(size > 100 && mg_is_utf8((const uint8_t *)now.trouble, size));
        end();
        mg_client bare = {0};
        mg_mutex_open(&bare.info_mutex);
        mg_client_say(&bare, MAGI_LOG_WARNING, "%s", odd);
        size = strlen(bare.info.trouble);
        CHECK(size > 250 && mg_is_utf8((const uint8_t *)bare.info.trouble, size));
        mg_mutex_close(&bare.info_mutex);
    }
}

static void a_restarted_server_begins_a_new_stream_and_old_frames_are_gone(void)
{
    begin();
    fake_send_frame(&server, (fake_frame){.epoch = 9, .seq = 900, .value = 1});
    CHECK_SOON(counters().frames_received == 1);
    fake_close(&server);
    fake_open_at(&server, STREAM_B, &server);
    fake_wait_for_subscribers(&server, 1);
    fake_send_frame(&server, (fake_frame){.epoch = 0, .value = 2});
    CHECK_SOON(counters().streams == 2);
    take_value(2);
    CHECK(strcmp(info().stream, STREAM_B) == 0);
    server.stream = STREAM_A;
    fake_send_frame(&server, (fake_frame){.epoch = 9, .seq = 901, .value = 3});
    CHECK_SOON(counters().dropped_stream >= 1 && counters().frames_received == 3);
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    end();
}

static void a_prompt_gets_its_receipts(void)
{
    fake_request request;
    uint64_t id = 0;
    begin();
    CHECK_NUMBER(magi_client_send_prompt(client, "night falls", MAGI_AT_NOW, 1, &id), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    CHECK_NUMBER(request.id, id);
    CHECK(strcmp(request.type, "prompt") == 0 && strcmp(request.text, "night falls") == 0);
    CHECK(strcmp(request.client, info().client) == 0);
    fake_accept(&server, &request);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, MAGI_RECEIPT_ACCEPTED);
    CHECK_NUMBER(receipt.request, id);
    CHECK_NUMBER(receipt.type, MAGI_REQUEST_PROMPT);
    CHECK_NUMBER(receipt.prompt, 5);
    server.seq = 40;
    fake_apply(&server, &request);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, MAGI_RECEIPT_APPLIED);
    CHECK_NUMBER(receipt.seq, 40);
    CHECK_NUMBER(receipt.chunk, 1);
    CHECK(strcmp(receipt.message, "") == 0);
    CHECK_NUMBER(magi_client_poll_receipt(client, &receipt), MAGI_NO_RECEIPT);
    end();
}

static void after_an_applied_receipt_no_older_frame_comes(void)
{
    fake_request request;
    begin();
    fake_send_frame(&server, (fake_frame){.epoch = 1, .value = 1});
    take_value(1);
    CHECK_NUMBER(magi_client_send_prompt(client, "rain", MAGI_AT_NEXT, 1, NULL), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    fake_accept(&server, &request);
    fake_send_frame(&server, (fake_frame){.epoch = 1, .value = 2});
    CHECK_SOON(counters().frames_received == 2);
    server.epoch = 2;
    fake_apply(&server, &request);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK &&
               receipt.kind == MAGI_RECEIPT_APPLIED);
    CHECK_NUMBER(acquire(), MAGI_NO_FRAME);
    fake_send_frame(&server, (fake_frame){.epoch = 2, .value = 3});
    take_value(3);
    end();
}

static void an_error_comes_as_a_receipt_with_code_and_sentence(void)
{
    fake_request request;
    magi_request asked = {.struct_size = sizeof asked, .type = MAGI_REQUEST_RESTORE, .name = "a"};
    begin();
    CHECK_NUMBER(magi_client_send(client, &asked, NULL), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    fake_refuse(&server, &request, "not_found");
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, MAGI_RECEIPT_ERROR);
    CHECK_NUMBER(receipt.code, MAGI_CODE_NOT_FOUND);
    CHECK(strcmp(receipt.message, "because the test says so") == 0);
    end();
}

static void an_unanswered_request_is_asked_again_with_its_id_and_then_ends(void)
{
    fake_request first, second;
    uint64_t id;
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    desc.request_timeout_ms = 1500;
    begin_with(desc);
    CHECK_NUMBER(magi_client_send_prompt(client, "fog", MAGI_AT_NEXT, 0, &id), MAGI_OK);
    CHECK(fake_next_request(&server, &first) && fake_next_request(&server, &second));
    CHECK_NUMBER(first.id, id);
    CHECK_NUMBER(second.id, id);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.code, MAGI_CODE_TIMEOUT);
    end();
}

static void what_a_dead_server_had_accepted_ends_when_the_next_one_is_heard(void)
{
    fake_request request;
    begin();
    fake_heartbeat(&server, 24);
    CHECK_SOON(info().state == MAGI_STATE_CONNECTED);
    CHECK_NUMBER(magi_client_send_prompt(client, "snow", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    fake_accept(&server, &request);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    fake_close(&server);
    fake_open_at(&server, STREAM_B, &server);
    fake_wait_for_subscribers(&server, 1);
    fake_heartbeat(&server, 24);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, MAGI_RECEIPT_ERROR);
    CHECK_NUMBER(receipt.code, MAGI_CODE_RESTARTED);
    end();
}

/* Everything but hello that comes within so many milliseconds is one request too many. */
static void hear_nothing_but_hellos_for(int milliseconds)
{
    for (; milliseconds > 0; milliseconds--) {
        fake_turn(&server);
        mg_sleep_ms(1);
    }
}

static void what_a_dead_server_had_accepted_is_not_done_by_the_next_one(void)
{
    fake_request request;
    begin();
    fake_heartbeat(&server, 24);
    CHECK_SOON(info().state == MAGI_STATE_CONNECTED);
    CHECK_NUMBER(magi_client_send_prompt(client, "snow", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    fake_accept(&server, &request);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    fake_close(&server);
    mg_sleep_ms(5500); /* what is accepted is asked for again every five seconds */
    fake_open_at(&server, STREAM_B, &server);
    hear_nothing_but_hellos_for(1500);
    CHECK_NUMBER(server.hellos, 1);
    fake_heartbeat(&server, 24);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.code, MAGI_CODE_RESTARTED);
    hear_nothing_but_hellos_for(300);
    CHECK_NUMBER(server.hellos, 1);
    end();
}

static magi_request large_image(void)
{
    static uint8_t image[100000];
    return (magi_request){.struct_size = sizeof(magi_request),
                          .type = MAGI_REQUEST_IMAGE,
                          .image = image,
                          .image_size = sizeof image};
}

static void a_large_image_that_is_not_accepted_yet_is_not_sent_again(void)
{
    fake_request request;
    magi_request asked = large_image();
    begin();
    CHECK_NUMBER(magi_client_send(client, &asked, NULL), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    CHECK(strcmp(request.type, "image") == 0);
    hear_nothing_but_hellos_for(2500);
    fake_accept(&server, &request);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, MAGI_RECEIPT_ACCEPTED);
    end();
}

static void after_a_broken_connection_a_large_image_still_gets_its_receipt(void)
{
    fake_request first, again;
    magi_request asked = large_image();
    begin();
    CHECK_NUMBER(magi_client_send(client, &asked, NULL), MAGI_OK);
    CHECK(fake_next_request(&server, &first));
    fake_accept(&server, &first);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    fake_close(&server);
    fake_open_at(&server, STREAM_A, &server);
    CHECK(fake_next_request(&server, &again));
    CHECK_NUMBER(again.id, first.id);
    CHECK_NUMBER(server.hellos, 1);
    fake_apply(&server, &again);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, MAGI_RECEIPT_APPLIED);
    hear_nothing_but_hellos_for(300);
    end();
}

static _Atomic bool holding, held;

/* Keeps the library's thread here, for as long as a test wants it not to read. */
static void hold(magi_log_level level, const char *message, void *user)
{
    (void)level, (void)message, (void)user;
    while (atomic_load(&holding)) {
        atomic_store(&held, true);
        mg_sleep_ms(1);
    }
}

static void an_answer_that_came_before_the_connection_broke_still_counts(void)
{
    fake_request request;
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    desc.log = hold;
    begin_with(desc);
    CHECK_NUMBER(magi_client_send_prompt(client, "rain", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    atomic_store(&held, false);
    atomic_store(&holding, true);
    fake_bye(&server);
    CHECK_SOON(atomic_load(&held));
    fake_refuse(&server, &request, "failed");
    fake_close(&server);
    fake_open_at(&server, STREAM_B, &server);
    fake_wait_for_client(&server); /* so the old connection is gone */
    atomic_store(&holding, false);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, MAGI_RECEIPT_ERROR);
    CHECK_NUMBER(receipt.code, MAGI_CODE_FAILED);
    end();
}

/* libzmq ends the whole program when a connection is given up whose queue is full. */
static void a_client_whose_thread_is_held_for_long_while_frames_come_goes_on(void)
{
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    desc.log = hold;
    begin_with(desc);
    atomic_store(&held, false);
    atomic_store(&holding, true);
    fake_bye(&server);
    CHECK_SOON(atomic_load(&held));
    uint64_t begun_ns = magi_now_ns();
    while (magi_now_ns() - begun_ns < 8000000000u) {
        fake_send_frame(&server, (fake_frame){.value = 1});
        mg_sleep_ms(10);
    }
    atomic_store(&holding, false);
    fake_send_frame(&server, (fake_frame){.value = 2});
    CHECK_SOON(acquire() == MAGI_OK && (release(), frame.seq == server.seq));
    end();
}

static void a_request_without_a_server_times_out_and_is_not_done_later(void)
{
    fake_request request;
    uint64_t id;
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    fake_close(&server);
    desc.request_timeout_ms = 2000;
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    CHECK_NUMBER(magi_client_send_prompt(client, "too early", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.code, MAGI_CODE_TIMEOUT);
    CHECK(strstr(receipt.message, "no server was there") != NULL);
    fake_open_at(&server, STREAM_B, &server);
    fake_wait_for_client(&server);
    CHECK_NUMBER(magi_client_send_prompt(client, "now", MAGI_AT_NEXT, 0, &id), MAGI_OK);
    CHECK(fake_next_request(&server, &request));
    CHECK_NUMBER(request.id, id);
    end();
}

static void too_many_waiting_requests_are_refused(void)
{
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    desc.control = "tcp://127.0.0.1:1"; /* nobody answers there */
    begin_with(desc);
    for (int i = 0; i < 256; i++)
        CHECK_NUMBER(magi_client_send_prompt(client, "x", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    CHECK_NUMBER(magi_client_send_prompt(client, "x", MAGI_AT_NEXT, 0, NULL), MAGI_BUSY);
    end();
}

static void a_client_without_a_control_address_refuses_requests_and_says_why(void)
{
    fake_open(&server, STREAM_A);
    magi_client_desc desc = desc_for(&server);
    desc.control = "none";
    begin_with(desc);
    CHECK_NUMBER(magi_client_send_prompt(client, "x", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.code, MAGI_CODE_REFUSED);
    CHECK(strcmp(receipt.message, "the client was opened without a control address") == 0);
    end();
}

int main(void)
{
    RUN(a_frame_arrives_with_its_header_and_pixels);
    RUN(only_the_newest_of_many_frames_is_handed_out);
    RUN(every_frame_is_handed_out_in_order_when_asked_for);
    RUN(frames_of_an_older_epoch_are_never_shown);
    RUN(a_frame_repeated_for_others_is_dropped);
    RUN(a_last_frame_that_was_lost_is_asked_for_again);
    RUN(a_stale_frame_is_shown_only_when_nothing_fresh_comes);
    RUN(malformed_messages_are_counted_and_the_next_good_one_shows);
    RUN(silence_is_told_as_lost_and_ends_when_the_server_is_heard_again);
    RUN(a_server_that_says_bye_has_ended);
    RUN(text_that_is_too_long_ends_with_a_whole_character);
    RUN(a_restarted_server_begins_a_new_stream_and_old_frames_are_gone);
    RUN(a_prompt_gets_its_receipts);
    RUN(after_an_applied_receipt_no_older_frame_comes);
    RUN(an_error_comes_as_a_receipt_with_code_and_sentence);
    RUN(an_unanswered_request_is_asked_again_with_its_id_and_then_ends);
    RUN(what_a_dead_server_had_accepted_ends_when_the_next_one_is_heard);
    RUN(what_a_dead_server_had_accepted_is_not_done_by_the_next_one);
    RUN(a_large_image_that_is_not_accepted_yet_is_not_sent_again);
    RUN(after_a_broken_connection_a_large_image_still_gets_its_receipt);
    RUN(an_answer_that_came_before_the_connection_broke_still_counts);
    RUN(a_client_whose_thread_is_held_for_long_while_frames_come_goes_on);
    RUN(a_request_without_a_server_times_out_and_is_not_done_later);
    RUN(too_many_waiting_requests_are_refused);
    RUN(a_client_without_a_control_address_refuses_requests_and_says_why);
    return 0;
}
