/* Handles, sizes and arguments: what is wrong is said, and nothing happens. */
#include <string.h>

#include "check.h"
#include "magi_rt.h"
#include "platform.h"

static magi_client_desc dummy_desc(void)
{
    return (magi_client_desc){
        .struct_size = sizeof(magi_client_desc),
        .dummy = 1,
        .dummy_width = 16,
        .dummy_height = 16,
        .dummy_fps = 240,
    };
}

static magi_client open_dummy(void)
{
    magi_client client;
    magi_client_desc desc = dummy_desc();
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    return client;
}

static magi_frame frame_for_asking(void)
{
    return (magi_frame){.struct_size = sizeof(magi_frame)};
}

static void a_closed_client_is_recognised(void)
{
    magi_frame frame = frame_for_asking();
    magi_client client = open_dummy();
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
    CHECK_NUMBER(magi_client_close(client), MAGI_BAD_HANDLE);
    CHECK_NUMBER(magi_client_acquire_frame(client, &frame), MAGI_BAD_HANDLE);
    magi_client next = open_dummy();
    CHECK(next.id != client.id);
    CHECK_NUMBER(magi_client_acquire_frame(client, &frame), MAGI_BAD_HANDLE);
    CHECK_NUMBER(magi_client_send_prompt(client, "x", MAGI_AT_NEXT, 0, NULL), MAGI_BAD_HANDLE);
    CHECK_NUMBER(magi_client_close(next), MAGI_OK);
}

static void a_handle_that_was_never_made_is_recognised(void)
{
    static const uint32_t ids[] = {0, 1, 64, 65, 255, 256, 0xffffffff};
    magi_frame frame = frame_for_asking();
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        CHECK_NUMBER(magi_client_acquire_frame((magi_client){ids[i]}, &frame), MAGI_BAD_HANDLE);
}

static void a_lease_can_be_given_back_only_once(void)
{
    magi_frame frame = frame_for_asking();
    magi_client client = open_dummy();
    CHECK_SOON(magi_client_acquire_frame(client, &frame) == MAGI_OK);
    magi_lease first = frame.lease;
    CHECK_NUMBER(magi_client_release_frame(client, first), MAGI_OK);
    CHECK_NUMBER(magi_client_release_frame(client, first), MAGI_BAD_HANDLE);
    CHECK_SOON(magi_client_acquire_frame(client, &frame) == MAGI_OK);
    CHECK_NUMBER(magi_client_release_frame(client, first), MAGI_BAD_HANDLE);
    CHECK_NUMBER(magi_client_release_frame(client, (magi_lease){0}), MAGI_BAD_HANDLE);
    CHECK_NUMBER(magi_client_release_frame(client, (magi_lease){~0u}), MAGI_BAD_HANDLE);
    CHECK_NUMBER(magi_client_release_frame(client, frame.lease), MAGI_OK);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

static void more_leases_than_allowed_are_refused_until_one_returns(void)
{
    magi_frame first = frame_for_asking(), second = frame_for_asking();
    magi_client client = open_dummy();
    CHECK_SOON(magi_client_acquire_frame(client, &first) == MAGI_OK);
    CHECK_NUMBER(magi_client_acquire_frame(client, &second), MAGI_BUSY);
    CHECK(second.pixels == NULL);
    CHECK_NUMBER(magi_client_release_frame(client, first.lease), MAGI_OK);
    CHECK_SOON(magi_client_acquire_frame(client, &second) == MAGI_OK);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK); /* with a frame still out */
}

