/* Prints what the C compiler makes of every struct: the C# structs must be the same. */
#include "magi_rt.h"

#include <stdio.h>

#define SIZE(type) printf(#type " %zu\n", sizeof(type))
#define FIELD(type, field) printf(#type "." #field " %zu\n", offsetof(type, field))

static void desc(void)
{
    SIZE(magi_client_desc);
    FIELD(magi_client_desc, struct_size);
    FIELD(magi_client_desc, format);
    FIELD(magi_client_desc, rows);
    FIELD(magi_client_desc, layout);
    FIELD(magi_client_desc, keep);
    FIELD(magi_client_desc, queue_frames);
    FIELD(magi_client_desc, leased_frames);
    FIELD(magi_client_desc, lost_after_ms);
    FIELD(magi_client_desc, request_timeout_ms);
    FIELD(magi_client_desc, dummy);
    FIELD(magi_client_desc, dummy_width);
    FIELD(magi_client_desc, dummy_height);
    FIELD(magi_client_desc, dummy_fps);
    FIELD(magi_client_desc, frames);
    FIELD(magi_client_desc, control);
    FIELD(magi_client_desc, name);
    FIELD(magi_client_desc, curve_public);
    FIELD(magi_client_desc, curve_secret);
    FIELD(magi_client_desc, curve_server);
    FIELD(magi_client_desc, log);
    FIELD(magi_client_desc, log_user);
}

static void frame(void)
{
    SIZE(magi_client);
    SIZE(magi_lease);
    SIZE(magi_frame);
    FIELD(magi_frame, struct_size);
    FIELD(magi_frame, lease);
    FIELD(magi_frame, pixels);
    FIELD(magi_frame, size);
    FIELD(magi_frame, width);
    FIELD(magi_frame, height);
    FIELD(magi_frame, stride);
    FIELD(magi_frame, format);
    FIELD(magi_frame, rows);
    FIELD(magi_frame, flags);
    FIELD(magi_frame, epoch);
    FIELD(magi_frame, seq);
    FIELD(magi_frame, frame);
    FIELD(magi_frame, chunk);
    FIELD(magi_frame, prompt);
    FIELD(magi_frame, due_ns);
    FIELD(magi_frame, sent_ns);
    FIELD(magi_frame, received_ns);
    FIELD(magi_frame, stream);
    FIELD(magi_frame, steps);
    FIELD(magi_frame, reserved);
}

static void info(void)
{
    SIZE(magi_client_info);
    FIELD(magi_client_info, struct_size);
    FIELD(magi_client_info, state);
    FIELD(magi_client_info, layout);
    FIELD(magi_client_info, paused);
    FIELD(magi_client_info, width);
    FIELD(magi_client_info, height);
    FIELD(magi_client_info, frames_per_chunk);
    FIELD(magi_client_info, delay_chunks);
    FIELD(magi_client_info, prompt_characters);
    FIELD(magi_client_info, control);
    FIELD(magi_client_info, epoch);
    FIELD(magi_client_info, silent_ns);
    FIELD(magi_client_info, fps);
    FIELD(magi_client_info, stream);
    FIELD(magi_client_info, client);
    FIELD(magi_client_info, frames);
    FIELD(magi_client_info, control_address);
    FIELD(magi_client_info, server);
    FIELD(magi_client_info, model);
    FIELD(magi_client_info, trouble);
}

static void counters(void)
{
    SIZE(magi_counters);
    FIELD(magi_counters, struct_size);
    FIELD(magi_counters, reserved);
    FIELD(magi_counters, frames_received);
    FIELD(magi_counters, frames_acquired);
    FIELD(magi_counters, bytes_received);
    FIELD(magi_counters, dropped_replaced);
    FIELD(magi_counters, dropped_epoch);
    FIELD(magi_counters, dropped_stream);
    FIELD(magi_counters, dropped_seq);
    FIELD(magi_counters, dropped_stale);
    FIELD(magi_counters, dropped_overwritten);
    FIELD(magi_counters, malformed);
    FIELD(magi_counters, events);
    FIELD(magi_counters, requests_sent);
    FIELD(magi_counters, receipts);
    FIELD(magi_counters, receipts_dropped);
    FIELD(magi_counters, reconnects);
    FIELD(magi_counters, streams);
}

static void request(void)
{
    SIZE(magi_request);
    FIELD(magi_request, struct_size);
    FIELD(magi_request, type);
    FIELD(magi_request, text);
    FIELD(magi_request, name);
    FIELD(magi_request, image);
    FIELD(magi_request, image_size);
    FIELD(magi_request, seed);
    FIELD(magi_request, has_seed);
    FIELD(magi_request, chunks);
    FIELD(magi_request, at);
    FIELD(magi_request, flush);
    FIELD(magi_request, fps);
    FIELD(magi_request, format);
    FIELD(magi_request, quality);
    FIELD(magi_request, to);
    FIELD(magi_request, has_to);
    FIELD(magi_request, reserved);
}

static void receipt(void)
{
    SIZE(magi_receipt);
    FIELD(magi_receipt, struct_size);
    FIELD(magi_receipt, kind);
    FIELD(magi_receipt, request);
    FIELD(magi_receipt, type);
    FIELD(magi_receipt, code);
    FIELD(magi_receipt, epoch);
    FIELD(magi_receipt, seq);
    FIELD(magi_receipt, frame);
    FIELD(magi_receipt, chunk);
    FIELD(magi_receipt, prompt);
    FIELD(magi_receipt, message);
    FIELD(magi_receipt, details);
    FIELD(magi_receipt, stream);
}

int main(void)
{
    desc();
    frame();
    info();
    counters();
    request();
    receipt();
    return 0;
}
