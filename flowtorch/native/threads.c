/* A few threads that share one loop at a time.
 *
 * Parts of the loop are handed out one by one, so the caller never waits for a thread that the system has not woken:
 * it computes all parts that nobody took, then waits only for those being computed. After a fork the child starts
 * without threads and makes its own. */
#define _GNU_SOURCE
#include "kernel.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST 64
#define SPIN 400 /* turns of waiting before a thread sleeps: some tens of microseconds */

static struct {
    Body body;
    void *context;
    Index n, grain;
    _Atomic Index next;
} job;

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* held by the caller that has the threads */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  /* guards what follows */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static _Atomic unsigned generation;                       /* counts jobs */
static _Atomic int joined;                                /* threads inside the job */
static int is_open, sleeping, started, wanted;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void work(void) {
    for (;;) {
        Index begin = atomic_fetch_add(&job.next, job.grain);
        if (begin >= job.n) return;
        Index end = begin + job.grain;
        job.body(job.context, begin, end < job.n ? end : job.n);
    }
}

static void *thread_main(void *number) {
    unsigned seen = 0;
    int own = (int)(intptr_t)number;
    for (;;) {
        for (int turn = 0; turn < SPIN && atomic_load_explicit(&generation, memory_order_acquire) == seen; turn++)
            relax();
        pthread_mutex_lock(&lock);
        while (atomic_load(&generation) == seen || own >= wanted) {
            if (atomic_load(&generation) != seen) seen = atomic_load(&generation);
            sleeping++;
            pthread_cond_wait(&wake, &lock);
            sleeping--;
        }
        seen = atomic_load(&generation);
        int enter = is_open;
        if (enter) atomic_fetch_add(&joined, 1);
        pthread_mutex_unlock(&lock);
        if (enter) {
            work();
            atomic_fetch_sub_explicit(&joined, 1, memory_order_release);
        }
    }
    return NULL;
}

static void after_fork(void) {
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wake, NULL);
    atomic_store(&joined, 0);
    is_open = sleeping = started = 0;
}

int threads_get(void) {
    if (wanted == 0) {
        const char *asked = getenv("OMP_NUM_THREADS");
        int count = asked ? atoi(asked) : 0;
        if (count <= 0) {
            cpu_set_t set;
            count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
        }
        threads_set(count);
    }
    return wanted;
}

void threads_set(int count) {
    static int registered;
    if (!registered) registered = pthread_atfork(NULL, NULL, after_fork) == 0;
    wanted = count < 1 ? 1 : count > MOST ? MOST : count;
}

static void start(int count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (; started < count - 1; started++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, thread_main, (void *)(intptr_t)(started + 1)) != 0) break;
    }
    pthread_attr_destroy(&attributes);
}

void parallel_for(Index n, Index grain, Body body, void *context) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    if (n <= grain) {
        body(context, 0, n);
        return;
    }
    int count = threads_get();
    PyThreadState *state = PyEval_SaveThread();
    if (count == 1 || pthread_mutex_trylock(&owner) != 0) {
        body(context, 0, n);
        PyEval_RestoreThread(state);
        return;
    }
    if (started < count - 1) start(count);
    /* four parts for each thread even out their speeds */
    Index part = (n + 4 * count - 1) / (4 * count);
    pthread_mutex_lock(&lock);
    job.body = body, job.context = context, job.n = n, job.grain = part > grain ? part : grain;
    atomic_store(&job.next, 0);
    is_open = 1;
    atomic_fetch_add(&generation, 1);
    if (sleeping) pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
    work();
    pthread_mutex_lock(&lock);
    is_open = 0;
    pthread_mutex_unlock(&lock);
    for (int turn = 0; atomic_load_explicit(&joined, memory_order_acquire) > 0; turn++)
        if (turn < SPIN) relax(); else sched_yield();
    pthread_mutex_unlock(&owner);
    PyEval_RestoreThread(state);
}
