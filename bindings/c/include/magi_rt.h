/*
 * magi_rt.h - watch and steer a magi_rt world from C, C++ and anything that can call C.
 *
 * WHAT IT DOES
 *   Connects to a running server (`magi-rt serve`), keeps the newest picture at hand for the moment
 *   your game asks for it, and carries prompts back. One thread inside the library owns every
 *   socket. No function of this header waits for the network; the only one that waits for anything
 *   is magi_client_close.
 *
 * WHAT IT DOES NOT
 *   It runs no model, decodes no JPEG, opens no window and uploads no texture.
 *
 * IN FIVE LINES
 *   magi_client_desc desc = {sizeof desc};                    // all zero: tcp://127.0.0.1:5590, RGBA
 *   magi_client client;
 *   magi_frame frame = {sizeof frame};
 *   magi_client_open(&desc, &client);
 *   magi_client_send_prompt(client, "night falls", MAGI_AT_NEXT, 0, NULL);
 *   while (playing) {                                         // once per picture your game draws
 *       if (magi_client_acquire_frame(client, &frame) == MAGI_OK) {
 *           upload(frame.pixels, frame.width, frame.height, frame.stride);
 *           magi_client_release_frame(client, frame.lease);
 *       }
 *   }
 *   magi_client_close(client);
 *
 * BUILD
 *   Link with the shared library magi_rt, or with the target magi_rt_static of the same CMake
 *   project. When you compile the sources into your program yourself, define MAGI_RT_STATIC for all
 *   who see this header, and for the sources MAGI_RT_NETWORK, which needs libzmq and msgpack-c.
 *   Without it leave out the sources that CMakeLists.txt calls network_sources: dummy mode is left.
 *   Compare magi_abi() with MAGI_RT_ABI once at start when the library is loaded at run time, and
 *   close every client before you unload it: their threads run in it.
 *
 * WORDS
 *   server    one running world; it has a frames address and a control address.
 *   stream    one run of a server, 16 hexadecimal digits; another one after a restart.
 *   epoch     grows when the past stops counting (reset, rewind, a prompt with flush, ...). The
 *             library never hands out a frame of an epoch older than the newest one heard of.
 *   request   what you send; it has an id. A receipt is what comes back.
 *   lease     a frame borrowed from the library, until released.
 *
 * STRUCTS AND ZERO
 *   Every struct but the two handles begins with struct_size, which you set to sizeof of that
 *   struct; a wrong one is MAGI_BAD_SIZE. Set everything else to zero first: in what you give, zero
 *   always means the default that stands beside the field. In what you get, zero means what stands
 *   there, and where nothing does, zero. Structs may grow at their end: a program compiled against
 *   an older header of the same MAGI_RT_ABI works, and is never given more than it has room for.
 *   One compiled against a newer header may hear MAGI_BAD_SIZE from an older library.
 *
 * HANDLES
 *   magi_client and magi_lease are numbers, not pointers. They carry a generation: one that was
 *   closed or released is recognised and answered with MAGI_BAD_HANDLE. All zero is never valid.
 *
 * THREADS
 *   "Any thread" means: at any time, from any thread, also several at once. Two threads give two
 *   structs to be filled. Where nothing else stands, a call may wait for a lock that others hold
 *   while they copy some hundred bytes, and returns. The only callback is the logger; nothing is
 *   held while it runs, so it may call every function but magi_client_close.
 *
 * MEMORY
 *   The library copies every string and buffer you give it before the call returns. What it lends
 *   you (frame.pixels, receipt.message, receipt.details) is read-only, lives as long as stated
 *   there, and is never freed by you. A client has room for leased_frames + 3 pictures, or
 *   leased_frames + queue_frames + 2 with MAGI_KEEP_EVERY; it grows when they come.
 *   After the first pictures of one size it allocates nothing per frame; libzmq, beneath it,
 *   does so for every message that it receives.
 *
 * ERRORS
 *   One type, magi_status: zero is success, positive values are ordinary (nothing new), negative
 *   ones mean that the call did nothing; magi_status_text says why. Every function that takes a
 *   client may answer MAGI_BAD_HANDLE, every one that takes a pointer MAGI_BAD_ARGUMENT for null,
 *   and MAGI_BAD_SIZE. What goes wrong later, on the network, is told by magi_client_get_info
 *   (state, trouble), by receipts and by the logger.
 *
 * TIME
 *   Nanoseconds (_ns) of the steady clock, magi_now_ns(), whose zero means nothing. On the server's
 *   machine it is the same clock, but not on Windows where the server's Python is older than 3.13:
 *   there and elsewhere compare the server's times with each other only.
 *
 * Text is UTF-8 and ends with a zero byte, both ways.
 */
