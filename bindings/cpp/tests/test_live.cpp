// The C++ wrapper against a real server; ../../c/tests/live.py starts it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "magi_rt.hpp"

template <typename Ask> static auto soon(Ask ask)
{
    for (int left = 10000; left > 0; left--) {
        if (auto got = ask()) return got;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::fprintf(stderr, "nothing came for ten seconds\n");
    std::exit(1);
}

int main(int count, char **arguments)
{
    if (count != 4) return 1;
    magi_rt::Desc desc;
    desc.frames = arguments[2];
    desc.control = arguments[3];
    desc.format = MAGI_FORMAT_BGRA8;
    desc.rows = MAGI_ROWS_BOTTOM;
    magi_rt::Client client{desc};
    for (int i = 0; i < 20; i++) {
        magi_rt::Frame frame = soon([&] { return client.acquire(); });
        if (frame->format != MAGI_FORMAT_BGRA8 || frame->rows != MAGI_ROWS_BOTTOM) return 1;
    }
    magi_rt::Sent sent = client.send_prompt("night falls", MAGI_AT_NOW, true);
    auto accepted = soon([&] { return client.poll(); });
    auto applied = soon([&] { return client.poll(); });
    magi_rt::Frame frame = soon([&] { return client.acquire(); });
    bool right = sent && accepted->kind == MAGI_RECEIPT_ACCEPTED &&
                 applied->kind == MAGI_RECEIPT_APPLIED && frame->prompt == applied->prompt && frame->steps > 0;
    std::printf("%s: %llu frames, layout %d\n", right ? "agreed" : "wrong",
                static_cast<unsigned long long>(client.counters().frames_received),
                static_cast<int>(client.info().layout));
    return right ? 0 : 1;
}
