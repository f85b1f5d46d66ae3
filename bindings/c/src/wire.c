#include "wire.h"

#include <string.h>

static bool version_fits(const msgpack_object_map *map)
{
    uint64_t version;
    return mg_get_uint(map, "version", &version) && version == 1;
}

static bool read_numbers(const msgpack_object_map *map, magi_frame *frame)
{
    return mg_get_stream(map, frame->stream) && mg_get_uint(map, "epoch", &frame->epoch) &&
           mg_get_uint(map, "seq", &frame->seq) && frame->seq >= 1 &&
           mg_get_uint(map, "frame", &frame->frame) && mg_get_uint(map, "chunk", &frame->chunk) &&
           mg_get_uint(map, "prompt", &frame->prompt) &&
           mg_get_uint(map, "due_ns", &frame->due_ns) &&
           mg_get_uint(map, "sent_ns", &frame->sent_ns) &&
           mg_get_uint32(map, "flags", &frame->flags) && frame->flags <= 3;
}

static bool sizes_agree(const magi_frame *frame)
{
    if (frame->format == MAGI_FORMAT_JPEG)
        return frame->stride == 0 && frame->rows == MAGI_ROWS_TOP;
    return frame->stride >= (uint64_t)frame->width * mg_bytes_per_pixel(frame->format) &&
           frame->size == (uint64_t)frame->height * frame->stride;
}

/* Older servers do not tell them. */
static bool read_steps(const msgpack_object_map *map, magi_frame *frame)
{
    return !mg_get(map, "steps") || mg_get_uint32(map, "steps", &frame->steps);
}

static bool read_picture(const msgpack_object_map *map, magi_frame *frame)
{
    mg_text format, rows;
    if (!mg_get_text(map, "format", &format) || !mg_get_text(map, "rows", &rows)) return false;
    frame->format = mg_format_of(format.bytes, format.size);
    frame->rows = mg_rows_of(rows.bytes, rows.size);
    if (!frame->format || frame->format == MAGI_FORMAT_ANY || !frame->rows) return false;
    return read_steps(map, frame) && mg_get_uint32(map, "width", &frame->width) && frame->width >= 1 &&
           frame->width <= MG_MAX_SIDE && mg_get_uint32(map, "height", &frame->height) &&
           frame->height >= 1 && frame->height <= MG_MAX_SIDE &&
           mg_get_uint32(map, "stride", &frame->stride) &&
           mg_get_uint(map, "size", &frame->size) && frame->size >= 1 &&
           frame->size <= MG_MAX_PIXEL_BYTES && sizes_agree(frame);
}

static bool read_shared(const msgpack_object_map *map, mg_header *out)
{
    const msgpack_object *shared = mg_get(map, "shared");
    if (!shared) return true;
    out->shared = true;
    return shared->type == MSGPACK_OBJECT_MAP && out->frame.format != MAGI_FORMAT_JPEG &&
           mg_get_uint(&shared->via.map, "slot", &out->slot) &&
           mg_get_uint(&shared->via.map, "turn", &out->turn);
}

bool mg_decode_header(mg_unpacker *unpacker, const uint8_t *bytes, size_t size, mg_header *out)
{
    msgpack_object space;
    if (size > MG_MAX_HEADER_BYTES) return false;
    const msgpack_object_map *map = mg_unpack(unpacker, bytes, size, &space);
    if (!map || !version_fits(map)) return false;
    memset(out, 0, sizeof *out);
    return read_numbers(map, &out->frame) && read_picture(map, &out->frame) &&
           read_shared(map, out);
}

bool mg_header_fits(const mg_header *header, const mg_topic *topic)
{
    const magi_frame *frame = &header->frame;
    if (header->shared != (topic->layout == MG_LAYOUT_SHARED)) return false;
    if (topic->format != MAGI_FORMAT_ANY && topic->format != frame->format) return false;
    return frame->format == MAGI_FORMAT_JPEG || topic->rows == frame->rows;
}

bool mg_split_packed(const uint8_t *bytes, size_t size, mg_packed *out)
{
    const uint8_t *end = size > 0 ? memchr(bytes, 0, size < 64 ? size : 64) : NULL;
    if (!end) return false;
    size_t before = (size_t)(end - bytes) + 5;
    if (size < before) return false;
    uint32_t length = (uint32_t)end[1] | (uint32_t)end[2] << 8 | (uint32_t)end[3] << 16 |
                      (uint32_t)end[4] << 24;
    if (length > MG_MAX_HEADER_BYTES || length > size - before) return false;
    *out = (mg_packed){
        .topic = {(const char *)bytes, (uint32_t)(end - bytes)},
        .header = bytes + before,
        .header_size = length,
        .pixels = bytes + before + length,
        .pixels_size = size - before - length,
    };
    return true;
}

static bool is_epoch_reason(mg_text reason)
{
    static const char *const reasons[] = {"reset", "image", "restore", "rewind", "flush"};
    for (int i = 0; i < 5; i++)
        if (mg_text_is(reason, reasons[i])) return true;
    return false;
}

static bool read_event_keys(const msgpack_object_map *map, mg_event *out)
{
    mg_text type;
    if (!mg_get_text(map, "type", &type)) return false;
    if (mg_text_is(type, "heartbeat")) {
        out->type = MG_EVENT_HEARTBEAT;
        return mg_get_number(map, "fps", &out->fps) && mg_get_bool(map, "paused", &out->paused);
    }
    if (mg_text_is(type, "prompt")) {
        out->type = MG_EVENT_PROMPT;
        return mg_get_uint(map, "prompt", &out->prompt) && mg_get_text(map, "text", &out->text);
    }
    bool epoch = mg_text_is(type, "epoch");
    if (epoch || mg_text_is(type, "bye")) {
        out->type = epoch ? MG_EVENT_EPOCH : MG_EVENT_BYE;
        return mg_get_text(map, "reason", &out->reason) && (!epoch || is_epoch_reason(out->reason));
    }
    out->type = MG_EVENT_OTHER;
    return true;
}

bool mg_decode_event(mg_unpacker *unpacker, const uint8_t *bytes, size_t size, mg_event *out)
{
    msgpack_object space;
    if (size > MG_MAX_EVENT_BYTES) return false;
    const msgpack_object_map *map = mg_unpack(unpacker, bytes, size, &space);
    if (!map || !version_fits(map)) return false;
    memset(out, 0, sizeof *out);
    return mg_get_stream(map, out->stream) && mg_get_uint(map, "epoch", &out->epoch) &&
           mg_get_uint(map, "seq", &out->seq) && mg_get_uint(map, "sent_ns", &out->sent_ns) &&
           read_event_keys(map, out);
}