#ifndef MAGI_RT_H
#define MAGI_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Number of the binary interface. It changes only when a program compiled before must not go on. */
#define MAGI_RT_ABI 1

#define MAGI_RT_VERSION_MAJOR 0
#define MAGI_RT_VERSION_MINOR 1
#define MAGI_RT_VERSION_PATCH 0

#if defined(MAGI_RT_STATIC)
#define MAGI_API
#elif defined(_WIN32) && defined(MAGI_RT_BUILD)
#define MAGI_API __declspec(dllexport)
#elif defined(_WIN32)
#define MAGI_API __declspec(dllimport)
#elif defined(__GNUC__)
#define MAGI_API __attribute__((visibility("default")))
#else
#define MAGI_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ---------------------------------------------------------------------------------- */

typedef enum magi_status {
    MAGI_OK = 0,
    MAGI_NO_FRAME = 1,   /* ordinary: no frame newer than the last one you took */
    MAGI_NO_RECEIPT = 2, /* ordinary: no receipt waits */
    MAGI_LOST = 3,       /* no newer frame, and the server is silent or said bye; keep asking */
    MAGI_BAD_HANDLE = -1,   /* never made, closed, or released already */
    MAGI_BAD_ARGUMENT = -2, /* a pointer is null or a value outside its range */
    MAGI_BAD_SIZE = -3,     /* struct_size is not the size of this struct */
    MAGI_TOO_LONG = -4,     /* a text or image is longer than its limit */
    MAGI_BUSY = -5,         /* leased_frames are out, 256 requests wait, 64 clients are open, or */
                            /* a logger closes its own client */
    MAGI_NO_MEMORY = -6,
    MAGI_BAD_KEYS = -7,    /* CURVE keys: give all three as 40 characters of Z85, or none */
    MAGI_NO_NETWORK = -8,  /* this library was built for dummy mode only */
    MAGI_BAD_ADDRESS = -9, /* not tcp://HOST:PORT or ipc://PATH, or longer than 247 bytes */
    MAGI_SYSTEM = -10,     /* the system refused a thread or a socket */
    MAGI_STATUS_FORCE_32 = 0x7FFFFFFF
} magi_status;

/* ---- The library itself ---------------------------------------------------------------------- */

/* MAGI_RT_ABI of the library that is loaded; never 0. Any thread; takes no lock. */
MAGI_API uint32_t magi_abi(void);

/* Version of the library that is loaded, such as "0.1.0". Lives as long as the library. Any
 * thread; takes no lock. */
MAGI_API const char *magi_version(void);

/* The steady clock now, in nanoseconds; never 0, never goes back. Any thread; takes no lock. */
MAGI_API uint64_t magi_now_ns(void);

/* A sentence about a status, never null, for unknown ones too. Lives as long as the library. Any
 * thread; takes no lock. */
MAGI_API const char *magi_status_text(magi_status status);

/* ---- Opening and closing --------------------------------------------------------------------- */

typedef struct magi_client {
    uint32_t id;
} magi_client;

/* How pixels lie in memory. Alpha is always 255. Colours are sRGB. */
typedef enum magi_format {
    MAGI_FORMAT_DEFAULT = 0, /* rgba8 */
    MAGI_FORMAT_RGB8 = 1,
    MAGI_FORMAT_RGBA8 = 2,
    MAGI_FORMAT_BGRA8 = 3,
    MAGI_FORMAT_BGR8 = 4,
    MAGI_FORMAT_JPEG = 5, /* handed out as received, not decoded; rows are always top first. Not
                             with MAGI_ROWS_BOTTOM, MAGI_LAYOUT_SHARED or dummy */
    MAGI_FORMAT_ANY = 6,  /* only for asking: the server's choice; frame.format says which. Not with
                             MAGI_LAYOUT_SHARED */
    MAGI_FORMAT_FORCE_32 = 0x7FFFFFFF
} magi_format;

typedef enum magi_rows {
    MAGI_ROWS_DEFAULT = 0, /* top */
    MAGI_ROWS_TOP = 1,     /* the first row in memory is the picture's uppermost */
    MAGI_ROWS_BOTTOM = 2,  /* the lowermost: what a Unity texture expects */
    MAGI_ROWS_FORCE_32 = 0x7FFFFFFF
} magi_rows;

