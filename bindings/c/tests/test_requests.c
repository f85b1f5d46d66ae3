/* Requests as bytes: what is sent is, byte for byte, what the golden files hold.
 *
 *   test_requests FOLDER
 */
#include <string.h>

#include "answers.h"
#include "check.h"

static const char *folder;

static size_t read_golden(const char *name, uint8_t *out, size_t room)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/request-%s.bin", folder, name);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t size = fread(out, 1, room, file);
    fclose(file);
    return size;
}

/* Packs as the client of the golden files would. */
static void check_packed(const char *name, const magi_request *asked, uint64_t id)
{
    static uint8_t golden[65536];
    size_t size = read_golden(name, golden, sizeof golden);
    msgpack_sbuffer bytes;
    CHECK_NUMBER(mg_request_check(asked), MAGI_OK);
    mg_request *request = mg_request_copy(asked, id);
    CHECK(mg_pack_request(request, "5f1d7a90c3e24b68", "c", NULL, &bytes));
    if (bytes.size != size || memcmp(bytes.data, golden, size) != 0) {
        fprintf(stderr, "request %s is packed otherwise than its golden file\n", name);
        exit(1);
    }
    msgpack_sbuffer_destroy(&bytes);
    free(request);
}

static magi_request request_of(magi_request_type type)
{
    return (magi_request){.struct_size = sizeof(magi_request), .type = type};
}

static void prompts_are_packed_as_the_golden_files_have_them(void)
{
    magi_request asked = request_of(MAGI_REQUEST_PROMPT);
    asked.text = "a red ball, gravity pulls left";
    check_packed("prompt", &asked, 12);
    asked.text = "Regen f\xc3\xa4llt \xe2\x80\x94 \xe9\x9b\xa8 \xf0\x9f\x8c\xa7";
    check_packed("prompt-not-ascii", &asked, 12);
    asked.text = "";
    check_packed("prompt-empty", &asked, 12);
    asked.text = "night falls";
    asked.at = MAGI_AT_NOW;
    asked.flush = 1;
    check_packed("prompt-full", &asked, 12);
}

static void the_longest_prompt_is_packed_and_a_longer_one_refused(void)
{
    static char text[4 * 4001 + 1];
    magi_request asked = request_of(MAGI_REQUEST_PROMPT);
    for (int i = 0; i < 4000; i++) memcpy(text + 4 * i, "\xf0\x9f\x8c\xa7", 4);
    asked.text = text;
    check_packed("prompt-longest", &asked, 12);
    memcpy(text + 4 * 4000, "\xf0\x9f\x8c\xa7", 4);
    CHECK_NUMBER(mg_request_check(&asked), MAGI_TOO_LONG);
    memset(text, 'a', 4001);
    text[4001] = 0;
    CHECK_NUMBER(mg_request_check(&asked), MAGI_TOO_LONG);
    text[4000] = 0;
    CHECK_NUMBER(mg_request_check(&asked), MAGI_OK);
}

static void the_other_requests_are_packed_as_the_golden_files_have_them(void)
{
    magi_request asked = request_of(MAGI_REQUEST_RESET);
    check_packed("reset", &asked, 12);
    asked.has_seed = 1;
    asked.seed = INT64_MAX;
    check_packed("reset-seed", &asked, 12);
    asked.seed = 7;
    asked.text = "night falls";
    check_packed("reset-text", &asked, 12);
    asked = request_of(MAGI_REQUEST_REWIND);
    asked.chunks = 2;
    check_packed("rewind", &asked, 12);
    asked = request_of(MAGI_REQUEST_REWIND);
    asked.has_to = 1;
    check_packed("rewind-to", &asked, 12);
    asked = request_of(MAGI_REQUEST_SNAPSHOT);
    asked.name = "before-the_Storm2";
    check_packed("snapshot", &asked, 12);
    asked.type = MAGI_REQUEST_RESTORE;
    check_packed("restore", &asked, 12);
    asked.type = MAGI_REQUEST_FORK;
    asked.name = "left";
    check_packed("fork", &asked, 12);
    asked = request_of(MAGI_REQUEST_PAUSE);
    check_packed("pause", &asked, 12);
    check_packed("largest-id", &asked, UINT64_C(1) << 53);
    asked = request_of(MAGI_REQUEST_RESUME);
    check_packed("resume", &asked, 12);
    asked = request_of(MAGI_REQUEST_STATS);
    check_packed("stats", &asked, 12);
}

static void settings_are_packed_as_the_golden_files_have_them(void)
{
    magi_request asked = request_of(MAGI_REQUEST_SET);
    asked.fps = 30;
    check_packed("set", &asked, 12);
    asked.fps = 23.976;
    asked.format = MAGI_FORMAT_JPEG;
    asked.quality = 80;
    check_packed("set-full", &asked, 12);
}

static void an_image_is_packed_with_its_bytes(void)
{
    static uint8_t golden[65536];
    size_t size = read_golden("image", golden, sizeof golden);
    magi_request asked = request_of(MAGI_REQUEST_IMAGE);
    size_t at = 0;
    while (memcmp(golden + at, "\x89PNG", 4) != 0) at++;
    asked.image = golden + at;
    asked.image_size = size - at;
    uint8_t copy[4096];
    CHECK(asked.image_size <= sizeof copy);
    memcpy(copy, golden + at, (size_t)asked.image_size);
    asked.image = copy;
    check_packed("image", &asked, 12);
    asked.text = "";
    check_packed("image-text", &asked, 12);
    asked.text = NULL;
    asked.has_seed = 1;
    check_packed("image-seed", &asked, 12);
}

static void what_is_left_over_from_an_image_is_no_part_of_other_requests(void)
{
    magi_request asked = request_of(MAGI_REQUEST_PROMPT);
    asked.text = "a red ball, gravity pulls left";
    asked.image = "the picture that was sent before";
    asked.image_size = 8388608;
    check_packed("prompt", &asked, 12);
}

static void what_the_server_would_refuse_is_refused_at_once(void)
{
    magi_request asked = request_of(MAGI_REQUEST_SNAPSHOT);
    static const char *const bad[] = {"", "../etc", "a b", "a\n", "ä", NULL};
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    for (int i = 0; bad[i]; i++) {
        asked.name = bad[i];
        CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    }
    asked = request_of(MAGI_REQUEST_RESET);
    asked.has_seed = 1;
    asked.seed = UINT64_C(1) << 63;
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    asked.text = "not \xff UTF-8";
    asked.has_seed = 0;
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    asked = request_of(MAGI_REQUEST_REWIND);
    asked.has_to = asked.chunks = 1;
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    asked.chunks = 0;
    asked.to = (UINT64_C(1) << 53) + 1;
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    asked = request_of(MAGI_REQUEST_SET);
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    asked.fps = 240.5;
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    asked = request_of((magi_request_type)99);
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
    asked = request_of(MAGI_REQUEST_PROMPT);
    asked.text = "not \xff UTF-8";
    CHECK_NUMBER(mg_request_check(&asked), MAGI_BAD_ARGUMENT);
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    folder = arguments[1];
    RUN(prompts_are_packed_as_the_golden_files_have_them);
    RUN(the_longest_prompt_is_packed_and_a_longer_one_refused);
    RUN(the_other_requests_are_packed_as_the_golden_files_have_them);
    RUN(settings_are_packed_as_the_golden_files_have_them);
    RUN(an_image_is_packed_with_its_bytes);
    RUN(what_is_left_over_from_an_image_is_no_part_of_other_requests);
    RUN(what_the_server_would_refuse_is_refused_at_once);
    return 0;
}
