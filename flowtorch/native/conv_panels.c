/* Convolution with many channels: what a number of output positions see is copied into a panel, in the order in which
 * the innermost loop reads it (tiles.h). Positions are numbered through the images, so that small maps fill panels too. */
#include "conv.h"
#include "tiles.h"
#include <stdatomic.h>
#include <stdlib.h>

#define DEPTH 1152 /* taps of a panel that are in the nearest cache together */

int panels_suit(Index channels, Index positions) { return channels >= 16 && positions >= LANES; }

INLINE Index least(Index a, Index b) { return a < b ? a : b; }

static float *room_for(Index n) { return aligned_alloc(64, (n * sizeof(float) + 64 + 63) / 64 * 64); }

/* ---- correlation */

/* Neighbours in a row of the output, as many as a vector has at most: `count` from place `at` of the panel on. */
typedef struct { Index from, to; int at, count; } Piece;

typedef struct {
    const Correlation *w;
    Index positions, panels, parts;
    atomic_int failed;
} Panels;

static int pieces_of(const Correlation *w, Index first, int width, Piece *pieces) {
    int n = 0, run;
    for (int at = 0; at < width; at += run) {
        Index p = first + at, column = p % w->columns, line = p / w->columns, row = line % w->rows, image = line / w->rows;
        run = width - at < LANES ? width - at : LANES;
        if (w->columns - column < run) run = (int)(w->columns - column);
        pieces[n++] = (Piece){image * w->x_image + row * w->pitch + column,
                              image * w->y_image + row * w->y_row + column * w->y_column, at, run};
    }
    return n;
}

/* Numbers of the taps to rows of a panel, `n` pieces of each. Whole vectors are moved: what a piece has too much, the
 * next one overwrites. All are read before any is written: a read waits for writes to places that look alike. */
INLINE void move(const int n, const float *x, const int32_t *off, Index taps, const Piece *pieces, Index width, float *panel) {
    Index from[8], at[8];
    for (int i = 0; i < n; i++) from[i] = pieces[i].from, at[i] = pieces[i].at;
    for (Index t = 0; t < taps; t++, panel += width) {
        const float *tap = x + off[t];
        vf v[8];
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) v[i] = v_load(tap + from[i]);
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) v_store(panel + at[i], v[i]);
    }
}

static void fill_panel(const float *x, const int32_t *off, Index taps, const Piece *pieces, int n, Index width, float *panel,
                       int bounded) {
    switch (bounded ? 0 : n) {
#define MOVE(N) case N: move(N, x, off, taps, pieces, width, panel); return;
        MOVE(1) MOVE(2) MOVE(3) MOVE(4) MOVE(5) MOVE(6) MOVE(7) MOVE(8)
#undef MOVE
    }
    for (Index t = 0; t < taps; t++, panel += width)
        for (int i = 0; i < n; i++) {
            const float *from = x + off[t] + pieces[i].from;
            v_store(panel + pieces[i].at, bounded ? v_load_part(from, pieces[i].count, 0) : v_load(from));
        }
}

static void store_tile(const Correlation *w, Index channel, Index count, const Piece *pieces, int n, const float *sums) {
    for (Index f = 0; f < count; f++, sums += PANEL) {
        float bias = w->bias ? w->bias[channel + f] : 0;
        float *y = w->y + (channel + f) * w->y_channel;
        for (int i = 0; i < n; i++) {
            const Piece *piece = pieces + i;
            if (w->y_column == 1) v_store_part(y + piece->to, v_load_part(sums + piece->at, piece->count, 0) + bias, piece->count);
            else for (int j = 0; j < piece->count; j++) y[piece->to + j * w->y_column] = sums[piece->at + j] + bias;
        }
    }
}

