/* The control socket: requests until they are answered, answers until they are receipts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

#define ASK_AGAIN_NS 1000000000u
#define ASK_AGAIN_APPLIED_NS 5000000000u /* accepted but not yet shown: only lest it was lost */
#define REMEMBERED_BY_SERVERS 200         /* of a client's last requests; a repetition of older */
                                          /* ones would be done again */
#define NOT_REPEATED_ABOVE 65536         /* bytes of an image, unless the connection broke */
#define SENT_BEFORE_BREAK_NS 1            /* stands for the time of sending */

static bool server_may_be_here(const char *address)
{
    return strncmp(address, "ipc://", 6) == 0 || strncmp(address, "tcp://127.", 10) == 0 ||
           strncmp(address, "tcp://localhost:", 16) == 0 || strncmp(address, "tcp://[::1]:", 12) == 0;
}

/* FORMAT/ROWS to ask shared memory for, or null. */
static const char *wanted_shared(const mg_network *network, char out[24])
{
    const mg_settings *settings = &network->client->settings;
    if (settings->layout == MAGI_LAYOUT_PARTS || mg_bytes_per_pixel(settings->format) == 0 ||
        !server_may_be_here(settings->frames))
        return NULL;
    snprintf(out, 24, "%s/%s", mg_format_word(settings->format), mg_rows_word(settings->rows));
    return out;
}

/* Said at once: no server will be asked. */
static void say_why_not_shared(mg_network *network)
{
    const mg_settings *settings = &network->client->settings;
    char shared[24];
    if (settings->layout != MAGI_LAYOUT_SHARED) return;
    if (!network->control)
        mg_client_say(network->client, MAGI_LOG_WARNING,
                      "no frame will come: only shared memory is wanted, which is asked for at the "
                      "control address, and there is none");
    else if (!wanted_shared(network, shared))
        mg_client_say(network->client, MAGI_LOG_WARNING,
                      "no frame will come: only shared memory is wanted, for which the address must be "
                      "127.0.0.1, localhost, [::1] or ipc, and not %s", settings->frames);
}

void mg_control_open(mg_network *network)
{
    say_why_not_shared(network);
    network->hello.asked.type = MG_HELLO;
    mg_control_greet(network);
}

void mg_control_greet(mg_network *network)
{
    network->hello.id = mg_outbox_new_id(&network->client->outbox);
    network->hello.sent_ns = 0;
    network->hello_answered = false;
}

void mg_control_close(mg_network *network)
{
    while (network->pending) {
        mg_request *request = network->pending;
        network->pending = request->next;
        free(request);
    }
}

void mg_control_take(mg_network *network)
{
    mg_request **end = &network->pending, *request;
    while (*end) end = &(*end)->next;
    while ((request = mg_outbox_take(&network->client->outbox)) != NULL) {
        if (!network->control) {
            bool wanted = network->client->settings.control[0];
            mg_client_refuse(network->client, request,
                             wanted ? MAGI_CODE_FAILED : MAGI_CODE_REFUSED, network->gate.stream,
                             wanted ? "the control address could not be connected to"
                                    : "the client was opened without a control address");
            mg_outbox_finished(&network->client->outbox);
            free(request);
            continue;
        }
        *end = request;
        end = &request->next;
    }
}

/* Takes a request out of the list and forgets it. */
static void finish(mg_network *network, mg_request *request)
{
    mg_request **place = &network->pending;
    while (*place != request) place = &(*place)->next;
    *place = request->next;
    free(request);
    mg_outbox_finished(&network->client->outbox);
}

/* Another server than the one that accepted it would do it, and not only answer. */
static bool its_server_is_there(mg_network *network, const mg_request *request)
{
    uint64_t newest = mg_outbox_newest_id(&network->client->outbox);
    return network->hello_answered && strcmp(request->stream, network->answer_stream) == 0 &&
           newest - request->id < REMEMBERED_BY_SERVERS;
}

