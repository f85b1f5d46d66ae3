/* Dummy mode: a moving picture and receipts, without a server. */
#include <string.h>

#include "check.h"
#include "magi_rt.h"
#include "platform.h"

static magi_client client;
static magi_frame frame = {.struct_size = sizeof(magi_frame)};
static magi_receipt receipt = {.struct_size = sizeof(magi_receipt)};

static magi_client_desc usual(void)
{
    return (magi_client_desc){
        .struct_size = sizeof(magi_client_desc),
        .dummy = 1,
        .dummy_width = 64,
        .dummy_height = 32,
        .dummy_fps = 200,
    };
}

static void begin(magi_client_desc desc) { CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK); }

static void end(void) { CHECK_NUMBER(magi_client_close(client), MAGI_OK); }

static void take(void) { CHECK_SOON(magi_client_acquire_frame(client, &frame) == MAGI_OK); }

static void give_back(void)
{
    CHECK_NUMBER(magi_client_release_frame(client, frame.lease), MAGI_OK);
}

static void send_request(magi_request asked)
{
    asked.struct_size = sizeof asked;
    CHECK_NUMBER(magi_client_send(client, &asked, NULL), MAGI_OK);
}

static void take_receipt(magi_receipt_kind kind)
{
    CHECK_SOON(magi_client_poll_receipt(client, &receipt) == MAGI_OK);
    CHECK_NUMBER(receipt.kind, kind);
}

static const uint8_t *pixel(uint32_t column, uint32_t row)
{
    return frame.pixels + (size_t)row * frame.stride + (size_t)column * (frame.stride / frame.width);
}

static void the_picture_moves(void)
{
    uint64_t seq = 0;
    uint8_t before[64 * 32 * 4] = {0};
    begin(usual());
    for (int i = 0; i < 10; i++) {
        take();
        CHECK(frame.seq > seq && frame.width == 64 && frame.height == 32 && frame.stride == 256);
        CHECK(memcmp(before, frame.pixels, sizeof before) != 0);
        CHECK_NUMBER(pixel(3, 10)[3], 255);
        memcpy(before, frame.pixels, sizeof before);
        seq = frame.seq;
        give_back();
    }
    end();
}

static void formats_and_rows_are_what_they_say(void)
{
    static const magi_format formats[] = {MAGI_FORMAT_RGB8, MAGI_FORMAT_RGBA8, MAGI_FORMAT_BGRA8,
                                          MAGI_FORMAT_BGR8};
    for (int i = 0; i < 4; i++) {
        for (int rows = MAGI_ROWS_TOP; rows <= MAGI_ROWS_BOTTOM; rows++) {
            magi_client_desc desc = usual();
            desc.format = formats[i];
            desc.rows = (magi_rows)rows;
            begin(desc);
            take();
            CHECK(frame.format == formats[i] && frame.rows == (magi_rows)rows);
            uint32_t upper = rows == MAGI_ROWS_TOP ? 0 : 31;
            CHECK_NUMBER(pixel(5, upper)[0], 20);
            const uint8_t *orange = pixel(0, rows == MAGI_ROWS_TOP ? 30 : 1);
            bool red_first = formats[i] == MAGI_FORMAT_RGB8 || formats[i] == MAGI_FORMAT_RGBA8;
            CHECK(red_first ? orange[0] > orange[2] : orange[2] > orange[0]);
            give_back();
            end();
        }
    }
}

static void a_prompt_is_accepted_then_applied_and_shows(void)
{
    uint64_t id;
    begin(usual());
    CHECK_NUMBER(magi_client_send_prompt(client, "night falls", MAGI_AT_NEXT, 0, &id), MAGI_OK);
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    CHECK_NUMBER(receipt.request, id);
    take_receipt(MAGI_RECEIPT_APPLIED);
    CHECK_NUMBER(receipt.prompt, 1);
    uint64_t first = receipt.seq;
    do {
        take();
        CHECK_NUMBER(frame.prompt, frame.seq >= first ? 1 : 0);
        give_back();
    } while (frame.seq < first);
    end();
}

static void after_a_flushed_prompt_no_frame_of_the_old_epoch_comes(void)
{
    begin(usual());
    for (uint64_t epoch = 1; epoch <= 50; epoch++) {
        CHECK_NUMBER(magi_client_send_prompt(client, "now", MAGI_AT_NOW, 1, NULL), MAGI_OK);
        take_receipt(MAGI_RECEIPT_ACCEPTED);
        take_receipt(MAGI_RECEIPT_APPLIED);
        CHECK_NUMBER(receipt.epoch, epoch);
        take();
        CHECK(frame.epoch == epoch && frame.prompt == receipt.prompt);
        give_back();
    }
    end();
}

static void the_other_requests_are_answered(void)
{
    begin(usual());
    send_request((magi_request){.type = MAGI_REQUEST_RESTORE, .name = "nothing"});
    take_receipt(MAGI_RECEIPT_ERROR);
    CHECK_NUMBER(receipt.code, MAGI_CODE_NOT_FOUND);
    CHECK(strlen(receipt.message) > 0);
    send_request((magi_request){.type = MAGI_REQUEST_FORK, .name = "left"});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    send_request((magi_request){.type = MAGI_REQUEST_RESTORE, .name = "left"});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    send_request((magi_request){.type = MAGI_REQUEST_STATS});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    CHECK(strstr(receipt.details, "\"frames\"") != NULL);
    send_request((magi_request){.type = MAGI_REQUEST_SET, .fps = 100});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    send_request((magi_request){.type = MAGI_REQUEST_REWIND, .chunks = 1000000});
    take_receipt(MAGI_RECEIPT_ERROR);
    end();
}

