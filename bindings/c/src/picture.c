#include "picture.h"

#include "topics.h"

typedef struct colour {
    uint8_t red, green, blue;
} colour;

static const colour TINTS[] = {{255, 140, 40}, {60, 120, 255}, {70, 200, 90},  {200, 80, 220},
                               {240, 220, 60}, {50, 210, 210}, {230, 70, 70}};

static uint8_t shade(uint8_t channel, uint32_t brightness)
{
    return (uint8_t)(channel * brightness / 255);
}

static void put(uint8_t *pixel, magi_format format, colour is)
{
    bool blue_first = format == MAGI_FORMAT_BGRA8 || format == MAGI_FORMAT_BGR8;
    pixel[0] = blue_first ? is.blue : is.red;
    pixel[1] = is.green;
    pixel[2] = blue_first ? is.red : is.blue;
    if (format == MAGI_FORMAT_RGBA8 || format == MAGI_FORMAT_BGRA8) pixel[3] = 255;
}

/* Colour of the pixel in column x, y rows below the picture's upper edge. */
static colour colour_at(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint64_t frame,
                        colour tint)
{
    uint32_t side = height / 4, left = (uint32_t)(frame * 4 % width);
    if (x >= left && x < left + side && y >= height / 2 && y < height / 2 + side)
        return (colour){255, 255, 255};
    if (y < height / 8) return (colour){20, 20, 20};
    uint32_t brightness = 96 + (x + (uint32_t)(frame % 256)) * 159 / (width + 256);
    return (colour){shade(tint.red, brightness), shade(tint.green, brightness),
                    shade(tint.blue, brightness)};
}

void mg_picture_draw(uint8_t *pixels, uint32_t width, uint32_t height, magi_format format,
                     magi_rows rows, uint64_t frame, uint64_t prompt)
{
    uint32_t bytes = mg_bytes_per_pixel(format);
    colour tint = TINTS[prompt % (sizeof TINTS / sizeof TINTS[0])];
    for (uint32_t row = 0; row < height; row++) {
        uint32_t y = rows == MAGI_ROWS_BOTTOM ? height - 1 - row : row;
        uint8_t *pixel = pixels + (size_t)row * width * bytes;
        for (uint32_t x = 0; x < width; x++, pixel += bytes)
            put(pixel, format, colour_at(x, y, width, height, frame, tint));
    }
}
