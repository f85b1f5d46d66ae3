// The C++ wrapper in dummy mode: what is borrowed goes back by itself.
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <type_traits>

#include "magi_rt.hpp"

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                              \
        }                                                                              \
    } while (0)

#define RUN(test) (std::printf("%s\n", #test), std::fflush(stdout), test())

static_assert(!std::is_copy_constructible_v<magi_rt::Frame>);
static_assert(!std::is_copy_constructible_v<magi_rt::Client>);
static_assert(std::is_nothrow_move_constructible_v<magi_rt::Frame>);
static_assert(std::is_nothrow_move_assignable_v<magi_rt::Client>);

static magi_rt::Desc dummy()
{
    magi_rt::Desc desc;
    desc.dummy = 1;
    desc.dummy_width = 32;
    desc.dummy_height = 16;
    desc.dummy_fps = 240;
    return desc;
}

// Waits for a frame, ten seconds at most.
static magi_rt::Frame next(magi_rt::Client &client)
{
    for (int left = 10000; left > 0; left--) {
        if (magi_rt::Frame frame = client.acquire()) return frame;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::fprintf(stderr, "no frame came\n");
    std::exit(1);
}

static magi_rt::Receipt next_receipt(magi_rt::Client &client)
{
    for (int left = 10000; left > 0; left--) {
        if (auto receipt = client.poll()) return *receipt;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::fprintf(stderr, "no receipt came\n");
    std::exit(1);
}

static void a_frame_goes_back_when_it_leaves_its_scope()
{
    magi_rt::Client client{dummy()};
    CHECK(client && magi_rt::abi_fits());
    for (int i = 0; i < 20; i++) {
        magi_rt::Frame frame = next(client);
        CHECK(frame->width == 32 && (*frame).height == 16 && frame->pixels[3] == 255);
        CHECK(client.acquire().status() == MAGI_BUSY);
    }
    CHECK(client.counters().frames_acquired == 20);
}

static void a_moved_frame_is_given_back_once()
{
    magi_rt::Client client{dummy()};
    magi_rt::Frame first = next(client);
    magi_rt::Frame second = std::move(first);
    CHECK(second && second->pixels != nullptr);
    second.release();
    second.release();
    CHECK(!second && next(client));
    first = next(client);
    CHECK(first);
    first = magi_rt::Frame();
    CHECK(!first && next(client));
}

static void a_moved_client_goes_on_and_a_closed_one_says_so()
{
    magi_rt::Client first{dummy()};
    magi_rt::Client second = std::move(first);
    CHECK(next(second) && second.info().width == 32);
    CHECK(first.acquire().status() == MAGI_BAD_HANDLE);
    CHECK(first.send_prompt("nobody hears").status == MAGI_BAD_HANDLE);
    second.close();
    CHECK(!second && second.acquire().status() == MAGI_BAD_HANDLE && !second.poll());
    CHECK(second.open(dummy()) == MAGI_OK && next(second));
    magi_rt::Desc wrong;
    wrong.format = static_cast<magi_format>(9);
    CHECK(second.open(wrong) == MAGI_BAD_ARGUMENT && !second);
}

static void receipts_keep_their_texts()
{
    magi_rt::Client client{dummy()};
    magi_rt::Sent sent = client.send_prompt(std::string("night falls"), MAGI_AT_NOW, true);
    CHECK(sent && sent.id == 1);
    magi_rt::Receipt accepted = next_receipt(client), applied = next_receipt(client);
    CHECK(accepted.kind == MAGI_RECEIPT_ACCEPTED && applied.kind == MAGI_RECEIPT_APPLIED);
    CHECK(applied.request == sent.id && applied.epoch == 1 && applied.stream.size() == 16);
    CHECK(next(client)->epoch >= applied.epoch);
    magi_rt::Request wanted(MAGI_REQUEST_RESTORE);
    wanted.name = "nothing";
    CHECK(client.send(wanted));
    magi_rt::Receipt error = next_receipt(client);
    CHECK(client.send(magi_rt::Request(MAGI_REQUEST_STATS)));
    magi_rt::Receipt stats = next_receipt(client);
    CHECK(error.code == MAGI_CODE_NOT_FOUND && !error.message.empty());
    CHECK(stats.details.front() == '{');
}

static magi_rt::Receipt receipt_of(magi_rt::Client &client, magi_rt::Sent sent,
                                   magi_receipt_kind kind)
{
    CHECK(sent);
    magi_rt::Receipt receipt = next_receipt(client);
    while (receipt.request != sent.id || receipt.kind != kind) receipt = next_receipt(client);
    return receipt;
}

static void the_world_begins_again_under_a_prompt_and_goes_back_to_a_chunk()
{
    static const unsigned char picture[] = {0x89, 'P', 'N', 'G'};
    magi_rt::Client client{dummy()};
    magi_rt::Sent begun[] = {client.send_reset("night falls", 7), client.send_reset(),
                             client.send_image(picture, sizeof picture, "it snows", 0)};
    for (int i = 0; i < 3; i++) receipt_of(client, begun[i], MAGI_RECEIPT_ACCEPTED);
    std::uint64_t shown = receipt_of(client, begun[2], MAGI_RECEIPT_APPLIED).seq;
    magi_rt::Frame frame = next(client);
    CHECK(frame->seq >= shown && frame->prompt == 2);
    frame.release();
    while (next(client)->chunk < 3) continue;
    CHECK(receipt_of(client, client.send_rewind_to(1), MAGI_RECEIPT_APPLIED).chunk == 1);
    CHECK(receipt_of(client, client.send_rewind(), MAGI_RECEIPT_APPLIED).chunk > 0);
    magi_rt::Receipt refused = receipt_of(client, client.send_rewind_to(1000000), MAGI_RECEIPT_ERROR);
    CHECK(refused.code == MAGI_CODE_REFUSED);
    CHECK(client.send_rewind_to(UINT64_MAX).status == MAGI_BAD_ARGUMENT);
    CHECK(client.send_reset("not \xff UTF-8").status == MAGI_BAD_ARGUMENT);
    CHECK(client.send_image(nullptr, 4).status == MAGI_BAD_ARGUMENT);
}

int main()
{
    RUN(a_frame_goes_back_when_it_leaves_its_scope);
    RUN(a_moved_frame_is_given_back_once);
    RUN(a_moved_client_goes_on_and_a_closed_one_says_so);
    RUN(receipts_keep_their_texts);
    RUN(the_world_begins_again_under_a_prompt_and_goes_back_to_a_chunk);
    return 0;
}
