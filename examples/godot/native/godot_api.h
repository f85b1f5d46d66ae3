/*
 * As much of Godot 3's GDNative interface as this example uses.
 *
 * Debian has the engine but not its headers (they are the repository godot-headers of the engine's
 * makers). The engine hands over a table of functions whose order stays the same in every
 * Godot 3: GODOT_... below are places in that table. With the engine's headers at hand, use those.
 */
#ifndef GODOT_API_H
#define GODOT_API_H

#include <stdbool.h>
#include <stdint.h>

#if defined(_WIN32)
#define GODOT_EXPORT __declspec(dllexport)
#else
#define GODOT_EXPORT __attribute__((visibility("default")))
#endif

typedef void godot_object;

/* Only their sizes are known to us. */
typedef struct {
    uint8_t inside[24];
} godot_variant;

typedef struct {
    uint8_t inside[sizeof(void *)];
} godot_bytes;

typedef void (*godot_function)(void);

typedef struct {
    unsigned int type;
    struct {
        unsigned int major, minor;
    } version;
    const void *next;
} godot_api_head;

/* The table of the engine itself. */
typedef struct {
    godot_api_head head;
    unsigned int extension_count;
    const godot_api_head **extensions;
    godot_function functions[565];
} godot_core;

enum {
    GODOT_BYTES_NEW = 155,           /* void (godot_bytes *) */
    GODOT_BYTES_RESIZE = 164,        /* void (godot_bytes *, int) */
    GODOT_BYTES_READ = 165,          /* void *(const godot_bytes *) */
    GODOT_BYTES_WRITE = 166,         /* void *(godot_bytes *) */
    GODOT_BYTES_SIZE = 169,          /* int (const godot_bytes *) */
    GODOT_BYTES_DESTROY = 170,       /* void (godot_bytes *) */
    GODOT_BYTES_READ_POINTER = 268,  /* const uint8_t *(const void *read) */
    GODOT_BYTES_READ_END = 270,      /* void (void *read) */
    GODOT_BYTES_WRITE_POINTER = 296, /* uint8_t *(const void *write) */
    GODOT_BYTES_WRITE_END = 298,     /* void (void *write) */
    GODOT_VARIANT_NEW_INT = 512,     /* void (godot_variant *, int64_t) */
    GODOT_VARIANT_NEW_BYTES = 530,   /* void (godot_variant *, const godot_bytes *) */
    GODOT_VARIANT_AS_INT = 539,      /* int64_t (const godot_variant *) */
    GODOT_VARIANT_AS_BYTES = 557     /* godot_bytes (const godot_variant *) */
};

/* The part of NativeScript: classes in C that scripts use like any other. */
#define GODOT_NATIVESCRIPT 1u /* head.type of that extension */

typedef struct {
    void *(*create)(godot_object *self, void *data);
    void *data;
    void (*free)(void *data);
} godot_create;

typedef struct {
    void (*destroy)(godot_object *self, void *data, void *made);
    void *data;
    void (*free)(void *data);
} godot_destroy;

typedef struct {
    godot_variant (*call)(godot_object *self, void *data, void *made, int count,
                          godot_variant **arguments);
    void *data;
    void (*free)(void *data);
} godot_method;

typedef struct {
    int remote; /* 0: not called over Godot's own network */
} godot_method_attributes;

typedef struct {
    godot_api_head head;
    void (*register_class)(void *library, const char *name, const char *base, godot_create create,
                           godot_destroy destroy);
    void (*register_tool_class)(void *library, const char *name, const char *base,
                                godot_create create, godot_destroy destroy);
    void (*register_method)(void *library, const char *class_name, const char *name,
                            godot_method_attributes attributes, godot_method method);
} godot_nativescript;

typedef struct {
    bool in_editor;
    uint64_t core_hash, editor_hash, no_hash;
    void (*report_version_mismatch)(void);
    void (*report_loading_error)(const godot_object *library, const char *what);
    godot_object *library;
    const godot_core *core;
    const void *path;
} godot_options;

#endif
