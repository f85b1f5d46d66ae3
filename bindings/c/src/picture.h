/* The moving picture of dummy mode. */
#ifndef MG_PICTURE_H
#define MG_PICTURE_H

#include "magi_rt.h"

/* Draws frame number `frame`: a slow gradient tinted by the prompt, a white square that moves from
 * left to right, and a dark strip along the picture's uppermost rows, so that a picture that
 * stands on its head or has its colours swapped is seen at once (prompt 0 is orange). */
void mg_picture_draw(uint8_t *pixels, uint32_t width, uint32_t height, magi_format format,
                     magi_rows rows, uint64_t frame, uint64_t prompt);

#endif
