#include "handles.h"

#define MAX_CLIENTS 64
#define INDEX_BITS 8 /* a handle is generation << 8 | place + 1 */

typedef struct place {
    _Atomic uint32_t id;   /* the valid handle, 0: none */
    _Atomic uint32_t pins; /* calls that are inside */
    _Atomic bool occupied;
    _Atomic uint32_t generation;
    mg_client *client;
} place;

static place places[MAX_CLIENTS];

static place *place_of(magi_client handle)
{
    uint32_t number = handle.id & ((1u << INDEX_BITS) - 1);
    return number >= 1 && number <= MAX_CLIENTS ? &places[number - 1] : NULL;
}

magi_client mg_handle_give(mg_client *client)
{
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        bool free_before = false;
        if (!atomic_compare_exchange_strong(&places[i].occupied, &free_before, true)) continue;
        uint32_t generation = atomic_fetch_add(&places[i].generation, 1) + 1;
        magi_client handle = {generation << INDEX_BITS | (i + 1)};
        places[i].client = client;
        atomic_store(&places[i].id, handle.id);
        return handle;
    }
    return (magi_client){0};
}

/* Pinned first and looked at afterwards, while mg_handle_take removes first and looks for pins
 * afterwards: one of the two always sees the other (sequentially consistent atomics). */
mg_client *mg_handle_pin(magi_client handle)
{
    place *at = place_of(handle);
    if (!at) return NULL;
    atomic_fetch_add(&at->pins, 1);
    if (atomic_load(&at->id) == handle.id) return at->client;
    atomic_fetch_sub(&at->pins, 1);
    return NULL;
}

void mg_handle_unpin(magi_client handle) { atomic_fetch_sub(&place_of(handle)->pins, 1); }

mg_client *mg_handle_take(magi_client handle)
{
    place *at = place_of(handle);
    uint32_t id = handle.id;
    if (!at || !atomic_compare_exchange_strong(&at->id, &id, 0)) return NULL;
    while (atomic_load(&at->pins) != 0) mg_sleep_ms(1);
    return at->client;
}

void mg_handle_free(magi_client handle) { atomic_store(&place_of(handle)->occupied, false); }
