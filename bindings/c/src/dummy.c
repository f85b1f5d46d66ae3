/* Dummy mode: a world without a server, so that an engine can be worked on with nothing else. It
 * keeps the promises of a real one: epochs, receipts, pauses, refusals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "picture.h"
#include "topics.h"

#define FRAMES_PER_CHUNK 4
#define MAX_NAMES 8
#define MAX_WAITING_TO_SHOW 16
#define MAX_SHAPINGS 64

/* A prompt and the chunk that it was given before. */
typedef struct shaping {
    uint64_t chunk, prompt;
} shaping;

typedef struct dummy {
    mg_client *client;
    char stream[24];
    magi_format format;
    uint64_t epoch, seq, frame, prompt, prompts;
    uint64_t first_prompt; /* of the present beginning */
    shaping shapings[MAX_SHAPINGS]; /* since then */
    uint32_t shaping_count;
    bool first_of_epoch, paused;
    bool jumped; /* elsewhere, which shows also while paused */
    double fps;
    uint64_t due_ns;
    char names[MAX_NAMES][65]; /* snapshots and forks */
    uint32_t name_count;
    mg_request *showing[MAX_WAITING_TO_SHOW]; /* accepted; the next frame shows them */
    uint32_t showing_count;
} dummy;

static void answer(dummy *world, const mg_request *request, magi_receipt_kind kind,
                   const char *details)
{
    magi_receipt receipt = {
        .kind = kind,
        .request = request->id,
        .type = request->asked.type,
        .epoch = world->epoch,
        .details = details,
    };
    receipt.prompt = request->prompt;
    if (kind == MAGI_RECEIPT_APPLIED) {
        receipt.seq = world->seq;
        receipt.frame = world->frame;
        receipt.chunk = world->frame / FRAMES_PER_CHUNK;
    }
    memcpy(receipt.stream, world->stream, sizeof receipt.stream);
    mg_receipts_put(&world->client->receipts, &receipt);
}

static void finish(dummy *world, mg_request *request)
{
    mg_outbox_finished(&world->client->outbox);
    free(request);
}

static void show_pictures_of_requests(dummy *world)
{
    for (uint32_t i = 0; i < world->showing_count; i++) {
        answer(world, world->showing[i], MAGI_RECEIPT_APPLIED, NULL);
        finish(world, world->showing[i]);
    }
    world->showing_count = 0;
}

static void fill_in_frame(dummy *world, magi_frame *frame, uint64_t now_ns)
{
    const mg_settings *settings = &world->client->settings;
    *frame = (magi_frame){
        .struct_size = sizeof *frame,
        .width = settings->dummy_width,
        .height = settings->dummy_height,
        .stride = settings->dummy_width * mg_bytes_per_pixel(world->format),
        .format = world->format,
        .rows = settings->rows,
        .flags = world->first_of_epoch ? MAGI_FRAME_FIRST_OF_EPOCH : 0,
        .epoch = world->epoch,
        .seq = world->seq,
        .frame = world->frame,
        .chunk = world->frame / FRAMES_PER_CHUNK,
        .prompt = world->prompt,
        .due_ns = world->due_ns,
        .sent_ns = now_ns,
        .received_ns = now_ns,
    };
    frame->size = (uint64_t)frame->stride * frame->height;
    memcpy(frame->stream, world->stream, sizeof frame->stream);
}

static void make_frame(dummy *world)
{
    mg_slots *slots = &world->client->slots;
    mg_counters *counters = &world->client->counters;
    uint32_t index = mg_slots_begin(slots);
    mg_slot *slot = &slots->slots[index];
    uint64_t now_ns = mg_now_ns();
    world->seq++;
    world->frame++;
    fill_in_frame(world, &slot->frame, now_ns);
    slot->frame.pixels = mg_slot_reserve(slot, (size_t)slot->frame.size);
    mg_count(&counters->frames_received, 1);
    mg_count(&counters->bytes_received, slot->frame.size);
    if (slot->frame.pixels) {
        mg_picture_draw(slot->buffer, slot->frame.width, slot->frame.height, slot->frame.format,
                        slot->frame.rows, world->frame, world->prompt);
        mg_slots_publish(slots, index);
    } else {
        mg_slots_give_up(slots, index);
    }
    world->first_of_epoch = world->jumped = false;
    show_pictures_of_requests(world);
}

