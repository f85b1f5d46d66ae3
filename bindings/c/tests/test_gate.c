/* The five rules of which frame a client shows. */
#include <string.h>

#include "check.h"
#include "gate.h"

#define MS UINT64_C(1000000)

static const char FIRST[24] = "00c0ffee5eed2a7f", SECOND[24] = "1111111111111111";

static mg_gate gate_of(const char *stream)
{
    mg_gate gate;
    mg_gate_open(&gate);
    CHECK_NUMBER(mg_gate_hear_stream(&gate, stream), MG_NEW_STREAM);
    return gate;
}

static magi_frame frame_of(uint64_t epoch, uint64_t seq, uint64_t sent_ns)
{
    return (magi_frame){.epoch = epoch, .seq = seq, .sent_ns = sent_ns, .due_ns = sent_ns};
}

static mg_verdict judge(mg_gate *gate, magi_frame frame, uint64_t now_ns)
{
    return mg_gate_judge(gate, &frame, now_ns, false);
}

static void an_older_epoch_is_dropped_and_a_newer_one_counts_from_then_on(void)
{
    mg_gate gate = gate_of(FIRST);
    CHECK_NUMBER(judge(&gate, frame_of(3, 1, 0), 0), MG_TAKE);
    CHECK_NUMBER(judge(&gate, frame_of(2, 2, 0), 0), MG_DROP_EPOCH);
    CHECK_NUMBER(judge(&gate, frame_of(4, 3, 0), 0), MG_TAKE);
    CHECK_NUMBER(judge(&gate, frame_of(3, 4, 0), 0), MG_DROP_EPOCH);
}

static void an_epoch_heard_of_elsewhere_drops_frames_too(void)
{
    mg_gate gate = gate_of(FIRST);
    mg_gate_hear_epoch(&gate, 5);
    CHECK_NUMBER(judge(&gate, frame_of(4, 1, 0), 0), MG_DROP_EPOCH);
    mg_gate_hear_epoch(&gate, 2);
    CHECK_NUMBER(judge(&gate, frame_of(5, 2, 0), 0), MG_TAKE);
}

static void a_seq_that_is_not_new_is_dropped(void)
{
    mg_gate gate = gate_of(FIRST);
    CHECK_NUMBER(judge(&gate, frame_of(0, 7, 0), 0), MG_TAKE);
    CHECK_NUMBER(judge(&gate, frame_of(0, 7, 0), 0), MG_DROP_SEQ);
    CHECK_NUMBER(judge(&gate, frame_of(0, 6, 0), 0), MG_DROP_SEQ);
    CHECK_NUMBER(judge(&gate, frame_of(0, 9, 0), 0), MG_TAKE);
}

static void a_new_stream_begins_from_nothing_and_the_old_one_never_comes_back(void)
{
    mg_gate gate = gate_of(FIRST);
    CHECK_NUMBER(judge(&gate, frame_of(9, 900, 0), 0), MG_TAKE);
    CHECK_NUMBER(mg_gate_hear_stream(&gate, FIRST), MG_SAME_STREAM);
    CHECK_NUMBER(mg_gate_hear_stream(&gate, SECOND), MG_NEW_STREAM);
    CHECK_NUMBER(judge(&gate, frame_of(0, 1, 0), 0), MG_TAKE);
    CHECK_NUMBER(mg_gate_hear_stream(&gate, FIRST), MG_PAST_STREAM);
}

static void what_had_queued_is_stale_and_what_follows_is_fresh(void)
{
    mg_gate gate = gate_of(FIRST);
    mg_gate_hear_fps(&gate, 50); /* two frame times are 40 ms */
    uint64_t offset = 12345 * MS;
    CHECK_NUMBER(judge(&gate, frame_of(0, 1, 100 * MS), offset + 101 * MS), MG_TAKE);
    CHECK_NUMBER(judge(&gate, frame_of(0, 2, 120 * MS), offset + 160 * MS), MG_TAKE);
    CHECK_NUMBER(judge(&gate, frame_of(0, 3, 140 * MS), offset + 182 * MS), MG_TAKE_STALE);
    CHECK_NUMBER(judge(&gate, frame_of(0, 9, 300 * MS), offset + 301 * MS), MG_TAKE);
}

