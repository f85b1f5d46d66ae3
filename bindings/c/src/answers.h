/* Requests into bytes, and bytes of the control socket into answers. */
#ifndef MG_ANSWERS_H
#define MG_ANSWERS_H

#include "request.h"
#include "wire.h"


/* `shared` is FORMAT/ROWS for hello, or null. False without memory. */
bool mg_pack_request(const mg_request *request, const char *client, const char *name,
                     const char *shared, msgpack_sbuffer *out);

typedef struct mg_answer {
    magi_receipt receipt; /* type, request and texts excepted: see below */
    char message[1024];
    const msgpack_object_map *map; /* all keys, for hello and for details */
} mg_answer;

/* False when malformed. `map` lives until the unpacker's next use. */
bool mg_decode_answer(mg_unpacker *unpacker, const uint8_t *bytes, size_t size, mg_answer *out,
                      msgpack_object *space);

/* Keys of the answer that are not fields of a receipt, as JSON on the heap. */
char *mg_answer_details(const mg_answer *answer);

#endif
