/* The frames socket: reads until nothing is there, checks, and keeps the newest. */
#include <stdio.h>
#include <string.h>

#include "network.h"

#define STALE_SHOWN_AFTER_NS 100000000u
#define PIXELS_ALIGNED_TO 4

/* So long a frame has to come once it was asked for again. Heartbeats come half a second apart, but
 * several are read at once after a stall. */
#define PATIENCE_NS 400000000u

static void subscribe(mg_network *network, int option, mg_topic_layout layout)
{
    char name[MG_TOPIC_BYTES];
    mg_topic topic = network->topic;
    topic.layout = layout;
    mg_topic_write(name, &topic);
    zmq_setsockopt(network->frames, option, name, strlen(name));
}

static void subscribe_bell(mg_network *network, int option)
{
    char name[MG_TOPIC_BYTES];
    snprintf(name, sizeof name, "bell/%s/%s/%s", mg_format_word(network->topic.format),
             mg_rows_word(network->topic.rows), network->bell);
    zmq_setsockopt(network->frames, option, name, strlen(name));
}

/* Beside the file of shared memory, under a name that nobody else has. */
static void hang_doorbell(mg_network *network, const char *file)
{
    uint8_t random[8];
    char path[sizeof network->doorbell.path];
    const char *slash = strrchr(file, '/');
    if (network->doorbell.open || !slash || !mg_random_bytes(random, sizeof random)) return;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(network->bell + 2 * i, 3, "%02x", random[i]);
    int size = snprintf(path, sizeof path, "%.*s/magi_rt-%s-bell-%s", (int)(slash - file), file,
                        network->shared.stream, network->bell);
    if (size < 0 || (size_t)size >= sizeof path || !mg_datagrams_open(&network->doorbell, path))
        return; /* headers come through the socket */
    network->rung = false;
    subscribe_bell(network, ZMQ_SUBSCRIBE);
}

static void subscribe_shared(mg_network *network, int option)
{
    if (network->rung)
        subscribe_bell(network, option);
    else
        subscribe(network, option, MG_LAYOUT_SHARED);
}

bool mg_frames_open(mg_network *network)
{
    const mg_settings *settings = &network->client->settings;
    mg_gate_open(&network->gate);
    network->topic = (mg_topic){settings->format, settings->rows, MG_LAYOUT_PARTS};
    zmq_msg_init(&network->parts[0]);
    zmq_msg_init(&network->parts[1]);
    zmq_msg_init(&network->surplus);
    network->candidate = MG_NO_SLOT;
    network->filling = mg_slots_begin(&network->client->slots);
    zmq_setsockopt(network->frames, ZMQ_SUBSCRIBE, MG_EVENT_TOPIC, strlen(MG_EVENT_TOPIC));
    if (settings->layout != MAGI_LAYOUT_SHARED)
        subscribe(network, ZMQ_SUBSCRIBE, MG_LAYOUT_PARTS);
    return true;
}

void mg_frames_close(mg_network *network)
{
    zmq_msg_close(&network->parts[0]);
    zmq_msg_close(&network->parts[1]);
    zmq_msg_close(&network->surplus);
    mg_datagrams_close(&network->doorbell);
    mg_shared_close(&network->shared);
}

/* The candidate gives way: to a newer frame, or because its pixels are gone. */
static void drop_candidate(mg_network *network, mg_counter *counter)
{
    if (network->candidate == MG_NO_SLOT) return;
    mg_count(counter, 1);
    mg_slots_give_up(&network->client->slots, network->candidate);
    network->candidate = MG_NO_SLOT;
}

static void tell_layout(mg_network *network, magi_layout layout)
{
    mg_lock(&network->client->info_mutex);
    network->client->info.layout = layout;
    mg_unlock(&network->client->info_mutex);
}

