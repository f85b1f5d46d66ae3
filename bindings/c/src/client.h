/* One client: what the caller's threads and the library's thread share. */
#ifndef MG_CLIENT_H
#define MG_CLIENT_H

#include "receipts.h"
#include "request.h"
#include "slots.h"

#define MG_ADDRESS_BYTES 256

/* What magi_client_open was given, with every default filled in. */
typedef struct mg_settings {
    magi_format format;
    magi_rows rows;
    magi_layout layout;
    bool every;
    uint32_t queue_frames;
    uint32_t leased_frames;
    uint64_t lost_after_ns;
    uint64_t request_timeout_ns;
    bool dummy;
    uint32_t dummy_width;
    uint32_t dummy_height;
    double dummy_fps;
    char frames[MG_ADDRESS_BYTES];
    char control[MG_ADDRESS_BYTES]; /* empty: none */
    char name[72];
    bool curve;
    char curve_public[41];
    char curve_secret[41];
    char curve_server[41];
    magi_log_function log;
    void *log_user;
} mg_settings;

magi_status mg_settings_read(const magi_client_desc *desc, mg_settings *out);

typedef struct mg_client {
    mg_settings settings;
    char id[40]; /* random, 32 hexadecimal digits */
    mg_slots slots;
    mg_counters counters;
    mg_outbox outbox;
    mg_receipts receipts;
    mg_thread thread;
    mg_wake wake;
    _Atomic bool stop;
    _Atomic uint32_t state;
    _Atomic uint64_t heard_ns;
    mg_mutex info_mutex;
    magi_client_info info; /* state, epoch and silent_ns are filled in when asked */
} mg_client;

/* Null without memory, or when the system refuses; *status says which. */
mg_client *mg_client_make(const mg_settings *settings, magi_status *status);
void mg_client_destroy(mg_client *client);

void mg_client_info(mg_client *client, magi_client_info *out);
void mg_client_counters(mg_client *client, magi_counters *out);

/* The library's thread only: ------------------------------------------------------------------- */

bool mg_client_must_stop(mg_client *client);
magi_state mg_client_state(mg_client *client);
void mg_client_set_state(mg_client *client, magi_state state);

/* To the logger; warnings and errors also become info.trouble. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void mg_client_say(mg_client *client, magi_log_level level, const char *format, ...);

/* A receipt made here: `text` as its message. */
void mg_client_refuse(mg_client *client, const mg_request *request, magi_code code,
                      const char *stream, const char *text);

/* The two ways to be a client. */
void mg_dummy_run(void *client);
#if defined(MAGI_RT_NETWORK)
void mg_network_run(void *client);
#endif

#endif
