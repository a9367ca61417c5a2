/* Written by flowtorch/native/render.py from the expressions of the ops: change those, not this. */

#include "pointwise.h"
#include "stream.h"
#include "vector.h"

static void add_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = (float)1.0;
        float t1 = t0 * e1;
        float t2 = e0 + t1;
        y[i] = t2;
    }
}

static void add_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = 1.0;
        double t1 = t0 * e1;
        double t2 = e0 + t1;
        y[i] = t2;
    }
}

static void add_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    int64_t *y = (int64_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        int64_t t0 = 1LL;
        int64_t t1 = (int64_t)(t0 * e1);
        int64_t t2 = (int64_t)(e0 + t1);
        y[i] = t2;
    }
}

static const Pointwise add_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, add_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, add_float64, NULL}, {{INT64, INT64}, INT64, add_int64, NULL}, {{0}}}};

static void sub_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = (float)1.0;
        float t1 = t0 * e1;
        float t2 = e0 - t1;
        y[i] = t2;
    }
}

static void sub_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = 1.0;
        double t1 = t0 * e1;
        double t2 = e0 - t1;
        y[i] = t2;
    }
}

static void sub_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    int64_t *y = (int64_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        int64_t t0 = 1LL;
        int64_t t1 = (int64_t)(t0 * e1);
        int64_t t2 = (int64_t)(e0 - t1);
        y[i] = t2;
    }
}

static const Pointwise sub_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, sub_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, sub_float64, NULL}, {{INT64, INT64}, INT64, sub_int64, NULL}, {{0}}}};

static void mul_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = e0 * e1;
        y[i] = t0;
    }
}

static void mul_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = e0 * e1;
        y[i] = t0;
    }
}

static void mul_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    int64_t *y = (int64_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        int64_t t0 = (int64_t)(e0 * e1);
        y[i] = t0;
    }
}

static const Pointwise mul_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, mul_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, mul_float64, NULL}, {{INT64, INT64}, INT64, mul_int64, NULL}, {{0}}}};

static void neg_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = -e0;
        y[i] = t0;
    }
}

static void neg_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = -e0;
        y[i] = t0;
    }
}

static void neg_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    int64_t *y = (int64_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t t0 = (int64_t)(-e0);
        y[i] = t0;
    }
}

static const Pointwise neg_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, neg_float32, NULL}, {{FLOAT64}, FLOAT64, neg_float64, NULL}, {{INT64}, INT64, neg_int64, NULL}, {{0}}}};

static void maximum_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = maximum_f(e0, e1);
        y[i] = t0;
    }
}

static void maximum_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = maximum_d(e0, e1);
        y[i] = t0;
    }
}

static void maximum_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    int64_t *y = (int64_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        int64_t t0 = (int64_t)(e0 > e1 ? e0 : e1);
        y[i] = t0;
    }
}

static const Pointwise maximum_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, maximum_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, maximum_float64, NULL}, {{INT64, INT64}, INT64, maximum_int64, NULL}, {{0}}}};

static void minimum_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = minimum_f(e0, e1);
        y[i] = t0;
    }
}

static void minimum_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = minimum_d(e0, e1);
        y[i] = t0;
    }
}

static void minimum_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    int64_t *y = (int64_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        int64_t t0 = (int64_t)(e0 < e1 ? e0 : e1);
        y[i] = t0;
    }
}

static const Pointwise minimum_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, minimum_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, minimum_float64, NULL}, {{INT64, INT64}, INT64, minimum_int64, NULL}, {{0}}}};

static void abs_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = fabsf(e0);
        y[i] = t0;
    }
}

static void abs_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = fabs(e0);
        y[i] = t0;
    }
}

static void abs_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    int64_t *y = (int64_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t t0 = (int64_t)(e0 < 0 ? -e0 : e0);
        y[i] = t0;
    }
}

static const Pointwise abs_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, abs_float32, NULL}, {{FLOAT64}, FLOAT64, abs_float64, NULL}, {{INT64}, INT64, abs_int64, NULL}, {{0}}}};

static void square_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = e0 * e0;
        y[i] = t0;
    }
}

static void square_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = e0 * e0;
        y[i] = t0;
    }
}

static void square_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    int64_t *y = (int64_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t t0 = (int64_t)(e0 * e0);
        y[i] = t0;
    }
}

static const Pointwise square_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, square_float32, NULL}, {{FLOAT64}, FLOAT64, square_float64, NULL}, {{INT64}, INT64, square_int64, NULL}, {{0}}}};

static void _where_float32(char *const *p, Index n, const double *s) {
    const uint8_t *x0 = (const uint8_t *)p[0];
    const float *x1 = (const float *)p[1];
    const float *x2 = (const float *)p[2];
    float *y = (float *)p[3];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        uint8_t e0 = x0[i];
        float e1 = x1[i];
        float e2 = x2[i];
        float t0 = e0 ? e1 : e2;
        y[i] = t0;
    }
}

