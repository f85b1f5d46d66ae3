/* Numbers for clients: a closed or foreign one is recognised, a used one cannot vanish. */
#ifndef MG_HANDLES_H
#define MG_HANDLES_H

#include "client.h"

/* A new handle; all zero when 64 clients are open. */
magi_client mg_handle_give(mg_client *client);

/* The client, kept alive until mg_handle_unpin; null for a handle that is not valid. */
mg_client *mg_handle_pin(magi_client handle);
void mg_handle_unpin(magi_client handle);

/* Takes the client out and waits until nobody has it pinned; null when not valid (any more). The
 * place can be given again after mg_handle_free. */
mg_client *mg_handle_take(magi_client handle);
void mg_handle_free(magi_client handle);

#endif
