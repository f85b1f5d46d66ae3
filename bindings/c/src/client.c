#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"

static bool make_id(char out[40])
{
    uint8_t bytes[16];
    if (!mg_random_bytes(bytes, sizeof bytes)) return false;
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

static void fill_in_info(mg_client *client)
{
    magi_client_info *info = &client->info;
    info->layout = MAGI_LAYOUT_PARTS;
    snprintf(info->client, sizeof info->client, "%s", client->id);
    snprintf(info->frames, sizeof info->frames, "%s", client->settings.frames);
    snprintf(info->control_address, sizeof info->control_address, "%s", client->settings.control);
}

/* What every client has, network or not. */
static bool open_parts(mg_client *client)
{
    const mg_settings *settings = &client->settings;
    atomic_init(&client->stop, false);
    atomic_init(&client->state, MAGI_STATE_WAITING);
    atomic_init(&client->heard_ns, 0);
    if (!mg_slots_open(&client->slots, settings->every, settings->queue_frames,
                       settings->leased_frames, &client->counters))
        return false;
    mg_mutex_open(&client->info_mutex);
    mg_outbox_open(&client->outbox);
    mg_receipts_open(&client->receipts, &client->counters);
    fill_in_info(client);
    return true;
}

static void close_parts(mg_client *client)
{
    mg_receipts_close(&client->receipts);
    mg_outbox_close(&client->outbox);
    mg_mutex_close(&client->info_mutex);
    mg_slots_close(&client->slots);
}

/* What a client takes, and some more: libzmq ends the whole process when it cannot have its own. */
#define DESCRIPTORS 24

static bool start(mg_client *client)
{
    void (*run)(void *) = mg_dummy_run;
#if defined(MAGI_RT_NETWORK)
    if (!client->settings.dummy) run = mg_network_run;
#endif
    if (!mg_wake_open(&client->wake)) return false;
    bool room = client->settings.dummy || mg_wake_has_company(&client->wake, DESCRIPTORS);
    if (room && mg_thread_start(&client->thread, run, client)) return true;
    mg_wake_close(&client->wake);
    return false;
}

mg_client *mg_client_make(const mg_settings *settings, magi_status *status)
{
    *status = MAGI_NO_MEMORY;
    mg_client *client = calloc(1, sizeof *client);
    if (!client) return NULL;
    client->settings = *settings;
    bool random = make_id(client->id);
    if (!open_parts(client)) {
        free(client);
        return NULL;
    }
    *status = MAGI_SYSTEM;
    if (!random || !start(client)) {
        close_parts(client);
        free(client);
        return NULL;
    }
    *status = MAGI_OK;
    return client;
}

void mg_client_destroy(mg_client *client)
{
    atomic_store(&client->stop, true);
    mg_wake_raise(&client->wake);
    mg_thread_join(&client->thread);
    mg_wake_close(&client->wake);
    close_parts(client);
    free(client);
}

void mg_client_info(mg_client *client, magi_client_info *out)
{
    mg_lock(&client->info_mutex);
    *out = client->info;
    mg_unlock(&client->info_mutex);
    uint64_t heard_ns = atomic_load(&client->heard_ns), now_ns = mg_now_ns();
    out->state = mg_client_state(client);
    out->epoch = atomic_load(&client->slots.epoch);
    out->silent_ns = heard_ns && now_ns > heard_ns ? now_ns - heard_ns : 0;
}

void mg_client_counters(mg_client *client, magi_counters *out)
{
    mg_counters *counters = &client->counters;
    out->frames_received = mg_counted(&counters->frames_received);
    out->frames_acquired = mg_counted(&counters->frames_acquired);
    out->bytes_received = mg_counted(&counters->bytes_received);
    out->dropped_replaced = mg_counted(&counters->dropped_replaced);
    out->dropped_epoch = mg_counted(&counters->dropped_epoch);
    out->dropped_stream = mg_counted(&counters->dropped_stream);
    out->dropped_seq = mg_counted(&counters->dropped_seq);
    out->dropped_stale = mg_counted(&counters->dropped_stale);
    out->dropped_overwritten = mg_counted(&counters->dropped_overwritten);
    out->malformed = mg_counted(&counters->malformed);
    out->events = mg_counted(&counters->events);
    out->requests_sent = mg_counted(&counters->requests_sent);
    out->receipts = mg_counted(&counters->receipts);
    out->receipts_dropped = mg_counted(&counters->receipts_dropped);
    out->reconnects = mg_counted(&counters->reconnects);
    out->streams = mg_counted(&counters->streams);
}

bool mg_client_must_stop(mg_client *client) { return atomic_load(&client->stop); }

magi_state mg_client_state(mg_client *client) { return (magi_state)atomic_load(&client->state); }

void mg_client_set_state(mg_client *client, magi_state state)
{
    atomic_store(&client->state, (uint32_t)state);
}

/* Text that was cut may end within a character. */
static void end_with_a_character(char *text)
{
    size_t size = strlen(text);
    for (size_t less = 0; less < 4 && less <= size; less++)
        if (mg_is_utf8((const uint8_t *)text, size - less)) {
            text[size - less] = 0;
            return;
        }
}

void mg_client_say(mg_client *client, magi_log_level level, const char *format, ...)
{
    char message[256];
    va_list values;
    va_start(values, format);
    int whole = vsnprintf(message, sizeof message, format, values);
    va_end(values);
    if (whole >= (int)sizeof message) end_with_a_character(message);
    if (level >= MAGI_LOG_WARNING) {
        mg_lock(&client->info_mutex);
        memcpy(client->info.trouble, message, sizeof message);
        mg_unlock(&client->info_mutex);
    }
    if (client->settings.log) client->settings.log(level, message, client->settings.log_user);
}

void mg_client_refuse(mg_client *client, const mg_request *request, magi_code code,
                      const char *stream, const char *text)
{
    magi_receipt receipt = {
        .kind = MAGI_RECEIPT_ERROR,
        .request = request->id,
        .type = request->asked.type,
        .code = code,
        .epoch = atomic_load(&client->slots.epoch),
        .message = text,
    };
    memcpy(receipt.stream, stream, sizeof receipt.stream);
    mg_receipts_put(&client->receipts, &receipt);
}
