/* A stand-in for libnvidia-ml.so.1, as much of it as core/hardware/nvml.py calls.
 * The box it pretends to be is named by the environment variable FAKE_NVML. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15
};
enum { FULL, BARE, LOST, HIDDEN };

typedef struct {
    const char *box, *uuid, *name;
    unsigned long long total_mib, used_mib;
    int major, minor, kind;
} Card;

static const Card CARDS[] = {
    {"desktop4090", "GPU-4090aaaa-0000-0000-0000-000000000001", "NVIDIA GeForce RTX 4090",
     24564, 459, 8, 9, FULL},
    {"bare", "GPU-bare0000-0000-0000-0000-000000000001", "NVIDIA GeForce RTX 4090 Laptop GPU",
     16376, 100, 8, 9, BARE},
    {"two", "GPU-a1000000-0000-0000-0000-000000000040", "NVIDIA A100-SXM4-40GB", 40960, 10, 8, 0, FULL},
    {"two", "GPU-a1000000-0000-0000-0000-000000000080", "NVIDIA A100-SXM4-80GB", 81920, 10, 8, 0, FULL},
    {"two", "MIG-a1000000-0000-0000-0000-000000000005", "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
     4864, 5, 8, 0, BARE},
    {"lost", "GPU-10510000-0000-0000-0000-000000000001", "NVIDIA L4", 23034, 10, 8, 9, LOST},
    {"hidden", "GPU-00000000-0000-0000-0000-000000000001", "NVIDIA L4", 23034, 10, 8, 9, HIDDEN},
    {"hidden", "GPU-00000000-0000-0000-0000-000000000002", "Tesla T4", 15360, 10, 7, 5, FULL},
};
#define COUNT (sizeof CARDS / sizeof *CARDS)

typedef const Card *Device;
static int started;

static const char *box(void) {
    const char *name = getenv("FAKE_NVML");
    return name ? name : "";
}
static int is_slice(const Card *card) { return strncmp(card->uuid, "MIG-", 4) == 0; }
static int copy(char *to, unsigned size, const char *text) {
    if (strlen(text) + 1 > size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return OK;
}
/* Whether a card answers what only some cards know. */
static int detail(Device card) {
    return card->kind == LOST ? GPU_IS_LOST : card->kind == BARE ? NOT_SUPPORTED : OK;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (!strcmp(box(), "not_loaded")) return DRIVER_NOT_LOADED;
    if (!strcmp(box(), "forbidden")) return NO_PERMISSION;
    if (!strcmp(box(), "odd")) return 4242;
    started++;
    return OK;
}
int nvmlShutdown(void) {
    started--;
    return OK;
}
/* For tests: how often the library was started and not shut down. */
int fake_nvml_started(void) { return started; }

const char *nvmlErrorString(int code) {
    (void)code;
    return "an odd failure";
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) { return copy(text, size, "570.133.07"); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = 12080;
    return OK;
}
int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned size) {
    if (pid == 4242) return copy(text, size, "/usr/bin/python3.11");
    return pid == 1700 ? copy(text, size, "/usr/lib/xorg/Xorg") : NOT_FOUND;
}
int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = 0;
    for (unsigned i = 0; i < COUNT; i++) *count += !strcmp(CARDS[i].box, box()) && !is_slice(&CARDS[i]);
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    for (unsigned i = 0; i < COUNT; i++)
        if (!strcmp(CARDS[i].box, box()) && !is_slice(&CARDS[i]) && index-- == 0) {
            *device = &CARDS[i];
            return CARDS[i].kind == HIDDEN ? NO_PERMISSION : OK;
        }
    return INVALID_ARGUMENT;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    for (unsigned i = 0; i < COUNT; i++)
        if (!strcmp(CARDS[i].box, box()) && !strcmp(CARDS[i].uuid, uuid)) {
            *device = &CARDS[i];
            return OK;
        }
    return NOT_FOUND;
}
int nvmlDeviceGetIndex(Device card, unsigned *index) {
    *index = 0;
    if (is_slice(card)) return INVALID_ARGUMENT;
    for (Device one = CARDS; one < card; one++) *index += !strcmp(one->box, box()) && !is_slice(one);
    return OK;
}
int nvmlDeviceGetUUID(Device card, char *text, unsigned size) { return copy(text, size, card->uuid); }
int nvmlDeviceGetName(Device card, char *text, unsigned size) { return copy(text, size, card->name); }

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;

int nvmlDeviceGetMemoryInfo(Device card, Memory *memory) {
    if (card->kind == LOST) return GPU_IS_LOST;
    memory->total = card->total_mib << 20;
    memory->used = card->used_mib << 20;
    memory->free = memory->total - memory->used;
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(Device card, MemoryV2 *memory) {
    if (card->kind != FULL) return detail(card);
    if (memory->version != (2u << 24 | sizeof *memory)) return INVALID_ARGUMENT;
    memory->total = card->total_mib << 20;
    memory->reserved = 360ull << 20;
    memory->used = card->used_mib << 20;
    memory->free = memory->total - memory->reserved - memory->used;
    return OK;
}
int nvmlDeviceGetUtilizationRates(Device card, unsigned rates[2]) {
    rates[0] = 37;
    rates[1] = 12;
    return detail(card);
}
int nvmlDeviceGetTemperature(Device card, unsigned sensor, unsigned *celsius) {
    *celsius = 61;
    return sensor ? INVALID_ARGUMENT : detail(card);
}
int nvmlDeviceGetPowerUsage(Device card, unsigned *milliwatts) {
    *milliwatts = 402500;
    return detail(card);
}
int nvmlDeviceGetCudaComputeCapability(Device card, int *major, int *minor) {
    *major = card->major;
    *minor = card->minor;
    return detail(card);
}
int nvmlDeviceGetDisplayActive(Device card, unsigned *active) {
    *active = !strcmp(card->box, "desktop4090");
    return detail(card);
}

typedef struct { unsigned pid; unsigned long long used; unsigned gpu, compute; } Process;

static int list(unsigned *count, Process *found, unsigned size, const Process *all) {
    if (*count < size) {
        *count = size;
        return INSUFFICIENT_SIZE;
    }
    memcpy(found, all, size * sizeof *all);
    *count = size;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Device card, unsigned *count, Process *found) {
    static const Process all[] = {{4242, 9ull << 30, ~0u, ~0u}, {999, ~0ull, ~0u, ~0u}};
    if (card->kind != FULL) return detail(card);
    return list(count, found, 2, all);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device card, unsigned *count, Process *found) {
    static const Process all[] = {{1700, 400ull << 20, ~0u, ~0u}, {4242, 9ull << 30, ~0u, ~0u}};
    if (card->kind != FULL) return detail(card);
    return list(count, found, 2, all);
}