static void _where_float64(char *const *p, Index n, const double *s) {
    const uint8_t *x0 = (const uint8_t *)p[0];
    const double *x1 = (const double *)p[1];
    const double *x2 = (const double *)p[2];
    double *y = (double *)p[3];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        uint8_t e0 = x0[i];
        double e1 = x1[i];
        double e2 = x2[i];
        double t0 = e0 ? e1 : e2;
        y[i] = t0;
    }
}

static void _where_int64(char *const *p, Index n, const double *s) {
    const uint8_t *x0 = (const uint8_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    const int64_t *x2 = (const int64_t *)p[2];
    int64_t *y = (int64_t *)p[3];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        uint8_t e0 = x0[i];
        int64_t e1 = x1[i];
        int64_t e2 = x2[i];
        int64_t t0 = (int64_t)(e0 ? e1 : e2);
        y[i] = t0;
    }
}

static const Pointwise _where_record = {3, 0, 50000, {NULL}, {0},
    {{{BOOL, FLOAT32, FLOAT32}, FLOAT32, _where_float32, NULL}, {{BOOL, FLOAT64, FLOAT64}, FLOAT64, _where_float64, NULL}, {{BOOL, INT64, INT64}, INT64, _where_int64, NULL}, {{0}}}};

static void eq_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        uint8_t t0 = e0 == e1;
        y[i] = t0;
    }
}

static void eq_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        uint8_t t0 = e0 == e1;
        y[i] = t0;
    }
}

static void eq_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        uint8_t t0 = (uint8_t)(e0 == e1);
        y[i] = t0;
    }
}

static const Pointwise eq_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, BOOL, eq_float32, NULL}, {{FLOAT64, FLOAT64}, BOOL, eq_float64, NULL}, {{INT64, INT64}, BOOL, eq_int64, NULL}, {{0}}}};

static void ne_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        uint8_t t0 = e0 != e1;
        y[i] = t0;
    }
}

static void ne_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        uint8_t t0 = e0 != e1;
        y[i] = t0;
    }
}

static void ne_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        uint8_t t0 = (uint8_t)(e0 != e1);
        y[i] = t0;
    }
}

static const Pointwise ne_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, BOOL, ne_float32, NULL}, {{FLOAT64, FLOAT64}, BOOL, ne_float64, NULL}, {{INT64, INT64}, BOOL, ne_int64, NULL}, {{0}}}};

static void lt_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        uint8_t t0 = e0 < e1;
        y[i] = t0;
    }
}

static void lt_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        uint8_t t0 = e0 < e1;
        y[i] = t0;
    }
}

static void lt_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        uint8_t t0 = (uint8_t)(e0 < e1);
        y[i] = t0;
    }
}

static const Pointwise lt_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, BOOL, lt_float32, NULL}, {{FLOAT64, FLOAT64}, BOOL, lt_float64, NULL}, {{INT64, INT64}, BOOL, lt_int64, NULL}, {{0}}}};

static void le_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        uint8_t t0 = e0 <= e1;
        y[i] = t0;
    }
}

static void le_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        uint8_t t0 = e0 <= e1;
        y[i] = t0;
    }
}

static void le_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        uint8_t t0 = (uint8_t)(e0 <= e1);
        y[i] = t0;
    }
}

static const Pointwise le_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, BOOL, le_float32, NULL}, {{FLOAT64, FLOAT64}, BOOL, le_float64, NULL}, {{INT64, INT64}, BOOL, le_int64, NULL}, {{0}}}};

static void gt_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        uint8_t t0 = e0 > e1;
        y[i] = t0;
    }
}

static void gt_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        uint8_t t0 = e0 > e1;
        y[i] = t0;
    }
}

static void gt_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        uint8_t t0 = (uint8_t)(e0 > e1);
        y[i] = t0;
    }
}

static const Pointwise gt_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, BOOL, gt_float32, NULL}, {{FLOAT64, FLOAT64}, BOOL, gt_float64, NULL}, {{INT64, INT64}, BOOL, gt_int64, NULL}, {{0}}}};

static void ge_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        uint8_t t0 = e0 >= e1;
        y[i] = t0;
    }
}

static void ge_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        uint8_t t0 = e0 >= e1;
        y[i] = t0;
    }
}

static void ge_int64(char *const *p, Index n, const double *s) {
    const int64_t *x0 = (const int64_t *)p[0];
    const int64_t *x1 = (const int64_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        int64_t e0 = x0[i];
        int64_t e1 = x1[i];
        uint8_t t0 = (uint8_t)(e0 >= e1);
        y[i] = t0;
    }
}

static const Pointwise ge_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, BOOL, ge_float32, NULL}, {{FLOAT64, FLOAT64}, BOOL, ge_float64, NULL}, {{INT64, INT64}, BOOL, ge_int64, NULL}, {{0}}}};

static void logical_and_bool(char *const *p, Index n, const double *s) {
    const uint8_t *x0 = (const uint8_t *)p[0];
    const uint8_t *x1 = (const uint8_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        uint8_t e0 = x0[i];
        uint8_t e1 = x1[i];
        uint8_t t0 = e0 & e1;
        y[i] = t0;
    }
}

static const Pointwise logical_and_record = {2, 0, 50000, {NULL}, {0},
    {{{BOOL, BOOL}, BOOL, logical_and_bool, NULL}, {{0}}}};

