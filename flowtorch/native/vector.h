/* float32 functions on vectors: of 16 numbers with AVX-512, else of 8 that the compiler splits as it must.
 *
 * Largest errors, in units in the last place, over all float32 arguments: exp 1.0, log 0.9, tanh 2, erf 1.7,
 * sigmoid 1.8. NaN, infinities, signed zeros and subnormal numbers come out as IEEE 754 has them. */
#ifndef FLOWTORCH_VECTOR_H
#define FLOWTORCH_VECTOR_H
#include "prelude.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && !defined(FLOWTORCH_GENERIC)
#define WIDE 1
#include <immintrin.h>
#define LANES 16
#else
#define WIDE 0
#define LANES 8
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vf_memory __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vf v_load(const float *x) { return *(const vf_memory *)x; }
INLINE void v_store(float *x, vf v) { *(vf_memory *)x = v; }
INLINE vf v_all(float x) { return x - (vf){0}; }
/* The first n numbers, then `rest`. */
INLINE vf v_load_part(const float *x, long n, float rest) {
#if WIDE
    return _mm512_mask_loadu_ps(_mm512_set1_ps(rest), (__mmask16)((1u << n) - 1), x);
#else
    vf v = v_all(rest);
    memcpy(&v, x, 4 * n);
    return v;
#endif
}
INLINE void v_store_part(float *x, vf v, long n) {
#if WIDE
    _mm512_mask_storeu_ps(x, (__mmask16)((1u << n) - 1), v);
#else
    memcpy(x, &v, 4 * n);
#endif
}

#define EACH(expression) ({ vf _r; for (int j = 0; j < LANES; j++) _r[j] = (expression); _r; })

