#include "ready.h"

#include <stdlib.h>

/* A taker that is interrupted half way keeps its cell; only after so many puts would one wait. */
#define SPARE_CELLS 64

/* The ring is the bounded queue of Dmitry Vyukov: a cell's turn says whose it is. Turn p: free for
 * the put of number p. Turn p + 1: holds it. Turn p + capacity: free for the next round. */

bool mg_ready_open(mg_ready *ready, bool every, uint32_t limit)
{
    ready->every = every;
    ready->limit = limit;
    ready->capacity = limit + SPARE_CELLS;
    ready->put = 0;
    ready->cells = NULL;
    atomic_init(&ready->newest, MG_NO_SLOT);
    atomic_init(&ready->taken, 0);
    if (!every) return true;
    ready->cells = calloc((size_t)ready->capacity, sizeof *ready->cells);
    if (!ready->cells) return false;
    for (uint64_t i = 0; i < ready->capacity; i++) atomic_init(&ready->cells[i].turn, i);
    return true;
}

void mg_ready_close(mg_ready *ready) { free(ready->cells); }

static uint32_t take_oldest(mg_ready *ready)
{
    uint64_t number = atomic_load_explicit(&ready->taken, memory_order_relaxed);
    for (;;) {
        mg_ready_cell *cell = &ready->cells[number % ready->capacity];
        uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (turn == number + 1) {
            if (!atomic_compare_exchange_weak_explicit(&ready->taken, &number, number + 1,
                                                       memory_order_relaxed, memory_order_relaxed))
                continue;
            uint32_t slot = cell->slot;
            atomic_store_explicit(&cell->turn, number + ready->capacity, memory_order_release);
            return slot;
        }
        if (turn < number + 1) return MG_NO_SLOT;
        number = atomic_load_explicit(&ready->taken, memory_order_relaxed);
    }
}

static bool is_free_for_put(mg_ready *ready)
{
    mg_ready_cell *cell = &ready->cells[ready->put % ready->capacity];
    return atomic_load_explicit(&cell->turn, memory_order_acquire) == ready->put;
}

static uint32_t put_behind(mg_ready *ready, uint32_t slot)
{
    uint32_t gave_way = MG_NO_SLOT;
    if (ready->put - atomic_load_explicit(&ready->taken, memory_order_acquire) >= ready->limit)
        gave_way = take_oldest(ready);
    while (!is_free_for_put(ready)) continue;
    mg_ready_cell *cell = &ready->cells[ready->put % ready->capacity];
    cell->slot = slot;
    atomic_store_explicit(&cell->turn, ready->put + 1, memory_order_release);
    ready->put++;
    return gave_way;
}

uint32_t mg_ready_put(mg_ready *ready, uint32_t slot)
{
    if (ready->every) return put_behind(ready, slot);
    return atomic_exchange_explicit(&ready->newest, slot, memory_order_acq_rel);
}

uint32_t mg_ready_take(mg_ready *ready)
{
    if (ready->every) return take_oldest(ready);
    if (atomic_load_explicit(&ready->newest, memory_order_relaxed) == MG_NO_SLOT)
        return MG_NO_SLOT;
    return atomic_exchange_explicit(&ready->newest, MG_NO_SLOT, memory_order_acq_rel);
}