static bool is_due(mg_network *network, const mg_request *request)
{
    if (request->sent_ns == 0) return true;
    if (request->accepted && !its_server_is_there(network, request)) return false;
    if (request->asked.image_size > NOT_REPEATED_ABOVE)
        return request->sent_ns == SENT_BEFORE_BREAK_NS;
    uint64_t wait_ns = request->accepted ? ASK_AGAIN_APPLIED_NS : ASK_AGAIN_NS;
    return network->now_ns - request->sent_ns >= wait_ns;
}

/* False when libzmq takes nothing now. */
static bool send_request(mg_network *network, mg_request *request)
{
    msgpack_sbuffer bytes;
    char shared[24];
    const mg_client *client = network->client;
    if (!mg_pack_request(request, client->id, client->settings.name,
                         wanted_shared(network, shared), &bytes))
        return true; /* no memory: tried again at the next turn */
    int sent = zmq_send(network->control, bytes.data, bytes.size, ZMQ_DONTWAIT);
    msgpack_sbuffer_destroy(&bytes);
    if (sent < 0) return false;
    if (request->sent_ns == 0 && request != &network->hello)
        mg_count(&network->client->counters.requests_sent, 1);
    request->sent_ns = network->now_ns;
    return true;
}

static bool has_waited_too_long(const mg_network *network, const mg_request *request)
{
    return !request->accepted &&
           network->now_ns > request->asked_ns + network->client->settings.request_timeout_ns;
}

static void time_out(mg_network *network, mg_request *request)
{
    mg_client_refuse(network->client, request, MAGI_CODE_TIMEOUT, network->gate.stream,
                     request->sent_ns ? "the server did not answer; it may still be done"
                                      : "no server was there to take the request");
    finish(network, request);
}

void mg_control_send(mg_network *network)
{
    bool open = network->connection.up; /* else requests wait here and not in libzmq */
    network->blocked = false;
    if (open && !network->hello_answered && is_due(network, &network->hello))
        network->blocked = !send_request(network, &network->hello);
    mg_request *next;
    for (mg_request *request = network->pending; request; request = next) {
        next = request->next;
        if (has_waited_too_long(network, request))
            time_out(network, request);
        else if (open && !network->blocked && is_due(network, request))
            network->blocked = !send_request(network, request);
    }
}

static void learn_hello(mg_network *network, const mg_answer *answer)
{
    magi_client_info *info = &network->client->info;
    const msgpack_object_map *map = answer->map;
    mg_text text;
    double fps = 0;
    bool paused = false;
    mg_lock(&network->client->info_mutex);
    info->control = 1;
    if (mg_get_text(map, "server", &text)) mg_text_copy(text, info->server, sizeof info->server);
    if (mg_get_text(map, "model", &text)) mg_text_copy(text, info->model, sizeof info->model);
    mg_get_uint32(map, "width", &info->width);
    mg_get_uint32(map, "height", &info->height);
    mg_get_uint32(map, "frames_per_chunk", &info->frames_per_chunk);
    mg_get_uint32(map, "delay_chunks", &info->delay_chunks);
    mg_get_uint32(map, "prompt_characters", &info->prompt_characters);
    if (mg_get_bool(map, "paused", &paused)) info->paused = paused;
    if (mg_get_number(map, "fps", &fps)) info->fps = fps;
    mg_unlock(&network->client->info_mutex);
    if (strcmp(answer->receipt.stream, network->gate.stream) == 0)
        mg_gate_hear_fps(&network->gate, fps);
}

static void hear_hello(mg_network *network, const mg_answer *answer)
{
    char path[1024] = "";
    char wanted[24];
    mg_text shared;
    network->hello_answered = true;
    if (answer->receipt.kind == MAGI_RECEIPT_ERROR) {
        mg_client_say(network->client, MAGI_LOG_ERROR, "the server refused the client: %s",
                      answer->message);
        return;
    }
    learn_hello(network, answer);
    if (mg_get_text(answer->map, "shared", &shared) && shared.size < sizeof path)
        mg_text_copy(shared, path, sizeof path);
    if (path[0])
        mg_frames_use_shared(network, path, answer->receipt.stream);
    else if (network->client->settings.layout == MAGI_LAYOUT_SHARED &&
             wanted_shared(network, wanted))
        mg_client_say(network->client, MAGI_LOG_WARNING,
                      "the server offers no shared memory, and nothing else is wanted");
}

