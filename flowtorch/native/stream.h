/* Results that are larger than the caches pass them by: a line that is written whole need not be read first. */
#ifndef FLOWTORCH_STREAM_H
#define FLOWTORCH_STREAM_H
#include "kernel.h"

/* Bytes that are computed before they go to memory: few, so that reading and writing overlap, and more where every
 * block costs a call of numpy's. */
#define STREAM_BLOCK 512
#define STREAM_CALL 2048

/* Whether a result of so many bytes is better streamed. On Intel's servers from about a million float32 on, where
 * the last cache takes writes no faster than memory does; elsewhere the last cache is fast, and what fits it stays. */
int streams(Index bytes);

/* Copies to memory past the caches; a call of stream_end makes it visible to other threads. */
void stream_copy(char *to, const char *from, Index bytes);
void stream_end(void);

/* Asks for the line that is read this many bytes later. The processor's own prefetching begins anew on every page, and
 * arithmetic fills its window of instructions, so that reading would wait: with this exp of a million numbers takes a
 * tenth less time, at any distance from 512 bytes to 8 kB. */
#define STREAM_AHEAD 2048
static inline void stream_prefetch(const char *line) { __builtin_prefetch(line + STREAM_AHEAD); }

/* Bytes from `to` to the next line of the cache. */
static inline Index to_line(const char *to) { return -(Index)(uintptr_t)to & 63; }
#endif