static void a_world_begins_again_under_its_own_prompt_and_drops_those_that_wait(void)
{
    begin(usual());
    send_request((magi_request){.type = MAGI_REQUEST_PAUSE});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    CHECK_NUMBER(magi_client_send_prompt(client, "it rains", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    uint64_t waiting = receipt.request;
    send_request((magi_request){.type = MAGI_REQUEST_RESET, .text = "night falls"});
    take_receipt(MAGI_RECEIPT_ERROR);
    CHECK(receipt.code == MAGI_CODE_SUPERSEDED && receipt.request == waiting);
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    take();
    CHECK(frame.prompt == 2 && frame.chunk == 0);
    give_back();
    send_request((magi_request){.type = MAGI_REQUEST_RESET});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    take();
    CHECK(frame.prompt == 0 && frame.chunk == 0);
    give_back();
    end();
}

static void a_world_goes_back_to_a_chunk_as_if_it_had_never_been_made(void)
{
    magi_request back = {.type = MAGI_REQUEST_REWIND, .has_to = 1, .to = 1};
    begin(usual());
    do {
        take();
        give_back();
    } while (frame.chunk < 3);
    CHECK_NUMBER(magi_client_send_prompt(client, "it rains", MAGI_AT_NEXT, 0, NULL), MAGI_OK);
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    send_request(back);
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    CHECK(receipt.chunk == 1 && receipt.frame == 4 && receipt.epoch == 1);
    take();
    CHECK_NUMBER(frame.prompt, 0); /* which came later is forgotten */
    give_back();
    send_request((magi_request){.type = MAGI_REQUEST_PAUSE});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    back.to = 0;
    send_request(back);
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    CHECK(receipt.chunk == 0 && receipt.frame == 1);
    back.to = 1;
    send_request(back);
    take_receipt(MAGI_RECEIPT_ERROR);
    CHECK(receipt.code == MAGI_CODE_REFUSED && strstr(receipt.message, "was not shown"));
    send_request((magi_request){.type = MAGI_REQUEST_REWIND});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    CHECK(receipt.chunk == 0 && receipt.frame == 1);
    end();
}

static void a_paused_world_stands_still_and_goes_on(void)
{
    magi_client_info info = {.struct_size = sizeof info};
    begin(usual());
    send_request((magi_request){.type = MAGI_REQUEST_PAUSE});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    if (magi_client_acquire_frame(client, &frame) == MAGI_OK) give_back();
    for (int i = 0; i < 20; i++) {
        CHECK_NUMBER(magi_client_acquire_frame(client, &frame), MAGI_NO_FRAME);
        mg_sleep_ms(1);
    }
    CHECK_NUMBER(magi_client_get_info(client, &info), MAGI_OK);
    CHECK(info.paused && info.state == MAGI_STATE_CONNECTED);
    send_request((magi_request){.type = MAGI_REQUEST_RESUME});
    take();
    give_back();
    end();
}

static void a_jump_while_paused_shows_one_frame_and_a_prompt_waits(void)
{
    begin(usual());
    send_request((magi_request){.type = MAGI_REQUEST_PAUSE});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    send_request((magi_request){.type = MAGI_REQUEST_RESET});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    uint64_t shown = receipt.seq;
    send_request((magi_request){.type = MAGI_REQUEST_PROMPT, .text = "it rains"});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    uint64_t first = receipt.request;
    send_request((magi_request){.type = MAGI_REQUEST_PROMPT, .text = "it snows", .flush = 1});
    take_receipt(MAGI_RECEIPT_ERROR);
    CHECK(receipt.code == MAGI_CODE_SUPERSEDED && receipt.request == first);
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    uint64_t second = receipt.request, prompt = receipt.prompt;
    if (magi_client_acquire_frame(client, &frame) == MAGI_OK) give_back(); /* of the reset */
    for (int i = 0; i < 20; i++) {
        CHECK_NUMBER(magi_client_acquire_frame(client, &frame), MAGI_NO_FRAME);
        mg_sleep_ms(1);
    }
    send_request((magi_request){.type = MAGI_REQUEST_RESUME});
    take_receipt(MAGI_RECEIPT_ACCEPTED);
    take_receipt(MAGI_RECEIPT_APPLIED);
    CHECK(receipt.request == second && receipt.prompt == prompt && receipt.seq == shown + 1);
    end();
}

static void what_is_known_of_the_world_can_be_asked(void)
{
    begin(usual());
    magi_client_info info = {.struct_size = sizeof info};
    CHECK_SOON(magi_client_get_info(client, &info) == MAGI_OK &&
               info.state == MAGI_STATE_CONNECTED);
    CHECK(strlen(info.client) == 32 && strlen(info.stream) == 16);
    CHECK(strcmp(info.server, "dummy mode") == 0 && info.width == 64 && info.fps == 200);
    end();
}

int main(void)
{
    RUN(the_picture_moves);
    RUN(formats_and_rows_are_what_they_say);
    RUN(a_prompt_is_accepted_then_applied_and_shows);
    RUN(after_a_flushed_prompt_no_frame_of_the_old_epoch_comes);
    RUN(the_other_requests_are_answered);
    RUN(a_world_begins_again_under_its_own_prompt_and_drops_those_that_wait);
    RUN(a_world_goes_back_to_a_chunk_as_if_it_had_never_been_made);
    RUN(a_paused_world_stands_still_and_goes_on);
    RUN(a_jump_while_paused_shows_one_frame_and_a_prompt_waits);
    RUN(what_is_known_of_the_world_can_be_asked);
    return 0;
}
