#include "stream.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

int streams(Index bytes) {
#if defined(__SSE2__)
    static Index least;
    if (least == 0) {
        __builtin_cpu_init();
        least = __builtin_cpu_is("intel") && __builtin_cpu_supports("avx512f") ? 4000000 : 64 << 20;
    }
    return bytes >= least;
#else
    return 0;
#endif
}

void stream_copy(char *to, const char *from, Index bytes) {
#if defined(__SSE2__)
    Index head = to_line(to);
    if (head > bytes) head = bytes;
    memcpy(to, from, head);
    to += head, from += head, bytes -= head;
    for (; bytes >= 64; to += 64, from += 64, bytes -= 64)
#if defined(__AVX512F__)
        _mm512_stream_si512((__m512i *)to, _mm512_loadu_si512(from));
#else
        for (int k = 0; k < 64; k += 16)
            _mm_stream_si128((__m128i *)(to + k), _mm_loadu_si128((const __m128i *)(from + k)));
#endif
#endif
    memcpy(to, from, bytes);
}

void stream_end(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
