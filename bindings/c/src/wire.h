/* Frames and events as bytes: everything is checked here before a pixel is touched. */
#ifndef MG_WIRE_H
#define MG_WIRE_H

#include "magi_rt.h"
#include "map.h"
#include "topics.h"

#define MG_MAX_HEADER_BYTES 1024
#define MG_MAX_EVENT_BYTES 20480
#define MG_MAX_ANSWER_BYTES 65536
#define MG_MAX_SIDE 16384
#define MG_MAX_PIXEL_BYTES 268435456

typedef struct mg_header {
    magi_frame frame; /* struct_size, lease, pixels and received_ns are left zero */
    bool shared;
    uint64_t slot; /* of shared memory */
    uint64_t turn;
} mg_header;

/* False when malformed: what is true can be trusted to fit together. */
bool mg_decode_header(mg_unpacker *unpacker, const uint8_t *bytes, size_t size, mg_header *out);

typedef struct mg_packed {
    mg_text topic;
    const uint8_t *header;
    size_t header_size;
    const uint8_t *pixels;
    size_t pixels_size;
} mg_packed;

/* The packed layout in its parts, still undecoded. False when the lengths do not fit. */
bool mg_split_packed(const uint8_t *bytes, size_t size, mg_packed *out);

/* False when a header does not describe a frame of the topic it came under. */
bool mg_header_fits(const mg_header *header, const mg_topic *topic);

typedef enum mg_event_type {
    MG_EVENT_HEARTBEAT,
    MG_EVENT_PROMPT,
    MG_EVENT_EPOCH,
    MG_EVENT_BYE,
    MG_EVENT_OTHER /* of a later version: only the common keys count */
} mg_event_type;

typedef struct mg_event {
    mg_event_type type;
    char stream[24];
    uint64_t epoch;
    uint64_t seq;
    uint64_t sent_ns;
    double fps;      /* heartbeat */
    bool paused;     /* heartbeat */
    uint64_t prompt; /* prompt */
    mg_text text;    /* prompt; points into the message */
    mg_text reason;  /* epoch, bye; points into the message */
} mg_event;

bool mg_decode_event(mg_unpacker *unpacker, const uint8_t *bytes, size_t size, mg_event *out);

#endif
