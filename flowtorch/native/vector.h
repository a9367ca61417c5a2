/* float32 functions on vectors: of 16 numbers with AVX-512, else of 8 that the compiler splits as it must.
 *
 * Largest errors, in units in the last place, over all float32 arguments: exp 1.0, log 0.9, tanh 2, erf 0.7,
 * sigmoid 2.3, normal 4.5 (1.6 right of -5.5). NaN, infinities, signed zeros and subnormal numbers come out as IEEE 754 has them. */
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
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vf_memory __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vf v_load(const float *x) { return *(const vf_memory *)x; }
INLINE void v_store(float *x, vf v) { *(vf_memory *)x = v; }
INLINE vf v_all(float x) { return x - (vf){0}; }
/* The same past the caches, to where a line begins (or its second half). */
INLINE void v_stream(float *x, vf v) {
#if WIDE
    _mm512_stream_ps(x, v);
#elif defined(__SSE2__)
    for (int k = 0; k < LANES; k += 4) _mm_stream_ps(x + k, *(const __m128 *)((const float *)&v + k));
#else
    v_store(x, v);
#endif
}
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
/* Comparisons give a mask of their own kind here: the compiler would make a vector of each, and a mask of that again. */
typedef __mmask16 vm;
INLINE vm v_mask(vi m) { return _mm512_movepi32_mask((__m512i)m); }
INLINE vm v_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vm v_is_nan(vf x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
INLINE vf v_select(vm m, vf a, vf b) { return _mm512_mask_mov_ps(b, m, a); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE int v_any(vm m) { return m != 0; }
INLINE vf v_sqrt(vf x) { return _mm512_sqrt_ps(x); }
INLINE vf v_above(vf x, vf least) { return _mm512_max_ps(least, x); }   /* a NaN in x stays */
INLINE vf v_below(vf x, vf most) { return _mm512_min_ps(most, x); }
INLINE vf v_larger(vf a, vf b) { return v_select(v_is_nan(a), a, _mm512_max_ps(a, b)); }  /* NaN if either is */
INLINE vf v_smaller(vf a, vf b) { return v_select(v_is_nan(a), a, _mm512_min_ps(a, b)); }
INLINE float v_sum(vf x) { return _mm512_reduce_add_ps(x); }
INLINE float v_top(vf x) { return _mm512_reduce_max_ps(x); }            /* the largest where no NaN is */
#else
typedef vi vm;
INLINE vm v_mask(vi m) { return m; }
INLINE vm v_less(vf a, vf b) { return a < b; }
INLINE vm v_is_nan(vf x) { return x != x; }
INLINE int v_any(vm m) { int any = 0; for (int j = 0; j < LANES; j++) any |= m[j]; return any; }
INLINE vf v_select(vm m, vf a, vf b) { return (vf)((m & (vi)a) | (~m & (vi)b)); }
INLINE vf v_fma(vf a, vf b, vf c) { return EACH(__builtin_fmaf(a[j], b[j], c[j])); }
INLINE vf v_sqrt(vf x) { return EACH(__builtin_sqrtf(x[j])); }
INLINE vf v_above(vf x, vf least) { return v_select(v_less(x, least), least, x); }
INLINE vf v_below(vf x, vf most) { return v_select(v_less(most, x), most, x); }
INLINE vf v_larger(vf a, vf b) { return v_select((a > b) | (a != a), a, b); }
INLINE vf v_smaller(vf a, vf b) { return v_select((a < b) | (a != a), a, b); }
INLINE float v_sum(vf x) { float s = 0; for (int j = 0; j < LANES; j++) s += x[j]; return s; }
INLINE float v_top(vf x) { float m = x[0]; for (int j = 1; j < LANES; j++) m = x[j] > m ? x[j] : m; return m; }
#endif
INLINE vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
/* What t = s + x has too much; nothing where the sum is infinite, or a NaN would follow. */
INLINE vf v_rounded_away(vf t, vf s, vf x) { return v_select(v_less(v_abs(t), v_all(INFINITY)), (t - s) - x, v_all(0.0f)); }
INLINE vf v_sign_of(vf magnitude, vf sign) { return (vf)((vi)magnitude | ((vi)sign & (int32_t)0x80000000)); }

#if WIDE
/* Added to a small number this leaves the nearest integer in the last bits: with the product one instruction less than
 * rounding takes, and the bits are an index. */
#define TO_INTEGER 12582912.0f
INLINE vf v_nearest_product(vf x, float factor) { return v_fma(x, v_all(factor), v_all(TO_INTEGER)) - TO_INTEGER; }

/* (exp(r) - 1 - r) / r for small r. */
INLINE vf v_exp_bend(vf r) {
    vf q = v_fma(v_all(1.395048806e-3f), r, v_all(8.368889801e-3f));
    q = v_fma(q, r, v_all(4.166620597e-2f));
    q = v_fma(q, r, v_all(1.666651815e-1f));
    return v_fma(q, r, v_all(0.5f)) * r;
}
/* 2 to the n-th times exp(r) for small r. */
INLINE vf v_exp_scaled(vf r, vf n) { return _mm512_scalef_ps(v_fma(v_exp_bend(r), r, r) + 1.0f, n); }
#define LESS_HALVES(x, n) v_fma(n, v_all(-1.42860677e-6f), v_fma(n, v_all(-0.693145752f), x)) /* x - n log(2) */

INLINE vf v_exp_below(vf x) { /* for x of at most 89 */
    x = v_above(x, v_all(-104.0f));
    vf n = v_nearest_product(x, 1.44269504f);
    return v_exp_scaled(LESS_HALVES(x, n), n);
}
INLINE vf v_exp(vf x) { return v_exp_below(v_below(x, v_all(89.0f))); }

/* s exp(r) - 1 with s a power of two, in halves, as s may be beyond the largest number. What is lost where n log(2) is
 * taken off and where s r is added to s - 1 is kept, or the error would be two units around log(2). */
INLINE vf v_expm1(vf x) {
    vf y = v_above(v_below(x, v_all(89.0f)), v_all(-104.0f)), n = v_nearest_product(y, 1.44269504f);
    vf above = v_fma(n, v_all(-0.693145752f), y), r = v_fma(n, v_all(-1.42860677e-6f), above);
    vf lost = v_fma(n, v_all(-1.42860677e-6f), above - r), s = _mm512_scalef_ps(v_all(0.5f), n), less = s - 0.5f;
    vf sum = v_fma(s, r, less), rest = v_fma(s, r, less - sum);
    vf half = sum + v_fma(s, v_fma(v_exp_bend(r), r, lost), rest);
    return v_select(v_less(v_abs(x), v_all(1e-10f)), x, v_sign_of(half + half, x)); /* halves of the least are lost */
}

/* exp(x + low) for x between -150 and 89 and a small `low`. */
INLINE vf v_exp_sum(vf x, vf low) {
    vf n = v_nearest_product(x, 1.44269504f);
    return v_exp_scaled(LESS_HALVES(x, n) + low, n);
}

INLINE vf v_log(vf x) {
    vf m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
    vf e = _mm512_getexp_ps(x); /* -inf for 0: the sum is then right */
    e = v_select(v_less(m, v_all(1.0f)), e + 1.0f, e);
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

/* 1 / d within a unit, for d far from the ends of the range: while the divider is busy elsewhere. */
INLINE vf v_inverse(vf d) {
    vf r = _mm512_rcp14_ps(d);
    return v_fma(v_fma(-d, r, v_all(1.0f)), r, r);
}

INLINE vf v_tanh(vf x) { /* e / (e + 1) with e = (exp(2 |x|) - 1) / 2 = (s - 1) / 2 + s p, s a power of two */
    vf y = v_below(v_abs(x), v_all(10.0f)), m = v_fma(y, v_all(2.88539008f), v_all(TO_INTEGER)), n = m - TO_INTEGER;
    vf s = (vf)(((vi)m << 23) + 0x3f800000);
    vf r = v_fma(n, v_all(-7.14303385e-7f), v_fma(n, v_all(-0.346572876f), y));
    vf p = v_fma(v_all(1.2744198554e-2f), r, v_all(4.4611331075e-2f));
    p = v_fma(p, r, v_all(1.333324015e-1f));
    p = v_fma(p, r, v_all(3.333308399e-1f));
    p = v_fma(p, r, v_all(6.666666865e-1f));
    p = v_fma(p, r, v_all(1.0f));
    vf e = v_fma(s, v_fma(p * r, r, r), v_fma(s, v_all(0.5f), v_all(-0.5f)));
    return v_sign_of(e / (e + 1.0f), x);
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
    vf v = a - 0.125f, m = v_fma(v, v_all(4.0f), v_all(TO_INTEGER)), t = v_fma(m - TO_INTEGER, v_all(-0.25f), v);
    __m512i k = (__m512i)m; /* the interval's number is in the last bits */
    vf p = _mm512_permutexvar_ps(k, v_load(erf_table[7]));
    for (int j = 6; j >= 1; j--) p = v_fma(p, t, _mm512_permutexvar_ps(k, v_load(erf_table[j])));
    p = p + _mm512_permutexvar_ps(k, v_load(erf_table[0]));
    vf q = v_all(-7.694534143e-04f); /* below a half: x + x (erf(x) / x - 1) */
    q = v_fma(q, y, v_all(5.200413521e-03f));
    q = v_fma(q, y, v_all(-2.686314285e-02f));
    q = v_fma(q, y, v_all(1.128377393e-01f));
    q = v_fma(q, y, v_all(-3.761263788e-01f));
    q = v_fma(q, y, v_all(1.283791661e-01f));
    p = v_select(v_less(a, v_all(4.0f)), v_sign_of(p, x), v_sign_of(v_all(1.0f), x));
    return v_select(v_is_nan(x), x, v_select(v_less(a, v_all(0.5f)), v_fma(q, x, x), p));
}
#else
INLINE vf v_exp(vf x) { return EACH(fast_expf(x[j])); }
INLINE vf v_exp_below(vf x) { return v_exp(x); }
INLINE vf v_expm1(vf x) { return EACH(__builtin_expm1f(x[j])); }
INLINE vf v_log(vf x) { return EACH(fast_logf(x[j])); }
INLINE vf v_tanh(vf x) { return EACH(fast_tanhf(x[j])); }
INLINE vf v_erf(vf x) { return EACH(fast_erff(x[j])); }
INLINE vf v_exp_sum(vf x, vf low) { vf e = v_exp(x); return v_fma(e, low, e); }
INLINE vf v_inverse(vf d) { return 1.0f / d; }
#endif

INLINE vf v_sigmoid(vf x) {
    vf z = v_exp_below((vf)((vi)x | (int32_t)0x80000000)), r = v_select(v_less(x, v_all(0.0f)), z, v_all(1.0f)) / (z + 1.0f);
    return v_select(v_less(x, v_all(-88.7228394f)), v_all(0.0f), r); /* where 1 + exp(-x) overflows */
}

/* erfc(u / sqrt(2)) for u up to 15: exp(-u * u / 2) times a smooth function of q = (u - 1.5) / (u + 1.5), divided by
 * u + 1.5; what rounding the square loses is put back. */
INLINE vf v_tail(vf u) {
    vf d = u + 1.5f, r = v_inverse(d), q = v_fma(v_all(-3.0f), r, v_all(1.0f));
    vf half = u * -0.5f, square = half * u, lost = v_fma(half, u, -square);
    vf p = v_fma(v_all(2.878266387e-4f), q, v_all(9.145865915e-4f));
    p = v_fma(p, q, v_all(5.292327260e-4f));
    p = v_fma(p, q, v_all(-2.053411212e-3f));
    p = v_fma(p, q, v_all(-5.441115238e-3f));
    p = v_fma(p, q, v_all(-4.887675401e-3f));
    p = v_fma(p, q, v_all(7.982777432e-3f));
    p = v_fma(p, q, v_all(3.528587893e-2f));
    p = v_fma(p, q, v_all(3.579216450e-2f));
    p = v_fma(p, q, v_all(-1.149914116e-1f));
    p = v_fma(p, q, v_all(-3.901989162e-1f));
    p = v_fma(p, q, v_all(1.234683990f));
    vf ratio = p * r;
    ratio = v_fma(r, v_fma(-ratio, d, p), ratio);
    return v_exp_sum(square, lost) * ratio;
}

#if WIDE
/* The same function around the middles of 32 intervals up to 5.5: its powers there. */
static const float tail_table[7][32] = {
    {9.315161109e-01f, 7.965516448e-01f, 6.674229503e-01f, 5.474653840e-01f, 4.392634928e-01f, 3.444993496e-01f, 2.639141679e-01f, 1.973763555e-01f,
     1.440325975e-01f, 1.025084406e-01f, 7.112360001e-02f, 4.809110612e-02f, 3.167901561e-02f, 2.032397874e-02f, 1.269589923e-02f, 7.720321883e-03f,
     4.569138866e-03f, 2.631354379e-03f, 1.474339515e-03f, 8.035689825e-04f, 4.259875568e-04f, 2.196165005e-04f, 1.100977752e-04f, 5.366526602e-05f,
     2.543131086e-05f, 1.171569420e-05f, 5.246351066e-06f, 2.283525191e-06f, 9.660175238e-07f, 3.971630349e-07f, 1.586840028e-07f, 6.161064192e-08f},
    {-7.949436903e-01f, -7.718037367e-01f, -7.275248766e-01f, -6.658238769e-01f, -5.916180015e-01f, -5.103802681e-01f, -4.274810553e-01f, -3.476244807e-01f,
     -2.744570374e-01f, -2.103821486e-01f, -1.565719247e-01f, -1.131330207e-01f, -7.936615497e-02f, -5.405699089e-02f, -3.574693948e-02f, -2.295072377e-02f,
     -1.430620346e-02f, -8.658105507e-03f, -5.087352823e-03f, -2.902226988e-03f, -1.607464394e-03f, -8.644141490e-04f, -4.513078020e-04f, -2.287675161e-04f,
     -1.125865092e-04f, -5.379586219e-05f, -2.495639455e-05f, -1.124049231e-05f, -4.915405043e-06f, -2.086910627e-06f, -8.602384582e-07f, -3.442740706e-07f},
    {3.413464129e-02f, 9.942555428e-02f, 1.563667059e-01f, 2.002972513e-01f, 2.288156152e-01f, 2.412552536e-01f, 2.387795746e-01f, 2.240629792e-01f,
     2.004747093e-01f, 1.717498451e-01f, 1.412749141e-01f, 1.118036360e-01f, 8.525843173e-02f, 6.271380931e-02f, 4.454490915e-02f, 3.057075664e-02f,
     2.028530650e-02f, 1.302084606e-02f, 8.088131435e-03f, 4.863495938e-03f, 2.831890713e-03f, 1.597143360e-03f, 8.726497181e-04f, 4.620018008e-04f,
     2.370463044e-04f, 1.178879029e-04f, 5.683446579e-05f, 2.656463039e-05f, 1.203895408e-05f, 5.290621630e-06f, 2.254750598e-06f, 9.319658716e-07f},
    {1.315087676e-01f, 1.201104000e-01f, 9.881213307e-02f, 7.079079747e-02f, 3.961199522e-02f, 9.040554054e-03f, -1.767150499e-02f, -3.835144266e-02f,
     -5.188263580e-02f, -5.840810761e-02f, -5.888406560e-02f, -5.480360985e-02f, -4.783342779e-02f, -3.949559852e-02f, -3.104716167e-02f, -2.332157455e-02f,
     -1.679078490e-02f, -1.161156502e-02f, -7.724713068e-03f, -4.949670285e-03f, -3.058074508e-03f, -1.823231229e-03f, -1.049690531e-03f, -5.838879733e-04f,
     -3.139635373e-04f, -1.632585627e-04f, -8.212825924e-05f, -3.997979002e-05f, -1.883822915e-05f, -8.593809071e-06f, -3.796523515e-06f, -1.624522042e-06f},
    {-3.235774639e-04f, -1.612900291e-03f, -5.837338045e-02f, -5.440889671e-02f, -5.481758714e-02f, -4.957820848e-02f, -3.186706826e-02f, -2.772696875e-02f,
     -1.186240558e-02f, -2.264309907e-03f, 5.302126985e-03f, 9.656268172e-03f, 1.088526379e-02f, 1.270955894e-02f, 1.162733417e-02f, 1.054172870e-02f,
     8.666821755e-03f, 6.604392547e-03f, 4.780948162e-03f, 3.337076399e-03f, 2.224807860e-03f, 1.417054096e-03f, 8.682358311e-04f, 5.130345235e-04f,
     2.913687495e-04f, 1.594533824e-04f, 8.399407670e-05f, 4.275945685e-05f, 2.104927444e-05f, 1.001983128e-05f, 4.604980859e-06f, 2.042167580e-06f},
    {-1.964258216e-02f, -2.202812023e-02f, -2.591795754e-03f, -1.406642841e-03f, 2.939769765e-03f, 8.675688878e-03f, 9.330513887e-03f, 1.451845840e-02f,
     1.091982517e-02f, 8.535970934e-03f, 6.014721468e-03f, 3.948254045e-03f, 2.978447359e-03f, 3.903442575e-06f, -1.092641149e-03f, -2.214192646e-03f,
     -2.499538707e-03f, -2.253168495e-03f, -1.877227915e-03f, -1.501325401e-03f, -1.110932208e-03f, -7.759935688e-04f, -5.134412786e-04f, -3.274618357e-04f,
     -1.986873103e-04f, -1.157475053e-04f, -6.432324153e-05f, -3.448710777e-05f, -1.782809886e-05f, -8.902741683e-06f, -4.276112577e-06f, -1.975063469e-06f},
    {-7.275429368e-01f, -1.992653847e+00f, 1.895755649e+00f, 9.103590250e-01f, 7.962297797e-01f, 6.345356107e-01f, -2.565969825e-01f, 2.327474058e-01f,
     -2.247575223e-01f, -2.155387551e-01f, -1.951147914e-01f, -1.044155136e-01f, 4.676869884e-02f, -2.291721106e-02f, 2.350115404e-02f, -8.889181539e-03f,
     -1.165921614e-02f, -3.282469464e-03f, 1.309365849e-03f, 3.714320483e-04f, 1.066502955e-04f, 3.852198424e-04f, 3.057950817e-04f, 1.151146498e-04f,
     7.091979933e-05f, 4.572955731e-05f, 4.134414849e-05f, 2.559694258e-05f, 1.268191590e-05f, 5.441528629e-06f, 2.664364729e-06f, 1.595627054e-06f},
};

/* erfc(-x / sqrt(2)), twice the normal distribution; far on the left, where hardly a number is, at twice the price. */
INLINE vf v_normal(vf x) {
    const float most = 5.49999952f;
    vf u = v_below(v_abs(x), v_all(most)) - 0.0859375f, m = v_fma(u, v_all(5.8181813f), v_all(TO_INTEGER));
    vf t = v_fma(m - TO_INTEGER, v_all(-0.171875f), u);
    __m512i k = (__m512i)m; /* the interval's number is in the last bits */
#define POWER(j) _mm512_permutex2var_ps(v_load(tail_table[j]), k, v_load(tail_table[j] + 16))
    vf tail = POWER(6);
    for (int j = 5; j >= 0; j--) tail = v_fma(tail, t, POWER(j));
#undef POWER
    vm far = v_less(x, v_all(-most));
    if (__builtin_expect(far != 0, 0))
        tail = v_select(far, v_tail(v_below(v_abs(x), v_all(15.0f))), tail);
    return _mm512_mask_sub_ps(tail, v_less(v_all(-0.0f), x), v_all(2.0f), tail);
}
#else
INLINE vf v_normal(vf x) {
    vf tail = v_tail(v_below(v_abs(x), v_all(15.0f)));
    return v_select(v_less(x, v_all(0.0f)), tail, 2.0f - tail);
}
#endif
#endif
