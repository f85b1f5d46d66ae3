#define _XOPEN_SOURCE 700
#include "fake_server.h"

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "check.h"
#include "map.h"
#include "platform.h"

typedef struct message {
    msgpack_sbuffer bytes;
    msgpack_packer packer;
} message;

static void text(message *m, const char *value)
{
    msgpack_pack_str(&m->packer, strlen(value));
    msgpack_pack_str_body(&m->packer, value, strlen(value));
}

static void put_text(message *m, const char *key, const char *value)
{
    text(m, key);
    text(m, value);
}

static void put(message *m, const char *key, uint64_t value)
{
    text(m, key);
    msgpack_pack_uint64(&m->packer, value);
}

static void begin(message *m, uint32_t keys)
{
    msgpack_sbuffer_init(&m->bytes);
    msgpack_packer_init(&m->packer, &m->bytes, msgpack_sbuffer_write);
    msgpack_pack_map(&m->packer, keys + 1);
    put(m, "version", 1);
}

static void bind_to(void *socket, const char *wanted, char *bound)
{
    int none = 0;
    size_t size = 256;
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    int tries = 1000; /* a port just given up may be free a little later */
    while (zmq_bind(socket, wanted) != 0 && tries-- > 0) mg_sleep_ms(5);
    CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) == 0);
}