static void logical_or_bool(char *const *p, Index n, const double *s) {
    const uint8_t *x0 = (const uint8_t *)p[0];
    const uint8_t *x1 = (const uint8_t *)p[1];
    uint8_t *y = (uint8_t *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        uint8_t e0 = x0[i];
        uint8_t e1 = x1[i];
        uint8_t t0 = e0 | e1;
        y[i] = t0;
    }
}

static const Pointwise logical_or_record = {2, 0, 50000, {NULL}, {0},
    {{{BOOL, BOOL}, BOOL, logical_or_bool, NULL}, {{0}}}};

static void logical_not_bool(char *const *p, Index n, const double *s) {
    const uint8_t *x0 = (const uint8_t *)p[0];
    uint8_t *y = (uint8_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        uint8_t e0 = x0[i];
        uint8_t t0 = !e0;
        y[i] = t0;
    }
}

static const Pointwise logical_not_record = {1, 0, 50000, {NULL}, {0},
    {{{BOOL}, BOOL, logical_not_bool, NULL}, {{0}}}};

static void true_divide_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = e0 / e1;
        y[i] = t0;
    }
}

static void true_divide_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = e0 / e1;
        y[i] = t0;
    }
}

static const Pointwise true_divide_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, true_divide_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, true_divide_float64, NULL}, {{0}}}};

static void sqrt_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = sqrtf(e0);
        y[i] = t0;
    }
}

static void sqrt_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = sqrt(e0);
        y[i] = t0;
    }
}

static const Pointwise sqrt_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, sqrt_float32, NULL}, {{FLOAT64}, FLOAT64, sqrt_float64, NULL}, {{0}}}};

static void rsqrt_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = 1 / sqrtf(e0);
        y[i] = t0;
    }
}

static void rsqrt_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = 1 / sqrt(e0);
        y[i] = t0;
    }
}

static const Pointwise rsqrt_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, rsqrt_float32, NULL}, {{FLOAT64}, FLOAT64, rsqrt_float64, NULL}, {{0}}}};

static void reciprocal_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = (float)1.0;
        float t1 = t0 / e0;
        y[i] = t1;
    }
}

static void reciprocal_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = 1.0;
        double t1 = t0 / e0;
        y[i] = t1;
    }
}

static const Pointwise reciprocal_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, reciprocal_float32, NULL}, {{FLOAT64}, FLOAT64, reciprocal_float64, NULL}, {{0}}}};

static void relu_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = (float)0.0;
        uint8_t t1 = e0 <= t0;
        float t2 = t1 ? t0 : e0;
        y[i] = t2;
    }
}

static void relu_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = 0.0;
        uint8_t t1 = e0 <= t0;
        double t2 = t1 ? t0 : e0;
        y[i] = t2;
    }
}

static const Pointwise relu_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, relu_float32, NULL}, {{FLOAT64}, FLOAT64, relu_float64, NULL}, {{0}}}};

static void _relu_backward_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = (float)0.0;
        uint8_t t1 = e1 <= t0;
        float t2 = t1 ? t0 : e0;
        y[i] = t2;
    }
}

static void _relu_backward_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = 0.0;
        uint8_t t1 = e1 <= t0;
        double t2 = t1 ? t0 : e0;
        y[i] = t2;
    }
}

static const Pointwise _relu_backward_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, _relu_backward_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, _relu_backward_float64, NULL}, {{0}}}};

static void _sigmoid_backward_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = (float)1.0;
        float t1 = t0 - e1;
        float t2 = t1 * e1;
        float t3 = e0 * t2;
        y[i] = t3;
    }
}

static void _sigmoid_backward_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = 1.0;
        double t1 = t0 - e1;
        double t2 = t1 * e1;
        double t3 = e0 * t2;
        y[i] = t3;
    }
}

static const Pointwise _sigmoid_backward_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, _sigmoid_backward_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, _sigmoid_backward_float64, NULL}, {{0}}}};

static void _tanh_backward_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = e1 * e1;
        float t1 = (float)1.0;
        float t2 = t1 - t0;
        float t3 = e0 * t2;
        y[i] = t3;
    }
}

static void _tanh_backward_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = e1 * e1;
        double t1 = 1.0;
        double t2 = t1 - t0;
        double t3 = e0 * t2;
        y[i] = t3;
    }
}

static const Pointwise _tanh_backward_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, _tanh_backward_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, _tanh_backward_float64, NULL}, {{0}}}};

static void addcmul_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    const float *x2 = (const float *)p[2];
    float *y = (float *)p[3];
    const float s0 = (float)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float e2 = x2[i];
        float t0 = s0 * e1;
        float t1 = t0 * e2;
        float t2 = e0 + t1;
        y[i] = t2;
    }
}

static void addcmul_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    const double *x2 = (const double *)p[2];
    double *y = (double *)p[3];
    const double s0 = (double)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double e2 = x2[i];
        double t0 = s0 * e1;
        double t1 = t0 * e2;
        double t2 = e0 + t1;
        y[i] = t2;
    }
}

