/* What libzmq tells of a socket's connection: whether the other end has let this one in. */
#ifndef MG_CONNECTION_H
#define MG_CONNECTION_H

#include <stdbool.h>

typedef struct mg_connection {
    void *socket;  /* that is watched */
    void *monitor; /* poll it for input, then look */
    bool up;
} mg_connection;

/* Before the socket is connected. False when the system refuses. */
bool mg_connection_watch(mg_connection *connection, void *context, void *socket);

/* Takes in what has happened. True when the connection stands anew: whoever is there may be
 * another one than before. */
bool mg_connection_look(mg_connection *connection);

/* Before the socket is closed; harmless on one that was never watched. */
void mg_connection_leave(mg_connection *connection);

#endif