static void open_at(fake_server *server, const char *stream, const char *frames,
                    const char *control)
{
    int on = 1, unlimited = 0, answers_sent_ms = 10000;
    server->stream = stream;
    server->context = zmq_ctx_new();
    server->frames = zmq_socket(server->context, ZMQ_XPUB);
    server->control = zmq_socket(server->context, ZMQ_ROUTER);
    zmq_setsockopt(server->frames, ZMQ_XPUB_VERBOSER, &on, sizeof on);
    zmq_setsockopt(server->frames, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
    bind_to(server->frames, frames, server->frames_address);
    CHECK(mg_connection_watch(&server->door, server->context, server->control));
    bind_to(server->control, control, server->control_address);
    zmq_setsockopt(server->control, ZMQ_LINGER, &answers_sent_ms, sizeof answers_sent_ms);
}

void fake_open(fake_server *server, const char *stream)
{
    memset(server, 0, sizeof *server);
    open_at(server, stream, "tcp://127.0.0.1:*", "tcp://127.0.0.1:*");
}

void fake_open_at(fake_server *server, const char *stream, const fake_server *before)
{
    fake_server old = *before;
    memset(server, 0, sizeof *server);
    open_at(server, stream, old.frames_address, old.control_address);
}

void fake_close(fake_server *server)
{
    zmq_close(server->frames);
    mg_connection_leave(&server->door);
    zmq_close(server->control);
    zmq_ctx_term(server->context);
}

static void take_subscriptions(fake_server *server)
{
    char bytes[256];
    int size;
    while ((size = zmq_recv(server->frames, bytes, sizeof bytes, ZMQ_DONTWAIT)) > 0) {
        int more = bytes[0] == 1 ? 1 : -1;
        if (size > 22 && memcmp(bytes + 1, "bell/", 5) == 0) {
            server->bells += more;
            server->bell_subscriptions += more > 0;
            memcpy(server->bell, bytes + size - 16, 16);
        }
        if (size < 14 || memcmp(bytes + 1, "frame/", 6) != 0) continue;
        server->subscribers += more;
        server->subscriptions += more > 0;
        if (memcmp(bytes + size - 7, "/shared", 7) == 0) server->shared_subscribers += more;
    }
}

void fake_wait_for_subscribers(fake_server *server, int count)
{
    fake_request request;
    int left = 10000;
    while (server->subscribers != count && left-- > 0) {
        CHECK(!fake_has_request(server, &request));
        mg_sleep_ms(1);
    }
    CHECK_NUMBER(server->subscribers, count);
}

void fake_wait_for_client(fake_server *server)
{
    CHECK_SOON((mg_connection_look(&server->door), server->door.up));
}

void fake_send_raw(fake_server *server, const char *topic, const void *bytes, size_t size)
{
    CHECK(zmq_send(server->frames, topic, strlen(topic), ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(server->frames, bytes, size, 0) >= 0);
}

static const char *format_of(const char *topic, char out[16])
{
    const char *from = strchr(topic, '/') + 1;
    size_t size = (size_t)(strchr(from, '/') - from);
    memcpy(out, from, size);
    out[size] = 0;
    return out;
}

static void pack_frame(fake_server *server, const fake_frame *frame, uint32_t size, message *m)
{
    char format[16];
    begin(m, frame->shared_turn ? 17 : 16);
    put_text(m, "stream", server->stream);
    put(m, "epoch", frame->epoch);
    put(m, "seq", frame->seq);
    put(m, "frame", frame->seq);
    put(m, "chunk", 0);
    put(m, "prompt", 0);
    put(m, "due_ns", frame->sent_ns);
    put(m, "sent_ns", frame->sent_ns);
    put(m, "width", frame->width);
    put(m, "height", frame->height);
    put(m, "stride", size / frame->height);
    put_text(m, "format", format_of(frame->topic, format));
    put_text(m, "rows", strstr(frame->topic, "/top/") ? "top" : "bottom");
    put(m, "size", size);
    put(m, "flags", 0);
    put(m, "steps", 8);
    if (!frame->shared_turn) return;
    text(m, "shared");
    msgpack_pack_map(&m->packer, 2);
    put(m, "slot", 0);
    put(m, "turn", frame->shared_turn);
}

/* Returns the bytes of its pixels. */
static uint32_t make_frame(fake_server *server, fake_frame *frame, message *m)
{
    if (!frame->topic) frame->topic = "frame/rgba8/top/parts";
    if (!frame->seq) frame->seq = server->seq + 1;
    if (!frame->sent_ns) frame->sent_ns = magi_now_ns();
    if (!frame->width) frame->width = 32;
    if (!frame->height) frame->height = 16;
    server->seq = frame->seq;
    uint32_t size = frame->width * frame->height * (strstr(frame->topic, "rgba8") ? 4 : 3);
    pack_frame(server, frame, size, m);
    return size;
}

bool fake_ring_raw(fake_server *server, const void *bytes, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int folder = (int)(strrchr(server->shared, '/') - server->shared);
    snprintf(address.sun_path, sizeof address.sun_path, "%.*s/magi_rt-%s-bell-%s", folder,
             server->shared, server->stream, server->bell);
    int from = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(from >= 0);
    ssize_t sent = sendto(from, bytes, size, 0, (struct sockaddr *)&address, sizeof address);
    close(from);
    return sent == (ssize_t)size;
}

bool fake_ring(fake_server *server, fake_frame frame)
{
    message m;
    frame.topic = "frame/rgba8/top/shared";
    make_frame(server, &frame, &m);
    bool heard = fake_ring_raw(server, m.bytes.data, m.bytes.size);
    msgpack_sbuffer_destroy(&m.bytes);
    return heard;
}

void fake_send_frame(fake_server *server, fake_frame frame)
{
    message m;
    uint32_t size = make_frame(server, &frame, &m);
    int more = frame.shared_turn ? 0 : ZMQ_SNDMORE;
    CHECK(zmq_send(server->frames, frame.topic, strlen(frame.topic), ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(server->frames, m.bytes.data, m.bytes.size, more) >= 0);
    if (more) {
        uint8_t *pixels = malloc(size);
        memset(pixels, frame.value, size);
        CHECK(zmq_send(server->frames, pixels, size - (frame.short_of_a_byte ? 1 : 0), 0) >= 0);
        free(pixels);
    }
    msgpack_sbuffer_destroy(&m.bytes);
}

static void begin_event(fake_server *server, message *m, const char *type, uint32_t keys)
{
    begin(m, 5 + keys);
    put_text(m, "type", type);
    put_text(m, "stream", server->stream);
    put(m, "epoch", server->epoch);
    put(m, "seq", server->seq);
    put(m, "sent_ns", magi_now_ns());
}

static void send_event(fake_server *server, message *m)
{
    fake_send_raw(server, "event", m->bytes.data, m->bytes.size);
    msgpack_sbuffer_destroy(&m->bytes);
}

void fake_heartbeat(fake_server *server, double fps)
{
    message m;
    begin_event(server, &m, "heartbeat", 2);
    text(&m, "fps");
    msgpack_pack_double(&m.packer, fps);
    text(&m, "paused");
    msgpack_pack_false(&m.packer);
    send_event(server, &m);
}

void fake_event_epoch(fake_server *server)
{
    message m;
    begin_event(server, &m, "epoch", 1);
    put_text(&m, "reason", "flush");
    send_event(server, &m);
}

void fake_bye(fake_server *server)
{
    message m;
    begin_event(server, &m, "bye", 1);
    put_text(&m, "reason", server->reason ? server->reason : "the test ends");
    send_event(server, &m);
}

static void begin_answer(fake_server *server, const fake_request *request, const char *type,
                         uint32_t keys, message *m)
{
    begin(m, 4 + keys);
    put(m, "id", request->id);
    put_text(m, "type", type);
    put_text(m, "stream", server->stream);
    put(m, "epoch", server->epoch);
}

static void send_answer(fake_server *server, const fake_request *request, message *m)
{
    CHECK(zmq_send(server->control, request->identity, request->identity_size, ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(server->control, m->bytes.data, m->bytes.size, 0) >= 0);
    msgpack_sbuffer_destroy(&m->bytes);
}

void fake_accept(fake_server *server, const fake_request *request)
{
    message m;
    begin_answer(server, request, "accepted", 1, &m);
    put(&m, "prompt", 5);
    send_answer(server, request, &m);
}

void fake_apply(fake_server *server, const fake_request *request)
{
    message m;
    begin_answer(server, request, "applied", 4, &m);
    put(&m, "seq", server->seq);
    put(&m, "frame", server->seq);
    put(&m, "chunk", 1);
    put(&m, "prompt", 5);
    send_answer(server, request, &m);
}

void fake_refuse(fake_server *server, const fake_request *request, const char *code)
{
    message m;
    begin_answer(server, request, "error", 2, &m);
    put_text(&m, "code", code);
    put_text(&m, "message", "because the test says so");
    send_answer(server, request, &m);
}

static void greet(fake_server *server, const fake_request *request)
{
    message m;
    begin_answer(server, request, "accepted", 6, &m);
    put(&m, "chosen", 1);
    put_text(&m, "server", "fake 1");
    put_text(&m, "model", "none");
    put(&m, "width", 32);
    put(&m, "fps", 24);
    put_text(&m, "shared", server->shared ? server->shared : "");
    send_answer(server, request, &m);
    server->hellos++;
}

static void read_request(const uint8_t *bytes, size_t size, fake_request *out)
{
    mg_unpacker unpacker;
    msgpack_object space;
    mg_text value;
    CHECK(mg_unpacker_open(&unpacker));
    const msgpack_object_map *map = mg_unpack(&unpacker, bytes, size, &space);
    CHECK(map && mg_get_uint(map, "id", &out->id) && mg_get_text(map, "type", &value));
    mg_text_copy(value, out->type, sizeof out->type);
    CHECK(mg_get_text(map, "client", &value));
    mg_text_copy(value, out->client, sizeof out->client);
    out->text[0] = 0;
    if (mg_get_text(map, "text", &value)) mg_text_copy(value, out->text, sizeof out->text);
    mg_unpacker_close(&unpacker);
}

static bool receive_request(fake_server *server, fake_request *out)
{
    zmq_msg_t body;
    int size = zmq_recv(server->control, out->identity, sizeof out->identity, ZMQ_DONTWAIT);
    if (size < 0) return false;
    out->identity_size = (size_t)size;
    zmq_msg_init(&body);
    CHECK(zmq_msg_recv(&body, server->control, 0) >= 0);
    read_request(zmq_msg_data(&body), zmq_msg_size(&body), out);
    zmq_msg_close(&body);
    return true;
}

bool fake_has_request(fake_server *server, fake_request *out)
{
    take_subscriptions(server);
    while (receive_request(server, out)) {
        if (strcmp(out->type, "hello") != 0) return true;
        greet(server, out);
    }
    return false;
}

void fake_turn(fake_server *server)
{
    fake_request request;
    CHECK(!fake_has_request(server, &request));
}

bool fake_next_request(fake_server *server, fake_request *out)
{
    for (int left = 10000; left > 0; left--) {
        if (fake_has_request(server, out)) return true;
        mg_sleep_ms(1);
    }
    return false;
}