static mg_request *find_pending(mg_network *network, uint64_t id)
{
    mg_request *request = network->pending;
    while (request && request->id != id) request = request->next;
    return request;
}

/* Answers carry the newest epoch; frames of older ones must not be shown after the receipt. */
static void hear_epoch(mg_network *network, const magi_receipt *receipt)
{
    if (strcmp(network->answer_stream, receipt->stream) != 0) {
        memcpy(network->answer_stream, receipt->stream, sizeof network->answer_stream);
        network->answer_epoch = 0;
    }
    if (receipt->epoch > network->answer_epoch) network->answer_epoch = receipt->epoch;
    if (strcmp(receipt->stream, network->gate.stream) != 0) return;
    mg_gate_hear_epoch(&network->gate, receipt->epoch);
    mg_slots_raise_epoch(&network->client->slots, network->gate.epoch);
}

static void learn_settings(mg_network *network, const mg_request *request, const mg_answer *answer)
{
    double fps;
    bool paused;
    mg_lock(&network->client->info_mutex);
    if (request->asked.type == MAGI_REQUEST_SET && mg_get_number(answer->map, "fps", &fps)) {
        network->client->info.fps = fps;
        mg_gate_hear_fps(&network->gate, fps);
    }
    if (mg_get_bool(answer->map, "paused", &paused)) network->client->info.paused = paused;
    mg_unlock(&network->client->info_mutex);
}

static void give_receipt(mg_network *network, const mg_request *request, const mg_answer *answer)
{
    magi_receipt receipt = answer->receipt;
    char *details = mg_answer_details(answer);
    receipt.type = request->asked.type;
    receipt.message = answer->message;
    receipt.details = details;
    mg_receipts_put(&network->client->receipts, &receipt);
    free(details);
}

static void hear_answer(mg_network *network, mg_request *request, const mg_answer *answer)
{
    bool accepted = answer->receipt.kind == MAGI_RECEIPT_ACCEPTED;
    if (accepted && request->accepted) return; /* told again, because asked again */
    give_receipt(network, request, answer);
    if (accepted) {
        learn_settings(network, request, answer);
        request->accepted = true;
        memcpy(request->stream, answer->receipt.stream, sizeof request->stream);
    }
    if (!accepted || !mg_request_changes_picture(request->asked.type)) finish(network, request);
}

static void read_answer(mg_network *network, const uint8_t *bytes, size_t size)
{
    mg_answer answer;
    msgpack_object space;
    if (!mg_decode_answer(&network->unpacker, bytes, size, &answer, &space)) {
        mg_watch_malformed(network, "an answer");
        return;
    }
    hear_epoch(network, &answer.receipt);
    if (answer.receipt.request == network->hello.id) {
        if (!network->hello_answered) hear_hello(network, &answer);
        return;
    }
    mg_request *request = find_pending(network, answer.receipt.request);
    if (request) hear_answer(network, request, &answer);
}

void mg_control_receive(mg_network *network)
{
    if (!network->control) return;
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (int i = 0; i < MESSAGES_PER_ROUND; i++) {
        if (zmq_msg_recv(&message, network->control, ZMQ_DONTWAIT) < 0) break;
        if (zmq_msg_size(&message) > 0)
            read_answer(network, zmq_msg_data(&message), zmq_msg_size(&message));
    }
    zmq_msg_close(&message);
}

void mg_control_new_stream(mg_network *network)
{
    mg_request *next;
    for (mg_request *request = network->pending; request; request = next) {
        next = request->next;
        if (!request->accepted || strcmp(request->stream, network->gate.stream) == 0) continue;
        mg_client_refuse(network->client, request, MAGI_CODE_RESTARTED, network->gate.stream,
                         "the server that accepted it has restarted since");
        finish(network, request);
    }
}

/* What was on the way when the connection broke may be lost; the server knows what it has done,
 * and its hello tells whether it is the same one. */
void mg_control_reconnected(mg_network *network)
{
    for (mg_request *request = network->pending; request; request = request->next)
        if (request->sent_ns) request->sent_ns = SENT_BEFORE_BREAK_NS;
    if (network->hello.sent_ns) mg_control_greet(network);
}
