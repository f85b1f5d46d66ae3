/* A msgpack map as JSON text, for receipts. */
#ifndef MG_JSON_H
#define MG_JSON_H

#include "map.h"

/* The map without the keys that `leave_out` lists (ends with null), as text on the heap; null
 * without memory. Binary values become null, as do numbers that JSON cannot hold. */
char *mg_json_from_map(const msgpack_object_map *map, const char *const *leave_out);

#endif
