#include "receipts.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RECEIPTS 1024

void mg_receipts_open(mg_receipts *receipts, mg_counters *counters)
{
    memset(receipts, 0, sizeof *receipts);
    mg_mutex_open(&receipts->mutex);
    receipts->counters = counters;
}

static mg_receipt *detach_first(mg_receipts *receipts)
{
    mg_receipt *first = receipts->first;
    if (!first) return NULL;
    receipts->first = first->next;
    if (!receipts->first) receipts->last = NULL;
    receipts->count--;
    return first;
}

void mg_receipts_close(mg_receipts *receipts)
{
    mg_receipt *entry;
    while ((entry = detach_first(receipts)) != NULL) free(entry);
    free(receipts->lent);
    mg_mutex_close(&receipts->mutex);
}

static mg_receipt *copy(const magi_receipt *receipt)
{
    const char *message = receipt->message ? receipt->message : "";
    const char *details = receipt->details ? receipt->details : "{}";
    size_t message_size = strlen(message) + 1, details_size = strlen(details) + 1;
    mg_receipt *entry = malloc(sizeof *entry + message_size + details_size);
    if (!entry) return NULL;
    char *room = (char *)(entry + 1);
    entry->next = NULL;
    entry->receipt = *receipt;
    entry->receipt.message = memcpy(room, message, message_size);
    entry->receipt.details = memcpy(room + message_size, details, details_size);
    return entry;
}

void mg_receipts_put(mg_receipts *receipts, const magi_receipt *receipt)
{
    mg_receipt *entry = copy(receipt), *oldest = NULL;
    mg_count(&receipts->counters->receipts, 1);
    if (!entry) {
        mg_count(&receipts->counters->receipts_dropped, 1);
        return;
    }
    mg_lock(&receipts->mutex);
    if (receipts->count >= MAX_RECEIPTS) oldest = detach_first(receipts);
    if (receipts->last)
        receipts->last->next = entry;
    else
        receipts->first = entry;
    receipts->last = entry;
    receipts->count++;
    mg_unlock(&receipts->mutex);
    if (oldest) mg_count(&receipts->counters->receipts_dropped, 1);
    free(oldest);
}

magi_status mg_receipts_poll(mg_receipts *receipts, magi_receipt *out)
{
    mg_lock(&receipts->mutex);
    mg_receipt *entry = detach_first(receipts);
    mg_receipt *before = receipts->lent;
    receipts->lent = entry;
    if (entry) *out = entry->receipt;
    mg_unlock(&receipts->mutex);
    free(before);
    return entry ? MAGI_OK : MAGI_NO_RECEIPT;
}