typedef enum magi_layout {
    MAGI_LAYOUT_AUTO = 0,   /* shared memory when the server is on this machine and offers it */
    MAGI_LAYOUT_PARTS = 1,  /* through the socket, always */
    MAGI_LAYOUT_SHARED = 2, /* shared memory only: no frame when it cannot be had */
    MAGI_LAYOUT_FORCE_32 = 0x7FFFFFFF
} magi_layout;

typedef enum magi_keep {
    MAGI_KEEP_NEWEST = 0, /* what a game wants: always the newest frame, older ones are dropped */
    MAGI_KEEP_EVERY = 1,  /* what a recorder wants: one after the other, up to queue_frames */
    MAGI_KEEP_FORCE_32 = 0x7FFFFFFF
} magi_keep;

typedef enum magi_log_level {
    MAGI_LOG_INFO = 1,    /* connected, a new stream, which layout is used */
    MAGI_LOG_WARNING = 2, /* lost, malformed messages (at most one line a second) */
    MAGI_LOG_ERROR = 3,   /* the client cannot do its work */
    MAGI_LOG_FORCE_32 = 0x7FFFFFFF
} magi_log_level;

/* Your logger. Called from the library's thread, one call at a time for each client, and perhaps
 * before magi_client_open has returned. While it runs no frame comes: hand the message on and
 * return. It must not call magi_client_close. `message` lives during the call only. */
typedef void (*magi_log_function)(magi_log_level level, const char *message, void *user);

typedef struct magi_client_desc {
    uint32_t struct_size;       /* sizeof(magi_client_desc) */
    magi_format format;         /* default rgba8 */
    magi_rows rows;             /* default top */
    magi_layout layout;         /* default auto */
    magi_keep keep;             /* default newest */
    uint32_t queue_frames;      /* with MAGI_KEEP_EVERY: 1 .. 256, default 16; the oldest goes */
    uint32_t leased_frames;     /* frames you may hold at one time: 1 .. 8, default 1 */
    uint32_t lost_after_ms;     /* silence that counts as lost: 100 .. 600,000, default 1,500; a
                                   server that shows nothing new is heard every 500 ms: with less
                                   than 1,000 a paused world counts as lost again and again */
    uint32_t request_timeout_ms; /* unanswered requests end then with MAGI_CODE_TIMEOUT:
                                   100 .. 600,000, default 10,000 */
    uint32_t dummy;             /* not zero: no network, a moving picture made here; prompts are
                                   answered and tint it, the other requests are answered as well */
    uint32_t dummy_width;       /* 16 .. 16,384, default 640 */
    uint32_t dummy_height;      /* 16 .. 16,384, default 360 */
    double dummy_fps;           /* 1 .. 240, default 24 */
    const char *frames;         /* address, default "tcp://127.0.0.1:5590"; "ipc:///path" */
    const char *control;        /* default: the next port, or the ipc path with ".control" behind;
                                   "none": frames only */
    const char *name;           /* shown in the server's log, at most 64 bytes, default "c" */
    const char *curve_public;   /* this client's key pair and the server's public key, Z85, */
    const char *curve_secret;   /* 40 characters each; made by `magi-rt keys`. Default: no keys */
    const char *curve_server;
    magi_log_function log;      /* default: silent */
    void *log_user;             /* given back to log */
} magi_client_desc;

/* Starts a client and its thread and returns at once; the server need not be there yet, and the
 * client looks for it until closed; a host whose name is not found is a server that is not there.
 * At most 64 clients are open at one time, a 65th is MAGI_BUSY. *out is yours to close; on error it
 * is all zero. Any thread. */
MAGI_API magi_status magi_client_open(const magi_client_desc *desc, magi_client *out);

/* Ends a client. Waits for its thread (some milliseconds, and for your logger if that runs: hold no
 * lock that it takes) and for calls of other threads that are inside the library. While libzmq still
 * looks up a host name in an address, it waits for that too: seconds, where no name server answers;
 * with numbers there is nothing to look up. Requests not yet sent are forgotten, receipts not yet
 * polled too, and every frame and text lent by it is gone: release leases before. MAGI_BAD_HANDLE
 * when it was closed already. Any thread; within the client's own logger it does nothing and answers
 * MAGI_BUSY. */
MAGI_API magi_status magi_client_close(magi_client client);

