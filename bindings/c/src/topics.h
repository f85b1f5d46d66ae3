/* What readers subscribe to: frame/FORMAT/ROWS/LAYOUT. */
#ifndef MG_TOPICS_H
#define MG_TOPICS_H

#include "magi_rt.h"

#define MG_TOPIC_BYTES 40
#define MG_EVENT_TOPIC "event"

typedef enum mg_topic_layout {
    MG_LAYOUT_NONE,
    MG_LAYOUT_PARTS,
    MG_LAYOUT_PACKED,
    MG_LAYOUT_SHARED
} mg_topic_layout;

typedef struct mg_topic {
    magi_format format;
    magi_rows rows;
    mg_topic_layout layout;
} mg_topic;

/* Writes the topic's name and a zero byte. */
void mg_topic_write(char out[MG_TOPIC_BYTES], const mg_topic *topic);

/* False when there is no such topic: an unknown word, a JPEG that is not top first, shared memory
 * for what is not plain pixels. */
bool mg_topic_read(const char *name, size_t size, mg_topic *out);

const char *mg_format_word(magi_format format);
const char *mg_rows_word(magi_rows rows);
magi_format mg_format_of(const char *word, size_t size); /* 0: unknown */
magi_rows mg_rows_of(const char *word, size_t size);
uint32_t mg_bytes_per_pixel(magi_format format); /* 0 for JPEG */

#endif