static void begin_epoch(dummy *world)
{
    world->epoch++;
    world->first_of_epoch = true;
    mg_slots_raise_epoch(&world->client->slots, world->epoch);
}

static bool knows(const dummy *world, const char *name)
{
    for (uint32_t i = 0; i < world->name_count && i < MAX_NAMES; i++)
        if (strcmp(world->names[i], name) == 0) return true;
    return false;
}

static void keep_name(dummy *world, const char *name)
{
    if (knows(world, name)) return;
    snprintf(world->names[world->name_count++ % MAX_NAMES], 65, "%s", name);
}

static void begin_anew(dummy *world, const char *text)
{
    world->frame = 0;
    world->shaping_count = 0;
    world->prompt = world->first_prompt = text && text[0] ? ++world->prompts : 0;
    begin_epoch(world);
}

static void take_prompt(dummy *world)
{
    if (world->shaping_count == MAX_SHAPINGS) {
        world->shaping_count--;
        memmove(world->shapings, world->shapings + 1, world->shaping_count * sizeof(shaping));
    }
    uint64_t chunk = (world->frame + 1) / FRAMES_PER_CHUNK;
    world->prompt = ++world->prompts;
    world->shapings[world->shaping_count++] = (shaping){chunk, world->prompt};
}

/* Prompts that came with the chunks from this one on are forgotten with them. */
static void forget_prompts(dummy *world, uint64_t chunk)
{
    uint32_t *count = &world->shaping_count;
    while (*count > 0 && world->shapings[*count - 1].chunk >= chunk) (*count)--;
    world->prompt = *count > 0 ? world->shapings[*count - 1].prompt : world->first_prompt;
}

static bool go_back(dummy *world, const magi_request *asked)
{
    uint64_t shown = world->frame > 0 ? world->frame / FRAMES_PER_CHUNK + 1 : 0;
    if (asked->has_to ? asked->to >= shown : asked->chunks > shown) return false;
    uint64_t to = asked->has_to ? asked->to : shown - asked->chunks;
    world->frame = to > 0 ? to * FRAMES_PER_CHUNK - 1 : 0;
    forget_prompts(world, to);
    begin_epoch(world);
    return true;
}

/* True when the request can be done; changes the world. */
static bool change_world(dummy *world, const magi_request *asked)
{
    switch (asked->type) {
    case MAGI_REQUEST_PROMPT:
        take_prompt(world);
        if (asked->flush) begin_epoch(world);
        return true;
    case MAGI_REQUEST_REWIND:
        if (!go_back(world, asked)) return false;
        break;
    case MAGI_REQUEST_RESTORE:
        if (!knows(world, asked->name)) return false;
        begin_epoch(world);
        break;
    default: begin_anew(world, asked->text); break;
    }
    world->jumped = true;
    return true;
}

static void refuse(dummy *world, mg_request *request)
{
    bool rewind = request->asked.type == MAGI_REQUEST_REWIND;
    mg_client_refuse(world->client, request,
                     rewind ? MAGI_CODE_REFUSED : MAGI_CODE_NOT_FOUND, world->stream,
                     !rewind                 ? "there is no snapshot or fork of that name"
                     : request->asked.has_to ? "the chunk to go back to was not shown yet"
                                             : "chunks is more than the world has shown");
    finish(world, request);
}

/* Prompts that have not been shown will not be: a newer one has come. */
static void supersede_prompts(dummy *world)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < world->showing_count; i++) {
        mg_request *request = world->showing[i];
        if (!request->prompt) {
            world->showing[kept++] = request;
            continue;
        }
        mg_client_refuse(world->client, request, MAGI_CODE_SUPERSEDED, world->stream,
                         "a later request replaced it before it showed");
        finish(world, request);
    }
    world->showing_count = kept;
}