/* ---- Frames ---------------------------------------------------------------------------------- */

typedef struct magi_lease {
    uint32_t id;
} magi_lease;

#define MAGI_FRAME_REPEATED 1u       /* the last frame again, because you came late */
#define MAGI_FRAME_FIRST_OF_EPOCH 2u /* what came before no longer counts */

typedef struct magi_frame {
    uint32_t struct_size;  /* sizeof(magi_frame), set by you */
    magi_lease lease;      /* for magi_client_release_frame */
    const uint8_t *pixels; /* borrowed until released; read-only; begins at a multiple of 4 */
    uint64_t size;         /* bytes at pixels: height times stride, or the JPEG's length */
    uint32_t width;        /* pixels, 1 .. 16,384 */
    uint32_t height;       /* pixels, 1 .. 16,384 */
    uint32_t stride;       /* bytes from one row to the next, 0 for JPEG */
    magi_format format;    /* never default or any */
    magi_rows rows;        /* never default */
    uint32_t flags;        /* MAGI_FRAME_... */
    uint64_t epoch;        /* see WORDS; the first one is 0 */
    uint64_t seq;          /* counts frames sent, from 1; gaps are frames not sent or dropped */
    uint64_t frame;        /* the world's own number; goes back on rewind and reset */
    uint64_t chunk;        /* the chunk it was made in */
    uint64_t prompt;       /* id of the prompt that shaped it, 0 before the first */
    uint64_t due_ns;       /* when it is to be shown, on the server's clock */
    uint64_t sent_ns;      /* when it was sent, on the server's clock */
    uint64_t received_ns;  /* when it was taken from the network, on this machine's clock */
    char stream[24];       /* the server's run: 16 hexadecimal digits and a zero byte */
    uint32_t steps;        /* denoising steps that its chunk took; 0: the server does not say */
    uint32_t reserved;
} magi_frame;

/* Borrows the newest frame that you have not had (with MAGI_KEEP_EVERY: the oldest such).
 *   MAGI_OK         fills *out; give the lease back with magi_client_release_frame.
 *   MAGI_NO_FRAME   nothing new: draw what you have. The usual answer of a fast game.
 *   MAGI_LOST       nothing new, and the server is gone; the client goes on looking for it.
 *   MAGI_BUSY       you hold as many frames as leased_frames allows.
 * On any other answer than MAGI_OK, *out is untouched. Frames of older epochs are passed over here
 * as well, so after an `applied` receipt of a prompt with flush no frame from before it comes.
 * Each frame goes to one caller only: of several threads that ask, one gets it.
 * Any thread; takes no lock, copies no pixels, and costs well under 5 microseconds when there is
 * nothing. */
MAGI_API magi_status magi_client_acquire_frame(magi_client client, magi_frame *out);

/* Gives a frame back: its pixels are not to be read any more. MAGI_BAD_HANDLE when it was given
 * back before. Any thread, also another one than acquired it; takes no lock. */
MAGI_API magi_status magi_client_release_frame(magi_client client, magi_lease lease);

/* ---- State ----------------------------------------------------------------------------------- */

typedef enum magi_state {
    MAGI_STATE_WAITING = 0,   /* nothing heard yet */
    MAGI_STATE_CONNECTED = 1, /* heard from within lost_after_ms */
    MAGI_STATE_LOST = 2,      /* was there, now silent; the client goes on listening */
    MAGI_STATE_ENDED = 3,     /* the server said bye; the client listens for the next one */
    MAGI_STATE_FORCE_32 = 0x7FFFFFFF
} magi_state;

typedef struct magi_client_info {
    uint32_t struct_size;       /* sizeof(magi_client_info), set by you */
    magi_state state;
    magi_layout layout;         /* parts or shared: what is used now */
    uint32_t paused;            /* not zero: the world stands still; the server lives */
    uint32_t width;             /* the world's picture in pixels; 0 until the server said it */
    uint32_t height;
    uint32_t frames_per_chunk;  /* a prompt takes effect at a chunk's border */
    uint32_t delay_chunks;      /* chunks that come out before a new prompt shows */
    uint32_t prompt_characters; /* longest prompt the model takes */
    uint32_t control;           /* not zero: the control connection has been answered */
    uint64_t epoch;             /* newest one heard of */
    uint64_t silent_ns;         /* since the server was last heard, 0 before the first time */
    double fps;                 /* frames per second asked of the world, 0 until known */
    char stream[24];            /* empty until heard */
    char client[40];            /* this client's random id */
    char frames[256];           /* addresses in use */
    char control_address[256];  /* empty: none */
    char server[72];            /* name and version, empty until known */
    char model[72];
    char trouble[256];          /* the last warning or error as a sentence; empty: none yet */
} magi_client_info;