static const Pointwise addcmul_record = {3, 1, 50000, {"value"}, {1.0},
    {{{FLOAT32, FLOAT32, FLOAT32}, FLOAT32, addcmul_float32, NULL}, {{FLOAT64, FLOAT64, FLOAT64}, FLOAT64, addcmul_float64, NULL}, {{0}}}};

static void addcdiv_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    const float *x2 = (const float *)p[2];
    float *y = (float *)p[3];
    const float s0 = (float)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float e2 = x2[i];
        float t0 = s0 * e1;
        float t1 = t0 / e2;
        float t2 = e0 + t1;
        y[i] = t2;
    }
}

static void addcdiv_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    const double *x2 = (const double *)p[2];
    double *y = (double *)p[3];
    const double s0 = (double)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double e2 = x2[i];
        double t0 = s0 * e1;
        double t1 = t0 / e2;
        double t2 = e0 + t1;
        y[i] = t2;
    }
}

static const Pointwise addcdiv_record = {3, 1, 50000, {"value"}, {1.0},
    {{{FLOAT32, FLOAT32, FLOAT32}, FLOAT32, addcdiv_float32, NULL}, {{FLOAT64, FLOAT64, FLOAT64}, FLOAT64, addcdiv_float64, NULL}, {{0}}}};

static void lerp_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    const float *x2 = (const float *)p[2];
    float *y = (float *)p[3];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float e2 = x2[i];
        float t0 = fabsf(e2);
        float t1 = (float)0.5;
        uint8_t t2 = t0 < t1;
        float t3 = e1 - e0;
        float t4 = e2 * t3;
        float t5 = e0 + t4;
        float t6 = (float)1.0;
        float t7 = t6 - e2;
        float t8 = t3 * t7;
        float t9 = e1 - t8;
        float t10 = t2 ? t5 : t9;
        y[i] = t10;
    }
}

static void lerp_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    const double *x2 = (const double *)p[2];
    double *y = (double *)p[3];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double e2 = x2[i];
        double t0 = fabs(e2);
        double t1 = 0.5;
        uint8_t t2 = t0 < t1;
        double t3 = e1 - e0;
        double t4 = e2 * t3;
        double t5 = e0 + t4;
        double t6 = 1.0;
        double t7 = t6 - e2;
        double t8 = t3 * t7;
        double t9 = e1 - t8;
        double t10 = t2 ? t5 : t9;
        y[i] = t10;
    }
}

static const Pointwise lerp_record = {3, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32, FLOAT32}, FLOAT32, lerp_float32, NULL}, {{FLOAT64, FLOAT64, FLOAT64}, FLOAT64, lerp_float64, NULL}, {{0}}}};

static void clamp_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    const float *x2 = (const float *)p[2];
    float *y = (float *)p[3];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float e2 = x2[i];
        float t0 = maximum_f(e0, e1);
        float t1 = minimum_f(t0, e2);
        y[i] = t1;
    }
}

static void clamp_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    const double *x2 = (const double *)p[2];
    double *y = (double *)p[3];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double e2 = x2[i];
        double t0 = maximum_d(e0, e1);
        double t1 = minimum_d(t0, e2);
        y[i] = t1;
    }
}

static const Pointwise clamp_record = {3, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32, FLOAT32}, FLOAT32, clamp_float32, NULL}, {{FLOAT64, FLOAT64, FLOAT64}, FLOAT64, clamp_float64, NULL}, {{0}}}};

static void threshold_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    const float s0 = (float)s[0];
    const float s1 = (float)s[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        uint8_t t0 = e0 <= s0;
        float t1 = t0 ? s1 : e0;
        y[i] = t1;
    }
}

static void threshold_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    const double s0 = (double)s[0];
    const double s1 = (double)s[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        uint8_t t0 = e0 <= s0;
        double t1 = t0 ? s1 : e0;
        y[i] = t1;
    }
}

static const Pointwise threshold_record = {1, 2, 50000, {"threshold", "value"}, {NAN, NAN},
    {{{FLOAT32}, FLOAT32, threshold_float32, NULL}, {{FLOAT64}, FLOAT64, threshold_float64, NULL}, {{0}}}};

static void leaky_relu_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    const float s0 = (float)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = (float)0.0;
        uint8_t t1 = e0 > t0;
        float t2 = e0 * s0;
        float t3 = t1 ? e0 : t2;
        y[i] = t3;
    }
}

static void leaky_relu_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    const double s0 = (double)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = 0.0;
        uint8_t t1 = e0 > t0;
        double t2 = e0 * s0;
        double t3 = t1 ? e0 : t2;
        y[i] = t3;
    }
}

static const Pointwise leaky_relu_record = {1, 1, 50000, {"negative_slope"}, {0.01},
    {{{FLOAT32}, FLOAT32, leaky_relu_float32, NULL}, {{FLOAT64}, FLOAT64, leaky_relu_float64, NULL}, {{0}}}};

static void _prelu_kernel_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float e1 = x1[i];
        float t0 = (float)0.0;
        uint8_t t1 = e0 > t0;
        float t2 = e1 * e0;
        float t3 = t1 ? e0 : t2;
        y[i] = t3;
    }
}

