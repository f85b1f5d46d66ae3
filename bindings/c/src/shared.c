#include "shared.h"

#include <stdatomic.h>
#include <string.h>

#define TURNS_AT 64
#define MAX_SLOTS 4096

static uint64_t read_le(const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = width; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

static bool numbers_fit(const mg_shared *shared)
{
    uint64_t size = shared->mapping.size;
    return shared->slots >= 1 && shared->slots <= MAX_SLOTS && shared->first % 4096 == 0 &&
           shared->first >= TURNS_AT + 8 * shared->slots && shared->first <= size &&
           shared->slot_bytes >= 1 && shared->slot_bytes <= (size - shared->first) / shared->slots;
}

/* Whatever a server names: no other file is opened. */
static bool name_fits(const char *path)
{
    const char *name = path;
    for (const char *at = path; *at; at++)
        if (*at == '/' || *at == '\\') name = at + 1;
    return strncmp(name, "magi_rt-", 8) == 0;
}

bool mg_shared_open(mg_shared *shared, const char *path, const char *stream)
{
    memset(shared, 0, sizeof *shared);
    if (!name_fits(path) || !mg_mapping_open(&shared->mapping, path)) return false;
    const uint8_t *bytes = shared->mapping.bytes;
    if (shared->mapping.size >= TURNS_AT && memcmp(bytes, "MAGISHM1", 8) == 0 &&
        memcmp(bytes + 8, stream, 16) == 0) {
        shared->slots = read_le(bytes + 24, 4);
        shared->slot_bytes = read_le(bytes + 32, 8);
        shared->first = read_le(bytes + 40, 8);
        memcpy(shared->stream, bytes + 8, 16);
        if (numbers_fit(shared)) return true;
    }
    mg_shared_close(shared);
    return false;
}

void mg_shared_close(mg_shared *shared) { mg_mapping_close(&shared->mapping); }

bool mg_shared_is_open(const mg_shared *shared) { return shared->mapping.bytes != NULL; }

static uint64_t turn_of(const mg_shared *shared, uint64_t slot)
{
    const volatile uint8_t *place = shared->mapping.bytes + TURNS_AT + 8 * slot;
    uint64_t turn = *(const volatile uint64_t *)place;
    const union {
        uint16_t number;
        uint8_t bytes[2];
    } order = {1};
    return order.bytes[0] ? turn : read_le((const uint8_t *)&turn, 8);
}

mg_shared_result mg_shared_read(const mg_shared *shared, uint64_t slot, uint64_t turn,
                                uint8_t *out, uint64_t size)
{
    if (slot >= shared->slots || size > shared->slot_bytes || turn % 2 != 0 ||
        !mg_mapping_still_whole(&shared->mapping))
        return MG_SHARED_BROKEN;
    if (turn_of(shared, slot) != turn) return MG_SHARED_OVERWRITTEN;
    atomic_thread_fence(memory_order_acquire);
    memcpy(out, shared->mapping.bytes + shared->first + slot * shared->slot_bytes, (size_t)size);
    atomic_thread_fence(memory_order_acquire);
    return turn_of(shared, slot) == turn ? MG_SHARED_READ : MG_SHARED_OVERWRITTEN;
}
