#define _GNU_SOURCE
#include "blas.h"
#include <dlfcn.h>
#include <pthread.h>

enum { ROW_MAJOR = 101, AS_IT_IS = 111, TRANSPOSED = 112 }; /* of CBLAS */

/* Builds of OpenBLAS whose names end in 64_ take their sizes in 64 bits, the others in 32. */
typedef void (*Wide)(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t, float,
                     float *, int64_t);
typedef void (*Narrow)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

static Wide wide;
static Narrow narrow;
static int (*get_threads)(void);
static void (*set_threads)(int);

/* A library's symbols are looked up in all that it was linked with, so numpy's extension leads to its BLAS. */
static void *numpy_library(void) {
    Dl_info info;
    if (!dladdr((void *)PyArray_NewFromDescr, &info) || info.dli_fname == NULL) return NULL;
    return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

int blas_found(void) {
    static int looked;
    if (looked) return wide || narrow;
    looked = 1;
    void *numpy = numpy_library();
    if (numpy == NULL) return 0;
    const char *prefixes[] = {"scipy_", ""};
    char name[64];
    for (int k = 0; k < 2 && !wide && !narrow; k++) {
        snprintf(name, sizeof name, "%scblas_sgemm64_", prefixes[k]);
        const char *ending = (wide = (Wide)dlsym(numpy, name)) ? "64_" : "";
        snprintf(name, sizeof name, "%scblas_sgemm", prefixes[k]);
        if (!wide) narrow = (Narrow)dlsym(numpy, name);
        snprintf(name, sizeof name, "%sopenblas_get_num_threads%s", prefixes[k], ending);
        get_threads = (int (*)(void))dlsym(numpy, name);
        snprintf(name, sizeof name, "%sopenblas_set_num_threads%s", prefixes[k], ending);
        set_threads = (void (*)(int))dlsym(numpy, name);
    }
    return wide || narrow;
}

void blas_product(int turned, Index m, Index n, Index k, float alpha, const float *a, Index lda, const float *b, Index ldb,
                  float beta, float *c, Index ldc) {
    int first = turned & 1 ? TRANSPOSED : AS_IT_IS, second = turned & 2 ? TRANSPOSED : AS_IT_IS;
    if (wide) wide(ROW_MAJOR, first, second, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else narrow(ROW_MAJOR, first, second, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

/* Several threads of Python may be between the two at once: the last one out puts back what the first one found. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int inside, found;

void blas_alone(void) {
    if (!get_threads || !set_threads) return;
    pthread_mutex_lock(&lock);
    if (inside++ == 0 && (found = get_threads()) > 1) set_threads(1);
    pthread_mutex_unlock(&lock);
}

void blas_shared(void) {
    if (!get_threads || !set_threads) return;
    pthread_mutex_lock(&lock);
    if (--inside == 0 && found > 1) set_threads(found);
    pthread_mutex_unlock(&lock);
}