/* One panel against tiles [begin, end) of a group, in slices of taps, which stay in the cache that is nearest. */
static void compute_panel(const Correlation *w, Index group, Index first, Index positions, Index begin, Index end, float *room) {
    Index width = least(positions - first, PANEL);
    Piece pieces[PANEL];
    int32_t off[TILE_ROWS];
    int n = pieces_of(w, first, (int)width, pieces), bounded = w->bounded && first + width + LANES > positions;
    Index vectors = (width + LANES - 1) / LANES, slices = (w->k + DEPTH - 1) / DEPTH;
    float *panel = room, *sums = room + PANEL * DEPTH + LANES;
    for (int i = 0; i < TILE_ROWS; i++) off[i] = (int32_t)(i * w->k);
    for (Index slice = 0; slice < slices; slice++) {
        Index k = w->k * slice / slices, stop = w->k * (slice + 1) / slices;
        fill_panel(w->x + group * w->x_group, w->off + k, stop - k, pieces, n, vectors * LANES, panel, bounded);
        for (Index tile = begin; tile < end; tile++) {
            Index f = tile_begin(w->f, tile), count = tile_begin(w->f, tile + 1) - f, channel = group * w->f + f;
            for (Index t = k; t < stop; t += TILE_SUM) {
                TileRows rows = {w->w + channel * w->k + t, off, 1, 1, least(stop - t, TILE_SUM), 0, 0, 1};
                tile_product(count, vectors, &rows, panel + (t - k) * vectors * LANES, sums + f * PANEL, PANEL, t > 0);
            }
            if (slice == slices - 1) store_tile(w, channel, count, pieces, n, sums + f * PANEL);
        }
    }
}

static void compute_panels(void *context, Index begin, Index end) {
    Panels *p = context;
    const Correlation *w = p->w;
    Index tiles = tiles_of(w->f);
    float *room = room_for(PANEL * DEPTH + LANES + w->f * PANEL);
    if (room == NULL) atomic_store(&p->failed, 1);
    for (Index item = begin; item < end && room; item++) {
        Index part = item % p->parts, group = item / p->parts % w->groups, first = item / p->parts / w->groups * PANEL;
        compute_panel(w, group, first, p->positions, tiles * part / p->parts, tiles * (part + 1) / p->parts, room);
    }
    free(room);
}

int correlate_panels(const Correlation *w, Index images) {
    Panels p = {.w = w, .positions = images * w->rows * w->columns};
    p.panels = (p.positions + PANEL - 1) / PANEL;
    Index threads = threads_get(), tiles = tiles_of(w->f), items = p.panels * w->groups;
    p.parts = items < 2 * threads && threads > 1 ? (2 * threads + items - 1) / items : 1;
    if (p.parts > tiles) p.parts = tiles;
    parallel_for(items * p.parts, GRAIN(1000000, w->f / p.parts * w->k * PANEL), compute_panels, &p);
    return !p.failed;
}

/* ---- the gradient of the weight: a panel of channels of the output's gradient for each position */

typedef struct {
    const Products *w;
    float *panels; /* [group][panel][image][position][channel of the panel] */
    float *sums;   /* [group][panel][tap][channel of the panel] */
    Index area, count, parts; /* count: panels of a group */
    int add;                  /* whether there are sums already */
} Gradients;

static Index panel_width(const Gradients *s, Index panel) {
    Index rest = s->w->f - panel * PANEL;
    return rest < PANEL ? (rest + LANES - 1) / LANES * LANES : PANEL;
}

static float *panel_of(const Gradients *s, Index group, Index panel) {
    Index whole = (s->w->f + LANES - 1) / LANES * LANES;
    return s->panels + (group * whole + panel * PANEL) * s->w->images * s->area;
}

static void turn_gradients(void *context, Index begin, Index end) {
    const Gradients *s = context;
    const Products *w = s->w;
    for (Index item = begin; item < end; item++) {
        Index image = item % w->images, panel = item / w->images % s->count, group = item / w->images / s->count;
        Index width = panel_width(s, panel), channels = w->f - panel * PANEL;
        float *to = panel_of(s, group, panel) + image * s->area * width;
        const float *from = w->grad + (image * w->groups * w->f + group * w->f + panel * PANEL) * s->area;
        if (channels < width) memset(to, 0, s->area * width * sizeof(float));
        transpose_into(to, width, from, s->area, channels < PANEL ? channels : PANEL, s->area);
    }
}

