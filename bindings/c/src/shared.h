/* Pixels in the server's shared memory: a mapped file in which a frame stays for some turns. */
#ifndef MG_SHARED_H
#define MG_SHARED_H

#include "platform.h"

typedef struct mg_shared {
    mg_mapping mapping;
    char stream[24]; /* whose it is */
    uint64_t slots;
    uint64_t slot_bytes;
    uint64_t first; /* offset of slot 0's pixels */
} mg_shared;

typedef enum mg_shared_result {
    MG_SHARED_READ,
    MG_SHARED_OVERWRITTEN, /* the writer has gone round; the frame does not count */
    MG_SHARED_BROKEN       /* what the header names is not in the file */
} mg_shared_result;

/* False when the file is not one of this stream or its numbers do not fit together. */
bool mg_shared_open(mg_shared *shared, const char *path, const char *stream);
void mg_shared_close(mg_shared *shared);
bool mg_shared_is_open(const mg_shared *shared);

/* Copies `size` bytes of a slot if it has this turn before and after. */
mg_shared_result mg_shared_read(const mg_shared *shared, uint64_t slot, uint64_t turn,
                                uint8_t *out, uint64_t size);

#endif