static void _prelu_kernel_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    const double *x1 = (const double *)p[1];
    double *y = (double *)p[2];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double e1 = x1[i];
        double t0 = 0.0;
        uint8_t t1 = e0 > t0;
        double t2 = e1 * e0;
        double t3 = t1 ? e0 : t2;
        y[i] = t3;
    }
}

static const Pointwise _prelu_kernel_record = {2, 0, 50000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, _prelu_kernel_float32, NULL}, {{FLOAT64, FLOAT64}, FLOAT64, _prelu_kernel_float64, NULL}, {{0}}}};

static void huber_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    const float s0 = (float)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = fabsf(e0);
        uint8_t t1 = t0 < s0;
        float t2 = (float)0.5;
        float t3 = t2 * e0;
        float t4 = t3 * e0;
        float t5 = t2 * s0;
        float t6 = t0 - t5;
        float t7 = s0 * t6;
        float t8 = t1 ? t4 : t7;
        y[i] = t8;
    }
}

static void huber_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    const double s0 = (double)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = fabs(e0);
        uint8_t t1 = t0 < s0;
        double t2 = 0.5;
        double t3 = t2 * e0;
        double t4 = t3 * e0;
        double t5 = t2 * s0;
        double t6 = t0 - t5;
        double t7 = s0 * t6;
        double t8 = t1 ? t4 : t7;
        y[i] = t8;
    }
}

static const Pointwise huber_record = {1, 1, 50000, {"delta"}, {1.0},
    {{{FLOAT32}, FLOAT32, huber_float32, NULL}, {{FLOAT64}, FLOAT64, huber_float64, NULL}, {{0}}}};

static void hardtanh_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    const float s0 = (float)s[0];
    const float s1 = (float)s[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = maximum_f(e0, s0);
        float t1 = minimum_f(t0, s1);
        y[i] = t1;
    }
}

static void hardtanh_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    const double s0 = (double)s[0];
    const double s1 = (double)s[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = maximum_d(e0, s0);
        double t1 = minimum_d(t0, s1);
        y[i] = t1;
    }
}

static const Pointwise hardtanh_record = {1, 2, 50000, {"min_val", "max_val"}, {-1.0, 1.0},
    {{{FLOAT32}, FLOAT32, hardtanh_float32, NULL}, {{FLOAT64}, FLOAT64, hardtanh_float64, NULL}, {{0}}}};

static void hardsigmoid_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = (float)3.0;
        float t1 = e0 + t0;
        float t2 = (float)0.0;
        float t3 = maximum_f(t1, t2);
        float t4 = (float)6.0;
        float t5 = minimum_f(t3, t4);
        float t6 = t5 / t4;
        y[i] = t6;
    }
}

static void hardsigmoid_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = 3.0;
        double t1 = e0 + t0;
        double t2 = 0.0;
        double t3 = maximum_d(t1, t2);
        double t4 = 6.0;
        double t5 = minimum_d(t3, t4);
        double t6 = t5 / t4;
        y[i] = t6;
    }
}

static const Pointwise hardsigmoid_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, hardsigmoid_float32, NULL}, {{FLOAT64}, FLOAT64, hardsigmoid_float64, NULL}, {{0}}}};

static void hardswish_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = (float)3.0;
        float t1 = e0 + t0;
        float t2 = (float)0.0;
        float t3 = maximum_f(t1, t2);
        float t4 = (float)6.0;
        float t5 = minimum_f(t3, t4);
        float t6 = t5 / t4;
        float t7 = e0 * t6;
        y[i] = t7;
    }
}

static void hardswish_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = 3.0;
        double t1 = e0 + t0;
        double t2 = 0.0;
        double t3 = maximum_d(t1, t2);
        double t4 = 6.0;
        double t5 = minimum_d(t3, t4);
        double t6 = t5 / t4;
        double t7 = e0 * t6;
        y[i] = t7;
    }
}

static const Pointwise hardswish_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, hardswish_float32, NULL}, {{FLOAT64}, FLOAT64, hardswish_float64, NULL}, {{0}}}};

static void hardshrink_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    const float s0 = (float)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = fabsf(e0);
        uint8_t t1 = t0 <= s0;
        float t2 = (float)0.0;
        float t3 = t1 ? t2 : e0;
        y[i] = t3;
    }
}

static void hardshrink_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    const double s0 = (double)s[0];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = fabs(e0);
        uint8_t t1 = t0 <= s0;
        double t2 = 0.0;
        double t3 = t1 ? t2 : e0;
        y[i] = t3;
    }
}

static const Pointwise hardshrink_record = {1, 1, 50000, {"lambd"}, {0.5},
    {{{FLOAT32}, FLOAT32, hardshrink_float32, NULL}, {{FLOAT64}, FLOAT64, hardshrink_float64, NULL}, {{0}}}};

static void floor_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = floorf(e0);
        y[i] = t0;
    }
}

static void floor_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = floor(e0);
        y[i] = t0;
    }
}

static const Pointwise floor_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, floor_float32, NULL}, {{FLOAT64}, FLOAT64, floor_float64, NULL}, {{0}}}};

static void ceil_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = ceilf(e0);
        y[i] = t0;
    }
}

static void ceil_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = ceil(e0);
        y[i] = t0;
    }
}

