/* Slot numbers on their way from the library's thread to whoever acquires, without a lock. */
#ifndef MG_READY_H
#define MG_READY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MG_NO_SLOT UINT32_MAX

typedef struct mg_ready_cell {
    _Atomic uint64_t turn;
    uint32_t slot;
} mg_ready_cell;

/* One place that is swapped (newest), or a ring in which the oldest gives way (every). */
typedef struct mg_ready {
    bool every;
    _Atomic uint32_t newest;
    mg_ready_cell *cells;
    uint64_t limit;    /* slots that may wait in the ring */
    uint64_t capacity; /* cells */
    _Atomic uint64_t taken;
    uint64_t put; /* only the putting thread */
} mg_ready;

bool mg_ready_open(mg_ready *ready, bool every, uint32_t limit);
void mg_ready_close(mg_ready *ready);

/* Returns the slot that gave way, or MG_NO_SLOT. One thread only. */
uint32_t mg_ready_put(mg_ready *ready, uint32_t slot);

/* MG_NO_SLOT when there is none. Any thread. */
uint32_t mg_ready_take(mg_ready *ready);

#endif
