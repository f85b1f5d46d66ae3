/* A million messages that are nearly right: none may crash a decoder, read beyond its end, or give
 * a header whose numbers do not fit together.
 *
 *   test_fuzz FOLDER COUNT [SEED]
 */
#include <dirent.h>
#include <string.h>

#include "answers.h"
#include "check.h"

#define MAX_SAMPLES 1024
#define MAX_BYTES 65536

static struct {
    uint8_t *bytes;
    size_t size;
} samples[MAX_SAMPLES];
static size_t sample_count;
static size_t right[MAX_SAMPLES], right_count; /* numbers of those that a decoder understands */
static uint64_t state;
static mg_unpacker unpacker;
static unsigned long long understood;

/* splitmix64 */
static uint64_t draw(void)
{
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t draw_below(size_t limit) { return (size_t)(draw() % limit); }

static void read_samples(const char *folder)
{
    DIR *all = opendir(folder);
    CHECK(all != NULL);
    for (struct dirent *entry; (entry = readdir(all)) != NULL && sample_count < MAX_SAMPLES;) {
        char path[1024];
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".bin") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "rb");
        CHECK(file != NULL);
        uint8_t *bytes = malloc(MAX_BYTES);
        samples[sample_count].size = fread(bytes, 1, MAX_BYTES, file);
        samples[sample_count++].bytes = bytes;
        fclose(file);
    }
    closedir(all);
    CHECK(sample_count > 100);
}

static size_t cut(uint8_t *bytes, size_t size)
{
    size_t from = draw_below(size), length = draw_below(size - from + 1);
    if (length > 16) length = draw_below(16);
    memmove(bytes + from, bytes + from + length, size - from - length);
    return size - length;
}

static size_t splice(uint8_t *bytes, size_t size)
{
    size_t other = draw_below(sample_count);
    if (samples[other].size == 0) return size;
    size_t from = draw_below(samples[other].size);
    size_t length = 1 + draw_below(24), at = draw_below(size);
    if (length > samples[other].size - from) length = samples[other].size - from;
    if (length > size - at) length = size - at;
    memcpy(bytes + at, samples[other].bytes + from, length);
    return size;
}

static size_t mutate(uint8_t *bytes, size_t size)
{
    static const uint8_t telling[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7,
                                      0xca, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff};
    if (size == 0) return 0;
    switch (draw_below(5)) {
    case 0: bytes[draw_below(size)] ^= (uint8_t)(1u << draw_below(8)); return size;
    case 1: bytes[draw_below(size)] = telling[draw_below(sizeof telling)]; return size;
    case 2: bytes[draw_below(size)] = (uint8_t)draw(); return size;
    case 3: return cut(bytes, size);
    default: return splice(bytes, size);
    }
}

static void check_header(const mg_header *header)
{
    const magi_frame *frame = &header->frame;
    understood++;
    CHECK(frame->width >= 1 && frame->width <= MG_MAX_SIDE);
    CHECK(frame->height >= 1 && frame->height <= MG_MAX_SIDE);
    CHECK(frame->size >= 1 && frame->size <= MG_MAX_PIXEL_BYTES);
    CHECK(strlen(frame->stream) == 16);
    uint64_t row = (uint64_t)frame->width * mg_bytes_per_pixel(frame->format);
    if (frame->format == MAGI_FORMAT_JPEG) return;
    CHECK(row > 0 && frame->stride >= row);
    CHECK((uint64_t)frame->stride * frame->height == frame->size);
}

static void decode_as_everything(const uint8_t *bytes, size_t size)
{
    mg_header header;
    mg_event event;
    mg_answer answer;
    mg_packed packed;
    mg_topic topic;
    msgpack_object space;
    if (mg_decode_header(&unpacker, bytes, size, &header)) check_header(&header);
    if (mg_decode_event(&unpacker, bytes, size, &event)) understood++;
    if (mg_topic_read((const char *)bytes, size, &topic)) understood++;
    if (mg_split_packed(bytes, size, &packed)) {
        CHECK(packed.header_size + packed.pixels_size <= size);
        if (mg_decode_header(&unpacker, packed.header, packed.header_size, &header))
            check_header(&header);
    }
    if (mg_decode_answer(&unpacker, bytes, size, &answer, &space)) {
        understood++;
        free(mg_answer_details(&answer));
    }
}

static void find_right_samples(void)
{
    for (size_t i = 0; i < sample_count; i++) {
        unsigned long long before = understood;
        decode_as_everything(samples[i].bytes, samples[i].size);
        if (understood > before) right[right_count++] = i;
    }
    CHECK(right_count > 50);
    understood = 0;
}

/* Half of them were right before; the few long ones cost as much as all others together. */
static size_t draw_sample(void)
{
    for (;;) {
        size_t sample = draw_below(2) ? right[draw_below(right_count)] : draw_below(sample_count);
        if (samples[sample].size <= 2048 || draw_below(50) == 0) return sample;
    }
}

int main(int count, char **arguments)
{
    CHECK(count >= 3);
    read_samples(arguments[1]);
    unsigned long long rounds = strtoull(arguments[2], NULL, 10);
    state = count > 3 ? strtoull(arguments[3], NULL, 10) : 7;
    CHECK(mg_unpacker_open(&unpacker));
    find_right_samples();
    static uint8_t work[MAX_BYTES];
    for (unsigned long long i = 0; i < rounds; i++) {
        size_t sample = draw_sample(), size = samples[sample].size;
        memcpy(work, samples[sample].bytes, size);
        for (size_t k = 1 + draw_below(4); k > 0; k--) size = mutate(work, size);
        uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees its end */
        memcpy(exact, work, size);
        decode_as_everything(exact, size);
        free(exact);
    }
    mg_unpacker_close(&unpacker);
    for (size_t i = 0; i < sample_count; i++) free(samples[i].bytes);
    printf("%llu messages, %llu still understood\n", rounds, understood);
    return 0;
}
