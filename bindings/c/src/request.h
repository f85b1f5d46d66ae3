/* A request: checked and copied in the caller's thread, sent and remembered in the library's. */
#ifndef MG_REQUEST_H
#define MG_REQUEST_H

#include "magi_rt.h"
#include "platform.h"

#define MG_MAX_WAITING 256
#define MG_HELLO ((magi_request_type)0) /* the library's own; gives no receipt */

typedef struct mg_request {
    struct mg_request *next;
    uint64_t id;
    magi_request asked; /* text, name and image point to the memory behind this struct */
    uint64_t asked_ns;
    uint64_t sent_ns; /* last time, 0: not yet */
    uint64_t prompt;  /* its id, in dummy mode only */
    bool accepted;
    char stream[24]; /* that accepted it */
} mg_request;

/* MAGI_OK, or why it can never be sent. */
magi_status mg_request_check(const magi_request *asked);

/* A copy on the heap, null without memory. Freed by free(). */
mg_request *mg_request_copy(const magi_request *asked, uint64_t id);

const char *mg_request_word(magi_request_type type);
bool mg_request_changes_picture(magi_request_type type); /* `applied` follows */
bool mg_request_begins(magi_request_type type);          /* anew: a reset, or from a picture */

/* Requests on their way from any thread to the library's. */
typedef struct mg_outbox {
    mg_mutex mutex;
    mg_request *first;
    mg_request *last;
    uint64_t next_id;
    uint32_t waiting; /* also those the library's thread has taken and not finished */
} mg_outbox;

void mg_outbox_open(mg_outbox *outbox);
void mg_outbox_close(mg_outbox *outbox);
magi_status mg_outbox_put(mg_outbox *outbox, const magi_request *asked, uint64_t *id);
mg_request *mg_outbox_take(mg_outbox *outbox); /* null: empty */
void mg_outbox_finished(mg_outbox *outbox);    /* one that was taken */
uint64_t mg_outbox_new_id(mg_outbox *outbox);
uint64_t mg_outbox_newest_id(mg_outbox *outbox); /* 0: none was given yet */

#endif
