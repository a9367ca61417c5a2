/* What generated kernels start with: 16-bit floats, and float32 functions that the compiler can vectorise.
 * Maximum errors against the exact value: exp 1.0, log 0.9, tanh 1.4, erf 1.1 units in the last place. */
#ifndef FLOWTORCH_PRELUDE_H
#define FLOWTORCH_PRELUDE_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE float as_float(int32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
INLINE int32_t as_int(float x) { int32_t bits; memcpy(&bits, &x, 4); return bits; }

INLINE double as_double(int64_t bits) { double x; memcpy(&x, &bits, 8); return x; }

INLINE float load_bfloat16(uint16_t bits) { return as_float((int32_t)((uint32_t)bits << 16)); }
INLINE uint16_t store_bfloat16(float x) {
    uint32_t bits = (uint32_t)as_int(x);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (uint16_t)(x != x ? (bits >> 16) | 0x40 : rounded);
}

#ifdef __FLT16_MAX__
INLINE float load_float16(uint16_t bits) { _Float16 h; memcpy(&h, &bits, 2); return (float)h; }
INLINE uint16_t store_float16(float x) { _Float16 h = (_Float16)x; uint16_t bits; memcpy(&bits, &h, 2); return bits; }
#else
INLINE float load_float16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    float scaled = as_float((int32_t)(magnitude << 13)) * 0x1p112f; /* moves the exponent's bias, subnormals too */
    uint32_t bits = (uint32_t)as_int(scaled);
    if (magnitude >= 0x7c00) bits = 0x7f800000u | (magnitude & 0x3ff) << 13;
    return as_float((int32_t)(bits | sign));
}
INLINE uint16_t store_float16(float x) {
    uint32_t bits = (uint32_t)as_int(x), sign = bits >> 16 & 0x8000;
    float magnitude = as_float((int32_t)(bits & 0x7fffffff));
    if (x != x) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 65520.0f) return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x1p-14f) return (uint16_t)(sign | (uint32_t)(int32_t)rintf(magnitude * 0x1p24f));
    uint32_t m = (uint32_t)as_int(magnitude);
    return (uint16_t)(sign | ((m + 0xfff + (m >> 13 & 1) - 0x38000000u) >> 13));
}
#endif

INLINE float fast_expf(float x) {
    x = x < -104.0f ? -104.0f : (x > 89.0f ? 89.0f : x); /* NaN passes: both comparisons are false */
    float n = __builtin_rintf(x * 1.44269504088896341f);
    float r = __builtin_fmaf(n, -0.693145752f, x);
    r = __builtin_fmaf(n, -1.42860677e-6f, r);
    float p = 1.9875691500e-4f;
    p = __builtin_fmaf(p, r, 1.3981999507e-3f);
    p = __builtin_fmaf(p, r, 8.3334519073e-3f);
    p = __builtin_fmaf(p, r, 4.1665795894e-2f);
    p = __builtin_fmaf(p, r, 1.6666665459e-1f);
    p = __builtin_fmaf(p, r, 5.0000001201e-1f);
    p = __builtin_fmaf(p * r, r, r) + 1.0f;
    int32_t k = (int32_t)n, half = k >> 1; /* two steps reach subnormal results and overflow */
    return p * as_float((half + 127) << 23) * as_float((k - half + 127) << 23);
}

INLINE float fast_logf(float x) {
    int subnormal = as_int(x) < 0x00800000;
    float scaled = subnormal ? x * 8388608.0f : x;
    int32_t bits = as_int(scaled);
    int32_t exponent = (bits - 0x3f2aaaab) & (int32_t)0xff800000;
    float e = (float)exponent * 1.19209290e-7f - (subnormal ? 23.0f : 0.0f);
    float t = as_float(bits - exponent) - 1.0f, s = t * t;
    float r = -0.130310059f, u = 0.140869141f;
    r = __builtin_fmaf(r, s, -0.121483512f);
    u = __builtin_fmaf(u, s, 0.139814854f);
    r = __builtin_fmaf(r, s, -0.166846126f);
    u = __builtin_fmaf(u, s, 0.200120345f);
    r = __builtin_fmaf(r, s, -0.249996200f);
    r = __builtin_fmaf(u, t, r);
    r = __builtin_fmaf(r, t, 0.333331972f);
    r = __builtin_fmaf(r, t, -0.5f);
    r = __builtin_fmaf(r, s, t);
    r = __builtin_fmaf(e, 0.693147182f, r);
    r = x < 0.0f ? NAN : r;
    r = x == 0.0f ? -INFINITY : r;
    return x == INFINITY || x != x ? x : r;
}

INLINE float fast_tanhf(float x) {
    float a = __builtin_fabsf(x), s = x * x;
    float large = 1.0f - 2.0f / (fast_expf(a + a) + 1.0f);
    float p = -5.70498872745e-3f;
    p = __builtin_fmaf(p, s, 2.06390887954e-2f);
    p = __builtin_fmaf(p, s, -5.37397155531e-2f);
    p = __builtin_fmaf(p, s, 1.33314422036e-1f);
    p = __builtin_fmaf(p, s, -3.33332819422e-1f);
    p = __builtin_fmaf(p * s, a, a);
    return __builtin_copysignf(a > 0.625f ? large : p, x);
}

