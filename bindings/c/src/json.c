#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *bytes;
    size_t size;
    size_t room;
    bool failed;
} text;

static void add(text *out, const char *bytes, size_t size)
{
    if (out->failed) return;
    if (out->size + size + 1 > out->room) {
        size_t room = (out->size + size + 1) * 2;
        char *grown = realloc(out->bytes, room);
        if (!grown) {
            out->failed = true;
            return;
        }
        out->bytes = grown;
        out->room = room;
    }
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    out->bytes[out->size] = 0;
}

static void add_word(text *out, const char *word) { add(out, word, strlen(word)); }

static void add_string(text *out, const char *bytes, uint32_t size)
{
    add_word(out, "\"");
    for (uint32_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        char escaped[8];
        if (byte == '"' || byte == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", byte);
        else if (byte < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        else {
            add(out, bytes + i, 1);
            continue;
        }
        add_word(out, escaped);
    }
    add_word(out, "\"");
}

static void add_float(text *out, double number)
{
    char digits[40];
    if (!isfinite(number)) {
        add_word(out, "null");
        return;
    }
    snprintf(digits, sizeof digits, "%.17g", number);
    /* The host may have set a locale whose decimal point is a comma. */
    for (char *at = digits; *at; at++)
        if (!strchr("0123456789+-eE.", *at)) *at = '.';
    add_word(out, digits);
}

static void add_value(text *out, const msgpack_object *value);

static bool is_left_out(const msgpack_object_str *key, const char *const *leave_out)
{
    for (; leave_out && *leave_out; leave_out++)
        if (mg_text_is((mg_text){key->ptr, key->size}, *leave_out)) return true;
    return false;
}

static void add_map(text *out, const msgpack_object_map *map, const char *const *leave_out)
{
    const char *between = "";
    add_word(out, "{");
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object_str *key = &map->ptr[i].key.via.str;
        if (is_left_out(key, leave_out)) continue;
        add_word(out, between);
        add_string(out, key->ptr, key->size);
        add_word(out, ": ");
        add_value(out, &map->ptr[i].val);
        between = ", ";
    }
    add_word(out, "}");
}

static void add_array(text *out, const msgpack_object_array *array)
{
    add_word(out, "[");
    for (uint32_t i = 0; i < array->size; i++) {
        if (i > 0) add_word(out, ", ");
        add_value(out, &array->ptr[i]);
    }
    add_word(out, "]");
}

/* Depth was bounded before anything was unpacked. */
static void add_value(text *out, const msgpack_object *value)
{
    char digits[24];
    switch (value->type) {
    case MSGPACK_OBJECT_BOOLEAN: add_word(out, value->via.boolean ? "true" : "false"); break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        snprintf(digits, sizeof digits, "%" PRIu64, value->via.u64);
        add_word(out, digits);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        snprintf(digits, sizeof digits, "%" PRId64, value->via.i64);
        add_word(out, digits);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: add_float(out, value->via.f64); break;
    case MSGPACK_OBJECT_STR: add_string(out, value->via.str.ptr, value->via.str.size); break;
    case MSGPACK_OBJECT_MAP: add_map(out, &value->via.map, NULL); break;
    case MSGPACK_OBJECT_ARRAY: add_array(out, &value->via.array); break;
    default: add_word(out, "null"); break;
    }
}

char *mg_json_from_map(const msgpack_object_map *map, const char *const *leave_out)
{
    text out = {0};
    add_map(&out, map, leave_out);
    if (!out.failed) return out.bytes;
    free(out.bytes);
    return NULL;
}