static void stop_shared(mg_network *network)
{
    if (!mg_shared_is_open(&network->shared)) return;
    mg_shared_close(&network->shared);
    subscribe_shared(network, ZMQ_UNSUBSCRIBE);
    if (network->doorbell.open && !network->rung) subscribe_bell(network, ZMQ_UNSUBSCRIBE);
    mg_datagrams_close(&network->doorbell);
    network->rung = false;
    if (network->client->settings.layout == MAGI_LAYOUT_SHARED) return;
    subscribe(network, ZMQ_SUBSCRIBE, MG_LAYOUT_PARTS);
    tell_layout(network, MAGI_LAYOUT_PARTS);
}

void mg_frames_new_stream(mg_network *network)
{
    if (network->candidate != MG_NO_SLOT)
        drop_candidate(network, &network->client->counters.dropped_stream);
    network->stale_since_ns = 0;
    network->asked_again_ns = 0;
    if (strcmp(network->shared.stream, network->gate.stream) != 0) stop_shared(network);
}

void mg_frames_use_shared(mg_network *network, const char *path, const char *stream)
{
    bool subscribed = mg_shared_is_open(&network->shared);
    mg_shared offered;
    if (!mg_shared_open(&offered, path, stream)) {
        stop_shared(network);
        mg_client_say(network->client, MAGI_LOG_WARNING,
                      "shared memory %s cannot be used: frames come through the socket", path);
        return;
    }
    if (subscribed && strcmp(network->shared.stream, stream) != 0) {
        stop_shared(network); /* another server's, heard of before its frames: so is the doorbell */
        subscribed = false;
    }
    mg_shared_close(&network->shared);
    network->shared = offered;
    if (subscribed) return; /* greeted again; the file may be another one of the same name */
    subscribe(network, ZMQ_SUBSCRIBE, MG_LAYOUT_SHARED);
    hang_doorbell(network, path);
    if (network->client->settings.layout != MAGI_LAYOUT_SHARED)
        subscribe(network, ZMQ_UNSUBSCRIBE, MG_LAYOUT_PARTS);
    tell_layout(network, MAGI_LAYOUT_SHARED);
    mg_client_say(network->client, MAGI_LOG_INFO, "frames come through shared memory %s", path);
}

static void subscribe_anew(mg_network *network)
{
    bool shared = mg_shared_is_open(&network->shared);
    for (int i = 0; i < 2; i++) {
        int option = i == 0 ? ZMQ_UNSUBSCRIBE : ZMQ_SUBSCRIBE;
        if (shared)
            subscribe_shared(network, option);
        else
            subscribe(network, option, MG_LAYOUT_PARTS);
    }
}

/* A newcomer is sent the last frame; to others it is one more repeated. Shared memory through which
 * nothing has come since is left: it may be too small for the frames of now. */
void mg_frames_ask_again(mg_network *network)
{
    bool asked = network->asked_again_ns && network->asked_again_after == network->gate.seq;
    if (!asked) {
        network->asked_again_ns = network->now_ns;
        network->asked_again_after = network->gate.seq;
    }
    bool in_vain = network->now_ns - network->asked_again_ns >= PATIENCE_NS;
    if (!mg_shared_is_open(&network->shared)) {
        if (network->client->settings.layout != MAGI_LAYOUT_SHARED) subscribe_anew(network);
    } else if (in_vain) {
        network->asked_again_ns = 0;
        stop_shared(network);
        mg_control_greet(network); /* it may offer another file */
    } else {
        subscribe_anew(network);
    }
}

void mg_frames_silent(mg_network *network)
{
    if (!mg_shared_is_open(&network->shared)) return;
    if (network->client->settings.layout == MAGI_LAYOUT_SHARED) return;
    stop_shared(network);
    network->shared_left = true;
}

/* Reads one message; parts beyond the third are thrown away. Returns how many there were, 0 when
 * nothing waits. Pixels go straight into the slot being filled. */
