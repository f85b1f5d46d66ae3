#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"

#define MAX_PROMPT_CHARACTERS 4000
#define MAX_IMAGE_BYTES 8388608
#define MAX_CHUNKS (UINT32_C(1) << 31)
#define MAX_CHUNK (UINT64_C(1) << 53)

const char *mg_request_word(magi_request_type type)
{
    static const char *const words[] = {"hello",   "prompt", "reset", "image",  "rewind", "snapshot",
                                        "restore", "fork",   "pause", "resume", "set",    "stats"};
    return words[type];
}

bool mg_request_begins(magi_request_type type)
{
    return type == MAGI_REQUEST_RESET || type == MAGI_REQUEST_IMAGE;
}

bool mg_request_changes_picture(magi_request_type type)
{
    return (type >= MAGI_REQUEST_PROMPT && type <= MAGI_REQUEST_REWIND) ||
           type == MAGI_REQUEST_RESTORE;
}

static magi_status check_text(const magi_request *asked)
{
    size_t bytes = strlen(asked->text);
    if (bytes > MG_MAX_STRING_BYTES) return MAGI_TOO_LONG;
    if (!mg_is_utf8((const uint8_t *)asked->text, bytes)) return MAGI_BAD_ARGUMENT;
    size_t characters = 0;
    for (size_t i = 0; i < bytes; i++) characters += ((uint8_t)asked->text[i] & 0xc0) != 0x80;
    return characters <= MAX_PROMPT_CHARACTERS ? MAGI_OK : MAGI_TOO_LONG;
}

static magi_status check_prompt(const magi_request *asked)
{
    if (!asked->text || (asked->at != MAGI_AT_NEXT && asked->at != MAGI_AT_NOW))
        return MAGI_BAD_ARGUMENT;
    return check_text(asked);
}

static magi_status check_reset(const magi_request *asked)
{
    return asked->text ? check_text(asked) : MAGI_OK;
}

static magi_status check_image(const magi_request *asked)
{
    if (!asked->image || asked->image_size == 0) return MAGI_BAD_ARGUMENT;
    return asked->image_size <= MAX_IMAGE_BYTES ? check_reset(asked) : MAGI_TOO_LONG;
}

static magi_status check_name(const magi_request *asked)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    if (!asked->name || !asked->name[0]) return MAGI_BAD_ARGUMENT;
    size_t length = strlen(asked->name);
    if (length > 64) return MAGI_TOO_LONG;
    return strspn(asked->name, letters) == length ? MAGI_OK : MAGI_BAD_ARGUMENT;
}

static magi_status check_rewind(const magi_request *asked)
{
    bool fits = asked->has_to ? asked->to <= MAX_CHUNK && asked->chunks == 0
                              : asked->chunks <= MAX_CHUNKS;
    return fits ? MAGI_OK : MAGI_BAD_ARGUMENT;
}

static magi_status check_set(const magi_request *asked)
{
    bool fps = asked->fps != 0, format = asked->format != MAGI_FORMAT_DEFAULT;
    if (fps && !(asked->fps >= 1 && asked->fps <= 240)) return MAGI_BAD_ARGUMENT;
    if (format && (asked->format < MAGI_FORMAT_RGB8 || asked->format > MAGI_FORMAT_JPEG))
        return MAGI_BAD_ARGUMENT;
    if (asked->quality > 100) return MAGI_BAD_ARGUMENT;
    return fps || format || asked->quality ? MAGI_OK : MAGI_BAD_ARGUMENT;
}

magi_status mg_request_check(const magi_request *asked)
{
    if (asked->has_seed && asked->seed >> 63) return MAGI_BAD_ARGUMENT;
    switch (asked->type) {
    case MAGI_REQUEST_PROMPT: return check_prompt(asked);
    case MAGI_REQUEST_IMAGE: return check_image(asked);
    case MAGI_REQUEST_REWIND: return check_rewind(asked);
    case MAGI_REQUEST_SNAPSHOT:
    case MAGI_REQUEST_RESTORE:
    case MAGI_REQUEST_FORK: return check_name(asked);
    case MAGI_REQUEST_SET: return check_set(asked);
    case MAGI_REQUEST_RESET: return check_reset(asked);
    case MAGI_REQUEST_PAUSE:
    case MAGI_REQUEST_RESUME:
    case MAGI_REQUEST_STATS: return MAGI_OK;
    default: return MAGI_BAD_ARGUMENT;
    }
}

