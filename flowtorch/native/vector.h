/* float32 functions on vectors: of 16 numbers with AVX-512, else of 8 that the compiler splits as it must.
 *
 * Largest errors, in units in the last place, over all float32 arguments: exp 1.0, log 0.9, tanh 2, erf 0.7,
 * sigmoid 1.8, normal 4. NaN, infinities, signed zeros and subnormal numbers come out as IEEE 754 has them. */
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
INLINE vf v_larger(vf a, vf b) { return v_select((a > b) | (a != a), a, b); }   /* NaN if either is */
INLINE vf v_smaller(vf a, vf b) { return v_select((a < b) | (a != a), a, b); }
/* The largest; NaN if there is one. */
INLINE float v_max(vf x) {
#if WIDE
    x = v_larger(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    x = v_larger(x, _mm512_shuffle_f32x4(x, x, 0xb1));
    x = v_larger(x, _mm512_permute_ps(x, 0x4e));
    return v_larger(x, _mm512_permute_ps(x, 0xb1))[0];
#else
    float m = x[0];
    for (int j = 1; j < LANES; j++) m = x[j] < m ? m : x[j];
    return m;
#endif
}
INLINE vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
/* What t = s + x has too much; nothing where the sum is infinite, or a NaN would follow. */
INLINE vf v_rounded_away(vf t, vf s, vf x) { return v_select(v_abs(t) < INFINITY, (t - s) - x, v_all(0.0f)); }
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

/* erf around the middles of 16 intervals of a quarter: the value in two parts, then the powers; by interpolation. */
static const float erf_table[8][16] = {
    {1.403162032e-01f, 4.041168988e-01f, 6.232408881e-01f, 7.840750813e-01f, 8.883882165e-01f, 9.481700659e-01f,
     9.784437418e-01f, 9.919900298e-01f, 9.973459840e-01f, 9.992170334e-01f, 9.997946024e-01f, 9.999521375e-01f,
     9.999901056e-01f, 9.999982119e-01f, 9.999997020e-01f, 9.999999404e-01f},
    {1.564753882e-09f, 1.065972199e-08f, -5.930326008e-09f, -2.028856017e-08f, 1.520619364e-08f, 6.902268535e-09f,
     -8.558417086e-09f, 2.785826148e-08f, -1.334156874e-08f, 2.839587765e-08f, 2.186975401e-08f, 7.690011294e-09f,
     -2.363592433e-09f, -2.714208414e-08f, 2.883031369e-09f, 1.709070041e-08f},
    {1.110885262e+00f, 9.803528190e-01f, 7.634995580e-01f, 5.247450471e-01f, 3.182739615e-01f, 1.703597754e-01f,
     8.047225326e-02f, 3.354582563e-02f, 1.234081946e-02f, 4.006478004e-03f, 1.147875446e-03f, 2.902284905e-04f,
     6.475879491e-05f, 1.275178329e-05f, 2.215933591e-06f, 3.398257604e-07f},
    {-1.388606578e-01f, -3.676322997e-01f, -4.771872163e-01f, -4.591519237e-01f, -3.580582142e-01f, -2.342446893e-01f,
     -1.307674199e-01f, -6.289842725e-02f, -2.622424252e-02f, -9.515384212e-03f, -3.013172187e-03f, -8.344063535e-04f,
     -2.023709385e-04f, -4.303714741e-05f, -8.032719052e-06f, -1.316814178e-06f},
    {-3.587182760e-01f, -2.348750234e-01f, -5.567479134e-02f, 9.291964769e-02f, 1.624502838e-01f, 1.579380035e-01f,
     1.148419306e-01f, 6.744214147e-02f, 3.303780779e-02f, 1.373050921e-02f, 4.890281707e-03f, 1.502423198e-03f,
     3.999627079e-04f, 9.256100748e-05f, 1.866695857e-05f, 3.286754463e-06f},
    {6.870590150e-02f, 1.665809900e-01f, 1.764584333e-01f, 1.123969555e-01f, 2.797457948e-02f, -3.049970232e-02f,
     -4.971873760e-02f, -4.226018488e-02f, -2.636112273e-02f, -1.313334052e-02f, -5.414301530e-03f, -1.881731325e-03f,
     -5.575502291e-04f, -1.418762840e-04f, -3.116427979e-05f, -5.931252872e-06f},
    {1.035279259e-01f, 4.532615095e-02f, -2.703499421e-02f, -6.670913845e-02f, -6.106118858e-02f, -3.064393997e-02f,
     -2.303273417e-03f, 1.132801641e-02f, 1.244421583e-02f, 8.360583335e-03f, 4.236416426e-03f, 1.727707568e-03f,
     5.842616083e-04f, 1.665794553e-04f, 4.045942842e-05f, 8.430362868e-06f},
    {-2.251009084e-02f, -4.980013892e-02f, -4.116240144e-02f, -1.041778829e-02f, 1.537253242e-02f, 2.204489522e-02f,
     1.439882722e-02f, 4.144094419e-03f, -1.783652464e-03f, -3.097804729e-03f, -2.245847136e-03f, -1.143764821e-03f,
     -4.553554463e-04f, -1.479110360e-04f, -4.008041287e-05f, -9.181907444e-06f},
};

INLINE vf v_erf(vf x) {
    vf a = v_abs(x), y = x * x;
    __m512i k = _mm512_cvttps_epi32(v_below(a * 4.0f, v_all(15.5f)));
    vf t = v_fma(_mm512_cvtepi32_ps(k), v_all(-0.25f), a) - 0.125f;
    vf p = _mm512_permutexvar_ps(k, v_load(erf_table[7]));
    for (int j = 6; j >= 1; j--) p = v_fma(p, t, _mm512_permutexvar_ps(k, v_load(erf_table[j])));
    p = p + _mm512_permutexvar_ps(k, v_load(erf_table[0]));
    vf q = v_all(-7.694534143e-04f); /* below a half: x + x (erf(x) / x - 1) */
    q = v_fma(q, y, v_all(5.200413521e-03f));
    q = v_fma(q, y, v_all(-2.686314285e-02f));
    q = v_fma(q, y, v_all(1.128377393e-01f));
    q = v_fma(q, y, v_all(-3.761263788e-01f));
    q = v_fma(q, y, v_all(1.283791661e-01f));
    p = v_select(a < 4.0f, v_sign_of(p, x), v_sign_of(v_all(1.0f), x));
    return v_select(x != x, x, v_select(a < 0.5f, v_fma(q, x, x), p));
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

/* erfc(-x / sqrt(2)), twice the normal distribution: left of -1 a rational function times exp(-x * x / 2), as 1 + erf
 * would cancel; what rounding the square loses is put back. */
INLINE vf v_normal(vf x) {
    vf u = v_below(v_above(-x, v_all(1.0f)), v_all(15.0f)), square = u * u, lost = v_fma(u, u, -square);
    vf r = v_ratio(v_all(1.0f), u + 2.0f), q = v_fma(v_all(-4.0f), r, v_all(1.0f));
    vf p = v_fma(v_all(2.067740718e-03f), q, v_all(-1.502573661e-04f));
    p = v_fma(p, q, v_all(-7.693795137e-03f));
    p = v_fma(p, q, v_all(-8.792029768e-03f));
    p = v_fma(p, q, v_all(2.697968717e-02f));
    p = v_fma(p, q, v_all(6.749698674e-02f));
    p = v_fma(p, q, v_all(-2.125577813e-01f));
    p = v_fma(p, q, v_all(9.005044152e-02f));
    p = v_fma(p, q, v_all(8.405100135e-01f));
    vf e = v_exp(-0.5f * square);
    e = v_fma(e, -0.5f * lost, e);
    return v_select(x < -1.0f, v_ratio(p, u + 0.5f) * e, 1.0f + v_erf(x * 0.707106781f));
}
#endif