/* The tiles of one part against the rows' positions of one panel. */
static void sum_tiles(const Gradients *s, TileRows *rows, Index part, Index panel, const float *at, float *sums,
                      int add) {
    const Products *w = s->w;
    Index last = tiles_of(w->k) * (part + 1) / s->parts;
    for (Index tile = tiles_of(w->k) * part / s->parts; tile < last; tile++) {
        Index t = tile_begin(w->k, tile);
        rows->off = w->off + t;
        tile_product(tile_begin(w->k, tile + 1) - t, panel_width(s, panel) / LANES, rows, at, sums + t * PANEL, PANEL, add);
    }
}

/* In pieces of so many positions as are summed at once: some images, else some lines of one, else a part of a line. */
static void sum_gradients(void *context, Index begin, Index end) {
    const Gradients *s = context;
    const Products *w = s->w;
    Index columns = least(w->columns, TILE_SUM), lines = least(w->lines, TILE_SUM / columns);
    Index images = TILE_SUM / s->area < 1 ? 1 : TILE_SUM / s->area;
    for (Index item = begin; item < end; item++) {
        Index part = item % s->parts, panel = item / s->parts % s->count, group = item / s->parts / s->count;
        const float *turned = panel_of(s, group, panel);
        float *sums = s->sums + (group * s->count + panel) * w->k * PANEL;
        for (Index n = 0; n < w->images; n += images)
            for (Index y = 0; y < w->lines; y += lines)
                for (Index x = 0; x < w->columns; x += columns) {
                    TileRows rows = {.a = w->planes + n * w->plane_image + group * w->plane_group + y * w->pitch + x,
                                     .images = least(images, w->images - n), .lines = least(lines, w->lines - y),
                                     .columns = least(columns, w->columns - x), .image = w->plane_image, .line = w->pitch,
                                     .step = 1};
                    const float *at = turned + (n * s->area + y * w->columns + x) * panel_width(s, panel);
                    sum_tiles(s, &rows, part, panel, at, sums, s->add || n + y + x > 0);
                }
    }
}

int products_panels(const Products *w, float **sums) {
    Index panels = (w->f + PANEL - 1) / PANEL, whole = (w->f + LANES - 1) / LANES * LANES, tiles = tiles_of(w->k);
    Gradients s = {.w = w, .area = w->lines * w->columns, .count = panels, .add = *sums != NULL};
    if (*sums == NULL) *sums = room_for(w->groups * panels * w->k * PANEL);
    s.sums = *sums, s.panels = room_for(w->groups * whole * w->images * s.area);
    if (s.sums && s.panels) {
        Index threads = threads_get(), items = w->groups * panels;
        s.parts = items < 4 * threads && threads > 1 ? (4 * threads + items - 1) / items : 1;
        if (s.parts > tiles) s.parts = tiles;
        parallel_for(items * w->images, GRAIN(60000, s.area * PANEL), turn_gradients, &s);
        parallel_for(items * s.parts, GRAIN(1000000, w->images * s.area * PANEL * w->k / s.parts), sum_gradients, &s);
    }
    free(s.panels);
    return s.sums && s.panels;
}

void order_sums(const Products *w, const float *sums, float *out, int taps_first) {
    for (Index group = 0; group < w->groups; group++, out += w->f * w->k)
        for (Index f = 0; f < w->f; f += PANEL, sums += w->k * PANEL) {
            Index width = least(w->f - f, PANEL);
            /* few rows at a time: they are likely to want the same places of the cache */
            for (Index j = 0; j < width && !taps_first; j += LANES)
                transpose_into(out + (f + j) * w->k, w->k, sums + j, PANEL, w->k, least(width - j, LANES));
            for (Index k = 0; k < w->k && taps_first; k++) memcpy(out + k * w->f + f, sums + k * PANEL, width * sizeof(float));
        }
}
