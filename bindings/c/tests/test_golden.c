/* The byte files that all languages read: what is decoded here must be what the index says.
 *
 *   test_golden TABLE FOLDER
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "answers.h"
#include "check.h"
#include "json.h"
#include "bounds.h"

#define ROOM (1 << 20)

static mg_unpacker unpacker;
static char said[ROOM];
static size_t said_size;

static void say(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int size = vsnprintf(said + said_size, ROOM - said_size, format, values);
    va_end(values);
    CHECK(size >= 0 && said_size + (size_t)size < ROOM);
    said_size += (size_t)size;
}

static bool describe_header(const uint8_t *bytes, size_t size, const mg_topic *topic, mg_header *out)
{
    if (!mg_decode_header(&unpacker, bytes, size, out)) return false;
    if (topic && !mg_header_fits(out, topic)) return false;
    const magi_frame *frame = &out->frame;
    say("stream=%s epoch=%" PRIu64 " seq=%" PRIu64 " frame=%" PRIu64 " chunk=%" PRIu64
        " prompt=%" PRIu64 " due_ns=%" PRIu64 " sent_ns=%" PRIu64
        " width=%u height=%u stride=%u format=%s rows=%s size=%" PRIu64 " flags=%u steps=%u",
        frame->stream, frame->epoch, frame->seq, frame->frame, frame->chunk, frame->prompt,
        frame->due_ns, frame->sent_ns, frame->width, frame->height, frame->stride,
        mg_format_word(frame->format), mg_rows_word(frame->rows), frame->size, frame->flags,
        frame->steps);
    if (out->shared) say(" shared=%" PRIu64 "/%" PRIu64, out->slot, out->turn);
    return true;
}

static bool describe_packed(const uint8_t *bytes, size_t size)
{
    mg_packed packed;
    mg_topic topic;
    mg_header header;
    if (!mg_split_packed(bytes, size, &packed) ||
        !mg_topic_read(packed.topic.bytes, packed.topic.size, &topic) ||
        topic.layout != MG_LAYOUT_PACKED)
        return false;
    say("%.*s ", (int)packed.topic.size, packed.topic.bytes);
    if (!describe_header(packed.header, packed.header_size, &topic, &header) ||
        header.frame.size != packed.pixels_size)
        return false;
    say(" pixels=");
    for (size_t i = 0; i < packed.pixels_size; i++) say("%02x", packed.pixels[i]);
    return true;
}

static bool describe_event(const uint8_t *bytes, size_t size)
{
    static const char *const types[] = {"heartbeat", "prompt", "epoch", "bye", "other"};
    mg_event event;
    if (!mg_decode_event(&unpacker, bytes, size, &event)) return false;
    say("type=%s stream=%s epoch=%" PRIu64 " seq=%" PRIu64 " sent_ns=%" PRIu64, types[event.type],
        event.stream, event.epoch, event.seq, event.sent_ns);
    if (event.type == MG_EVENT_HEARTBEAT) say(" fps=%.17g paused=%d", event.fps, event.paused);
    if (event.type == MG_EVENT_PROMPT)
        say(" prompt=%" PRIu64 " text=%.*s", event.prompt, (int)event.text.size, event.text.bytes);
    if (event.type == MG_EVENT_EPOCH || event.type == MG_EVENT_BYE)
        say(" reason=%.*s", (int)event.reason.size, event.reason.bytes);
    return true;
}

static bool describe_answer(const uint8_t *bytes, size_t size)
{
    mg_answer answer;
    msgpack_object space;
    if (!mg_decode_answer(&unpacker, bytes, size, &answer, &space)) return false;
    const magi_receipt *receipt = &answer.receipt;
    char *details = mg_answer_details(&answer);
    say("kind=%d id=%" PRIu64 " stream=%s epoch=%" PRIu64 " seq=%" PRIu64 " frame=%" PRIu64
        " chunk=%" PRIu64 " prompt=%" PRIu64 " code=%d message=%s details=%s",
        (int)receipt->kind, receipt->request, receipt->stream, receipt->epoch, receipt->seq,
        receipt->frame, receipt->chunk, receipt->prompt, (int)receipt->code, answer.message,
        details);
    free(details);
    return true;
}

/* Requests are made here, never read; so only the limits that hold for all messages are checked. */
static bool describe_request(const uint8_t *bytes, size_t size)
{
    msgpack_object space;
    const msgpack_object_map *map = mg_unpack(&unpacker, bytes, size, &space);
    if (!map) return false;
    char *json = mg_json_from_map(map, NULL);
    say("%s", json);
    free(json);
    return true;
}

static bool describe(const char *kind, const uint8_t *bytes, size_t size)
{
    mg_header header;
    said_size = 0;
    said[0] = 0;
    if (strcmp(kind, "header") == 0) return describe_header(bytes, size, NULL, &header);
    if (strcmp(kind, "packed") == 0) return describe_packed(bytes, size);
    if (strcmp(kind, "event") == 0) return describe_event(bytes, size);
    if (strcmp(kind, "answer") == 0) return describe_answer(bytes, size);
    CHECK(strcmp(kind, "request") == 0);
    return describe_request(bytes, size);
}

/* In memory of exactly its size, so that a sanitizer sees a read beyond the end. */
static uint8_t *read_file(const char *folder, const char *name, size_t *size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size ? *size : 1);
    CHECK(fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static size_t from_hex(char *text)
{
    size_t size = strcspn(text, "\n") / 2;
    for (size_t i = 0; i < size; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        text[i] = (char)strtoul(digits, NULL, 16);
    }
    text[size] = 0;
    return size;
}

static void check_line(char *line, const char *folder)
{
    char *kind = strtok(line, "\t"), *name = strtok(NULL, "\t"), *valid = strtok(NULL, "\t");
    char *should = valid + strlen(valid) + 1;
    size_t size;
    uint8_t *bytes = read_file(folder, name, &size);
    bool understood = describe(kind, bytes, size);
    free(bytes);
    if (valid[0] == '0') {
        if (understood && strcmp(kind, "request") != 0) {
            fprintf(stderr, "%s was taken: %s\n", name, said);
            exit(1);
        }
        return;
    }
    if (!understood || from_hex(should) != said_size || memcmp(should, said, said_size) != 0) {
        fprintf(stderr, "%s\n  should be %s\n  is        %s\n", name, should,
                understood ? said : "refused");
        exit(1);
    }
}

int main(int count, char **arguments)
{
    static char line[ROOM];
    CHECK(count == 3 && mg_unpacker_open(&unpacker));
    FILE *table = fopen(arguments[1], "r");
    int lines = 0;
    CHECK(table != NULL);
    while (fgets(line, sizeof line, table)) {
        check_line(line, arguments[2]);
        lines++;
    }
    fclose(table);
    mg_unpacker_close(&unpacker);
    printf("%d golden messages agree\n", lines);
    CHECK(lines > 100);
    return 0;
}
