/* A server that does exactly what a test says: both sockets, in the test's own thread. */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "connection.h"
#include "magi_rt.h"

#define STREAM_A "00c0ffee5eed2a7f"
#define STREAM_B "1111111111111111"

typedef struct fake_server {
    void *context;
    void *frames;
    void *control;
    mg_connection door; /* of control */
    char frames_address[256];
    char control_address[256];
    const char *stream;
    const char *shared; /* path that hello is told, or null */
    uint64_t epoch;
    uint64_t seq;
    int subscribers; /* to frame topics */
    int shared_subscribers; /* to those among them in shared memory */
    int bells;              /* that clients wait at */
    int bell_subscriptions; /* that ever came */
    char bell[17];          /* name of the last one */
    const char *reason; /* of its bye, default "the test ends" */
    int subscriptions; /* to frame topics that ever came */
    int hellos; /* answered since it was opened */
} fake_server;

/* Fields of a frame that tests play with; zero means the usual. */
typedef struct fake_frame {
    const char *topic; /* default: frame/rgba8/top/parts */
    uint64_t epoch;
    uint64_t seq;     /* default: the next one */
    uint64_t sent_ns; /* default: now */
    uint32_t width, height; /* default: 32 x 16 */
    uint8_t value;    /* of every byte */
    uint64_t shared_turn; /* not zero: no pixels, slot 0 at this turn */
    bool short_of_a_byte;
} fake_frame;

void fake_open(fake_server *server, const char *stream);
/* At the addresses of another one that was closed. */
void fake_open_at(fake_server *server, const char *stream, const fake_server *before);
/* Answers given are sent before. */
void fake_close(fake_server *server);

/* Takes subscriptions and requests in; hello, pause and stats are answered as a server would. */
void fake_turn(fake_server *server);
void fake_wait_for_subscribers(fake_server *server, int count);
/* Until a client has connected to the control socket; nothing is read. */
void fake_wait_for_client(fake_server *server);

void fake_send_frame(fake_server *server, fake_frame frame);
/* The same for a frame in shared memory, through the doorbell beside that file. False: none hangs
 * there any more. */
bool fake_ring(fake_server *server, fake_frame frame);
bool fake_ring_raw(fake_server *server, const void *bytes, size_t size);
void fake_send_raw(fake_server *server, const char *topic, const void *bytes, size_t size);
void fake_heartbeat(fake_server *server, double fps);
void fake_event_epoch(fake_server *server);
void fake_bye(fake_server *server);

/* The next request that is not answered by itself. False: none came within ten seconds. */
typedef struct fake_request {
    uint64_t id;
    char type[32];
    char text[64];
    char client[65];
    uint8_t identity[64];
    size_t identity_size;
} fake_request;

bool fake_next_request(fake_server *server, fake_request *out);
bool fake_has_request(fake_server *server, fake_request *out); /* does not wait */
void fake_accept(fake_server *server, const fake_request *request);
void fake_apply(fake_server *server, const fake_request *request);
void fake_refuse(fake_server *server, const fake_request *request, const char *code);

#endif