INLINE float fast_erff(float x) {
    float a = __builtin_fabsf(x), s = x * x;
    float r = -1.72853470e-5f, u = -3.88396438e-3f;
    r = __builtin_fmaf(r, a, 3.83197126e-4f);
    u = __builtin_fmaf(u, a, 2.42546219e-2f);
    r = __builtin_fmaf(r, s, u);
    r = __builtin_fmaf(r, a, -1.06777877e-1f);
    r = __builtin_fmaf(r, a, -6.34846687e-1f);
    r = __builtin_fmaf(r, a, -1.28717512e-1f);
    r = __builtin_fmaf(r, a, -a);
    float large = 1.0f - fast_expf(r);
    float q = -5.96761703e-4f;
    q = __builtin_fmaf(q, s, 4.99119423e-3f);
    q = __builtin_fmaf(q, s, -2.67681349e-2f);
    q = __builtin_fmaf(q, s, 1.12819925e-1f);
    q = __builtin_fmaf(q, s, -3.76125336e-1f);
    q = __builtin_fmaf(q, s, 1.28379166e-1f);
    q = __builtin_fmaf(q, a, a);
    return __builtin_copysignf(a > 0.921875f ? large : q, x);
}

/* Division and remainders with PyTorch's rules; an integer divisor of 0 (refused before the kernel) must not trap. */
#define FLOATING(T, suffix)                                                                                           \
    INLINE T remainder_##suffix(T a, T b) {                                                                           \
        T m = fmod##suffix(a, b);                                                                                     \
        return m != 0 && (b < 0) != (m < 0) ? m + b : m;                                                              \
    }                                                                                                                 \
    INLINE T floor_divide_##suffix(T a, T b) {                                                                        \
        if (b == 0) return a / b;                                                                                     \
        T m = fmod##suffix(a, b), q = (a - m) / b;                                                                    \
        if (m != 0 && (b < 0) != (m < 0)) q -= 1;                                                                     \
        if (q == 0) return copysign##suffix(0, a / b);                                                                \
        T f = floor##suffix(q);                                                                                       \
        return q - f > (T)0.5 ? f + 1 : f;                                                                            \
    }                                                                                                                 \
    /* without || between comparisons, which keeps loops from being vectorised */                                     \
    INLINE T maximum_##suffix(T a, T b) { T m = a <= b ? b : a; return b == b ? m : b; }                              \
    INLINE T minimum_##suffix(T a, T b) { T m = a >= b ? b : a; return b == b ? m : b; }                              \
    INLINE T fmax_##suffix(T a, T b) { T m = a > b ? a : b; return b == b ? m : a; }                                  \
    INLINE T fmin_##suffix(T a, T b) { T m = a < b ? a : b; return b == b ? m : a; }
#define fmodd fmod
#define copysignd copysign
#define floord floor
FLOATING(float, f)
FLOATING(double, d)

#define INTEGER(T, U, name)                                                                                           \
    INLINE T quotient_##name(T a, T b) { return b == 0 ? 0 : (T)(b + 1) == 0 && (T)-1 < 0 ? (T)(0 - (U)a) : (T)(a / b); } \
    INLINE T fmod_##name(T a, T b) { return b == 0 || ((T)(b + 1) == 0 && (T)-1 < 0) ? 0 : (T)(a % b); }              \
    INLINE T remainder_##name(T a, T b) {                                                                             \
        T m = fmod_##name(a, b);                                                                                      \
        return m != 0 && (b < 0) != (m < 0) ? (T)(m + b) : m;                                                         \
    }                                                                                                                 \
    INLINE T floor_divide_##name(T a, T b) {                                                                          \
        T q = quotient_##name(a, b), m = fmod_##name(a, b);                                                           \
        return m != 0 && (b < 0) != (m < 0) ? (T)(q - 1) : q;                                                         \
    }                                                                                                                 \
    INLINE T pow_##name(T base, T exponent) {                                                                         \
        if (exponent < 0) return base == 1 ? 1 : (T)(base + 1) == 0 ? (T)(exponent % 2 == 0 ? 1 : -1) : 0;            \
        U result = 1, factor = (U)base;                                                                               \
        for (; exponent; exponent /= 2, factor *= factor) if (exponent % 2) result *= factor;                         \
        return (T)result;                                                                                             \
    }                                                                                                                 \
    INLINE T left_shift_##name(T x, T n) { return n < 0 || n >= (T)(8 * sizeof(T)) ? 0 : (T)((U)x << n); }            \
    INLINE T right_shift_##name(T x, T n) {                                                                           \
        return n < 0 || n >= (T)(8 * sizeof(T)) ? (x < 0 ? (T)-1 : 0) : (T)(x >> n);                                  \
    }                                                                                                                 \
    INLINE T gcd_##name(T a, T b) {                                                                                   \
        U x = a < 0 ? 0 - (U)a : (U)a, y = b < 0 ? 0 - (U)b : (U)b;                                                   \
        while (y) { U r = x % y; x = y; y = r; }                                                                      \
        return (T)x;                                                                                                  \
    }
INTEGER(int8_t, uint8_t, int8)
INTEGER(int16_t, uint16_t, int16)
INTEGER(int32_t, uint32_t, int32)
INTEGER(int64_t, uint64_t, int64)
INTEGER(uint8_t, uint8_t, uint8)
INTEGER(uint16_t, uint16_t, uint16)
INTEGER(uint32_t, uint32_t, uint32)
INTEGER(uint64_t, uint64_t, uint64)
#endif
