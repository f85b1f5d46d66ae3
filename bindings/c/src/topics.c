#include "topics.h"

#include <stdio.h>
#include <string.h>

static const char *const FORMATS[] = {"", "rgb8", "rgba8", "bgra8", "bgr8", "jpeg", "any"};
static const char *const ROWS[] = {"", "top", "bottom"};
static const char *const LAYOUTS[] = {"", "parts", "packed", "shared"};

const char *mg_format_word(magi_format format) { return FORMATS[format]; }
const char *mg_rows_word(magi_rows rows) { return ROWS[rows]; }

/* The number of a word in a list whose first entry is none, 0 when it is not there. */
static int find(const char *const *words, int count, const char *word, size_t size)
{
    for (int i = 1; i < count; i++)
        if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0) return i;
    return 0;
}

magi_format mg_format_of(const char *word, size_t size)
{
    return (magi_format)find(FORMATS, 7, word, size);
}

magi_rows mg_rows_of(const char *word, size_t size)
{
    return (magi_rows)find(ROWS, 3, word, size);
}

uint32_t mg_bytes_per_pixel(magi_format format)
{
    switch (format) {
    case MAGI_FORMAT_RGB8:
    case MAGI_FORMAT_BGR8: return 3;
    case MAGI_FORMAT_RGBA8:
    case MAGI_FORMAT_BGRA8: return 4;
    default: return 0;
    }
}

void mg_topic_write(char out[MG_TOPIC_BYTES], const mg_topic *topic)
{
    snprintf(out, MG_TOPIC_BYTES, "frame/%s/%s/%s", mg_format_word(topic->format),
             mg_rows_word(topic->rows), LAYOUTS[topic->layout]);
}

static bool words_go_together(const mg_topic *topic)
{
    if (!topic->format || !topic->rows || !topic->layout) return false;
    if (topic->format == MAGI_FORMAT_JPEG && topic->rows != MAGI_ROWS_TOP) return false;
    return topic->layout != MG_LAYOUT_SHARED || mg_bytes_per_pixel(topic->format) > 0;
}

bool mg_topic_read(const char *name, size_t size, mg_topic *out)
{
    const char *words[4], *end = name + size;
    size_t lengths[4];
    for (int i = 0; i < 4; i++) {
        const char *slash = i < 3 ? memchr(name, '/', (size_t)(end - name)) : end;
        if (!slash) return false;
        words[i] = name;
        lengths[i] = (size_t)(slash - name);
        name = i < 3 ? slash + 1 : end;
    }
    if (lengths[0] != 5 || memcmp(words[0], "frame", 5) != 0) return false;
    out->format = mg_format_of(words[1], lengths[1]);
    out->rows = mg_rows_of(words[2], lengths[2]);
    out->layout = (mg_topic_layout)find(LAYOUTS, 4, words[3], lengths[3]);
    return words_go_together(out);
}
