#include "answers.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

static void pack_text(msgpack_packer *packer, const char *text)
{
    size_t size = strlen(text);
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, text, size);
}

static void pack_pair(msgpack_packer *packer, const char *key, const char *value)
{
    pack_text(packer, key);
    pack_text(packer, value);
}

static void pack_whole(msgpack_packer *packer, const char *key, uint64_t value)
{
    pack_text(packer, key);
    msgpack_pack_uint64(packer, value);
}

/* The map's length stands in front, so each type first says how many keys of its own it has. */
static uint32_t count_keys(const magi_request *asked, const char *shared)
{
    uint32_t begin = (asked->has_seed ? 1u : 0u) + (asked->text ? 1u : 0u);
    switch ((int)asked->type) {
    case MG_HELLO: return 2 + (shared ? 1 : 0);
    case MAGI_REQUEST_PROMPT:
        return 1 + (asked->at == MAGI_AT_NOW ? 1u : 0u) + (asked->flush ? 1u : 0u);
    case MAGI_REQUEST_RESET: return begin;
    case MAGI_REQUEST_IMAGE: return 1 + begin;
    case MAGI_REQUEST_REWIND:
    case MAGI_REQUEST_SNAPSHOT:
    case MAGI_REQUEST_RESTORE:
    case MAGI_REQUEST_FORK: return 1;
    case MAGI_REQUEST_SET:
        return (asked->fps != 0 ? 1u : 0u) + (asked->format ? 1u : 0u) + (asked->quality ? 1u : 0u);
    default: return 0;
    }
}

static void pack_hello(msgpack_packer *packer, const char *name, const char *shared)
{
    pack_text(packer, "versions");
    msgpack_pack_array(packer, 1);
    msgpack_pack_uint8(packer, 1);
    pack_pair(packer, "name", name);
    if (shared) pack_pair(packer, "shared", shared);
}

static void pack_prompt(msgpack_packer *packer, const magi_request *asked)
{
    pack_pair(packer, "text", asked->text);
    if (asked->at == MAGI_AT_NOW) pack_pair(packer, "at", "now");
    if (!asked->flush) return;
    pack_text(packer, "flush");
    msgpack_pack_true(packer);
}

static void pack_set(msgpack_packer *packer, const magi_request *asked)
{
    if (asked->fps != 0) {
        pack_text(packer, "fps");
        msgpack_pack_double(packer, asked->fps);
    }
    if (asked->format) pack_pair(packer, "format", mg_format_word(asked->format));
    if (asked->quality) pack_whole(packer, "quality", asked->quality);
}

static void pack_own_keys(msgpack_packer *packer, const magi_request *asked)
{
    switch (asked->type) {
    case MAGI_REQUEST_PROMPT: pack_prompt(packer, asked); break;
    case MAGI_REQUEST_IMAGE:
        pack_text(packer, "image");
        msgpack_pack_bin(packer, (size_t)asked->image_size);
        msgpack_pack_bin_body(packer, asked->image, (size_t)asked->image_size);
        break;
    case MAGI_REQUEST_REWIND:
        if (asked->has_to)
            pack_whole(packer, "to", asked->to);
        else
            pack_whole(packer, "chunks", asked->chunks);
        break;
    case MAGI_REQUEST_SNAPSHOT:
    case MAGI_REQUEST_RESTORE:
    case MAGI_REQUEST_FORK: pack_pair(packer, "name", asked->name); break;
    case MAGI_REQUEST_SET: pack_set(packer, asked); break;
    default: break;
    }
    if (!mg_request_begins(asked->type)) return;
    if (asked->has_seed) pack_whole(packer, "seed", asked->seed);
    if (asked->text) pack_pair(packer, "text", asked->text);
}

