/* Looks over msgpack bytes from outside before anything is built from them. */
#ifndef MG_BOUNDS_H
#define MG_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MG_MAX_DEPTH 4            /* maps and arrays inside each other, the outermost counted */
#define MG_MAX_ENTRIES 64         /* of one map or array */
#define MG_MAX_STRING_BYTES 16000 /* of one string or key */

/* True when the bytes are exactly one msgpack map with string keys, within the limits of the
 * protocol, with valid UTF-8 and without extension types. Allocates nothing. */
bool mg_within_limits(const uint8_t *bytes, size_t size);

bool mg_is_utf8(const uint8_t *bytes, size_t size);

#endif