static int receive_parts(mg_network *network)
{
    mg_slot *slot = &network->client->slots.slots[network->filling];
    zmq_msg_t *places[] = {&network->parts[0], &network->parts[1], &slot->message};
    int count = 0, more = 1;
    while (more) {
        zmq_msg_t *place = count < 3 ? places[count] : &network->surplus;
        if (zmq_msg_recv(place, network->frames, ZMQ_DONTWAIT) < 0) {
            if (count > 0 && zmq_errno() == EINTR) continue; /* the rest of it is there */
            return count;
        }
        more = zmq_msg_more(place);
        count++;
    }
    return count;
}

static mg_counter *counter_of(mg_counters *counters, mg_verdict verdict)
{
    return verdict == MG_DROP_EPOCH ? &counters->dropped_epoch : &counters->dropped_seq;
}

/* Small pictures may lie anywhere in libzmq's buffer; engines read pixels as whole words. */
static const uint8_t *aligned_pixels(mg_slot *slot)
{
    uint8_t *data = zmq_msg_data(&slot->message);
    if ((uintptr_t)data % PIXELS_ALIGNED_TO == 0) return data;
    size_t size = zmq_msg_size(&slot->message);
    uint8_t *own = mg_slot_reserve(slot, size);
    return own ? memcpy(own, data, size) : data;
}

/* The pixels of the candidate out of shared memory. False: they are not there (any more). */
static bool fetch_shared(mg_network *network, mg_slot *slot)
{
    uint8_t *pixels = mg_slot_reserve(slot, (size_t)slot->frame.size);
    if (!pixels) return false;
    slot->frame.pixels = pixels;
    network->candidate_shared = false;
    switch (mg_shared_read(&network->shared, network->candidate_slot, network->candidate_turn,
                           pixels, slot->frame.size)) {
    case MG_SHARED_READ: return true;
    case MG_SHARED_BROKEN:
        mg_watch_malformed(network, "a place in shared memory that is not there");
        stop_shared(network);
        return false;
    case MG_SHARED_OVERWRITTEN: break;
    }
    return false;
}

static bool candidate_has_pixels(mg_network *network)
{
    if (!network->candidate_shared) return true;
    mg_slots *slots = &network->client->slots;
    if (mg_shared_is_open(&network->shared) &&
        fetch_shared(network, &slots->slots[network->candidate]))
        return true;
    drop_candidate(network, &network->client->counters.dropped_overwritten);
    return false;
}

static void publish_candidate(mg_network *network)
{
    network->stale_since_ns = 0;
    mg_slots_publish(&network->client->slots, network->candidate);
    network->candidate = MG_NO_SLOT;
}

void mg_frames_settle(mg_network *network)
{
    if (network->candidate == MG_NO_SLOT || !candidate_has_pixels(network)) return;
    if (!network->candidate_stale) {
        publish_candidate(network);
        return;
    }
    if (network->stale_since_ns == 0) network->stale_since_ns = network->now_ns;
    if (network->now_ns - network->stale_since_ns >= STALE_SHOWN_AFTER_NS)
        publish_candidate(network);
}

/* The slot just filled becomes the candidate; another one is filled next. */
static void take_frame(mg_network *network, const mg_header *header, bool stale)
{
    mg_slots *slots = &network->client->slots;
    mg_counters *counters = &network->client->counters;
    mg_slot *slot = &slots->slots[network->filling];
    bool fresh_before = network->candidate != MG_NO_SLOT && !network->candidate_stale;
    drop_candidate(network,
                   network->candidate_stale ? &counters->dropped_stale : &counters->dropped_replaced);
    slot->frame = header->frame;
    slot->frame.struct_size = sizeof slot->frame;
    slot->frame.received_ns = network->now_ns;
    slot->frame.pixels = header->shared ? NULL : aligned_pixels(slot);
    network->candidate = network->filling;
    network->candidate_stale = stale && !fresh_before;
    network->candidate_shared = header->shared;
    network->candidate_slot = header->slot;
    network->candidate_turn = header->turn;
    network->filling = mg_slots_begin(slots);
    if (network->client->settings.every) mg_frames_settle(network);
}

