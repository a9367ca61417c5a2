/* The innermost loops of products, see tiles.h. */
#include "tiles.h"

#define AHEAD 8 /* rows of a panel that are asked for before they are read */

INLINE void product(const int F, const int V, const TileRows *r, const float *b, float *c, Index c_line, int add) {
    vf s[TILE_ROWS][PANEL_VECTORS]; /* sizes that are no parameters, so that all of it goes to registers */
    const float *row[TILE_ROWS];
#pragma GCC unroll 16
    for (int f = 0; f < F; f++) {
        row[f] = r->a + r->off[f];
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) s[f][v] = v_all(0);
    }
    for (Index n = 0; n < r->images; n++)
        for (Index y = 0; y < r->lines; y++) {
            Index k = n * r->image + y * r->line;
            for (Index end = k + r->columns * r->step; k < end; k += r->step, b += V * LANES) {
                vf x[PANEL_VECTORS];
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) {
                    x[v] = v_load(b + v * LANES);
                    __builtin_prefetch(b + (AHEAD * V + v) * LANES);
                }
#pragma GCC unroll 16
                for (int f = 0; f < F; f++) {
                    vf w = v_all(row[f][k]);
#pragma GCC unroll 4
                    for (int v = 0; v < V; v++) s[f][v] = v_fma(w, x[v], s[f][v]);
                }
            }
        }
#pragma GCC unroll 16
    for (int f = 0; f < F; f++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
            float *to = c + f * c_line + v * LANES;
            v_store(to, add ? v_load(to) + s[f][v] : s[f][v]);
        }
}

#define PRODUCT(F, V) case F * 4 + V: product(F, V, rows, panel, c, c_line, add); break;
#define PRODUCTS(F) PRODUCT(F, 1) PRODUCT(F, 2) PRODUCT(F, 3)

void tile_product(Index count, Index vectors, const TileRows *rows, const float *panel, float *c, Index c_line, int add) {
    switch (count * 4 + vectors) {
        PRODUCTS(1) PRODUCTS(2) PRODUCTS(3) PRODUCTS(4)
#if WIDE
        PRODUCTS(5) PRODUCTS(6) PRODUCTS(7) PRODUCTS(8) PRODUCTS(9)
#endif
    }
}

/* Numbers of a and b by their places in both, one after the other. */
INLINE vf v_pick(vf a, vf b, vi places) {
#ifdef __clang__
    return EACH(places[j] < LANES ? a[places[j]] : b[places[j] - LANES]);
#else
    return __builtin_shuffle(a, b, places);
#endif
}

/* A square of vectors: in round s, the blocks of s numbers off the diagonal change places. */
INLINE void transpose_square(vf *r) {
#pragma GCC unroll 4
    for (int s = 1; s < LANES; s *= 2) {
        vi upper, lower;
        for (int j = 0; j < LANES; j++) {
            upper[j] = j & s ? LANES + j - s : j;
            lower[j] = j & s ? LANES + j : j + s;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & s) continue;
            vf a = r[i], b = r[i + s];
            r[i] = v_pick(a, b, upper);
            r[i + s] = v_pick(a, b, lower);
        }
    }
}

/* A whole square, or the first `deep` rows and `wide` columns of one. */
INLINE void transpose_part(float *to, Index to_line, const float *from, Index from_line, Index deep, Index wide, int whole) {
    vf r[LANES];
#pragma GCC unroll 16
    for (int k = 0; k < LANES; k++)
        r[k] = whole ? v_load(from + k * from_line) : k < deep ? v_load_part(from + k * from_line, wide, 0) : v_all(0);
    transpose_square(r);
#pragma GCC unroll 16
    for (int k = 0; k < LANES; k++)
        if (whole) v_store(to + k * to_line, r[k]);
        else if (k < wide) v_store_part(to + k * to_line, r[k], deep);
}

void transpose_into(float *to, Index to_line, const float *from, Index from_line, Index m, Index n) {
    for (Index i = 0; i < m; i += LANES)
        for (Index j = 0; j < n; j += LANES) {
            Index deep = m - i < LANES ? m - i : LANES, wide = n - j < LANES ? n - j : LANES;
            const float *x = from + i * from_line + j;
            float *y = to + j * to_line + i;
            if (deep == LANES && wide == LANES) transpose_part(y, to_line, x, from_line, LANES, LANES, 1);
            else transpose_part(y, to_line, x, from_line, deep, wide, 0);
        }
}
