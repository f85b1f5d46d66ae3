/* Which frame a client shows: the five rules of the protocol, as arithmetic without sockets. */
#ifndef MG_GATE_H
#define MG_GATE_H

#include "magi_rt.h"

#define MG_PAST_STREAMS 8

typedef enum mg_verdict {
    MG_TAKE,       /* show it */
    MG_TAKE_STALE, /* keep it aside; show it when nothing fresh comes within 100 ms */
    MG_DROP_STREAM,
    MG_DROP_EPOCH,
    MG_DROP_SEQ
} mg_verdict;

typedef struct mg_gate {
    char stream[24]; /* empty before the first */
    char past[MG_PAST_STREAMS][24];
    uint32_t past_count;
    uint64_t epoch; /* newest heard of */
    uint64_t seq;   /* last one taken */
    uint64_t due_ns;
    int64_t least;          /* smallest (own clock - sent_ns) of this and the last window */
    int64_t least_in_window;
    uint64_t window_began_ns;
    int64_t least_of_late;   /* since late_since_ns */
    uint64_t late_since_ns;  /* every frame since then was late; 0: the last one was not */
    uint64_t heard_ns;
    bool has_least;
    uint64_t frame_time_ns;
    bool paced; /* frame_time_ns was told by the server */
} mg_gate;

void mg_gate_open(mg_gate *gate);

typedef enum mg_stream_news { MG_SAME_STREAM, MG_NEW_STREAM, MG_PAST_STREAM } mg_stream_news;

/* Rule 1. A stream never seen becomes the current one and everything of the old is forgotten. */
mg_stream_news mg_gate_hear_stream(mg_gate *gate, const char *stream);

/* Rule 2: the newest epoch, from frames, events and receipts of the current stream. */
void mg_gate_hear_epoch(mg_gate *gate, uint64_t epoch);

/* Frames per second, from heartbeats and hello; 0 is ignored. */
void mg_gate_hear_fps(mg_gate *gate, double fps);

/* Rules 2, 3 and 5 for a frame of the current stream that arrived at now_ns. With `every`, nothing
 * is stale. Taken frames, stale ones included, move `seq` and `epoch` on. */
mg_verdict mg_gate_judge(mg_gate *gate, const magi_frame *frame, uint64_t now_ns, bool every);

#endif