static const Pointwise ceil_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, ceil_float32, NULL}, {{FLOAT64}, FLOAT64, ceil_float64, NULL}, {{0}}}};

static void trunc_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        float t0 = truncf(e0);
        y[i] = t0;
    }
}

static void trunc_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = trunc(e0);
        y[i] = t0;
    }
}

static const Pointwise trunc_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, trunc_float32, NULL}, {{FLOAT64}, FLOAT64, trunc_float64, NULL}, {{0}}}};

static void isnan_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    uint8_t *y = (uint8_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        uint8_t t0 = e0 != e0;
        y[i] = t0;
    }
}

static void isnan_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    uint8_t *y = (uint8_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        uint8_t t0 = e0 != e0;
        y[i] = t0;
    }
}

static const Pointwise isnan_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, BOOL, isnan_float32, NULL}, {{FLOAT64}, BOOL, isnan_float64, NULL}, {{0}}}};

static void isinf_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    uint8_t *y = (uint8_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        uint8_t t0 = fabsf(e0) == INFINITY;
        y[i] = t0;
    }
}

static void isinf_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    uint8_t *y = (uint8_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        uint8_t t0 = fabs(e0) == INFINITY;
        y[i] = t0;
    }
}

static const Pointwise isinf_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, BOOL, isinf_float32, NULL}, {{FLOAT64}, BOOL, isinf_float64, NULL}, {{0}}}};

static void isfinite_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    uint8_t *y = (uint8_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        float e0 = x0[i];
        uint8_t t0 = fabsf(e0) < INFINITY;
        y[i] = t0;
    }
}

static void isfinite_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    uint8_t *y = (uint8_t *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        uint8_t t0 = fabs(e0) < INFINITY;
        y[i] = t0;
    }
}

static const Pointwise isfinite_record = {1, 0, 50000, {NULL}, {0},
    {{{FLOAT32}, BOOL, isfinite_float32, NULL}, {{FLOAT64}, BOOL, isfinite_float64, NULL}, {{0}}}};

INLINE vf exp_float32_vector(vf e0) {
    vf t0 = v_exp(e0);
    return t0;
}
static void exp_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, exp_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, exp_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void exp_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, exp_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    exp_float32(rest, n - i, s);
}

static const Pointwise exp_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, exp_float32, exp_float32_streamed}, {{0}}}};

INLINE vf expm1_float32_vector(vf e0) {
    vf t0 = v_expm1(e0);
    return t0;
}
static void expm1_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, expm1_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, expm1_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void expm1_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, expm1_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    expm1_float32(rest, n - i, s);
}

static const Pointwise expm1_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, expm1_float32, expm1_float32_streamed}, {{0}}}};

INLINE vf log_float32_vector(vf e0) {
    vf t0 = v_log(e0);
    return t0;
}
static void log_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, log_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, log_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void log_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, log_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    log_float32(rest, n - i, s);
}

static const Pointwise log_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, log_float32, log_float32_streamed}, {{0}}}};

INLINE vf tanh_float32_vector(vf e0) {
    vf t0 = v_tanh(e0);
    return t0;
}
static void tanh_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, tanh_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, tanh_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void tanh_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, tanh_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    tanh_float32(rest, n - i, s);
}

static const Pointwise tanh_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, tanh_float32, tanh_float32_streamed}, {{0}}}};

INLINE vf sigmoid_float32_vector(vf e0) {
    vf t0 = -e0;
    vf t1 = v_exp(t0);
    vf t2 = v_all(1.0f);
    vf t3 = t2 + t1;
    vf t4 = v_sigmoid(e0);
    return t4;
}
static void sigmoid_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, sigmoid_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, sigmoid_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void sigmoid_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, sigmoid_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    sigmoid_float32(rest, n - i, s);
}

static const Pointwise sigmoid_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, sigmoid_float32, sigmoid_float32_streamed}, {{0}}}};

INLINE vf gelu_float32_vector(vf e0) {
    vf t0 = v_all(0.5f);
    vf t1 = t0 * e0;
    vf t2 = v_all(-0.7071067811865476f);
    vf t3 = e0 * t2;
    vf t4 = v_normal(e0);
    vf t5 = t1 * t4;
    return t5;
}
static void gelu_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, gelu_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, gelu_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void gelu_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, gelu_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    gelu_float32(rest, n - i, s);
}

static const Pointwise gelu_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, gelu_float32, gelu_float32_streamed}, {{0}}}};

