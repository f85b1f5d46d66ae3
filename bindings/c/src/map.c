#include "map.h"

#include <math.h>
#include <string.h>

#include "bounds.h"

/* Room for the largest header's objects, so that only odd messages make the zone grow. */
#define ZONE_BYTES 8192

bool mg_unpacker_open(mg_unpacker *unpacker)
{
    return msgpack_zone_init(&unpacker->zone, ZONE_BYTES);
}

void mg_unpacker_close(mg_unpacker *unpacker) { msgpack_zone_destroy(&unpacker->zone); }

const msgpack_object_map *mg_unpack(mg_unpacker *unpacker, const uint8_t *bytes, size_t size,
                                    msgpack_object *space)
{
    if (!mg_within_limits(bytes, size)) return NULL;
    msgpack_zone_clear(&unpacker->zone);
    size_t offset = 0;
    if (msgpack_unpack((const char *)bytes, size, &offset, &unpacker->zone, space) !=
        MSGPACK_UNPACK_SUCCESS)
        return NULL;
    return space->type == MSGPACK_OBJECT_MAP && offset == size ? &space->via.map : NULL;
}

const msgpack_object *mg_get(const msgpack_object_map *map, const char *key)
{
    size_t length = strlen(key);
    for (uint32_t i = map->size; i-- > 0;) {
        const msgpack_object_str *name = &map->ptr[i].key.via.str;
        if (name->size == length && memcmp(name->ptr, key, length) == 0) return &map->ptr[i].val;
    }
    return NULL;
}

bool mg_get_uint(const msgpack_object_map *map, const char *key, uint64_t *out)
{
    const msgpack_object *value = mg_get(map, key);
    if (!value || value->type != MSGPACK_OBJECT_POSITIVE_INTEGER) return false;
    *out = value->via.u64;
    return true;
}

bool mg_get_uint32(const msgpack_object_map *map, const char *key, uint32_t *out)
{
    uint64_t wide;
    if (!mg_get_uint(map, key, &wide) || wide > UINT32_MAX) return false;
    *out = (uint32_t)wide;
    return true;
}

bool mg_get_number(const msgpack_object_map *map, const char *key, double *out)
{
    const msgpack_object *value = mg_get(map, key);
    if (!value) return false;
    if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        *out = (double)value->via.u64;
    else if (value->type == MSGPACK_OBJECT_FLOAT32 || value->type == MSGPACK_OBJECT_FLOAT64)
        *out = value->via.f64;
    else
        return false;
    return isfinite(*out) && *out >= 0;
}

bool mg_get_bool(const msgpack_object_map *map, const char *key, bool *out)
{
    const msgpack_object *value = mg_get(map, key);
    if (!value || value->type != MSGPACK_OBJECT_BOOLEAN) return false;
    *out = value->via.boolean;
    return true;
}

bool mg_get_text(const msgpack_object_map *map, const char *key, mg_text *out)
{
    const msgpack_object *value = mg_get(map, key);
    if (!value || value->type != MSGPACK_OBJECT_STR) return false;
    *out = (mg_text){value->via.str.ptr, value->via.str.size};
    return true;
}

bool mg_get_stream(const msgpack_object_map *map, char *out)
{
    mg_text text;
    if (!mg_get_text(map, "stream", &text) || text.size != 16) return false;
    for (uint32_t i = 0; i < 16; i++)
        if (!strchr("0123456789abcdefABCDEF", text.bytes[i]) || text.bytes[i] == 0) return false;
    memset(out, 0, 24);
    memcpy(out, text.bytes, 16);
    return true;
}

bool mg_text_is(mg_text text, const char *word)
{
    return strlen(word) == text.size && memcmp(text.bytes, word, text.size) == 0;
}

void mg_text_copy(mg_text text, char *out, size_t room)
{
    size_t size = text.size;
    if (size >= room) {
        size = room - 1;
        while (size > 0 && ((uint8_t)text.bytes[size] & 0xc0) == 0x80) size--;
    }
    memcpy(out, text.bytes, size);
    out[size] = 0;
}