bool mg_pack_request(const mg_request *request, const char *client, const char *name,
                     const char *shared, msgpack_sbuffer *out)
{
    msgpack_packer packer;
    msgpack_sbuffer_init(out);
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    const magi_request *asked = &request->asked;
    bool failed = msgpack_pack_map(&packer, 4 + count_keys(asked, shared)) != 0;
    pack_whole(&packer, "version", 1);
    pack_pair(&packer, "client", client);
    pack_whole(&packer, "id", request->id);
    pack_pair(&packer, "type", mg_request_word(asked->type));
    if (asked->type == MG_HELLO)
        pack_hello(&packer, name, shared);
    else
        pack_own_keys(&packer, asked);
    /* Short of memory, a part is missing; the whole then does not unpack. */
    failed = failed || out->data == NULL || out->size <= asked->image_size;
    if (failed) msgpack_sbuffer_destroy(out);
    return !failed;
}

static magi_code code_of(mg_text word)
{
    static const char *const words[] = {"malformed", "version",   "unknown_type", "refused",
                                        "too_large", "not_found", "busy",         "superseded",
                                        "failed"};
    for (int i = 0; i < 9; i++)
        if (mg_text_is(word, words[i])) return (magi_code)(i + 1);
    return MAGI_CODE_OTHER;
}

static bool read_applied(const msgpack_object_map *map, magi_receipt *receipt)
{
    receipt->kind = MAGI_RECEIPT_APPLIED;
    return mg_get_uint(map, "seq", &receipt->seq) && mg_get_uint(map, "frame", &receipt->frame) &&
           mg_get_uint(map, "chunk", &receipt->chunk);
}

static bool read_error(const msgpack_object_map *map, mg_answer *out)
{
    mg_text code, message;
    if (!mg_get_text(map, "code", &code) || !mg_get_text(map, "message", &message)) return false;
    out->receipt.kind = MAGI_RECEIPT_ERROR;
    out->receipt.code = code_of(code);
    int before = 0;
    if (out->receipt.code == MAGI_CODE_OTHER) {
        char word[65];
        mg_text_copy(code, word, sizeof word);
        before = snprintf(out->message, sizeof out->message, "%s: ", word);
    }
    mg_text_copy(message, out->message + before, sizeof out->message - (size_t)before);
    return true;
}

static bool read_kind(const msgpack_object_map *map, mg_answer *out)
{
    mg_text type;
    if (!mg_get_text(map, "type", &type)) return false;
    if (!mg_get_uint(map, "prompt", &out->receipt.prompt)) out->receipt.prompt = 0;
    if (mg_text_is(type, "applied")) return read_applied(map, &out->receipt);
    if (mg_text_is(type, "error")) return read_error(map, out);
    out->receipt.kind = MAGI_RECEIPT_ACCEPTED;
    return mg_text_is(type, "accepted");
}

bool mg_decode_answer(mg_unpacker *unpacker, const uint8_t *bytes, size_t size, mg_answer *out,
                      msgpack_object *space)
{
    if (size > MG_MAX_ANSWER_BYTES) return false;
    const msgpack_object_map *map = mg_unpack(unpacker, bytes, size, space);
    uint64_t version;
    if (!map || !mg_get_uint(map, "version", &version) || version != 1) return false;
    memset(out, 0, sizeof *out);
    out->map = map;
    return mg_get_uint(map, "id", &out->receipt.request) &&
           out->receipt.request <= UINT64_C(1) << 53 && mg_get_stream(map, out->receipt.stream) &&
           mg_get_uint(map, "epoch", &out->receipt.epoch) && read_kind(map, out);
}

char *mg_answer_details(const mg_answer *answer)
{
    static const char *const accepted[] = {"version", "id", "type", "stream", "epoch", NULL};
    static const char *const others[] = {"version", "id",    "type",   "stream", "epoch",   "seq",
                                         "frame",   "chunk", "prompt", "code",   "message", NULL};
    bool plain = answer->receipt.kind == MAGI_RECEIPT_ACCEPTED;
    return mg_json_from_map(answer->map, plain ? accepted : others);
}
