/* Receipts on their way from the library's thread to whoever polls. */
#ifndef MG_RECEIPTS_H
#define MG_RECEIPTS_H

#include "counters.h"
#include "magi_rt.h"
#include "platform.h"

typedef struct mg_receipt {
    struct mg_receipt *next;
    magi_receipt receipt; /* message and details point to the memory behind this struct */
} mg_receipt;

typedef struct mg_receipts {
    mg_mutex mutex;
    mg_receipt *first;
    mg_receipt *last;
    uint32_t count;
    mg_receipt *lent; /* its texts live until the next poll */
    mg_counters *counters;
} mg_receipts;

void mg_receipts_open(mg_receipts *receipts, mg_counters *counters);
void mg_receipts_close(mg_receipts *receipts);

/* Copies the receipt and its texts; null texts become "" and "{}". */
void mg_receipts_put(mg_receipts *receipts, const magi_receipt *receipt);
magi_status mg_receipts_poll(mg_receipts *receipts, magi_receipt *out);

#endif
