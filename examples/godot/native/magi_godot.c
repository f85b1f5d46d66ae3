/*
 * MagiClient for Godot 3: the C library of magi_rt as a class that scripts use.
 *
 * Only numbers and PoolByteArrays go through: texts are UTF-8 (`text.to_utf8()` in a script). All
 * methods are called on the engine's main thread and wait for nothing.
 */
#include "godot_api.h"
#include "magi_rt.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const godot_core *core;

/* A function of the table, with its type. */
#define GODOT(place, result, ...) ((result(*)(__VA_ARGS__))core->functions[place])

typedef struct {
    magi_client client;
    magi_frame frame; /* of the picture taken last */
    magi_receipt receipt;
    magi_client_info info;
    char text[16002]; /* an argument */
    char text2[16002];
} world;

static godot_variant number(int64_t value)
{
    godot_variant out;
    GODOT(GODOT_VARIANT_NEW_INT, void, godot_variant *, int64_t)(&out, value);
    return out;
}

/* Rows without padding, as Godot's images want them. */
static godot_variant bytes(const void *from, size_t row, size_t stride, size_t rows)
{
    godot_variant out;
    godot_bytes array;
    GODOT(GODOT_BYTES_NEW, void, godot_bytes *)(&array);
    if (row > 0 && rows > 0) {
        GODOT(GODOT_BYTES_RESIZE, void, godot_bytes *, int)(&array, (int)(row * rows));
        void *access = GODOT(GODOT_BYTES_WRITE, void *, godot_bytes *)(&array);
        uint8_t *to = GODOT(GODOT_BYTES_WRITE_POINTER, uint8_t *, const void *)(access);
        for (size_t i = 0; i < rows; i++)
            memcpy(to + i * row, (const uint8_t *)from + i * stride, row);
        GODOT(GODOT_BYTES_WRITE_END, void, void *)(access);
    }
    GODOT(GODOT_VARIANT_NEW_BYTES, void, godot_variant *, const godot_bytes *)(&out, &array);
    GODOT(GODOT_BYTES_DESTROY, void, godot_bytes *)(&array);
    return out;
}

static int64_t as_number(int count, godot_variant **arguments, int which)
{
    if (which >= count) return 0;
    return GODOT(GODOT_VARIANT_AS_INT, int64_t, const godot_variant *)(arguments[which]);
}

#define MOST_TEXT 16000

/* Null when it is empty; of what does not fit, enough for the library to find it too long. */
static const char *as_text(int count, godot_variant **arguments, int which,
                           char text[MOST_TEXT + 2])
{
    if (which >= count) return NULL;
    godot_bytes array =
        GODOT(GODOT_VARIANT_AS_BYTES, godot_bytes, const godot_variant *)(arguments[which]);
    int size = GODOT(GODOT_BYTES_SIZE, int, const godot_bytes *)(&array);
    if (size > MOST_TEXT) size = MOST_TEXT + 1;
    if (size > 0) {
        void *access = GODOT(GODOT_BYTES_READ, void *, const godot_bytes *)(&array);
        memcpy(text, GODOT(GODOT_BYTES_READ_POINTER, const uint8_t *, const void *)(access),
               (size_t)size);
        GODOT(GODOT_BYTES_READ_END, void, void *)(access);
        text[size] = '\0';
    }
    GODOT(GODOT_BYTES_DESTROY, void, godot_bytes *)(&array);
    return size > 0 ? text : NULL;
}

#define METHOD(name)                                                                      \
    static godot_variant name(godot_object *self, void *data, void *made, int count,      \
                              godot_variant **arguments)
#define UNUSED (void)self, (void)data, (void)made, (void)count, (void)arguments

/* open(frames, control, dummy): MAGI_OK or the status that says why not. Empty means the default. */
METHOD(open_client)
{
    UNUSED;
    world *w = made;
    magi_client_close(w->client);
    w->receipt = (magi_receipt){0}; /* its texts are gone with the client */
    magi_client_desc desc = {.struct_size = sizeof desc, .name = "godot"};
    desc.frames = as_text(count, arguments, 0, w->text);
    desc.control = as_text(count, arguments, 1, w->text2);
    desc.dummy = as_number(count, arguments, 2) != 0;
    return number(magi_client_open(&desc, &w->client));
}

METHOD(close_client)
{
    UNUSED;
    world *w = made;
    magi_status status = magi_client_close(w->client);
    w->client = (magi_client){0};
    w->receipt = (magi_receipt){0};
    return number(status);
}

/* take_frame(): RGBA, uppermost row first; empty when nothing is new. */
METHOD(take_frame)
{
    UNUSED;
    world *w = made;
    w->frame.struct_size = sizeof w->frame;
    if (magi_client_acquire_frame(w->client, &w->frame) != MAGI_OK) return bytes(NULL, 0, 0, 0);
    godot_variant out = bytes(w->frame.pixels, (size_t)w->frame.width * 4, w->frame.stride,
                              w->frame.height);
    magi_client_release_frame(w->client, w->frame.lease);
    return out;
}

/* send_prompt(text, at, flush): the request's id, 0 when it was refused here. */
METHOD(send_prompt)
{
    UNUSED;
    world *w = made;
    uint64_t id = 0;
    const char *text = as_text(count, arguments, 0, w->text);
    magi_client_send_prompt(w->client, text ? text : "", (magi_at)as_number(count, arguments, 1),
                            as_number(count, arguments, 2) != 0, &id);
    return number((int64_t)id);
}

