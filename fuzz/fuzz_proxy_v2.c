/* The PROXY header: any cut of an input gives MORE until the whole is decided, and what is decided does
 * not depend on what follows it. */
#include "os/proxy_v2.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProxyHeader header, again;
    size_t used = 0, used_again = 0;
    Str bytes = str_of(data, size);
    ProxyV2Step step = proxy_v2_decode(bytes, &header, &used);
    ASSERT(step != PROXY_V2_MORE || size < PROXY_V2_BYTES_MAX);
    size_t decided = step == PROXY_V2_DONE ? used : size;
    ASSERT(decided <= size);
    for (size_t cut = 0; cut < MIN(decided, (size_t)300); cut++) {
        ProxyV2Step part = proxy_v2_decode(str_sub(bytes, 0, cut), &again, &used_again);
        ASSERT(part == PROXY_V2_MORE || (step == PROXY_V2_REFUSE && part == PROXY_V2_REFUSE));
    }
    if (step != PROXY_V2_DONE)
        return 0;
    ASSERT(used >= PROXY_V2_FIXED_BYTES && used <= PROXY_V2_BYTES_MAX);
    ASSERT(header.announces == (header.source_len == 4 || header.source_len == 16));
    ASSERT(proxy_v2_decode(str_sub(bytes, 0, used), &again, &used_again) == PROXY_V2_DONE);
    ASSERT(used_again == used && memcmp(&header, &again, sizeof header) == 0);
    return 0;
}
