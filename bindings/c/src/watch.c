/* Who the server is, whether it is there, and what it tells besides frames. A new state is set last,
 * so that whoever sees it can read what belongs to it: the trouble, the stream, the pace. */
#include <string.h>

#include "network.h"

#define SECOND_NS 1000000000u

void mg_watch_heard(mg_network *network)
{
    mg_client *client = network->client;
    magi_state before = mg_client_state(client);
    atomic_store(&client->heard_ns, network->now_ns);
    if (before == MAGI_STATE_CONNECTED) return;
    mg_client_set_state(client, MAGI_STATE_CONNECTED);
    if (before == MAGI_STATE_WAITING) return;
    mg_count(&client->counters.reconnects, 1);
    mg_client_say(client, MAGI_LOG_INFO, "the server is heard again");
    if (network->shared_left) mg_control_greet(network);
    network->shared_left = false;
}

void mg_watch_silence(mg_network *network)
{
    mg_client *client = network->client;
    if (mg_client_state(client) != MAGI_STATE_CONNECTED) return;
    uint64_t silent_ns = network->now_ns - atomic_load(&client->heard_ns);
    if (silent_ns < client->settings.lost_after_ns) return;
    mg_client_say(client, MAGI_LOG_WARNING, "nothing heard from %s for %u ms: lost, listening on",
                  client->settings.frames, (unsigned)(silent_ns / 1000000));
    mg_frames_silent(network);
    mg_client_set_state(client, MAGI_STATE_LOST);
}

static void begin_stream(mg_network *network, const char *stream)
{
    mg_client *client = network->client;
    mg_count(&client->counters.streams, 1);
    mg_slots_begin_stream(&client->slots);
    mg_frames_new_stream(network);
    if (strcmp(network->answer_stream, stream) == 0) {
        mg_gate_hear_epoch(&network->gate, network->answer_epoch);
        mg_slots_raise_epoch(&client->slots, network->gate.epoch);
    }
    mg_lock(&client->info_mutex);
    memcpy(client->info.stream, stream, sizeof client->info.stream);
    mg_unlock(&client->info_mutex);
    mg_client_say(client, MAGI_LOG_INFO, "connected to stream %s", stream);
    mg_control_new_stream(network);
}

bool mg_watch_stream(mg_network *network, const char *stream)
{
    bool first = network->gate.stream[0] == 0;
    switch (mg_gate_hear_stream(&network->gate, stream)) {
    case MG_PAST_STREAM: return false;
    case MG_SAME_STREAM: return true;
    case MG_NEW_STREAM: break;
    }
    begin_stream(network, stream);
    bool greeted = network->hello_answered && strcmp(network->answer_stream, stream) == 0;
    if (!first && !greeted) mg_control_greet(network);
    return true;
}

static void learn_pace(mg_network *network, const mg_event *event)
{
    mg_client *client = network->client;
    mg_gate_hear_fps(&network->gate, event->fps);
    mg_lock(&client->info_mutex);
    client->info.fps = event->fps;
    client->info.paused = event->paused;
    mg_unlock(&client->info_mutex);
}

void mg_watch_event(mg_network *network, const mg_event *event)
{
    mg_client *client = network->client;
    mg_gate_hear_epoch(&network->gate, event->epoch);
    mg_slots_raise_epoch(&client->slots, network->gate.epoch);
    if (event->type == MG_EVENT_BYE) {
        char reason[101];
        mg_text_copy(event->reason, reason, sizeof reason);
        mg_client_say(client, MAGI_LOG_WARNING, "the server ended: %s", reason);
        mg_client_set_state(client, MAGI_STATE_ENDED);
        return;
    }
    bool heartbeat = event->type == MG_EVENT_HEARTBEAT;
    if (heartbeat) learn_pace(network, event);
    mg_watch_heard(network);
    if (heartbeat && event->seq > network->gate.seq) mg_frames_ask_again(network);
}

void mg_watch_malformed(mg_network *network, const char *what)
{
    mg_count(&network->client->counters.malformed, 1);
    network->malformed_unsaid++;
    uint64_t now_ns = mg_now_ns();
    if (network->malformed_said_ns && now_ns - network->malformed_said_ns < SECOND_NS) return;
    mg_client_say(network->client, MAGI_LOG_WARNING,
                  "%llu malformed messages, the last one %s; they do not count",
                  (unsigned long long)network->malformed_unsaid, what);
    network->malformed_said_ns = now_ns;
    network->malformed_unsaid = 0;
}
