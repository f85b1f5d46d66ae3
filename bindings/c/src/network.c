#include "network.h"

#include <string.h>

#define TICK_MS 100
#define STALE_TICK_MS 10

static bool set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_curve(void *socket, const mg_settings *settings)
{
    if (!settings->curve) return true;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, settings->curve_server, 41) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, settings->curve_public, 41) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, settings->curve_secret, 41) == 0;
}

/* How a peer that died without a word is noticed. Not by libzmq's own heartbeats where frames come:
 * they give up connections whose queue is full, as it is whenever this thread is held up, and then
 * libzmq ends the program. Of answers fewer are under way than their queue holds. */
static bool watch_peer(void *socket, int type)
{
    if (type == ZMQ_DEALER)
        return set_number(socket, ZMQ_HEARTBEAT_IVL, 1000) &&
               set_number(socket, ZMQ_HEARTBEAT_TIMEOUT, 5000);
    return set_number(socket, ZMQ_TCP_KEEPALIVE, 1) &&
           set_number(socket, ZMQ_TCP_KEEPALIVE_IDLE, 2) &&
           set_number(socket, ZMQ_TCP_KEEPALIVE_INTVL, 1) &&
           set_number(socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
}

static bool set_up(const mg_network *network, void *socket, const char *address, int queue,
                   int64_t largest)
{
    return set_number(socket, ZMQ_LINGER, 0) && set_number(socket, ZMQ_RCVHWM, queue) &&
           set_number(socket, ZMQ_SNDHWM, MG_MAX_WAITING) &&
           set_number(socket, ZMQ_IPV6, strstr(address, "://[") != NULL) &&
           zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0 &&
           set_curve(socket, &network->client->settings);
}

static void say_refused(mg_network *network, const char *what)
{
    mg_client_say(network->client, MAGI_LOG_ERROR, "the system refused %s: %s", what,
                  zmq_strerror(zmq_errno()));
}

static void *connect_socket(mg_network *network, int type, const char *address, int queue,
                            int64_t largest)
{
    void *socket = zmq_socket(network->context, type);
    if (!socket) {
        say_refused(network, "a socket");
        return NULL;
    }
    bool ready = set_up(network, socket, address, queue, largest) && watch_peer(socket, type);
    /* Not ZMQ_IMMEDIATE, by which libzmq throws away answers when the connection breaks. */
    if (type == ZMQ_DEALER)
        ready = ready && mg_connection_watch(&network->connection, network->context, socket);
    if (ready && zmq_connect(socket, address) == 0) return socket;
    mg_client_say(network->client, MAGI_LOG_ERROR, "cannot connect to %s: %s", address,
                  zmq_strerror(zmq_errno()));
    if (type == ZMQ_DEALER) mg_connection_leave(&network->connection);
    zmq_close(socket);
    return NULL;
}

/* A short queue: what this thread does not take at once is better not sent. */
static int frames_queue(const mg_settings *settings)
{
    return settings->every ? (int)settings->queue_frames + 8 : 8;
}

static bool open_sockets(mg_network *network)
{
    const mg_settings *settings = &network->client->settings;
    network->context = zmq_ctx_new();
    if (!network->context) {
        say_refused(network, "ZeroMQ's threads");
        return false;
    }
    network->frames = connect_socket(network, ZMQ_SUB, settings->frames, frames_queue(settings),
                                     MG_MAX_PIXEL_BYTES);
    if (!network->frames) return false;
    if (!settings->control[0]) return true;
    /* Without it frames still come, and requests are refused. */
    network->control = connect_socket(network, ZMQ_DEALER, settings->control, 1000, 1 << 20);
    return true;
}

static bool open_network(mg_network *network, mg_client *client)
{
    memset(network, 0, sizeof *network);
    network->client = client;
    network->now_ns = mg_now_ns();
    if (!mg_unpacker_open(&network->unpacker)) {
        mg_client_say(client, MAGI_LOG_ERROR, "no memory is left to read messages in");
        return false;
    }
    if (!open_sockets(network) || !mg_frames_open(network)) return false;
    mg_control_open(network);
    mg_client_say(client, MAGI_LOG_INFO, "looking for a server at %s", client->settings.frames);
    return true;
}

static void close_network(mg_network *network)
{
    if (network->frames) mg_frames_close(network);
    mg_control_close(network);
    if (network->frames) zmq_close(network->frames);
    mg_connection_leave(&network->connection);
    if (network->control) zmq_close(network->control);
    if (network->context)
        while (zmq_ctx_term(network->context) != 0 && zmq_errno() == EINTR) continue;
    mg_unpacker_close(&network->unpacker);
}

static void wait_for_something(mg_network *network)
{
    zmq_pollitem_t items[5] = {
        {.fd = network->client->wake.reader, .events = ZMQ_POLLIN},
        {.socket = network->frames, .events = ZMQ_POLLIN},
        {.socket = network->control, .events = ZMQ_POLLIN},
        {.socket = network->connection.monitor, .events = ZMQ_POLLIN},
    };
    if (network->blocked) items[2].events |= ZMQ_POLLOUT;
    bool aside = network->candidate != MG_NO_SLOT;
    long wait_ms = aside ? STALE_TICK_MS : TICK_MS;
    int count = network->control ? 4 : 2;
    if (network->doorbell.open)
        items[count++] = (zmq_pollitem_t){.fd = network->doorbell.socket, .events = ZMQ_POLLIN};
    zmq_poll(items, count, wait_ms);
    mg_wake_lower(&network->client->wake);
}

void mg_network_run(void *argument)
{
    mg_network network;
    mg_client *client = argument;
    bool working = open_network(&network, client);
    while (!mg_client_must_stop(client)) {
        if (!working) { /* info.trouble says why */
            mg_control_take(&network);
            mg_wake_wait(&client->wake, TICK_MS);
            continue;
        }
        wait_for_something(&network);
        network.now_ns = mg_now_ns();
        mg_frames_receive(&network);
        if (network.control && mg_connection_look(&network.connection))
            mg_control_reconnected(&network);
        mg_control_receive(&network);
        mg_frames_settle(&network);
        mg_control_take(&network);
        mg_control_send(&network);
        mg_watch_silence(&network);
    }
    close_network(&network);
}