/* Fills *out with what is known now, as a copy that is yours. Any thread. */
MAGI_API magi_status magi_client_get_info(magi_client client, magi_client_info *out);

/* Counted since magi_client_open. */
typedef struct magi_counters {
    uint32_t struct_size;         /* sizeof(magi_counters), set by you */
    uint32_t reserved;
    uint64_t frames_received;     /* frame messages that arrived, also those dropped */
    uint64_t frames_acquired;     /* handed to you */
    uint64_t bytes_received;      /* pixels of frames_received */
    uint64_t dropped_replaced;    /* a newer one came before you took it, or the queue was full */
    uint64_t dropped_epoch;       /* of an older epoch */
    uint64_t dropped_stream;      /* of an older run of the server */
    uint64_t dropped_seq;         /* not newer than the last one (such as one repeated for others) */
    uint64_t dropped_stale;       /* had queued for longer than two frame times */
    uint64_t dropped_overwritten; /* shared memory: written over before it was read */
    uint64_t malformed;           /* messages outside the protocol, frames or answers */
    uint64_t events;              /* heartbeats, prompts, epochs, byes */
    uint64_t requests_sent;       /* repeats after silence not counted */
    uint64_t receipts;            /* receipts made, also those dropped */
    uint64_t receipts_dropped;    /* not polled: more than 1,024 waited, the oldest went */
    uint64_t reconnects;          /* times a lost or ended server was heard again */
    uint64_t streams;             /* runs of the server seen */
} magi_counters;

/* Fills *out; the numbers are not all of one moment. Any thread; takes no lock. */
MAGI_API magi_status magi_client_get_counters(magi_client client, magi_counters *out);

/* ---- Requests -------------------------------------------------------------------------------- */

typedef enum magi_at {
    MAGI_AT_NEXT = 0, /* from the next chunk on */
    MAGI_AT_NOW = 1,  /* also turns the chunks that are being made */
    MAGI_AT_FORCE_32 = 0x7FFFFFFF
} magi_at;

typedef enum magi_request_type {
    MAGI_REQUEST_PROMPT = 1,   /* text, at, flush. * */
    MAGI_REQUEST_RESET = 2,    /* seed, text. * */
    MAGI_REQUEST_IMAGE = 3,    /* image, seed, text: begins again from this picture. * */
    MAGI_REQUEST_REWIND = 4,   /* chunks, or to. * */
    MAGI_REQUEST_SNAPSHOT = 5, /* name: into the server's snapshot folder */
    MAGI_REQUEST_RESTORE = 6,  /* name of a snapshot or a fork. * */
    MAGI_REQUEST_FORK = 7,     /* name: keeps this moment in the server's memory */
    MAGI_REQUEST_PAUSE = 8,
    MAGI_REQUEST_RESUME = 9,
    MAGI_REQUEST_SET = 10,     /* fps, format, quality: those not zero, at least one */
    MAGI_REQUEST_STATS = 11,   /* the server's counters, in receipt.details */
    MAGI_REQUEST_FORCE_32 = 0x7FFFFFFF
} magi_request_type; /* * changes the picture: `applied` follows `accepted` */

typedef struct magi_request {
    uint32_t struct_size;   /* sizeof(magi_request) */
    magi_request_type type; /* says which of the other fields count; leave the others zero */
    const char *text;       /* prompt: at most 4,000 characters and 16,000 bytes; reset, image: */
                            /* the first prompt, null for the server's own */
    const char *name;       /* snapshot, restore, fork: 1 .. 64 of A-Z a-z 0-9 _ - */
    const void *image;      /* a whole PNG, JPEG or WebP file in memory */
    uint64_t image_size;    /* bytes, 1 .. 8,388,608 */
    uint64_t seed;          /* below 2^63, counts when has_seed is not zero */
    uint32_t has_seed;      /* zero: the same seed again */
    uint32_t chunks;        /* rewind by so many: 1 .. what the server remembers; default 1 */
    magi_at at;             /* prompt; default next */
    uint32_t flush;         /* prompt: not zero takes back what nobody has seen yet */
    double fps;             /* set: 1 .. 240, 0 leaves it */
    magi_format format;     /* set: what "any" is, default leaves it */
    uint32_t quality;       /* set: JPEG quality 1 .. 100, 0 leaves it */
    uint64_t to;            /* rewind: takes back all chunks from this number on, whatever is */
                            /* shown by then; 0 .. 2^53, counts when has_to is not zero */
    uint32_t has_to;        /* zero: rewind by chunks; else leave chunks zero */
    uint32_t reserved;
} magi_request;