static void nothing_is_stale_when_every_frame_is_wanted(void)
{
    mg_gate gate = gate_of(FIRST);
    magi_frame frame = frame_of(0, 1, 100 * MS);
    CHECK_NUMBER(mg_gate_judge(&gate, &frame, 101 * MS, true), MG_TAKE);
    frame = frame_of(0, 2, 120 * MS);
    CHECK_NUMBER(mg_gate_judge(&gate, &frame, 9000 * MS, true), MG_TAKE);
}

static void clocks_that_drift_apart_do_not_make_every_frame_stale(void)
{
    mg_gate gate = gate_of(FIRST);
    mg_gate_hear_fps(&gate, 24);
    int stale = 0;
    for (uint64_t i = 1; i <= 24 * 3600; i++) { /* an hour; one clock is 0.1 per mille faster */
        uint64_t sent_ns = i * 1000 * MS / 24;
        stale += judge(&gate, frame_of(0, i, sent_ns), sent_ns + sent_ns / 10000) != MG_TAKE;
    }
    CHECK_NUMBER(stale, 0);
}

static void a_stall_longer_than_the_window_is_still_seen(void)
{
    mg_gate gate = gate_of(FIRST);
    mg_gate_hear_fps(&gate, 24);
    CHECK_NUMBER(judge(&gate, frame_of(0, 1, 100 * MS), 101 * MS), MG_TAKE);
    CHECK_NUMBER(judge(&gate, frame_of(0, 2, 140 * MS), 60000 * MS), MG_TAKE_STALE);
    CHECK_NUMBER(judge(&gate, frame_of(0, 3, 180 * MS), 60001 * MS), MG_TAKE_STALE);
    CHECK_NUMBER(judge(&gate, frame_of(0, 4, 60001 * MS), 60003 * MS), MG_TAKE);
}

static void a_way_that_has_become_longer_is_usual_after_a_second(void)
{
    mg_gate gate = gate_of(FIRST);
    mg_gate_hear_fps(&gate, 50);
    for (uint64_t i = 1; i <= 50; i++) judge(&gate, frame_of(0, i, i * 20 * MS), i * 20 * MS);
    int stale = 0;
    for (uint64_t i = 51; i <= 200; i++) /* from now on 60 ms later */
        stale += judge(&gate, frame_of(0, i, i * 20 * MS), (i * 20 + 60) * MS) != MG_TAKE;
    CHECK(stale >= 50 && stale <= 53);
}

static void clocks_at_opposite_ends_do_no_harm(void)
{
    mg_gate gate = gate_of(FIRST);
    judge(&gate, frame_of(0, 1, 0), 1ull << 62);
    judge(&gate, frame_of(0, 2, 3ull << 62), 1ull << 62);
    CHECK_NUMBER(judge(&gate, frame_of(0, 3, 1ull << 62), 1ull << 62), MG_TAKE_STALE);
}

int main(void)
{
    RUN(an_older_epoch_is_dropped_and_a_newer_one_counts_from_then_on);
    RUN(an_epoch_heard_of_elsewhere_drops_frames_too);
    RUN(a_seq_that_is_not_new_is_dropped);
    RUN(a_new_stream_begins_from_nothing_and_the_old_one_never_comes_back);
    RUN(what_had_queued_is_stale_and_what_follows_is_fresh);
    RUN(nothing_is_stale_when_every_frame_is_wanted);
    RUN(clocks_that_drift_apart_do_not_make_every_frame_stale);
    RUN(a_stall_longer_than_the_window_is_still_seen);
    RUN(a_way_that_has_become_longer_is_usual_after_a_second);
    RUN(clocks_at_opposite_ends_do_no_harm);
    return 0;
}
