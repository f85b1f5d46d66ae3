#include "bounds.h"

typedef struct scan {
    const uint8_t *at;
    const uint8_t *end;
} scan;

/* What the first byte of a value announces. */
typedef enum kind { PLAIN, STRING, BYTES, ARRAY, MAP, BAD } kind;

static size_t left(const scan *s) { return (size_t)(s->end - s->at); }

static bool skip(scan *s, uint64_t count)
{
    if (count > left(s)) return false;
    s->at += count;
    return true;
}

static bool read_length(scan *s, unsigned width, uint64_t *length)
{
    if (left(s) < width) return false;
    *length = 0;
    for (unsigned i = 0; i < width; i++) *length = *length << 8 | *s->at++;
    return true;
}

/* Bytes that follow the tags 0xc0 .. 0xdf as a value or a length, and what they announce. */
static const struct {
    uint8_t width;
    uint8_t what;
} TAGS[32] = {
    {0, PLAIN},  {0, BAD},   {0, PLAIN}, {0, PLAIN},  /* nil, never used, false, true */
    {1, BYTES},  {2, BYTES}, {4, BYTES},              /* bin */
    {0, BAD},    {0, BAD},   {0, BAD},                /* ext */
    {4, PLAIN},  {8, PLAIN},                          /* float */
    {1, PLAIN},  {2, PLAIN}, {4, PLAIN}, {8, PLAIN},  /* uint */
    {1, PLAIN},  {2, PLAIN}, {4, PLAIN}, {8, PLAIN},  /* int */
    {0, BAD},    {0, BAD},   {0, BAD},   {0, BAD},   {0, BAD}, /* fixext */
    {1, STRING}, {2, STRING}, {4, STRING},
    {2, ARRAY},  {4, ARRAY},
    {2, MAP},    {4, MAP},
};

static kind read_tag(scan *s, uint64_t *length)
{
    *length = 0;
    if (left(s) == 0) return BAD;
    uint8_t tag = *s->at++;
    if (tag < 0x80 || tag >= 0xe0) return PLAIN; /* small integers */
    if (tag < 0xc0) {
        *length = tag < 0xa0 ? tag & 0x0fu : tag & 0x1fu;
        return tag < 0x90 ? MAP : tag < 0xa0 ? ARRAY : STRING;
    }
    unsigned width = TAGS[tag - 0xc0].width;
    kind what = (kind)TAGS[tag - 0xc0].what;
    if (what == PLAIN) return skip(s, width) ? PLAIN : BAD;
    return what != BAD && read_length(s, width, length) ? what : BAD;
}

static bool pass_string(scan *s, uint64_t length)
{
    const uint8_t *start = s->at;
    return length <= MG_MAX_STRING_BYTES && skip(s, length) && mg_is_utf8(start, (size_t)length);
}

static bool pass_key(scan *s)
{
    uint64_t length;
    return read_tag(s, &length) == STRING && pass_string(s, length);
}

static bool pass_value(scan *s, unsigned depth);

static bool pass_entries(scan *s, kind what, uint64_t count, unsigned depth)
{
    if (depth > MG_MAX_DEPTH || count > MG_MAX_ENTRIES) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (what == MAP && !pass_key(s)) return false;
        if (!pass_value(s, depth + 1)) return false;
    }
    return true;
}

static bool pass_value(scan *s, unsigned depth)
{
    uint64_t length;
    kind what = read_tag(s, &length);
    switch (what) {
    case PLAIN: return true;
    case STRING: return pass_string(s, length);
    case BYTES: return skip(s, length);
    case ARRAY:
    case MAP: return pass_entries(s, what, length, depth);
    case BAD: break;
    }
    return false;
}

bool mg_within_limits(const uint8_t *bytes, size_t size)
{
    scan s = {bytes, bytes + size};
    uint64_t count;
    return read_tag(&s, &count) == MAP && pass_entries(&s, MAP, count, 1) && s.at == s.end;
}

/* Length of the UTF-8 sequence that begins with this byte, 0 for none. */
static unsigned sequence_length(uint8_t first)
{
    if (first < 0x80) return 1;
    if (first < 0xc2) return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

/* The second byte decides against overlong forms, surrogates and numbers above 0x10ffff. */
static bool second_fits(uint8_t first, uint8_t second)
{
    if (first == 0xe0) return second >= 0xa0;
    if (first == 0xed) return second < 0xa0;
    if (first == 0xf0) return second >= 0x90;
    if (first == 0xf4) return second < 0x90;
    return true;
}

bool mg_is_utf8(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        unsigned length = sequence_length(bytes[i]);
        if (length == 0 || length > size - i) return false;
        if (length > 1 && !second_fits(bytes[i], bytes[i + 1])) return false;
        for (unsigned k = 1; k < length; k++)
            if ((bytes[i + k] & 0xc0) != 0x80) return false;
        i += length;
    }
    return true;
}
