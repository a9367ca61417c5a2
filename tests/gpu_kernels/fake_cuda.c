/* The part of the CUDA driver that launches need, keeping a record of what it is told instead of doing it. */

#include <stdint.h>
#include <string.h>

enum { SLOTS = 40, LAUNCHES = 64 };

typedef struct {
    uint64_t function, grid[3], block[3], shared, stream, slots[SLOTS];
} Launch;

static Launch launches[LAUNCHES];
static int count, parameters, failure, loads, unloads, capturing;
static uint64_t attribute[3];
static char names[LAUNCHES][128];
static int functions;

void fake_reset(void) {
    count = parameters = failure = loads = unloads = functions = capturing = 0;
    memset(attribute, 0, sizeof attribute);
}
void fake_parameters(int number) { parameters = number; }
void fake_fail(int code) { failure = code; }
void fake_capture(int on) { capturing = on; }
int fake_count(void) { return count; }
int fake_loads(void) { return loads; }
int fake_unloads(void) { return unloads; }
const Launch *fake_launch(int number) { return launches + number; }
const uint64_t *fake_attribute(void) { return attribute; }

int cuGetErrorString(int code, const char **text) {
    *text = code == 700 ? "an illegal memory access was encountered" : code == 1 ? "invalid argument" : 0;
    return *text ? 0 : 1;
}

int cuModuleLoadData(void **module, const void *image) {
    if (capturing) return 900;
    if (memcmp(image, "\177ELF", 4)) return 200;
    *module = (void *)image;
    loads++;
    return 0;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
    (void)module;
    strncpy(names[functions], name, sizeof names[0] - 1);
    *function = (void *)(uintptr_t)(0x1000 + functions++);
    return 0;
}

int cuFuncSetAttribute(void *function, int which, int value) {
    attribute[0] = (uintptr_t)function, attribute[1] = which, attribute[2] = value;
    return 0;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **slots, void **extra) {
    if (failure) {
        int code = failure;
        failure = failure == 201 ? 0 : failure; /* the context is there the second time */
        return code;
    }
    if (extra || count == LAUNCHES || !gx || !gy || !gz) return 1;
    Launch *launch = launches + count++;
    *launch = (Launch){(uintptr_t)function, {gx, gy, gz}, {bx, by, bz}, shared, (uintptr_t)stream, {0}};
    for (int k = 0; k < parameters && k < SLOTS; k++) memcpy(launch->slots + k, slots[k], 8);
    return 0;
}

int cuFuncGetAttribute(int *value, int which, void *function) {
    (void)function;
    *value = which == 0 ? 1024 : which == 4 ? 32 : 0;
    return 0;
}

int cuModuleUnload(void *module) {
    (void)module;
    unloads++;
    return 0;
}
