/* Places for pictures: filled by the library's thread, lent to whoever acquires. */
#ifndef MG_SLOTS_H
#define MG_SLOTS_H

#include "counters.h"
#include "magi_rt.h"
#include "ready.h"

#if defined(MAGI_RT_NETWORK)
#include <zmq.h>
#endif

#define MG_MAX_LEASED 8

typedef struct mg_slot {
    _Atomic uint32_t word; /* generation << 2 | what it is doing */
    magi_frame frame;
    uint8_t *buffer; /* own memory, for pictures that did not come as a message */
    size_t capacity;
#if defined(MAGI_RT_NETWORK)
    zmq_msg_t message; /* pixels that came through the socket stay where libzmq put them */
#endif
} mg_slot;

typedef struct mg_slots {
    mg_slot *slots;
    uint32_t count;
    uint32_t next; /* where the thread looks first: in turn, so that all have their memory soon */
    uint32_t leased_limit;
    _Atomic uint32_t leased; /* held, or being asked for */
    _Atomic uint32_t held;
    _Atomic uint64_t epoch; /* frames of older epochs are not lent any more */
    mg_ready ready;
    mg_counters *counters;
} mg_slots;

bool mg_slots_open(mg_slots *slots, bool every, uint32_t queue, uint32_t leased,
                   mg_counters *counters);
void mg_slots_close(mg_slots *slots);

/* The library's thread only: ------------------------------------------------------------------- */

/* A free slot, marked as being filled. There is always one. */
uint32_t mg_slots_begin(mg_slots *slots);

/* Own memory of the slot for this many bytes; grows only when needed. Null: no memory. */
uint8_t *mg_slot_reserve(mg_slot *slot, size_t size);

void mg_slots_publish(mg_slots *slots, uint32_t index);
void mg_slots_give_up(mg_slots *slots, uint32_t index); /* free again, unseen */
void mg_slots_drop_ready(mg_slots *slots);              /* what waits belongs to a past stream */
void mg_slots_raise_epoch(mg_slots *slots, uint64_t epoch);
void mg_slots_begin_stream(mg_slots *slots); /* epochs count from the beginning again */

/* Any thread: ---------------------------------------------------------------------------------- */

/* MAGI_OK, NO_FRAME or BUSY. Fills as many bytes of *out as its struct_size says. */
magi_status mg_slots_acquire(mg_slots *slots, magi_frame *out);
magi_status mg_slots_release(mg_slots *slots, magi_lease lease);

#endif