/* A frame with its header in order: the rules decide. */
static void judge_frame(mg_network *network, const mg_header *header)
{
    mg_counters *counters = &network->client->counters;
    mg_count(&counters->frames_received, 1);
    mg_count(&counters->bytes_received, header->frame.size);
    if (!mg_watch_stream(network, header->frame.stream)) {
        mg_count(&counters->dropped_stream, 1);
        return;
    }
    network->now_ns = mg_now_ns();
    mg_watch_heard(network);
    mg_verdict verdict = mg_gate_judge(&network->gate, &header->frame, network->now_ns,
                                       network->client->settings.every);
    mg_slots_raise_epoch(&network->client->slots, network->gate.epoch);
    if (verdict == MG_TAKE || verdict == MG_TAKE_STALE)
        take_frame(network, header, verdict == MG_TAKE_STALE);
    else
        mg_count(counter_of(counters, verdict), 1);
}

static bool payload_fits(mg_network *network, const mg_header *header, int count)
{
    if (header->shared) return count == 2;
    mg_slot *slot = &network->client->slots.slots[network->filling];
    return count == 3 && zmq_msg_size(&slot->message) == header->frame.size;
}

static void read_frame(mg_network *network, const mg_topic *topic, int count)
{
    mg_header header;
    const zmq_msg_t *part = &network->parts[1];
    if (count < 2 ||
        !mg_decode_header(&network->unpacker, zmq_msg_data((zmq_msg_t *)(uintptr_t)part),
                          zmq_msg_size(part), &header) ||
        !mg_header_fits(&header, topic) || !payload_fits(network, &header, count)) {
        mg_watch_malformed(network, "a frame");
        return;
    }
    judge_frame(network, &header);
}

static void read_event(mg_network *network, int count)
{
    mg_event event;
    if (count != 2 || !mg_decode_event(&network->unpacker, zmq_msg_data(&network->parts[1]),
                                       zmq_msg_size(&network->parts[1]), &event)) {
        mg_watch_malformed(network, "an event");
        return;
    }
    if (mg_watch_stream(network, event.stream)) mg_watch_event(network, &event);
    mg_count(&network->client->counters.events, 1); /* last: who sees it sees what it did */
}

static void read_message(mg_network *network, int count)
{
    const char *name = zmq_msg_data(&network->parts[0]);
    size_t size = zmq_msg_size(&network->parts[0]);
    mg_topic topic;
    if (size == strlen(MG_EVENT_TOPIC) && memcmp(name, MG_EVENT_TOPIC, size) == 0)
        read_event(network, count);
    else if (mg_topic_read(name, size, &topic) && topic.layout != MG_LAYOUT_PACKED)
        read_frame(network, &topic, count);
    else
        mg_watch_malformed(network, "a topic that nobody asked for");
}

/* A header that came through the doorbell; with the first one the socket is not needed for them. */
static void read_rung(mg_network *network, const uint8_t *bytes, size_t size)
{
    mg_header header;
    mg_topic topic = network->topic;
    topic.layout = MG_LAYOUT_SHARED;
    if (!mg_decode_header(&network->unpacker, bytes, size, &header) ||
        !mg_header_fits(&header, &topic)) {
        mg_watch_malformed(network, "what came through the doorbell");
        return;
    }
    if (!network->rung) {
        subscribe(network, ZMQ_UNSUBSCRIBE, MG_LAYOUT_SHARED);
        network->rung = true;
    }
    judge_frame(network, &header);
}

static void answer_doorbell(mg_network *network)
{
    uint8_t bytes[MG_MAX_HEADER_BYTES + 1];
    for (int i = 0; i < MESSAGES_PER_ROUND; i++) {
        size_t size = mg_datagrams_take(&network->doorbell, bytes, sizeof bytes);
        if (size == 0) return;
        read_rung(network, bytes, size);
    }
}

void mg_frames_receive(mg_network *network)
{
    answer_doorbell(network);
    for (int i = 0; i < MESSAGES_PER_ROUND; i++) {
        int count = receive_parts(network);
        if (count == 0) return;
        read_message(network, count);
    }
}
