/* The functions of vector.h on arrays whose length is a multiple of the lanes, for test_vector.py. */
#include "vector.h"
#define ON_ARRAYS(name)                                                                                               \
    __attribute__((visibility("default"))) void on_##name(const float *x, float *y, long n) {                         \
        for (long i = 0; i < n; i += LANES) v_store(y + i, v_##name(v_load(x + i)));                                  \
    }
ON_ARRAYS(exp)
ON_ARRAYS(expm1)
ON_ARRAYS(log)
ON_ARRAYS(tanh)
ON_ARRAYS(erf)
ON_ARRAYS(sigmoid)
ON_ARRAYS(normal)