/* Copies a string into the room behind a request and moves the room on. */
static const char *keep_text(char **room, const char *text, size_t size)
{
    char *kept = *room;
    if (!text) return NULL;
    memcpy(kept, text, size);
    kept[size] = 0;
    *room += size + 1;
    return kept;
}

mg_request *mg_request_copy(const magi_request *asked, uint64_t id)
{
    bool speaks = asked->type == MAGI_REQUEST_PROMPT || mg_request_begins(asked->type);
    size_t text = asked->text && speaks ? strlen(asked->text) : 0;
    size_t name = asked->name && !speaks ? strlen(asked->name) : 0;
    size_t image = asked->type == MAGI_REQUEST_IMAGE ? (size_t)asked->image_size : 0;
    mg_request *request = calloc(1, sizeof *request + text + name + image + 3);
    if (!request) return NULL;
    char *room = (char *)(request + 1);
    request->id = id;
    request->asked = *asked;
    request->asked.text = keep_text(&room, speaks ? asked->text : NULL, text);
    request->asked.name = keep_text(&room, speaks ? NULL : asked->name, name);
    request->asked.image = keep_text(&room, asked->image, image);
    request->asked.image_size = image; /* left over from an image: other types have none */
    if (request->asked.chunks == 0) request->asked.chunks = 1;
    request->asked_ns = mg_now_ns();
    return request;
}

void mg_outbox_open(mg_outbox *outbox)
{
    memset(outbox, 0, sizeof *outbox);
    mg_mutex_open(&outbox->mutex);
    outbox->next_id = 1;
}

void mg_outbox_close(mg_outbox *outbox)
{
    mg_request *request;
    while ((request = mg_outbox_take(outbox)) != NULL) free(request);
    mg_mutex_close(&outbox->mutex);
}

uint64_t mg_outbox_newest_id(mg_outbox *outbox)
{
    mg_lock(&outbox->mutex);
    uint64_t id = outbox->next_id - 1;
    mg_unlock(&outbox->mutex);
    return id;
}

uint64_t mg_outbox_new_id(mg_outbox *outbox)
{
    mg_lock(&outbox->mutex);
    uint64_t id = outbox->next_id++;
    mg_unlock(&outbox->mutex);
    return id;
}

static void append(mg_outbox *outbox, mg_request *request)
{
    if (outbox->last)
        outbox->last->next = request;
    else
        outbox->first = request;
    outbox->last = request;
    outbox->waiting++;
}

magi_status mg_outbox_put(mg_outbox *outbox, const magi_request *asked, uint64_t *id)
{
    magi_status status = mg_request_check(asked);
    if (status != MAGI_OK) return status;
    mg_request *request = mg_request_copy(asked, 0);
    if (!request) return MAGI_NO_MEMORY;
    mg_lock(&outbox->mutex);
    if (outbox->waiting >= MG_MAX_WAITING) {
        mg_unlock(&outbox->mutex);
        free(request);
        return MAGI_BUSY;
    }
    request->id = outbox->next_id++;
    if (id) *id = request->id; /* before the library's thread can answer it */
    append(outbox, request);
    mg_unlock(&outbox->mutex);
    return MAGI_OK;
}

mg_request *mg_outbox_take(mg_outbox *outbox)
{
    mg_lock(&outbox->mutex);
    mg_request *request = outbox->first;
    if (request) {
        outbox->first = request->next;
        if (!outbox->first) outbox->last = NULL;
        request->next = NULL;
    }
    mg_unlock(&outbox->mutex);
    return request;
}

void mg_outbox_finished(mg_outbox *outbox)
{
    mg_lock(&outbox->mutex);
    outbox->waiting--;
    mg_unlock(&outbox->mutex);
}
