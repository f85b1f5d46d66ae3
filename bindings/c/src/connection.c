#include "connection.h"

#include <stdint.h>
#include <string.h>
#include <zmq.h>

#define ADDRESS "inproc://control"

bool mg_connection_watch(mg_connection *connection, void *context, void *socket)
{
    int none = 0;
    *connection = (mg_connection){.socket = socket};
    if (zmq_socket_monitor(socket, ADDRESS,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0)
        return false;
    connection->monitor = zmq_socket(context, ZMQ_PAIR);
    return connection->monitor &&
           zmq_setsockopt(connection->monitor, ZMQ_LINGER, &none, sizeof none) == 0 &&
           zmq_connect(connection->monitor, ADDRESS) == 0;
}

/* A message of two parts: the event's number and value, then an address. */
static bool next_event(mg_connection *connection, uint16_t *event)
{
    uint8_t bytes[256];
    int size = zmq_recv(connection->monitor, bytes, sizeof bytes, ZMQ_DONTWAIT);
    if (size < 0) return false;
    *event = 0;
    if (size >= (int)sizeof *event) memcpy(event, bytes, sizeof *event);
    zmq_recv(connection->monitor, bytes, sizeof bytes, ZMQ_DONTWAIT);
    return true;
}

bool mg_connection_look(mg_connection *connection)
{
    uint16_t event;
    bool came_up = false;
    while (next_event(connection, &event)) {
        connection->up = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        came_up = came_up || connection->up;
    }
    return came_up && connection->up;
}

void mg_connection_leave(mg_connection *connection)
{
    if (!connection->socket) return;
    zmq_socket_monitor(connection->socket, NULL, 0);
    if (connection->monitor) zmq_close(connection->monitor);
    *connection = (mg_connection){0};
}