static void a_held_frame_keeps_its_pixels_while_others_arrive(void)
{
    magi_client client;
    magi_client_desc desc = dummy_desc();
    magi_frame held = frame_for_asking(), other = frame_for_asking();
    desc.leased_frames = 2;
    CHECK_NUMBER(magi_client_open(&desc, &client), MAGI_OK);
    CHECK_SOON(magi_client_acquire_frame(client, &held) == MAGI_OK);
    uint8_t before[16 * 16 * 4];
    memcpy(before, held.pixels, sizeof before);
    for (int i = 0; i < 20; i++) {
        CHECK_SOON(magi_client_acquire_frame(client, &other) == MAGI_OK);
        CHECK(other.pixels != held.pixels && other.seq > held.seq);
        CHECK_NUMBER(magi_client_release_frame(client, other.lease), MAGI_OK);
    }
    CHECK(memcmp(before, held.pixels, sizeof before) == 0);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

static void a_wrong_struct_size_is_refused_everywhere(void)
{
    magi_client client = open_dummy(), other;
    magi_client_desc desc = dummy_desc();
    magi_frame frame = {0};
    magi_client_info info = {.struct_size = 4};
    magi_counters counters = {0};
    magi_request request = {.struct_size = sizeof request + 8, .type = MAGI_REQUEST_PAUSE};
    magi_receipt receipt = {0};
    desc.struct_size = 0;
    CHECK_NUMBER(magi_client_open(&desc, &other), MAGI_BAD_SIZE);
    CHECK_NUMBER(other.id, 0);
    CHECK_NUMBER(magi_client_acquire_frame(client, &frame), MAGI_BAD_SIZE);
    CHECK_NUMBER(magi_client_get_info(client, &info), MAGI_BAD_SIZE);
    CHECK_NUMBER(magi_client_get_counters(client, &counters), MAGI_BAD_SIZE);
    CHECK_NUMBER(magi_client_send(client, &request, NULL), MAGI_BAD_SIZE);
    CHECK_NUMBER(magi_client_poll_receipt(client, &receipt), MAGI_BAD_SIZE);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

static void a_program_compiled_before_frames_had_steps_still_gets_frames(void)
{
    magi_client client = open_dummy();
    magi_frame frame;
    memset(&frame, 0xab, sizeof frame);
    frame.struct_size = offsetof(magi_frame, steps);
    CHECK_SOON(magi_client_acquire_frame(client, &frame) == MAGI_OK);
    CHECK_NUMBER(frame.struct_size, offsetof(magi_frame, steps));
    CHECK_NUMBER(frame.height * frame.stride, frame.size);
    CHECK_NUMBER(frame.steps, 0xabababab); /* not written to: it is not there */
    CHECK_NUMBER(magi_client_release_frame(client, frame.lease), MAGI_OK);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

static void a_program_compiled_before_requests_had_to_still_sends_them(void)
{
    magi_client client = open_dummy();
    magi_request request;
    uint64_t id = 0;
    memset(&request, 0xab, sizeof request);
    memset(&request, 0, offsetof(magi_request, to));
    request.struct_size = offsetof(magi_request, to);
    request.type = MAGI_REQUEST_REWIND;
    request.chunks = 1; /* has_to would refuse it, if what lies behind the struct were read */
    CHECK_NUMBER(magi_client_send(client, &request, &id), MAGI_OK);
    CHECK_NUMBER(id, 1);
    CHECK_NUMBER(magi_client_close(client), MAGI_OK);
}

static magi_status status_of(magi_client_desc desc)
{
    magi_client client;
    magi_status status = magi_client_open(&desc, &client);
    if (status == MAGI_OK) magi_client_close(client);
    return status;
}

static void values_outside_their_range_are_refused(void)
{
    magi_client_desc desc = dummy_desc();
    desc.format = (magi_format)7;
    CHECK_NUMBER(status_of(desc), MAGI_BAD_ARGUMENT);
    desc = dummy_desc();
    desc.dummy_fps = 0.5;
    CHECK_NUMBER(status_of(desc), MAGI_BAD_ARGUMENT);
    desc = dummy_desc();
    desc.leased_frames = 9;
    CHECK_NUMBER(status_of(desc), MAGI_BAD_ARGUMENT);
    desc = dummy_desc();
    desc.format = MAGI_FORMAT_JPEG;
    desc.rows = MAGI_ROWS_BOTTOM;
    CHECK_NUMBER(status_of(desc), MAGI_BAD_ARGUMENT);
    desc = dummy_desc();
    desc.name = "a name that is much longer than sixty-four bytes, which is the limit of names";
    CHECK_NUMBER(status_of(desc), MAGI_TOO_LONG);
    CHECK_NUMBER(magi_client_open(NULL, NULL), MAGI_BAD_ARGUMENT);
}

#if defined(MAGI_RT_NETWORK)
static void addresses_and_keys_that_cannot_be_are_refused(void)
{
    static const char *const bad[] = {"",           "tcp://",        "tcp://host",
                                      "tcp://h:0",  "tcp://h:70000", "http://h:5590",
                                      "ipc://",     "tcp://h:65535", "tcp://h:12x",
                                      "inproc://a", NULL};
    magi_client_desc desc = {.struct_size = sizeof desc};
    for (int i = 0; bad[i]; i++) {
        desc.frames = bad[i];
        CHECK_NUMBER(status_of(desc), MAGI_BAD_ADDRESS);
    }
    desc.frames = NULL;
    desc.control = "none";
    CHECK_NUMBER(status_of(desc), MAGI_OK);
    desc.curve_public = "too short";
    CHECK_NUMBER(status_of(desc), MAGI_BAD_KEYS);
    desc.curve_public = desc.curve_secret = desc.curve_server =
        "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    CHECK_NUMBER(status_of(desc), MAGI_OK);
    desc.curve_server = NULL;
    CHECK_NUMBER(status_of(desc), MAGI_BAD_KEYS);
}
#endif

static void at_most_64_clients_are_open_at_one_time(void)
{
    magi_client clients[65];
    magi_client_desc desc = dummy_desc();
    desc.dummy_fps = 1;
    for (int i = 0; i < 64; i++) CHECK_NUMBER(magi_client_open(&desc, &clients[i]), MAGI_OK);
    CHECK_NUMBER(magi_client_open(&desc, &clients[64]), MAGI_BUSY);
    for (int i = 0; i < 64; i++) CHECK_NUMBER(magi_client_close(clients[i]), MAGI_OK);
    CHECK_NUMBER(magi_client_open(&desc, &clients[0]), MAGI_OK);
    CHECK_NUMBER(magi_client_close(clients[0]), MAGI_OK);
}

static void every_status_has_a_sentence(void)
{
    for (int status = MAGI_SYSTEM; status <= MAGI_LOST; status++)
        CHECK(strlen(magi_status_text((magi_status)status)) >= 4);
    CHECK(strstr(magi_status_text((magi_status)99), "does not know") != NULL);
    CHECK_NUMBER(magi_abi(), MAGI_RT_ABI);
    CHECK(strchr(magi_version(), '.') != NULL);
}

int main(void)
{
    RUN(a_closed_client_is_recognised);
    RUN(a_handle_that_was_never_made_is_recognised);
    RUN(a_lease_can_be_given_back_only_once);
    RUN(more_leases_than_allowed_are_refused_until_one_returns);
    RUN(a_held_frame_keeps_its_pixels_while_others_arrive);
    RUN(a_wrong_struct_size_is_refused_everywhere);
    RUN(a_program_compiled_before_frames_had_steps_still_gets_frames);
    RUN(a_program_compiled_before_requests_had_to_still_sends_them);
    RUN(values_outside_their_range_are_refused);
#if defined(MAGI_RT_NETWORK)
    RUN(addresses_and_keys_that_cannot_be_are_refused);
#endif
    RUN(at_most_64_clients_are_open_at_one_time);
    RUN(every_status_has_a_sentence);
    return 0;
}
