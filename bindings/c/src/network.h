/* The library's thread when there is a server: it alone touches the sockets. */
#ifndef MG_NETWORK_H
#define MG_NETWORK_H

#include "answers.h"
#include "client.h"
#include "connection.h"
#include "gate.h"
#include "shared.h"

#define MESSAGES_PER_ROUND 256 /* of frames, and of answers: neither keeps the other waiting */

typedef struct mg_network {
    mg_client *client;
    void *context;
    void *frames;  /* SUB */
    void *control; /* DEALER, null when there is none */
    mg_unpacker unpacker;
    uint64_t now_ns; /* read once a round */

    /* frames */
    mg_gate gate;
    zmq_msg_t parts[2]; /* topic and header (or event) of the message being read */
    zmq_msg_t surplus;
    mg_topic topic; /* that the pixels are wanted under, through the socket */
    uint32_t filling;   /* the slot that the next pixels go to */
    uint32_t candidate; /* the newest taken frame not yet published, or MG_NO_SLOT */
    bool candidate_shared;
    uint64_t candidate_slot, candidate_turn; /* where its pixels are in shared memory */
    bool candidate_stale;
    uint64_t stale_since_ns; /* when the first frame of a row of stale ones was set aside, or 0 */
    mg_shared shared;
    mg_datagrams doorbell; /* headers of shared frames come here where the server can ring */
    char bell[17];         /* its name */
    bool rung;             /* it has: they come here alone */
    bool shared_left;         /* because the server was silent; asked for again when it is heard */
    uint64_t asked_again_ns;    /* when a frame that never came was asked for, or 0 */
    uint64_t asked_again_after; /* the newest that had come then */
    uint64_t malformed_said_ns;
    uint64_t malformed_unsaid;

    /* control */
    mg_request hello;
    bool hello_answered;
    mg_request *pending; /* sent or to be sent, oldest first */
    bool blocked;        /* the last send found libzmq's queue full */
    mg_connection connection;
    char answer_stream[24];
    uint64_t answer_epoch;
} mg_network;

/* frames.c */
bool mg_frames_open(mg_network *network);
void mg_frames_close(mg_network *network);
void mg_frames_receive(mg_network *network); /* everything that is there */
void mg_frames_settle(mg_network *network);  /* publishes what is due; shows stale ones in need */
void mg_frames_new_stream(mg_network *network);
void mg_frames_use_shared(mg_network *network, const char *path, const char *stream);
void mg_frames_ask_again(mg_network *network); /* the server's last never came */
void mg_frames_silent(mg_network *network); /* perhaps only in shared memory */

/* watch.c */
void mg_watch_heard(mg_network *network); /* something came from the server's frames socket */
void mg_watch_silence(mg_network *network);
bool mg_watch_stream(mg_network *network, const char *stream); /* false: of a past stream */
void mg_watch_event(mg_network *network, const mg_event *event);
void mg_watch_malformed(mg_network *network, const char *what);

/* control.c */
void mg_control_open(mg_network *network);
void mg_control_close(mg_network *network);
void mg_control_take(mg_network *network);    /* requests of the caller's threads */
void mg_control_receive(mg_network *network); /* answers */
void mg_control_send(mg_network *network);    /* what is due, again or for the first time */
void mg_control_greet(mg_network *network);   /* says hello (again) */
void mg_control_new_stream(mg_network *network);
void mg_control_reconnected(mg_network *network); /* perhaps to another server */

#endif
