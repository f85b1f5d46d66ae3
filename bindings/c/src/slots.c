#include "slots.h"

#include <stdlib.h>
#include <string.h>

enum { FREE = 0, FILLING = 1, READY = 2, LEASED = 3, DOING = 3 };

/* One is being filled and one stale frame may be kept aside. */
#define SLOTS_OF_THE_THREAD 2

/* A lease is generation << 10 | slot number + 1. */
#define INDEX_BITS 10
#define GENERATION_MASK ((1u << (32 - INDEX_BITS)) - 1)

static uint32_t load(mg_slot *slot)
{
    return atomic_load_explicit(&slot->word, memory_order_acquire);
}

static void set_doing(mg_slot *slot, uint32_t doing)
{
    uint32_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    atomic_store_explicit(&slot->word, (word & ~(uint32_t)DOING) | doing, memory_order_release);
}

bool mg_slots_open(mg_slots *slots, bool every, uint32_t queue, uint32_t leased,
                   mg_counters *counters)
{
    slots->count = SLOTS_OF_THE_THREAD + queue + leased;
    slots->leased_limit = leased;
    slots->next = 0;
    slots->counters = counters;
    atomic_init(&slots->leased, 0);
    atomic_init(&slots->held, 0);
    atomic_init(&slots->epoch, 0);
    slots->slots = calloc(slots->count, sizeof *slots->slots);
    if (!slots->slots) return false;
    for (uint32_t i = 0; i < slots->count; i++) {
        atomic_init(&slots->slots[i].word, FREE);
#if defined(MAGI_RT_NETWORK)
        zmq_msg_init(&slots->slots[i].message);
#endif
    }
    if (mg_ready_open(&slots->ready, every, queue)) return true;
    mg_slots_close(slots);
    return false;
}

void mg_slots_close(mg_slots *slots)
{
    for (uint32_t i = 0; slots->slots && i < slots->count; i++) {
        free(slots->slots[i].buffer);
#if defined(MAGI_RT_NETWORK)
        zmq_msg_close(&slots->slots[i].message);
#endif
    }
    mg_ready_close(&slots->ready);
    free(slots->slots);
    slots->slots = NULL;
}

uint32_t mg_slots_begin(mg_slots *slots)
{
    for (;;) {
        uint32_t index = slots->next;
        slots->next = (index + 1) % slots->count;
        if ((load(&slots->slots[index]) & DOING) != FREE) continue;
        set_doing(&slots->slots[index], FILLING);
        return index;
    }
}

uint8_t *mg_slot_reserve(mg_slot *slot, size_t size)
{
    if (size <= slot->capacity) return slot->buffer;
    free(slot->buffer);
    slot->buffer = malloc(size);
    slot->capacity = slot->buffer ? size : 0;
    return slot->buffer;
}

void mg_slots_give_up(mg_slots *slots, uint32_t index) { set_doing(&slots->slots[index], FREE); }

void mg_slots_publish(mg_slots *slots, uint32_t index)
{
    set_doing(&slots->slots[index], READY);
    uint32_t gave_way = mg_ready_put(&slots->ready, index);
    if (gave_way == MG_NO_SLOT) return;
    mg_count(&slots->counters->dropped_replaced, 1);
    mg_slots_give_up(slots, gave_way);
}

void mg_slots_drop_ready(mg_slots *slots)
{
    uint32_t index;
    while ((index = mg_ready_take(&slots->ready)) != MG_NO_SLOT) {
        mg_count(&slots->counters->dropped_stream, 1);
        mg_slots_give_up(slots, index);
    }
}

void mg_slots_raise_epoch(mg_slots *slots, uint64_t epoch)
{
    if (epoch > atomic_load_explicit(&slots->epoch, memory_order_relaxed))
        atomic_store_explicit(&slots->epoch, epoch, memory_order_release);
}

void mg_slots_begin_stream(mg_slots *slots)
{
    mg_slots_drop_ready(slots);
    atomic_store_explicit(&slots->epoch, 0, memory_order_release);
}

/* The next ready slot whose epoch still counts. */
static uint32_t take_current(mg_slots *slots)
{
    for (;;) {
        uint32_t index = mg_ready_take(&slots->ready);
        if (index == MG_NO_SLOT) return MG_NO_SLOT;
        uint64_t epoch = atomic_load_explicit(&slots->epoch, memory_order_acquire);
        if (slots->slots[index].frame.epoch >= epoch) return index;
        mg_count(&slots->counters->dropped_epoch, 1);
        mg_slots_give_up(slots, index);
    }
}

static bool count_lease(mg_slots *slots)
{
    uint32_t before = atomic_fetch_add_explicit(&slots->leased, 1, memory_order_acq_rel);
    if (before < slots->leased_limit) return true;
    atomic_fetch_sub_explicit(&slots->leased, 1, memory_order_acq_rel);
    return false;
}

magi_status mg_slots_acquire(mg_slots *slots, magi_frame *out)
{
    /* A thread that is asking right now counts as well, and may get the one frame there is. */
    if (!count_lease(slots))
        return atomic_load_explicit(&slots->held, memory_order_acquire) < slots->leased_limit
                   ? MAGI_NO_FRAME
                   : MAGI_BUSY;
    uint32_t index = take_current(slots);
    if (index == MG_NO_SLOT) {
        atomic_fetch_sub_explicit(&slots->leased, 1, memory_order_acq_rel);
        return MAGI_NO_FRAME;
    }
    atomic_fetch_add_explicit(&slots->held, 1, memory_order_acq_rel);
    mg_slot *slot = &slots->slots[index];
    uint32_t generation = ((load(slot) >> 2) + 1) & GENERATION_MASK;
    slot->frame.struct_size = out->struct_size;
    slot->frame.lease.id = generation << INDEX_BITS | (index + 1);
    memcpy(out, &slot->frame, out->struct_size);
    atomic_store_explicit(&slot->word, generation << 2 | LEASED, memory_order_release);
    mg_count(&slots->counters->frames_acquired, 1);
    return MAGI_OK;
}

magi_status mg_slots_release(mg_slots *slots, magi_lease lease)
{
    uint32_t index = (lease.id & ((1u << INDEX_BITS) - 1)) - 1;
    if (index >= slots->count) return MAGI_BAD_HANDLE;
    uint32_t leased = (lease.id >> INDEX_BITS) << 2 | LEASED;
    uint32_t freed = (leased & ~(uint32_t)DOING) | FREE;
    if (!atomic_compare_exchange_strong_explicit(&slots->slots[index].word, &leased, freed,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return MAGI_BAD_HANDLE;
    atomic_fetch_sub_explicit(&slots->held, 1, memory_order_acq_rel);
    atomic_fetch_sub_explicit(&slots->leased, 1, memory_order_acq_rel);
    return MAGI_OK;
}
