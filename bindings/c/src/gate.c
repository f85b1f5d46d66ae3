#include "gate.h"

#include <string.h>

#define SECOND_NS 1000000000u
#define USUAL_FRAME_TIME_NS (SECOND_NS / 24)
#define LEAST_FRAME_TIME_NS (SECOND_NS / 60) /* below it, jitter would count as age */

/* Clocks of two machines drift apart by milliseconds in minutes, so the smallest difference is
 * that of the last two windows, not of all time. */
#define WINDOW_NS (10ull * SECOND_NS)

/* When every frame of a second was late, without a pause, the way has become longer. */
#define USUAL_AFTER_NS (1ull * SECOND_NS)
#define PAUSE_NS (SECOND_NS / 10)

static void forget(mg_gate *gate)
{
    gate->epoch = 0;
    gate->seq = 0;
    gate->due_ns = 0;
    gate->has_least = false;
    gate->late_since_ns = 0;
    gate->frame_time_ns = USUAL_FRAME_TIME_NS;
    gate->paced = false;
}

void mg_gate_open(mg_gate *gate)
{
    memset(gate, 0, sizeof *gate);
    forget(gate);
}

mg_stream_news mg_gate_hear_stream(mg_gate *gate, const char *stream)
{
    if (strcmp(gate->stream, stream) == 0) return MG_SAME_STREAM;
    uint32_t known = gate->past_count < MG_PAST_STREAMS ? gate->past_count : MG_PAST_STREAMS;
    for (uint32_t i = 0; i < known; i++)
        if (strcmp(gate->past[i], stream) == 0) return MG_PAST_STREAM;
    if (gate->stream[0])
        memcpy(gate->past[gate->past_count++ % MG_PAST_STREAMS], gate->stream, 24);
    memcpy(gate->stream, stream, 24);
    forget(gate);
    return MG_NEW_STREAM;
}

void mg_gate_hear_epoch(mg_gate *gate, uint64_t epoch)
{
    if (epoch > gate->epoch) gate->epoch = epoch;
}

static void set_frame_time(mg_gate *gate, uint64_t time_ns)
{
    gate->frame_time_ns = time_ns > LEAST_FRAME_TIME_NS ? time_ns : LEAST_FRAME_TIME_NS;
}

void mg_gate_hear_fps(mg_gate *gate, double fps)
{
    if (!(fps >= 1.0 && fps <= 1000.0)) return;
    set_frame_time(gate, (uint64_t)((double)SECOND_NS / fps));
    gate->paced = true;
}

/* Without a server's word, the presentation times of neighbours tell the pace. */
static void learn_pace(mg_gate *gate, const magi_frame *frame)
{
    if (!gate->paced && gate->due_ns && frame->seq == gate->seq + 1 &&
        frame->due_ns > gate->due_ns && frame->due_ns - gate->due_ns < SECOND_NS)
        set_frame_time(gate, frame->due_ns - gate->due_ns);
    gate->due_ns = frame->due_ns;
}

static bool is_late(const mg_gate *gate, int64_t difference)
{
    return (uint64_t)difference - (uint64_t)gate->least > 2 * gate->frame_time_ns;
}

static bool is_stale(mg_gate *gate, uint64_t sent_ns, uint64_t now_ns)
{
    int64_t difference = (int64_t)(now_ns - sent_ns);
    if (!gate->has_least) {
        gate->has_least = true;
        gate->least = gate->least_in_window = difference;
        gate->window_began_ns = now_ns;
    } else if (now_ns - gate->window_began_ns >= WINDOW_NS) {
        gate->least = gate->least_in_window;
        gate->least_in_window = difference;
        gate->window_began_ns = now_ns;
    }
    if (difference < gate->least_in_window) gate->least_in_window = difference;
    if (difference < gate->least) gate->least = difference;
    bool paused = now_ns - gate->heard_ns > PAUSE_NS;
    gate->heard_ns = now_ns;
    if (!is_late(gate, difference) || paused || !gate->late_since_ns) {
        gate->late_since_ns = is_late(gate, difference) ? now_ns : 0;
        gate->least_of_late = difference;
    } else {
        if (difference < gate->least_of_late) gate->least_of_late = difference;
        if (now_ns - gate->late_since_ns > USUAL_AFTER_NS) {
            gate->least = gate->least_in_window = gate->least_of_late;
            gate->window_began_ns = now_ns;
            gate->late_since_ns = 0;
        }
    }
    return is_late(gate, difference);
}

mg_verdict mg_gate_judge(mg_gate *gate, const magi_frame *frame, uint64_t now_ns, bool every)
{
    if (frame->epoch < gate->epoch) return MG_DROP_EPOCH;
    if (frame->seq <= gate->seq) return MG_DROP_SEQ;
    learn_pace(gate, frame);
    gate->epoch = frame->epoch;
    gate->seq = frame->seq;
    bool stale = is_stale(gate, frame->sent_ns, now_ns);
    return stale && !every ? MG_TAKE_STALE : MG_TAKE;
}
