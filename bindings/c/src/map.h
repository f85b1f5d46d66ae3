/* A msgpack map from outside, unpacked by libmsgpack into memory that is used again each time. */
#ifndef MG_MAP_H
#define MG_MAP_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mg_unpacker {
    msgpack_zone zone;
} mg_unpacker;

bool mg_unpacker_open(mg_unpacker *unpacker);
void mg_unpacker_close(mg_unpacker *unpacker);

/* Checks the limits, then unpacks. The map points into `bytes` and into the unpacker, until its
 * next use. Null when the bytes are malformed. Ordinary messages allocate nothing. */
const msgpack_object_map *mg_unpack(mg_unpacker *unpacker, const uint8_t *bytes, size_t size,
                                    msgpack_object *space);

typedef struct mg_text {
    const char *bytes; /* not ended by a zero byte */
    uint32_t size;
} mg_text;

/* The value of a key, null when absent; of a key that stands twice, the last one. */
const msgpack_object *mg_get(const msgpack_object_map *map, const char *key);

/* False when absent or of another type. A number is finite and not negative; whole ones count. */
bool mg_get_uint(const msgpack_object_map *map, const char *key, uint64_t *out);
bool mg_get_number(const msgpack_object_map *map, const char *key, double *out);
bool mg_get_bool(const msgpack_object_map *map, const char *key, bool *out);
bool mg_get_text(const msgpack_object_map *map, const char *key, mg_text *out);

/* The uint must also fit into 32 bits. */
bool mg_get_uint32(const msgpack_object_map *map, const char *key, uint32_t *out);

/* A stream's id: 16 hexadecimal digits; out holds 24 bytes and is filled up with zeros. */
bool mg_get_stream(const msgpack_object_map *map, char *out);

bool mg_text_is(mg_text text, const char *word);

/* Copies what fits, cut at a whole character, and ends it with a zero byte. */
void mg_text_copy(mg_text text, char *out, size_t room);

#endif