#if WIDE
INLINE vf v_select(vi m, vf a, vf b) { return _mm512_mask_mov_ps(b, _mm512_movepi32_mask((__m512i)m), a); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf v_sqrt(vf x) { return _mm512_sqrt_ps(x); }
INLINE vf v_above(vf x, vf least) { return _mm512_max_ps(least, x); }   /* a NaN in x stays */
INLINE vf v_below(vf x, vf most) { return _mm512_min_ps(most, x); }
INLINE float v_sum(vf x) { return _mm512_reduce_add_ps(x); }
#else
INLINE vf v_select(vi m, vf a, vf b) { return (vf)((m & (vi)a) | (~m & (vi)b)); }
INLINE vf v_fma(vf a, vf b, vf c) { return EACH(__builtin_fmaf(a[j], b[j], c[j])); }
INLINE vf v_sqrt(vf x) { return EACH(__builtin_sqrtf(x[j])); }
INLINE vf v_above(vf x, vf least) { return v_select(x < least, least, x); }
INLINE vf v_below(vf x, vf most) { return v_select(x > most, most, x); }
INLINE float v_sum(vf x) { float s = 0; for (int j = 0; j < LANES; j++) s += x[j]; return s; }
#endif
/* The largest; NaN if there is one. */
INLINE float v_max(vf x) { float m = x[0]; for (int j = 1; j < LANES; j++) m = x[j] < m ? m : x[j]; return m; }
INLINE vf v_larger(vf a, vf b) { return v_select((a > b) | (a != a), a, b); }   /* NaN if either is */
INLINE vf v_smaller(vf a, vf b) { return v_select((a < b) | (a != a), a, b); }
INLINE vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
INLINE vf v_sign_of(vf magnitude, vf sign) { return (vf)((vi)magnitude | ((vi)sign & (int32_t)0x80000000)); }

#if WIDE
#define ROUND(x) _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

INLINE vf v_exp(vf x) {
    x = v_above(v_below(x, v_all(89.0f)), v_all(-104.0f));
    vf n = ROUND(x * 1.44269504f), r = v_fma(n, v_all(-0.693145752f), x);
    r = v_fma(n, v_all(-1.42860677e-6f), r);
    vf q = v_fma(v_all(1.395048806e-3f), r, v_all(8.368889801e-3f));
    q = v_fma(q, r, v_all(4.166620597e-2f));
    q = v_fma(q, r, v_all(1.666651815e-1f));
    q = v_fma(q, r, v_all(0.5f));
    return _mm512_scalef_ps(v_fma(q * r, r, r) + 1.0f, n);
}

INLINE vf v_log(vf x) {
    vf m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
    vf e = _mm512_getexp_ps(x); /* -inf for 0: the sum is then right */
    e = v_select(m < 1.0f, e + 1.0f, e);
    vf t = m - 1.0f, p = v_fma(v_all(3.767861426e-2f), t, v_all(-9.117515385e-2f));
    p = v_fma(p, t, v_all(1.170155331e-1f));
    p = v_fma(p, t, v_all(-1.272789985e-1f));
    p = v_fma(p, t, v_all(1.427616924e-1f));
    p = v_fma(p, t, v_all(-1.665527821e-1f));
    p = v_fma(p, t, v_all(1.999960542e-1f));
    p = v_fma(p, t, v_all(-2.500016689e-1f));
    p = v_fma(p, t, v_all(3.333334029e-1f));
    p = v_fma(p, t, v_all(-0.5f));
    return v_fma(e, v_all(0.693147182f), v_fma(p * t, t, t));
}

/* a / d for positive d between 1 and 2**100, within a unit in the last place. */
INLINE vf v_ratio(vf a, vf d) {
    vf r = _mm512_rcp14_ps(d);
    r = v_fma(v_fma(-d, r, v_all(1.0f)), r, r);
    vf q = a * r;
    return v_fma(r, v_fma(-q, d, a), q);
}

INLINE vf v_tanh(vf x) { /* e / (e + 2) with e = exp(2 |x|) - 1 */
    vf y = v_abs(x);
    y = v_below(y + y, v_all(20.0f));
    vf n = ROUND(y * 1.44269504f), r = v_fma(n, v_all(-0.693145752f), y);
    r = v_fma(n, v_all(-1.42860677e-6f), r);
    vf q = v_fma(v_all(1.991281024e-4f), r, v_all(1.394104096e-3f));
    q = v_fma(q, r, v_all(8.333275095e-3f));
    q = v_fma(q, r, v_all(4.166635498e-2f));
    q = v_fma(q, r, v_all(1.666666716e-1f));
    q = v_fma(q, r, v_all(0.5f));
    q = v_fma(q * r, r, r);
    vf s = _mm512_scalef_ps(v_all(1.0f), n), e = v_fma(s, q, s - 1.0f);
    return v_sign_of(v_ratio(e, e + 2.0f), x);
}

/* erf(x) / x by polynomials around the middles of 16 intervals of a quarter; a fit by least squares. */
static const float erf_table[6][16] = {
    {1.122529626e+00f, 1.077645063e+00f, 9.971854091e-01f, 8.960857987e-01f, 7.896784544e-01f, 6.895782351e-01f,
     6.021192074e-01f, 5.290613770e-01f, 4.693392813e-01f, 4.207229614e-01f, 3.808741570e-01f, 3.478094339e-01f,
     3.199968338e-01f, 2.962957621e-01f, 2.758619785e-01f, 2.580645084e-01f},
    {-9.315494448e-02f, -2.594460845e-01f, -3.738974035e-01f, -4.243894219e-01f, -4.190261960e-01f, -3.776134253e-01f,
     -3.210135102e-01f, -2.642749548e-01f, -2.150581032e-01f, -1.754595786e-01f, -1.446576267e-01f, -1.208762452e-01f,
     -1.023782641e-01f, -8.778756112e-02f, -7.609924674e-02f, -6.659720093e-02f},
    {-3.656423092e-01f, -2.884952724e-01f, -1.652648598e-01f, -3.973094746e-02f, 5.419180915e-02f, 1.042674109e-01f,
     1.170747280e-01f, 1.074013934e-01f, 8.886348456e-02f, 6.987151504e-02f, 5.395989493e-02f, 4.175369814e-02f,
     3.269626945e-02f, 2.599835768e-02f, 2.099066600e-02f, 1.718602516e-02f},
    {5.537724122e-02f, 1.429848969e-01f, 1.753440201e-01f, 1.516008377e-01f, 9.622988850e-02f, 3.903338686e-02f,
     -1.373768551e-03f, -2.131142281e-02f, -2.627084777e-02f, -2.363832295e-02f, -1.869320497e-02f, -1.400045678e-02f,
     -1.033482514e-02f, -7.675793953e-03f, -5.785379559e-03f, -4.434255417e-03f},
    {1.060544327e-01f, 6.269834936e-02f, 1.980343601e-03f, -4.440014437e-02f, -6.033749878e-02f, -5.043896288e-02f,
     -2.978670411e-02f, -1.127139665e-02f, -1.273610978e-04f, 4.376024473e-03f, 5.041307770e-03f, 4.212930333e-03f,
     3.131421981e-03f, 2.235500608e-03f, 1.589873806e-03f, 1.144510927e-03f},
    {-1.944430545e-02f, -4.620232061e-02f, -4.642048478e-02f, -2.550434321e-02f, -6.500689778e-04f, 1.438474189e-02f,
     1.689949818e-02f, 1.204395387e-02f, 5.912928376e-03f, 1.677936991e-03f, -3.056257847e-04f, -8.637190913e-04f,
     -8.147596964e-04f, -6.128943642e-04f, -4.273898085e-04f, -2.931735071e-04f},
};

INLINE vf v_erf(vf x) {
    vf a = v_abs(x);
    __m512i k = _mm512_cvttps_epi32(v_below(a * 4.0f, v_all(15.5f)));
    vf t = v_fma(_mm512_cvtepi32_ps(k), v_all(-0.25f), a) - 0.125f;
    vf p = _mm512_permutexvar_ps(k, v_load(erf_table[5]));
    for (int j = 4; j >= 0; j--) p = v_fma(p, t, _mm512_permutexvar_ps(k, v_load(erf_table[j])));
    return v_select(a >= 4.0f, v_sign_of(v_all(1.0f), x), p * x);
}
#else
INLINE vf v_exp(vf x) { return EACH(fast_expf(x[j])); }
INLINE vf v_log(vf x) { return EACH(fast_logf(x[j])); }
INLINE vf v_tanh(vf x) { return EACH(fast_tanhf(x[j])); }
INLINE vf v_erf(vf x) { return EACH(fast_erff(x[j])); }
INLINE vf v_ratio(vf a, vf d) { return a / d; }
#endif

INLINE vf v_sigmoid(vf x) {
    vf z = v_exp((vf)((vi)x | (int32_t)0x80000000)), r = v_ratio(v_all(1.0f), z + 1.0f);
    r = v_select(x < 0.0f, z * r, r);
    return v_select(x < -88.7228394f, v_all(0.0f), r); /* where 1 + exp(-x) overflows */
}
#endif
