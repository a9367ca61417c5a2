/* Convolution with few channels, without gathering what an output position sees.
 *
 * Output positions are numbered with the planes' row length, so that the input of tap k for neighbouring outputs is a
 * run of memory at a fixed distance, across the ends of rows too; what is computed between the end of an output row and
 * that of the plane's is thrown away. The adjoint in the weight is one of dot products of the same runs. */
#include "conv.h"
#include <stdlib.h>

#define CHUNK 576 /* positions that are computed before they are stored: whole blocks of 3 and of 4 vectors */
#if WIDE
#define TILE 9 /* output channels whose sums stay in registers, with three vectors of positions */
#else
#define TILE 6
#endif

/* ---- correlation */

INLINE void block(const int F, const int V, const float *w, Index k, const int32_t *off, const float *x, float *y) {
    vf a[TILE][4]; /* sizes that are no parameters, so that all of it goes to registers */
#pragma GCC unroll 16
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) a[f][v] = v_all(0);
    for (Index t = 0; t < k; t++, w += F) {
        const float *at = x + off[t];
        vf b[4];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) b[v] = v_load(at + v * LANES);
#pragma GCC unroll 16
        for (int f = 0; f < F; f++)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) a[f][v] = v_fma(v_all(w[f]), b[v], a[f][v]);
    }
#pragma GCC unroll 16
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) v_store(y + f * CHUNK + v * LANES, a[f][v]);
}

#define CHANNELS(F, V)                                                                                                \
    case F:                                                                                                           \
        for (Index p = 0; p < n; p += V * LANES) block(F, V, w, k, off, x + p, y + p);                                \
        break;

static void chunk(Index f, const float *w, Index k, const int32_t *off, const float *x, float *y, Index n) {
    switch (f) {
        CHANNELS(1, 4) CHANNELS(2, 4) CHANNELS(3, 4)
#if WIDE
        CHANNELS(4, 4) CHANNELS(5, 4) CHANNELS(6, 4) CHANNELS(7, 3) CHANNELS(8, 3) CHANNELS(9, 3)
#else
        CHANNELS(4, 2) CHANNELS(5, 2) CHANNELS(6, 2)
#endif
    }
}

typedef struct {
    const Correlation *w;
    const float *packed; /* the weights as the tiles take them: [group][tile][k][channel of the tile] */
    Index tiles, chunks;
} Direct;

/* The channels of tile number `tile`, of as equal tiles as there can be. */
INLINE Index tile_start(const Direct *d, Index tile) { return d->w->f * tile / d->tiles; }

static void pack(const Direct *d, float *to) {
    const Correlation *w = d->w;
    for (Index group = 0; group < w->groups; group++)
        for (Index tile = 0; tile < d->tiles; tile++) {
            Index first = tile_start(d, tile), last = tile_start(d, tile + 1);
            for (Index k = 0; k < w->k; k++)
                for (Index f = first; f < last; f++) *to++ = w->w[(group * w->f + f) * w->k + k];
        }
}

static void compute_chunks(void *context, Index begin, Index end) {
    const Direct *d = context;
    const Correlation *w = d->w;
    _Alignas(64) float y[TILE * CHUNK];
    for (Index item = begin; item < end; item++) {
        Index rest = item, part = rest % d->chunks, tile, group, image;
        rest /= d->chunks, tile = rest % d->tiles, rest /= d->tiles, group = rest % w->groups, image = rest / w->groups;
        Index first = tile_start(d, tile), f = tile_start(d, tile + 1) - first;
        Index p = part * CHUNK, total = w->rows * w->pitch, n = total - p < CHUNK ? total - p : CHUNK;
        const float *weights = d->packed + (group * w->f + first) * w->k;
        chunk(f, weights, w->k, w->off, w->x + image * w->x_image + group * w->x_group + p, y, n);
        for (Index i = 0; i < f; i++) {
            Index channel = group * w->f + first + i;
            float bias = w->bias ? w->bias[channel] : 0;
            float *out = w->y + image * w->y_image + channel * w->y_channel;
            for (Index at = p; at < p + n;) {
                Index row = at / w->pitch, column = at % w->pitch;
                Index stop = w->columns < column + p + n - at ? w->columns : column + p + n - at;
                const float *from = y + i * CHUNK + (at - p) - column;
                float *to = out + row * w->y_row;
                if (w->y_column == 1) for (Index j = column; j < stop; j++) to[j] = from[j] + bias;
                else for (Index j = column; j < stop; j++) to[j * w->y_column] = from[j] + bias;
                at += w->pitch - column;
            }
        }
    }
}

