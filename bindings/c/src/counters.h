/* What magi_counters tells, as numbers that any thread may add to. */
#ifndef MG_COUNTERS_H
#define MG_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t mg_counter;

typedef struct mg_counters {
    mg_counter frames_received, frames_acquired, bytes_received;
    mg_counter dropped_replaced, dropped_epoch, dropped_stream, dropped_seq, dropped_stale;
    mg_counter dropped_overwritten, malformed, events;
    mg_counter requests_sent, receipts, receipts_dropped, reconnects, streams;
} mg_counters;

static inline void mg_count(mg_counter *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_release);
}

static inline uint64_t mg_counted(mg_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

#endif