INLINE vf _gelu_backward_float32_vector(vf e0, vf e1) {
    vf t0 = v_all(-0.7071067811865476f);
    vf t1 = e1 * t0;
    vf t2 = v_normal(e1);
    vf t3 = v_all(0.5f);
    vf t4 = t3 * t2;
    vf t5 = e1 * e1;
    vf t6 = v_all(-0.5f);
    vf t7 = t6 * t5;
    vf t8 = v_exp(t7);
    vf t9 = v_all(0.3989422804014327f);
    vf t10 = t9 * t8;
    vf t11 = e1 * t10;
    vf t12 = t4 + t11;
    vf t13 = e0 * t12;
    return t13;
}
static void _gelu_backward_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, _gelu_backward_float32_vector(v_load(x0 + i), v_load(x1 + i)));
    if (i < n) v_store_part(y + i, _gelu_backward_float32_vector(v_load_part(x0 + i, n - i, 0.5f), v_load_part(x1 + i, n - i, 0.5f)), n - i);
}
static void _gelu_backward_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        stream_prefetch((const char *)(x1 + i));
        v_stream(y + i, _gelu_backward_float32_vector(v_load(x0 + i), v_load(x1 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(x1 + i), (char *)(y + i)};
    _gelu_backward_float32(rest, n - i, s);
}

static const Pointwise _gelu_backward_record = {2, 0, 8000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, _gelu_backward_float32, _gelu_backward_float32_streamed}, {{0}}}};

INLINE vf gelu_tanh_float32_vector(vf e0) {
    vf t0 = v_all(0.5f);
    vf t1 = t0 * e0;
    vf t2 = v_all(0.7978845608028654f);
    vf t3 = t2 * e0;
    vf t4 = e0 * e0;
    vf t5 = v_all(0.044715f);
    vf t6 = t5 * t4;
    vf t7 = v_all(1.0f);
    vf t8 = t7 + t6;
    vf t9 = t3 * t8;
    vf t10 = v_tanh(t9);
    vf t11 = t7 + t10;
    vf t12 = t1 * t11;
    return t12;
}
static void gelu_tanh_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, gelu_tanh_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, gelu_tanh_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void gelu_tanh_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, gelu_tanh_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    gelu_tanh_float32(rest, n - i, s);
}

static const Pointwise gelu_tanh_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, gelu_tanh_float32, gelu_tanh_float32_streamed}, {{0}}}};

INLINE vf silu_float32_vector(vf e0) {
    vf t0 = -e0;
    vf t1 = v_exp(t0);
    vf t2 = v_all(1.0f);
    vf t3 = t2 + t1;
    vf t4 = e0 * v_sigmoid(e0);
    return t4;
}
static void silu_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, silu_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, silu_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void silu_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, silu_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    silu_float32(rest, n - i, s);
}

static const Pointwise silu_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, silu_float32, silu_float32_streamed}, {{0}}}};

INLINE vf _silu_backward_float32_vector(vf e0, vf e1) {
    vf t0 = -e1;
    vf t1 = v_exp(t0);
    vf t2 = v_all(1.0f);
    vf t3 = t2 + t1;
    vf t4 = v_sigmoid(e1);
    vf t5 = t2 - t4;
    vf t6 = e1 * t5;
    vf t7 = t2 + t6;
    vf t8 = t4 * t7;
    vf t9 = e0 * t8;
    return t9;
}
static void _silu_backward_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, _silu_backward_float32_vector(v_load(x0 + i), v_load(x1 + i)));
    if (i < n) v_store_part(y + i, _silu_backward_float32_vector(v_load_part(x0 + i, n - i, 0.5f), v_load_part(x1 + i, n - i, 0.5f)), n - i);
}
static void _silu_backward_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    const float *x1 = (const float *)p[1];
    float *y = (float *)p[2];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        stream_prefetch((const char *)(x1 + i));
        v_stream(y + i, _silu_backward_float32_vector(v_load(x0 + i), v_load(x1 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(x1 + i), (char *)(y + i)};
    _silu_backward_float32(rest, n - i, s);
}

static const Pointwise _silu_backward_record = {2, 0, 8000, {NULL}, {0},
    {{{FLOAT32, FLOAT32}, FLOAT32, _silu_backward_float32, _silu_backward_float32_streamed}, {{0}}}};

INLINE vf elu_float32_vector(vf e0, vf s0, vf s1, vf s2) {
    vf t0 = v_all(0.0f);
    vm t1 = v_less(t0, e0);
    vf t2 = s0 * e0;
    vf t3 = s1 * s0;
    vf t4 = e0 * s2;
    vf t5 = v_expm1(t4);
    vf t6 = t3 * t5;
    vf t7 = v_select(t1, t2, t6);
    return t7;
}
static void elu_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    const vf s0 = v_all((float)s[0]);
    const vf s1 = v_all((float)s[1]);
    const vf s2 = v_all((float)s[2]);
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, elu_float32_vector(v_load(x0 + i), s0, s1, s2));
    if (i < n) v_store_part(y + i, elu_float32_vector(v_load_part(x0 + i, n - i, 0.5f), s0, s1, s2), n - i);
}
static void elu_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    const vf s0 = v_all((float)s[0]);
    const vf s1 = v_all((float)s[1]);
    const vf s2 = v_all((float)s[2]);
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, elu_float32_vector(v_load(x0 + i), s0, s1, s2));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    elu_float32(rest, n - i, s);
}

static const Pointwise elu_record = {1, 3, 8000, {"scale", "alpha", "input_scale"}, {1.0, 1.0, 1.0},
    {{{FLOAT32}, FLOAT32, elu_float32, elu_float32_streamed}, {{0}}}};