/* send(type, name, chunks): any other request of magi_rt.h that has no more than that; of a reset,
   name is the first prompt. */
METHOD(send_request)
{
    UNUSED;
    world *w = made;
    uint64_t id = 0;
    magi_request asked = {.struct_size = sizeof asked};
    asked.type = (magi_request_type)as_number(count, arguments, 0);
    asked.text = asked.name = as_text(count, arguments, 1, w->text);
    asked.chunks = (uint32_t)as_number(count, arguments, 2);
    magi_client_send(w->client, &asked, &id);
    return number((int64_t)id);
}

/* rewind_to(chunk): takes back all chunks from this number on. */
METHOD(rewind_to)
{
    UNUSED;
    world *w = made;
    uint64_t id = 0;
    magi_request asked = {.struct_size = sizeof asked, .type = MAGI_REQUEST_REWIND, .has_to = 1};
    asked.to = (uint64_t)as_number(count, arguments, 0);
    magi_client_send(w->client, &asked, &id);
    return number((int64_t)id);
}

/* poll_receipt(): 1 when there was one; the receipt_... methods then tell about it. */
METHOD(poll_receipt)
{
    UNUSED;
    world *w = made;
    w->receipt.struct_size = sizeof w->receipt;
    bool found = magi_client_poll_receipt(w->client, &w->receipt) == MAGI_OK;
    if (!found) w->receipt = (magi_receipt){0}; /* the texts lent before are gone */
    return number(found);
}

/* look(): asks how things are; state() and trouble() then tell about it. */
METHOD(look)
{
    UNUSED;
    world *w = made;
    w->info.struct_size = sizeof w->info;
    return number(magi_client_get_info(w->client, &w->info));
}

METHOD(receipt_message)
{
    UNUSED;
    const char *text = ((world *)made)->receipt.message;
    return bytes(text, text ? strlen(text) : 0, 0, 1);
}

METHOD(receipt_details)
{
    UNUSED;
    const char *text = ((world *)made)->receipt.details;
    return bytes(text, text ? strlen(text) : 0, 0, 1);
}

METHOD(trouble)
{
    UNUSED;
    const char *text = ((world *)made)->info.trouble;
    return bytes(text, strlen(text), 0, 1);
}

/* Numbers that lie in the struct: `data` says where, and whether they have 32 or 64 bits. */
typedef struct {
    const char *name;
    size_t at, size;
} place;

METHOD(number_at)
{
    UNUSED;
    const place *asked = data;
    const char *from = (const char *)made + asked->at;
    uint32_t small;
    uint64_t big;
    if (asked->size == sizeof small) {
        memcpy(&small, from, sizeof small);
        return number(small);
    }
    memcpy(&big, from, sizeof big);
    return number((int64_t)big);
}

#define PLACE(name, field) {name, offsetof(world, field), sizeof(((world *)0)->field)}

static place places[] = {
    PLACE("width", frame.width),
    PLACE("height", frame.height),
    PLACE("seq", frame.seq),
    PLACE("chunk", frame.chunk),
    PLACE("prompt", frame.prompt),
    PLACE("state", info.state),
    PLACE("receipt_kind", receipt.kind),
    PLACE("receipt_request", receipt.request),
    PLACE("receipt_code", receipt.code),
    PLACE("receipt_prompt", receipt.prompt),
    PLACE("receipt_seq", receipt.seq),
    PLACE("receipt_chunk", receipt.chunk),
};

static const struct {
    const char *name;
    godot_variant (*call)(godot_object *, void *, void *, int, godot_variant **);
} methods[] = {
    {"open", open_client},
    {"close", close_client},
    {"take_frame", take_frame},
    {"send_prompt", send_prompt},
    {"send", send_request},
    {"rewind_to", rewind_to},
    {"poll_receipt", poll_receipt},
    {"receipt_message", receipt_message},
    {"receipt_details", receipt_details},
    {"look", look},
    {"trouble", trouble},
};

static void *create(godot_object *self, void *data)
{
    (void)self, (void)data;
    return calloc(1, sizeof(world));
}

static void destroy(godot_object *self, void *data, void *made)
{
    (void)self, (void)data;
    magi_client_close(((world *)made)->client);
    free(made);
}

GODOT_EXPORT void godot_gdnative_init(godot_options *options)
{
    core = options->core;
    if (core->head.version.major != 1 || magi_abi() != MAGI_RT_ABI) {
        options->report_loading_error(options->library, "magi_rt fits another Godot or library");
        core = NULL;
    }
}

GODOT_EXPORT void godot_gdnative_terminate(godot_options *options)
{
    (void)options;
    core = NULL;
}

GODOT_EXPORT void godot_nativescript_init(void *library)
{
    const godot_nativescript *scripts = NULL;
    for (unsigned int i = 0; core && i < core->extension_count; i++)
        if (core->extensions[i]->type == GODOT_NATIVESCRIPT)
            scripts = (const godot_nativescript *)core->extensions[i];
    if (!scripts) return;
    scripts->register_class(library, "MagiClient", "Reference", (godot_create){.create = create},
                            (godot_destroy){.destroy = destroy});
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        scripts->register_method(library, "MagiClient", methods[i].name,
                                 (godot_method_attributes){0},
                                 (godot_method){.call = methods[i].call});
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        scripts->register_method(library, "MagiClient", places[i].name,
                                 (godot_method_attributes){0},
                                 (godot_method){.call = number_at, .data = &places[i]});
}