static void do_change(dummy *world, mg_request *request)
{
    if (world->showing_count == MAX_WAITING_TO_SHOW) {
        mg_client_refuse(world->client, request, MAGI_CODE_BUSY, world->stream,
                         "too many requests wait for the next frame");
        finish(world, request);
    } else if (change_world(world, &request->asked)) {
        supersede_prompts(world);
        if (request->asked.type == MAGI_REQUEST_PROMPT) request->prompt = world->prompt;
        answer(world, request, MAGI_RECEIPT_ACCEPTED, NULL);
        world->showing[world->showing_count++] = request;
    } else {
        refuse(world, request);
    }
}

static void set_paused(dummy *world, bool paused)
{
    world->paused = paused;
    mg_lock(&world->client->info_mutex);
    world->client->info.paused = paused;
    mg_unlock(&world->client->info_mutex);
}

static void set_pace(dummy *world, const magi_request *asked)
{
    if (asked->fps != 0) world->fps = asked->fps;
    mg_lock(&world->client->info_mutex);
    world->client->info.fps = world->fps;
    mg_unlock(&world->client->info_mutex);
}

static void do_other(dummy *world, mg_request *request)
{
    char details[128] = "{}";
    switch (request->asked.type) {
    case MAGI_REQUEST_SNAPSHOT:
    case MAGI_REQUEST_FORK: keep_name(world, request->asked.name); break;
    case MAGI_REQUEST_PAUSE: set_paused(world, true); break;
    case MAGI_REQUEST_RESUME: set_paused(world, false); break;
    case MAGI_REQUEST_SET: set_pace(world, &request->asked); break;
    case MAGI_REQUEST_STATS:
        snprintf(details, sizeof details, "{\"frames\": %llu, \"prompts\": %llu}",
                 (unsigned long long)world->seq, (unsigned long long)world->prompts);
        break;
    default: break;
    }
    answer(world, request, MAGI_RECEIPT_ACCEPTED, details);
    finish(world, request);
}

static void take_requests(dummy *world)
{
    mg_request *request;
    while ((request = mg_outbox_take(&world->client->outbox)) != NULL) {
        mg_count(&world->client->counters.requests_sent, 1);
        if (mg_request_changes_picture(request->asked.type))
            do_change(world, request);
        else
            do_other(world, request);
    }
}

static void begin(dummy *world, mg_client *client)
{
    const mg_settings *settings = &client->settings;
    memset(world, 0, sizeof *world);
    world->client = client;
    world->format = settings->format == MAGI_FORMAT_ANY ? MAGI_FORMAT_RGBA8 : settings->format;
    world->fps = settings->dummy_fps;
    world->due_ns = mg_now_ns();
    memcpy(world->stream, client->id, 16);
    mg_lock(&client->info_mutex);
    magi_client_info *info = &client->info;
    info->width = settings->dummy_width;
    info->height = settings->dummy_height;
    info->fps = world->fps;
    info->frames_per_chunk = FRAMES_PER_CHUNK;
    info->prompt_characters = 4000;
    info->control = 1;
    memcpy(info->stream, world->stream, sizeof info->stream);
    snprintf(info->server, sizeof info->server, "dummy mode");
    snprintf(info->model, sizeof info->model, "moving picture");
    mg_unlock(&client->info_mutex);
    mg_count(&client->counters.streams, 1);
    mg_client_set_state(client, MAGI_STATE_CONNECTED);
    mg_client_say(client, MAGI_LOG_INFO, "dummy mode: %u x %u at %g frames per second",
                  settings->dummy_width, settings->dummy_height, world->fps);
}

void mg_dummy_run(void *argument)
{
    dummy world;
    begin(&world, argument);
    while (!mg_client_must_stop(world.client)) {
        take_requests(&world);
        uint64_t now_ns = mg_now_ns();
        atomic_store(&world.client->heard_ns, now_ns);
        if (now_ns >= world.due_ns) {
            if (!world.paused || world.jumped) make_frame(&world);
            world.due_ns += (uint64_t)(1e9 / world.fps);
            if (world.due_ns < now_ns) world.due_ns = now_ns; /* too slow: no catching up */
            continue;
        }
        mg_wake_wait(&world.client->wake, (uint32_t)((world.due_ns - now_ns) / 1000000 + 1));
    }
    for (uint32_t i = 0; i < world.showing_count; i++) free(world.showing[i]);
}
