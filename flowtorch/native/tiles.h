/* Products of matrices in registers: a tile of rows of one factor against a panel of columns of the other. */
#ifndef FLOWTORCH_TILES_H
#define FLOWTORCH_TILES_H
#include "rows.h"

#define PANEL_VECTORS 3
#define PANEL (PANEL_VECTORS * LANES) /* columns that a full panel has; a narrow one has whole vectors too */
#if WIDE
#define TILE_ROWS 9 /* 27 sums, three vectors of the panel and one number of a row: 31 of 32 registers */
#else
#define TILE_ROWS 4
#endif
#define TILE_SUM 256 /* products that are summed one after the other, at most: such sums are added up in memory */

/* Row i begins at a + off[i]: `columns` numbers, `step` apart, in each of `lines` lines of each of `images` images. */
typedef struct {
    const float *a;
    const int32_t *off;
    Index images, lines, columns, image, line, step; /* the last three are distances, in numbers */
} TileRows;

/* c[i][j] = (`add` ? c[i][j] : 0) + sum over k of row[i][k] * panel[k][j], for `count` rows and whole vectors of j;
 * the rows of c are `c_line` apart. */
void tile_product(Index count, Index vectors, const TileRows *rows, const float *panel, float *c, Index c_line, int add);

/* `to` (n, m), its rows `to_line` apart, becomes the transposed of `from` (m, n). */
void transpose_into(float *to, Index to_line, const float *from, Index from_line, Index m, Index n);

/* Where tile number `tile` of `n` rows begins: the tiles are as equal as there can be. */
static inline Index tiles_of(Index n) { return (n + TILE_ROWS - 1) / TILE_ROWS; }
static inline Index tile_begin(Index n, Index tile) { return n * tile / tiles_of(n); }
#endif
