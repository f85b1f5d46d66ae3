/* The functions of magi_rt.h: sizes, handles and arguments are checked here and nowhere else. */
#include "magi_rt.h"

#include <string.h>

#include "handles.h"

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

uint32_t magi_abi(void) { return MAGI_RT_ABI; }

const char *magi_version(void)
{
    return VERSION_TEXT(MAGI_RT_VERSION_MAJOR, MAGI_RT_VERSION_MINOR, MAGI_RT_VERSION_PATCH);
}

uint64_t magi_now_ns(void) { return mg_now_ns(); }

const char *magi_status_text(magi_status status)
{
    switch (status) {
    case MAGI_OK: return "done";
    case MAGI_NO_FRAME: return "no frame newer than the last one";
    case MAGI_NO_RECEIPT: return "no receipt waits";
    case MAGI_LOST: return "the server is silent or has ended; the client looks for it";
    case MAGI_BAD_HANDLE: return "the handle was never made, was closed, or was released already";
    case MAGI_BAD_ARGUMENT: return "a pointer is null or a value outside its range";
    case MAGI_BAD_SIZE: return "struct_size is not the size of the struct; set it to sizeof";
    case MAGI_TOO_LONG: return "a text or image is longer than its limit";
    case MAGI_BUSY:
        return "all leased frames are out, 256 requests wait, 64 clients are open, or a logger closes "
               "its own client";
    case MAGI_NO_MEMORY: return "no memory";
    case MAGI_BAD_KEYS: return "the CURVE keys are not three texts of 40 characters of Z85";
    case MAGI_NO_NETWORK: return "this library was built for dummy mode only";
    case MAGI_BAD_ADDRESS: return "the address is not tcp://HOST:PORT or ipc://PATH";
    case MAGI_SYSTEM: return "the system refused a thread or a socket";
    default: return "a status that this version does not know";
    }
}

magi_status magi_client_open(const magi_client_desc *desc, magi_client *out)
{
    mg_settings settings;
    if (!out) return MAGI_BAD_ARGUMENT;
    out->id = 0;
    if (!desc) return MAGI_BAD_ARGUMENT;
    if (desc->struct_size != sizeof *desc) return MAGI_BAD_SIZE;
    magi_status status = mg_settings_read(desc, &settings);
    if (status != MAGI_OK) return status;
#if !defined(MAGI_RT_NETWORK)
    if (!settings.dummy) return MAGI_NO_NETWORK;
#endif
    mg_client *client = mg_client_make(&settings, &status);
    if (!client) return status;
    *out = mg_handle_give(client);
    if (out->id != 0) return MAGI_OK;
    mg_client_destroy(client);
    return MAGI_BUSY;
}

magi_status magi_client_close(magi_client handle)
{
    mg_client *client = mg_handle_pin(handle);
    if (!client) return MAGI_BAD_HANDLE;
    bool own_thread = mg_thread_is_current(&client->thread);
    mg_handle_unpin(handle);
    if (own_thread) return MAGI_BUSY; /* it would wait for itself */
    client = mg_handle_take(handle);
    if (!client) return MAGI_BAD_HANDLE;
    mg_client_destroy(client);
    mg_handle_free(handle);
    return MAGI_OK;
}

/* Programs compiled before `steps` was there pass a frame that ends before it. */
static bool is_frame_size(uint32_t size)
{
    return size == sizeof(magi_frame) || size == offsetof(magi_frame, steps);
}

magi_status magi_client_acquire_frame(magi_client handle, magi_frame *out)
{
    if (!out) return MAGI_BAD_ARGUMENT;
    if (!is_frame_size(out->struct_size)) return MAGI_BAD_SIZE;
    mg_client *client = mg_handle_pin(handle);
    if (!client) return MAGI_BAD_HANDLE;
    magi_status status = mg_slots_acquire(&client->slots, out);
    if (status == MAGI_NO_FRAME && mg_client_state(client) >= MAGI_STATE_LOST) status = MAGI_LOST;
    mg_handle_unpin(handle);
    return status;
}

magi_status magi_client_release_frame(magi_client handle, magi_lease lease)
{
    mg_client *client = mg_handle_pin(handle);
    if (!client) return MAGI_BAD_HANDLE;
    magi_status status = mg_slots_release(&client->slots, lease);
    mg_handle_unpin(handle);
    return status;
}

magi_status magi_client_get_info(magi_client handle, magi_client_info *out)
{
    if (!out) return MAGI_BAD_ARGUMENT;
    if (out->struct_size != sizeof *out) return MAGI_BAD_SIZE;
    mg_client *client = mg_handle_pin(handle);
    if (!client) return MAGI_BAD_HANDLE;
    mg_client_info(client, out);
    out->struct_size = sizeof *out;
    mg_handle_unpin(handle);
    return MAGI_OK;
}

magi_status magi_client_get_counters(magi_client handle, magi_counters *out)
{
    if (!out) return MAGI_BAD_ARGUMENT;
    if (out->struct_size != sizeof *out) return MAGI_BAD_SIZE;
    mg_client *client = mg_handle_pin(handle);
    if (!client) return MAGI_BAD_HANDLE;
    mg_client_counters(client, out);
    mg_handle_unpin(handle);
    return MAGI_OK;
}

/* Programs compiled before `to` was there pass a request that ends before it. */
static bool is_request_size(uint32_t size)
{
    return size == sizeof(magi_request) || size == offsetof(magi_request, to);
}

magi_status magi_client_send(magi_client handle, const magi_request *request, uint64_t *id)
{
    magi_request whole = {0};
    if (!request) return MAGI_BAD_ARGUMENT;
    if (!is_request_size(request->struct_size)) return MAGI_BAD_SIZE;
    memcpy(&whole, request, request->struct_size);
    mg_client *client = mg_handle_pin(handle);
    if (!client) return MAGI_BAD_HANDLE;
    magi_status status = mg_outbox_put(&client->outbox, &whole, id);
    if (status == MAGI_OK) mg_wake_raise(&client->wake);
    mg_handle_unpin(handle);
    return status;
}

magi_status magi_client_send_prompt(magi_client handle, const char *text, magi_at at,
                                    uint32_t flush, uint64_t *id)
{
    magi_request request = {
        .struct_size = sizeof request,
        .type = MAGI_REQUEST_PROMPT,
        .text = text,
        .at = at,
        .flush = flush,
    };
    return magi_client_send(handle, &request, id);
}

magi_status magi_client_poll_receipt(magi_client handle, magi_receipt *out)
{
    if (!out) return MAGI_BAD_ARGUMENT;
    if (out->struct_size != sizeof *out) return MAGI_BAD_SIZE;
    mg_client *client = mg_handle_pin(handle);
    if (!client) return MAGI_BAD_HANDLE;
    magi_status status = mg_receipts_poll(&client->receipts, out);
    out->struct_size = sizeof *out;
    mg_handle_unpin(handle);
    return status;
}