int correlate_direct(const Correlation *w, Index images) {
    Index run = w->rows * w->pitch;
    Direct d = {w, NULL, (w->f + TILE - 1) / TILE, (run + CHUNK - 1) / CHUNK};
    float *packed = malloc(w->groups * w->f * w->k * sizeof(float));
    if (packed == NULL) return 0;
    pack(&d, packed);
    d.packed = packed;
    Index work = (w->f / d.tiles + 1) * w->k * (run / d.chunks + 1);
    parallel_for(images * w->groups * d.tiles * d.chunks, GRAIN(400000, work), compute_chunks, &d);
    free(packed);
    return 1;
}

/* ---- the gradient of the weight */

#define DOT_F 4
#define DOT_K 6
#define DOT_RUN 2048 /* positions whose products are summed in float32 */

/* The runs of several images, one after the other: `count` numbers of each. */
typedef struct { const float *g, *x; Index images, g_image, x_image, g_channel, count; } Runs;

INLINE void dots(const int F, const int K, const Runs *r, const int32_t *off, double *sums, Index line) {
    vf a[DOT_F][DOT_K];
#pragma GCC unroll 8
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) a[f][k] = v_all(0);
    for (Index n = 0; n < r->images; n++) {
        const float *g = r->g + n * r->g_image, *x = r->x + n * r->x_image;
        const float *at[DOT_K];
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) at[k] = x + off[k];
        Index step = r->g_channel, count = r->count;
        for (Index p = 0; p < count; p += LANES) {
            vf b[DOT_F];
#pragma GCC unroll 8
            for (int f = 0; f < F; f++) b[f] = v_load(g + f * step + p);
#pragma GCC unroll 8
            for (int k = 0; k < K; k++) {
                vf c = v_load(at[k] + p);
#pragma GCC unroll 8
                for (int f = 0; f < F; f++) a[f][k] = v_fma(b[f], c, a[f][k]);
            }
        }
    }
#pragma GCC unroll 8
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) sums[f * line + k] += v_sum(a[f][k]);
}

#define DOTS(F, K) case F * 8 + K: dots(F, K, r, off, sums, line); break;
#define DOTS_OF(F) DOTS(F, 1) DOTS(F, 2) DOTS(F, 3) DOTS(F, 4) DOTS(F, 5) DOTS(F, 6)

static void some_dots(Index f, Index k, const Runs *r, const int32_t *off, double *sums, Index line) {
    switch (f * 8 + k) { DOTS_OF(1) DOTS_OF(2) DOTS_OF(3) DOTS_OF(4) }
}

typedef struct {
    const Products *w;
    float *rows; /* the gradient with the planes' pitch */
    double *sums; /* [group][f][k] */
    Index run, tiles;
} Dots;

/* The gradient's rows at the planes' pitch, zeros between them. */
static void spread(void *context, Index begin, Index end) {
    const Dots *d = context;
    const Products *w = d->w;
    for (Index c = begin; c < end; c++) {
        float *y = d->rows + c * d->run;
        memset(y, 0, d->run * sizeof(float));
        for (Index r = 0; r < w->lines; r++)
            memcpy(y + r * w->pitch, w->grad + (c * w->lines + r) * w->columns, w->columns * sizeof(float));
    }
}

static void compute_dots(void *context, Index begin, Index end) {
    const Dots *d = context;
    const Products *w = d->w;
    Index together = DOT_RUN / d->run + 1; /* images whose products are summed before the sums leave the registers */
    Index image = w->groups * w->f * d->run;
    for (Index item = begin; item < end; item++) {
        Index group = item / d->tiles, tile = item % d->tiles;
        Index first = w->f * tile / d->tiles, f = w->f * (tile + 1) / d->tiles - first;
        double *sums = d->sums + (group * w->f + first) * w->k;
        for (Index n = 0; n < w->images; n += together)
            for (Index p = 0; p < d->run; p += DOT_RUN) {
                Runs r = {.g = d->rows + n * image + (group * w->f + first) * d->run + p,
                          .x = w->planes + n * w->plane_image + group * w->plane_group + p,
                          .images = w->images - n < together ? w->images - n : together, .g_image = image,
                          .x_image = w->plane_image, .g_channel = d->run,
                          .count = d->run - p < DOT_RUN ? d->run - p : DOT_RUN};
                for (Index k = 0; k < w->k; k += DOT_K)
                    some_dots(f, w->k - k < DOT_K ? w->k - k : DOT_K, &r, w->off + k, sums + k, w->k);
            }
    }
}

int products_direct(const Products *w, double *sums) {
    Index channels = w->groups * w->f, run = (w->lines * w->pitch + LANES - 1) / LANES * LANES;
    Dots d = {w, malloc((w->images * channels * run + 1) * sizeof(float)), sums, run, (w->f + DOT_F - 1) / DOT_F};
    if (d.rows == NULL) return 0;
    parallel_for(w->images * channels, GRAIN(60000, run), spread, &d);
    parallel_for(w->groups * d.tiles, GRAIN(400000, w->images * run * DOT_F * w->k), compute_dots, &d);
    free(d.rows);
    return 1;
}
