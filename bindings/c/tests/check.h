/* The least a test needs: a check that says where it failed, and names of tests as sentences. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);     \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

#define CHECK_NUMBER(is, should)                                                          \
    do {                                                                                  \
        long long is_ = (long long)(is), should_ = (long long)(should);                   \
        if (is_ != should_) {                                                             \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #is, is_, \
                    should_);                                                             \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* Asks again every millisecond, for ten seconds at most, until it is true. */
#define CHECK_SOON(condition)                                                             \
    do {                                                                                  \
        int left_ = 10000;                                                                \
        while (!(condition) && left_-- > 0) mg_sleep_ms(1);                               \
        if (left_ <= 0) {                                                                 \
            fprintf(stderr, "%s:%d: never true: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

#define RUN(test)               \
    do {                        \
        printf("%s\n", #test);  \
        fflush(stdout);         \
        test();                 \
    } while (0)

#define SKIPPED 77

#endif
