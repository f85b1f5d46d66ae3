#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "bounds.h"

#define DEFAULT_FRAMES "tcp://127.0.0.1:5590"
#define KEY_CHARACTERS 40

/* The value, the default for zero; a number outside its range clears *fits. */
static uint32_t pick(uint32_t value, uint32_t usual, uint32_t least, uint32_t most, bool *fits)
{
    if (value == 0) return usual;
    if (value < least || value > most) *fits = false;
    return value;
}

static bool read_choices(const magi_client_desc *desc, mg_settings *out)
{
    bool fits = true;
    out->format = (magi_format)pick(desc->format, MAGI_FORMAT_RGBA8, 1, MAGI_FORMAT_ANY, &fits);
    out->rows = (magi_rows)pick(desc->rows, MAGI_ROWS_TOP, 1, MAGI_ROWS_BOTTOM, &fits);
    out->layout = (magi_layout)pick(desc->layout, MAGI_LAYOUT_AUTO, 1, MAGI_LAYOUT_SHARED, &fits);
    out->every = pick(desc->keep, MAGI_KEEP_NEWEST, 1, MAGI_KEEP_EVERY, &fits) == MAGI_KEEP_EVERY;
    out->queue_frames = out->every ? pick(desc->queue_frames, 16, 1, 256, &fits) : 1;
    out->leased_frames = pick(desc->leased_frames, 1, 1, MG_MAX_LEASED, &fits);
    out->lost_after_ns = pick(desc->lost_after_ms, 1500, 100, 600000, &fits) * UINT64_C(1000000);
    out->request_timeout_ns =
        pick(desc->request_timeout_ms, 10000, 100, 600000, &fits) * UINT64_C(1000000);
    if (out->format == MAGI_FORMAT_JPEG && out->rows != MAGI_ROWS_TOP) return false;
    bool plain = out->format != MAGI_FORMAT_JPEG && out->format != MAGI_FORMAT_ANY;
    return fits && (plain || out->layout != MAGI_LAYOUT_SHARED);
}

static bool read_dummy(const magi_client_desc *desc, mg_settings *out)
{
    bool fits = true;
    out->dummy = desc->dummy != 0;
    out->dummy_width = pick(desc->dummy_width, 640, 16, 16384, &fits);
    out->dummy_height = pick(desc->dummy_height, 360, 16, 16384, &fits);
    out->dummy_fps = desc->dummy_fps != 0 ? desc->dummy_fps : 24;
    if (out->dummy && out->format == MAGI_FORMAT_JPEG) return false;
    return fits && out->dummy_fps >= 1 && out->dummy_fps <= 240 &&
           (uint64_t)out->dummy_width * out->dummy_height * 4 <= 268435456;
}

/* The port of tcp://HOST:PORT, 0 when it is not one. */
static uint32_t port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    if (strncmp(address, "tcp://", 6) != 0 || colon <= address + 6) return 0;
    char *end;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits < 1 || digits > 5) return 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return *end == 0 && port <= 65535 ? (uint32_t)port : 0;
}

static bool is_address(const char *address)
{
    if (strlen(address) >= MG_ADDRESS_BYTES - 8) return false;
    return port_of(address) != 0 || (strncmp(address, "ipc://", 6) == 0 && address[6]);
}

static bool read_addresses(const magi_client_desc *desc, mg_settings *out)
{
    const char *frames = desc->frames ? desc->frames : DEFAULT_FRAMES;
    if (!is_address(frames)) return false;
    snprintf(out->frames, sizeof out->frames, "%s", frames);
    if (desc->control) {
        if (strcmp(desc->control, "none") == 0) return true;
        snprintf(out->control, sizeof out->control, "%.*s", MG_ADDRESS_BYTES - 1, desc->control);
        return is_address(desc->control);
    }
    uint32_t port = port_of(frames);
    if (port == 0) {
        snprintf(out->control, sizeof out->control, "%.240s.control", frames);
        return true;
    }
    int host = (int)(strrchr(frames, ':') - frames);
    snprintf(out->control, sizeof out->control, "%.*s:%u", host, frames, (unsigned)(port + 1));
    return port < 65535;
}

static bool is_key(const char *key)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  ".-:+=^!/*?&<>()[]{}@%$#";
    return strlen(key) == KEY_CHARACTERS && strspn(key, letters) == KEY_CHARACTERS;
}

static bool read_keys(const magi_client_desc *desc, mg_settings *out)
{
    int given = (desc->curve_public != NULL) + (desc->curve_secret != NULL) +
                (desc->curve_server != NULL);
    if (given == 0) return true;
    if (given != 3 || !is_key(desc->curve_public) || !is_key(desc->curve_secret) ||
        !is_key(desc->curve_server))
        return false;
    out->curve = true;
    memcpy(out->curve_public, desc->curve_public, KEY_CHARACTERS);
    memcpy(out->curve_secret, desc->curve_secret, KEY_CHARACTERS);
    memcpy(out->curve_server, desc->curve_server, KEY_CHARACTERS);
    return true;
}

magi_status mg_settings_read(const magi_client_desc *desc, mg_settings *out)
{
    memset(out, 0, sizeof *out);
    out->log = desc->log;
    out->log_user = desc->log_user;
    const char *name = desc->name ? desc->name : "c";
    if (strlen(name) > 64) return MAGI_TOO_LONG;
    if (!mg_is_utf8((const uint8_t *)name, strlen(name))) return MAGI_BAD_ARGUMENT;
    snprintf(out->name, sizeof out->name, "%s", name);
    if (!read_choices(desc, out) || !read_dummy(desc, out)) return MAGI_BAD_ARGUMENT;
    if (out->dummy) return MAGI_OK;
    if (!read_addresses(desc, out)) return MAGI_BAD_ADDRESS;
    return read_keys(desc, out) ? MAGI_OK : MAGI_BAD_KEYS;
}
