// magi_rt.hpp - magi_rt.h for C++17: what you open closes itself, what you borrow goes back.
//
//   magi_rt::Client client{magi_rt::Desc{}};            // tcp://127.0.0.1:5590, RGBA
//   client.send_prompt("night falls");
//   if (magi_rt::Frame frame = client.acquire())        // once per picture your game draws
//       upload(frame->pixels, frame->width, frame->height, frame->stride);
//   while (auto receipt = client.poll())
//       log(receipt->message);
//
// Nothing here throws and nothing here allocates but what std::string in Receipt needs. Statuses
// that are not "no frame" stay readable in status(). Threads: as magi_rt.h says for each function;
// a Client may be used by several threads while none of them moves, closes or destroys it.
#ifndef MAGI_RT_HPP
#define MAGI_RT_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "magi_rt.h"

namespace magi_rt {

// magi_client_desc with its size and zeros in place: Desc desc; desc.format = MAGI_FORMAT_BGRA8;
struct Desc : magi_client_desc {
    Desc() : magi_client_desc{} { struct_size = sizeof(magi_client_desc); }
};

struct Request : magi_request {
    explicit Request(magi_request_type wanted) : magi_request{}
    {
        struct_size = sizeof(magi_request);
        type = wanted;
    }
};

// A borrowed frame; false when there is none. Move only. It must be gone before its client is.
class Frame {
public:
    Frame() = default;
    Frame(const Frame &) = delete;
    Frame &operator=(const Frame &) = delete;
    Frame(Frame &&other) noexcept { swap(other); }
    Frame &operator=(Frame &&other) noexcept
    {
        Frame(std::move(other)).swap(*this);
        return *this;
    }
    ~Frame() { release(); }

    explicit operator bool() const { return status_ == MAGI_OK; }
    magi_status status() const { return status_; } // why there is none: MAGI_NO_FRAME, MAGI_LOST, ...
    const magi_frame *operator->() const { return &frame_; }
    const magi_frame &operator*() const { return frame_; }

    // Gives it back before the destructor would.
    void release()
    {
        if (status_ == MAGI_OK) magi_client_release_frame(client_, frame_.lease);
        status_ = MAGI_NO_FRAME;
        frame_ = magi_frame{};
    }

private:
    friend class Client;
    explicit Frame(magi_client client) : client_(client)
    {
        frame_.struct_size = sizeof frame_;
        status_ = magi_client_acquire_frame(client_, &frame_);
    }
    void swap(Frame &other) noexcept
    {
        std::swap(client_, other.client_);
        std::swap(frame_, other.frame_);
        std::swap(status_, other.status_);
    }

    magi_client client_{};
    magi_frame frame_{};
    magi_status status_ = MAGI_NO_FRAME;
};

// A receipt whose texts are its own.
struct Receipt {
    magi_receipt_kind kind;
    std::uint64_t request;
    magi_request_type type;
    magi_code code;
    std::uint64_t epoch, seq, frame, chunk, prompt;
    std::string message; // error: a sentence for people
    std::string details; // the answer's other keys, a JSON object
    std::string stream;
};

// What a request was given: its id, or why it was not taken.
struct Sent {
    magi_status status;
    std::uint64_t id;
    explicit operator bool() const { return status == MAGI_OK; }
};

class Client {
public:
    Client() = default; // closed
    explicit Client(const magi_client_desc &desc) { open(desc); }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;
    Client(Client &&other) noexcept { swap(other); }
    Client &operator=(Client &&other) noexcept
    {
        Client(std::move(other)).swap(*this);
        return *this;
    }
    ~Client() { close(); }

    // Opens (again); what was open is closed first.
    magi_status open(const magi_client_desc &desc)
    {
        close();
        return status_ = magi_client_open(&desc, &client_);
    }

    void close()
    {
        if (client_.id != 0) magi_client_close(client_);
        client_ = magi_client{};
        status_ = MAGI_BAD_HANDLE;
    }

    explicit operator bool() const { return status_ == MAGI_OK; }
    magi_status status() const { return status_; } // of the last open
    magi_client handle() const { return client_; }

    // The newest frame not had yet.
    [[nodiscard]] Frame acquire() { return Frame(client_); }

    Sent send(const magi_request &request)
    {
        Sent sent{};
        sent.status = magi_client_send(client_, &request, &sent.id);
        return sent;
    }

    Sent send_prompt(const char *text, magi_at at = MAGI_AT_NEXT, bool flush = false)
    {
        Sent sent{};
        sent.status = magi_client_send_prompt(client_, text, at, flush ? 1u : 0u, &sent.id);
        return sent;
    }
    Sent send_prompt(const std::string &text, magi_at at = MAGI_AT_NEXT, bool flush = false)
    {
        return send_prompt(text.c_str(), at, flush);
    }

    // Begins the world again: under the server's first prompt where none is given, with the same
    // seed where none is given.
    Sent send_reset(const char *first_prompt = nullptr, std::optional<std::uint64_t> seed = {})
    {
        return send(beginning(Request(MAGI_REQUEST_RESET), first_prompt, seed));
    }

    // The same from a whole PNG, JPEG or WebP file in memory.
    Sent send_image(const void *file, std::size_t size, const char *first_prompt = nullptr,
                    std::optional<std::uint64_t> seed = {})
    {
        Request request(MAGI_REQUEST_IMAGE);
        request.image = file;
        request.image_size = size;
        return send(beginning(request, first_prompt, seed));
    }

    // Takes back the last chunks.
    Sent send_rewind(std::uint32_t chunks = 1)
    {
        Request request(MAGI_REQUEST_REWIND);
        request.chunks = chunks;
        return send(request);
    }

    // Takes back all chunks from this number on (frame->chunk, receipt->chunk).
    Sent send_rewind_to(std::uint64_t chunk)
    {
        Request request(MAGI_REQUEST_REWIND);
        request.to = chunk;
        request.has_to = 1;
        return send(request);
    }

    // The oldest receipt. One thread at a time.
    std::optional<Receipt> poll()
    {
        magi_receipt got{};
        got.struct_size = sizeof got;
        if (magi_client_poll_receipt(client_, &got) != MAGI_OK) return std::nullopt;
        return Receipt{got.kind,  got.request, got.type,   got.code,    got.epoch,   got.seq,
                       got.frame, got.chunk,   got.prompt, got.message, got.details, got.stream};
    }

    // All zero for a closed client.
    magi_client_info info() const
    {
        magi_client_info now{};
        now.struct_size = sizeof now;
        magi_client_get_info(client_, &now);
        return now;
    }

    magi_counters counters() const
    {
        magi_counters now{};
        now.struct_size = sizeof now;
        magi_client_get_counters(client_, &now);
        return now;
    }

private:
    static Request beginning(Request request, const char *first_prompt,
                             std::optional<std::uint64_t> seed)
    {
        request.text = first_prompt;
        request.has_seed = seed ? 1 : 0;
        request.seed = seed.value_or(0);
        return request;
    }
    void swap(Client &other) noexcept
    {
        std::swap(client_, other.client_);
        std::swap(status_, other.status_);
    }

    magi_client client_{};
    magi_status status_ = MAGI_BAD_HANDLE;
};

// False when the loaded library does not fit this header.
inline bool abi_fits() { return magi_abi() == MAGI_RT_ABI; }

} // namespace magi_rt

#endif
