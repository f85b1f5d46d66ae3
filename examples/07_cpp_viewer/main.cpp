// Watches a running world (magi-rt serve) and tells it a prompt.
//
//   cpp_viewer [--frames ADDRESS] [--control ADDRESS] [--count FRAMES] [--headless] [PROMPT]
//
// Built with OpenCV it opens a window, which Escape closes. Without, or with --headless, every
// picture is written to cpp_viewer.ppm, over the one before. Ends after --count frames that show
// the prompt, if any; without --count never.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <magi_rt.hpp>

#if defined(WITH_OPENCV)
#include <opencv2/core.hpp>
#include <opencv2/highgui.hpp>
#endif

struct Options {
    const char *frames = nullptr;
    const char *control = nullptr;
    const char *prompt = nullptr;
    long count = 0;
    bool headless = false;
};

static Options read_options(int count, char **words)
{
    Options options;
    for (int i = 1; i < count; i++) {
        const std::string word = words[i];
        const char *value = i + 1 < count ? words[i + 1] : nullptr;
        if (word == "--headless") options.headless = true;
        else if (word == "--frames" && value) options.frames = words[++i];
        else if (word == "--control" && value) options.control = words[++i];
        else if (word == "--count" && value) options.count = std::atol(words[++i]);
        else if (word[0] != '-' && !options.prompt) options.prompt = words[i];
        else {
            std::fprintf(stderr, "cannot use %s; the first lines of main.cpp say what can be\n",
                         words[i]);
            std::exit(2);
        }
    }
    return options;
}

// The window asks for BGR, the file for RGB; rows are top first by default.
static void write_ppm(const magi_frame &frame)
{
    std::FILE *file = std::fopen("cpp_viewer.ppm", "wb");
    if (!file) return;
    std::fprintf(file, "P6\n%u %u\n255\n", frame.width, frame.height);
    for (std::size_t y = 0; y < frame.height; y++)
        std::fwrite(frame.pixels + y * frame.stride, 3, frame.width, file);
    std::fclose(file);
}

static void show_in_window(const magi_frame &frame)
{
#if defined(WITH_OPENCV)
    const cv::Mat picture(static_cast<int>(frame.height), static_cast<int>(frame.width), CV_8UC3,
                          const_cast<std::uint8_t *>(frame.pixels), frame.stride);
    cv::imshow("magi_rt", picture);
#else
    (void)frame;
#endif
}

// Waits a few milliseconds, as a game does between two pictures; false when the user has had enough.
static bool pause_shortly(bool window)
{
#if defined(WITH_OPENCV)
    if (window) return cv::waitKey(4) != 27;
#endif
    (void)window;
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
    return true;
}

// Says what became of the prompt; its id once frames show it, else 0.
static std::uint64_t print_receipts(magi_rt::Client &client)
{
    std::uint64_t shown = 0;
    while (auto receipt = client.poll()) {
        if (receipt->kind == MAGI_RECEIPT_ERROR) {
            std::fprintf(stderr, "refused: %s\n", receipt->message.c_str());
            std::exit(1);
        }
        const bool applied = receipt->kind == MAGI_RECEIPT_APPLIED;
        if (applied) shown = receipt->prompt;
        std::printf("prompt %llu %s\n", static_cast<unsigned long long>(receipt->prompt),
                    applied ? "shows" : "accepted");
    }
    return shown;
}

int main(int count, char **words)
{
    const Options options = read_options(count, words);
#if defined(WITH_OPENCV)
    const bool window = !options.headless;
#else
    const bool window = false;
#endif
    magi_rt::Desc desc;
    desc.frames = options.frames;
    desc.control = options.control;
    desc.format = window ? MAGI_FORMAT_BGR8 : MAGI_FORMAT_RGB8;
    desc.name = "cpp_viewer";
    magi_rt::Client client{desc};
    if (!client) {
        std::fprintf(stderr, "%s\n", magi_status_text(client.status()));
        return 1;
    }
    if (options.prompt) {
        const magi_rt::Sent sent = client.send_prompt(options.prompt, MAGI_AT_NOW, true);
        if (!sent) {
            std::fprintf(stderr, "the prompt was not sent: %s\n", magi_status_text(sent.status));
            return 1;
        }
    }

    std::uint64_t wanted = 0;
    for (long left = options.count; options.count == 0 || left > 0;) {
        if (const std::uint64_t shown = print_receipts(client)) wanted = shown;
        if (const magi_rt::Frame frame = client.acquire()) {
            window ? show_in_window(*frame) : write_ppm(*frame);
            if (!options.prompt || (wanted && frame->prompt == wanted)) left--;
        }
        if (!pause_shortly(window)) break;
    }
    const magi_counters counters = client.counters();
    std::printf("%llu frames shown of %llu received\n",
                static_cast<unsigned long long>(counters.frames_acquired),
                static_cast<unsigned long long>(counters.frames_received));
    return 0;
}
