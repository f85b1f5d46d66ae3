#include "magi_rt.h"

#ifdef __cplusplus
#define IS_TRUE static_assert
#else
#define IS_TRUE _Static_assert
#endif

/* The binary interface on 64-bit machines. A struct may grow at its end while the library takes its
 * older sizes too; any other change here is a new MAGI_RT_ABI. */
#if UINTPTR_MAX == UINT64_MAX
IS_TRUE(sizeof(magi_client_desc) == 120, "magi_client_desc");
IS_TRUE(sizeof(magi_frame) == 144 && offsetof(magi_frame, steps) == 136, "magi_frame");
IS_TRUE(offsetof(magi_frame, epoch) == 48, "magi_frame.epoch");
IS_TRUE(sizeof(magi_client_info) == 1040, "magi_client_info");
IS_TRUE(sizeof(magi_counters) == 136, "magi_counters");
IS_TRUE(sizeof(magi_request) == 96 && offsetof(magi_request, to) == 80, "magi_request");
IS_TRUE(sizeof(magi_receipt) == 104, "magi_receipt");
#endif
IS_TRUE(sizeof(magi_status) == 4 && sizeof(magi_format) == 4 && sizeof(magi_client) == 4, "words");

int main(void) { return magi_abi() == MAGI_RT_ABI ? 0 : 1; }