INLINE vf erf_float32_vector(vf e0) {
    vf t0 = v_erf(e0);
    return t0;
}
static void erf_float32(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, erf_float32_vector(v_load(x0 + i)));
    if (i < n) v_store_part(y + i, erf_float32_vector(v_load_part(x0 + i, n - i, 0.5f)), n - i);
}
static void erf_float32_streamed(char *const *p, Index n, const double *s) {
    const float *x0 = (const float *)p[0];
    float *y = (float *)p[1];
    Index i = 0;
    for (; i + LANES <= n; i += LANES) {
        stream_prefetch((const char *)(x0 + i));
        v_stream(y + i, erf_float32_vector(v_load(x0 + i)));
    }
    char *const rest[] = {(char *)(x0 + i), (char *)(y + i)};
    erf_float32(rest, n - i, s);
}

static void erf_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = erf(e0);
        y[i] = t0;
    }
}

static const Pointwise erf_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT32}, FLOAT32, erf_float32, erf_float32_streamed}, {{FLOAT64}, FLOAT64, erf_float64, NULL}, {{0}}}};

static void erfc_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = erfc(e0);
        y[i] = t0;
    }
}

static const Pointwise erfc_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT64}, FLOAT64, erfc_float64, NULL}, {{0}}}};

static void lgamma_float64(char *const *p, Index n, const double *s) {
    const double *x0 = (const double *)p[0];
    double *y = (double *)p[1];
    _Pragma("GCC ivdep") for (Index i = 0; i < n; i++) {
        double e0 = x0[i];
        double t0 = lgamma_r(e0, &(int){{0}});
        y[i] = t0;
    }
}

static const Pointwise lgamma_record = {1, 0, 8000, {NULL}, {0},
    {{{FLOAT64}, FLOAT64, lgamma_float64, NULL}, {{0}}}};

const Entry pointwise_entries[] = {
    {"add", pointwise_run, &add_record},
    {"sub", pointwise_run, &sub_record},
    {"mul", pointwise_run, &mul_record},
    {"neg", pointwise_run, &neg_record},
    {"maximum", pointwise_run, &maximum_record},
    {"minimum", pointwise_run, &minimum_record},
    {"abs", pointwise_run, &abs_record},
    {"square", pointwise_run, &square_record},
    {"_where", pointwise_run, &_where_record},
    {"eq", pointwise_run, &eq_record},
    {"ne", pointwise_run, &ne_record},
    {"lt", pointwise_run, &lt_record},
    {"le", pointwise_run, &le_record},
    {"gt", pointwise_run, &gt_record},
    {"ge", pointwise_run, &ge_record},
    {"logical_and", pointwise_run, &logical_and_record},
    {"logical_or", pointwise_run, &logical_or_record},
    {"logical_not", pointwise_run, &logical_not_record},
    {"true_divide", pointwise_run, &true_divide_record},
    {"sqrt", pointwise_run, &sqrt_record},
    {"rsqrt", pointwise_run, &rsqrt_record},
    {"reciprocal", pointwise_run, &reciprocal_record},
    {"relu", pointwise_run, &relu_record},
    {"_relu_backward", pointwise_run, &_relu_backward_record},
    {"_sigmoid_backward", pointwise_run, &_sigmoid_backward_record},
    {"_tanh_backward", pointwise_run, &_tanh_backward_record},
    {"addcmul", pointwise_run, &addcmul_record},
    {"addcdiv", pointwise_run, &addcdiv_record},
    {"lerp", pointwise_run, &lerp_record},
    {"clamp", pointwise_run, &clamp_record},
    {"threshold", pointwise_run, &threshold_record},
    {"leaky_relu", pointwise_run, &leaky_relu_record},
    {"_prelu_kernel", pointwise_run, &_prelu_kernel_record},
    {"huber", pointwise_run, &huber_record},
    {"hardtanh", pointwise_run, &hardtanh_record},
    {"hardsigmoid", pointwise_run, &hardsigmoid_record},
    {"hardswish", pointwise_run, &hardswish_record},
    {"hardshrink", pointwise_run, &hardshrink_record},
    {"floor", pointwise_run, &floor_record},
    {"ceil", pointwise_run, &ceil_record},
    {"trunc", pointwise_run, &trunc_record},
    {"isnan", pointwise_run, &isnan_record},
    {"isinf", pointwise_run, &isinf_record},
    {"isfinite", pointwise_run, &isfinite_record},
    {"exp", pointwise_run, &exp_record},
    {"expm1", pointwise_run, &expm1_record},
    {"log", pointwise_run, &log_record},
    {"tanh", pointwise_run, &tanh_record},
    {"sigmoid", pointwise_run, &sigmoid_record},
    {"gelu", pointwise_run, &gelu_record},
    {"_gelu_backward", pointwise_run, &_gelu_backward_record},
    {"gelu_tanh", pointwise_run, &gelu_tanh_record},
    {"silu", pointwise_run, &silu_record},
    {"_silu_backward", pointwise_run, &_silu_backward_record},
    {"elu", pointwise_run, &elu_record},
    {"erf", pointwise_run, &erf_record},
    {"erfc", pointwise_run, &erfc_record},
    {"lgamma", pointwise_run, &lgamma_record},
    {"select", pointwise_run, &_where_record},
    {NULL},
};