/* Puts a copy of a request into the queue and returns; the library's thread sends it. *id becomes
 * its id, 1 or more, before any receipt of it can come, and is untouched on error; id may be null.
 * Receipts with that id follow: one accepted or error, and for the types marked * one applied or
 * error more. A request lost on the way is sent again; the server does it once. Besides the usual
 * errors: MAGI_TOO_LONG, MAGI_BUSY (256 wait), MAGI_NO_MEMORY, and MAGI_BAD_ARGUMENT for a value
 * outside its range or a text that is no UTF-8. Any thread. */
MAGI_API magi_status magi_client_send(magi_client client, const magi_request *request,
                                      uint64_t *id);

/* The same for a prompt; an empty text is one too, null is MAGI_BAD_ARGUMENT. `flush` not zero:
 * frames made but not shown are taken back. Any thread. */
MAGI_API magi_status magi_client_send_prompt(magi_client client, const char *text, magi_at at,
                                             uint32_t flush, uint64_t *id);

/* ---- Receipts -------------------------------------------------------------------------------- */

typedef enum magi_receipt_kind {
    MAGI_RECEIPT_ACCEPTED = 1, /* understood, and done or sure to be done */
    MAGI_RECEIPT_APPLIED = 2,  /* the first frame that shows it has been sent */
    MAGI_RECEIPT_ERROR = 3,    /* not done; see code and message */
    MAGI_RECEIPT_FORCE_32 = 0x7FFFFFFF
} magi_receipt_kind;

typedef enum magi_code {
    MAGI_CODE_NONE = 0,
    MAGI_CODE_MALFORMED = 1,
    MAGI_CODE_VERSION = 2,
    MAGI_CODE_UNKNOWN_TYPE = 3,
    MAGI_CODE_REFUSED = 4,    /* a value outside its range; the message says which */
    MAGI_CODE_TOO_LARGE = 5,
    MAGI_CODE_NOT_FOUND = 6,  /* no snapshot or fork of that name */
    MAGI_CODE_BUSY = 7,       /* too many requests wait at the server */
    MAGI_CODE_SUPERSEDED = 8, /* a later request came before it showed */
    MAGI_CODE_FAILED = 9,     /* the world could not do it and is as before */
    MAGI_CODE_OTHER = 99,     /* a code this library does not know; it stands in the message */
    MAGI_CODE_TIMEOUT = 100,  /* made here: no answer within request_timeout_ms */
    MAGI_CODE_RESTARTED = 101, /* made here: accepted by a server that has restarted since */
    MAGI_CODE_FORCE_32 = 0x7FFFFFFF
} magi_code;

typedef struct magi_receipt {
    uint32_t struct_size;   /* sizeof(magi_receipt), set by you */
    magi_receipt_kind kind;
    uint64_t request;       /* the id that magi_client_send gave */
    magi_request_type type;
    magi_code code;         /* of an error */
    uint64_t epoch;         /* newest epoch at the server, or the first frame's (applied) */
    uint64_t seq;           /* applied: of the first frame that shows it; else 0 */
    uint64_t frame;         /* applied: likewise */
    uint64_t chunk;         /* applied: likewise */
    uint64_t prompt;        /* prompts, accepted and applied: the id that frames carry; else 0 */
    const char *message;    /* error: a sentence for people, else empty. Never null */
    const char *details;    /* the answer's other keys as a JSON object, "{}" when none. Never null */
    char stream[24];        /* the server's run; empty before any was heard */
} magi_receipt;

/* Takes the oldest receipt; MAGI_NO_RECEIPT when none waits, and *out is untouched. message and
 * details are lent until the next call of this function for this client, whatever that answers, or
 * its close. So one thread at a time, any: poll until MAGI_NO_RECEIPT once per picture you draw.
 * At most 1,024 wait, then the oldest goes. */
MAGI_API magi_status magi_client_poll_receipt(magi_client client, magi_receipt *out);

#ifdef __cplusplus
}
#endif

#endif
