/* A stand-in for libnvidia-ml.so.1, as much of it as core/hardware/nvml.py calls.
 * The box it pretends to be is named by the environment variable FAKE_NVML. What goes wrong with its
 * cards is in the file that FAKE_NVML_TROUBLES names, and may change at any time: a line each of
 * "lost 1", "xid CODE" (one that happens now), "throttle MASK", "ecc COUNT" (both beside the card's
 * own), "pending 1" (a row waits to be remapped), "action CODE" (the driver's recovery action). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15
};
/* What a card tells: all; little; nothing, being lost; nothing to this container; little without
 * privileges; what is a slice's own. */
enum { FULL, BARE, LOST, HIDDEN, RESTRICTED, SLICE };
enum { NO_MIG = -1, MIG_OFF, MIG_ON };
enum { IDLE = 0x1, POWER_CAP = 0x4, HW_SLOWDOWN = 0x8, HW_THERMAL = 0x40 };

typedef struct {
    const char *box, *uuid, *name;
    unsigned long long total_mib, used_mib;
    int major, minor, kind, mig;
    unsigned load, celsius, milliwatts, limit, sm, sm_max, memory, memory_max;
    unsigned long long throttle, ecc;
} Card;

static const Card CARDS[] = {
    {"desktop4090", "GPU-4090aaaa-0000-0000-0000-000000000001", "NVIDIA GeForce RTX 4090",
     24564, 459, 8, 9, FULL, NO_MIG, 0, 41, 22500, 450000, 210, 3105, 405, 10501, IDLE, 0},
    {"busy4090", "GPU-4090bbbb-0000-0000-0000-000000000001", "NVIDIA GeForce RTX 4090",
     24564, 10240, 8, 9, FULL, NO_MIG, 97, 88, 448700, 450000, 1410, 3105, 10251, 10501,
     POWER_CAP | HW_SLOWDOWN | HW_THERMAL | 0x1000, 0},
    {"bare", "GPU-bare0000-0000-0000-0000-000000000001", "NVIDIA GeForce RTX 4090 Laptop GPU",
     16376, 100, 8, 9, BARE, NO_MIG, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"restricted", "GPU-00000000-0000-0000-0000-0000000000aa", "NVIDIA L4",
     23034, 10, 8, 9, RESTRICTED, NO_MIG, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"two", "GPU-a1000000-0000-0000-0000-000000000040", "NVIDIA A100-SXM4-40GB",
     40960, 10, 8, 0, FULL, MIG_OFF, 0, 35, 52000, 400000, 1095, 1410, 1215, 1215, POWER_CAP, 0},
    {"two", "GPU-a1000000-0000-0000-0000-000000000080", "NVIDIA A100-SXM4-80GB",
     81920, 10, 8, 0, FULL, MIG_OFF, 0, 35, 60000, 400000, 1095, 1410, 1593, 1593, 0, 3},
    {"mig", "GPU-a1000000-0000-0000-0000-000000000041", "NVIDIA A100-SXM4-40GB",
     40960, 40, 8, 0, FULL, MIG_ON, 0, 35, 52000, 400000, 1095, 1410, 1215, 1215, IDLE, 0},
    {"mig", "MIG-a1000000-0000-0000-0000-000000000005", "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
     4864, 5, 8, 0, SLICE, NO_MIG, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"mig", "MIG-a1000000-0000-0000-0000-000000000010", "NVIDIA A100-SXM4-40GB MIG 2g.10gb",
     9856, 9, 8, 0, SLICE, NO_MIG, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"uncut", "GPU-a1000000-0000-0000-0000-000000000042", "NVIDIA A100-SXM4-40GB",
     40960, 40, 8, 0, FULL, MIG_ON, 0, 35, 52000, 400000, 1095, 1410, 1215, 1215, IDLE, 0},
    {"lost", "GPU-10510000-0000-0000-0000-000000000001", "NVIDIA L4",
     23034, 10, 8, 9, LOST, NO_MIG, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"hidden", "GPU-00000000-0000-0000-0000-000000000001", "NVIDIA L4",
     23034, 10, 8, 9, HIDDEN, NO_MIG, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"hidden", "GPU-00000000-0000-0000-0000-000000000002", "Tesla T4",
     15360, 10, 7, 5, FULL, NO_MIG, 0, 40, 10000, 70000, 300, 1590, 405, 5001, IDLE, 0},
};
#define COUNT (sizeof CARDS / sizeof *CARDS)

typedef const Card *Device;
static int started;

static const char *box(void) {
    const char *name = getenv("FAKE_NVML");
    return name ? name : "";
}
/* The numbers in the file's lines of that name: the first `most` of them, and how many there are. */
static unsigned troubles(const char *name, unsigned long long *found, unsigned most) {
    const char *path = getenv("FAKE_NVML_TROUBLES");
    FILE *file = path ? fopen(path, "r") : NULL;
    unsigned count = 0;
    char word[32];
    unsigned long long number;
    while (file && fscanf(file, "%31s %llu", word, &number) == 2)
        if (!strcmp(word, name) && count++ < most) found[count - 1] = number;
    if (file) fclose(file);
    return count;
}
static unsigned long long trouble(const char *name) {
    unsigned long long number = 0;
    troubles(name, &number, 1);
    return number;
}
static int is_slice(const Card *card) { return card->kind == SLICE; }
static int copy(char *to, unsigned size, const char *text) {
    if (strlen(text) + 1 > size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return OK;
}
/* Whether a card answers what only some cards know. */
static int detail(Device card) {
    if (trouble("lost")) return GPU_IS_LOST;
    switch (card->kind) {
    case LOST: return GPU_IS_LOST;
    case RESTRICTED: return NO_PERMISSION;
    case BARE: case SLICE: return NOT_SUPPORTED;
    default: return OK;
    }
}
static int tell(Device card, unsigned *where, unsigned value) {
    *where = value;
    return detail(card);
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
    if (card->kind == LOST || trouble("lost")) return GPU_IS_LOST;
    memory->total = card->total_mib << 20;
    memory->used = card->used_mib << 20;
    memory->free = memory->total - memory->used;
    return OK;
}
#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(Device card, MemoryV2 *memory) {
    if (card->kind != FULL || trouble("lost")) return detail(card);
    if (memory->version != (2u << 24 | sizeof *memory)) return INVALID_ARGUMENT;
    memory->total = card->total_mib << 20;
    memory->reserved = 360ull << 20;
    memory->used = card->used_mib << 20;
    memory->free = memory->total - memory->reserved - memory->used;
    return OK;
}
#endif
int nvmlDeviceGetUtilizationRates(Device card, unsigned rates[2]) {
    rates[1] = 12;
    return tell(card, &rates[0], card->load);
}
int nvmlDeviceGetTemperature(Device card, unsigned sensor, unsigned *celsius) {
    return sensor ? INVALID_ARGUMENT : tell(card, celsius, card->celsius);
}
int nvmlDeviceGetPowerUsage(Device card, unsigned *milliwatts) {
    return tell(card, milliwatts, card->milliwatts);
}
int nvmlDeviceGetEnforcedPowerLimit(Device card, unsigned *milliwatts) {
    return tell(card, milliwatts, card->limit);
}
int nvmlDeviceGetClockInfo(Device card, unsigned which, unsigned *mhz) {
    return tell(card, mhz, which == 1 ? card->sm : which == 2 ? card->memory : 0);
}
int nvmlDeviceGetMaxClockInfo(Device card, unsigned which, unsigned *mhz) {
    return tell(card, mhz, which == 1 ? card->sm_max : which == 2 ? card->memory_max : 0);
}
/* The old name of a driver that knows the new one tells nothing, so that tests see which is asked. */
#ifdef OLD_DRIVER
int nvmlDeviceGetCurrentClocksThrottleReasons(Device card, unsigned long long *mask) {
#else
int nvmlDeviceGetCurrentClocksThrottleReasons(Device card, unsigned long long *mask) {
    (void)card;
    *mask = 0;
    return NOT_SUPPORTED;
}
int nvmlDeviceGetCurrentClocksEventReasons(Device card, unsigned long long *mask) {
#endif
    *mask = card->throttle | trouble("throttle");
    return detail(card);
}
int nvmlDeviceGetTotalEccErrors(Device card, unsigned type, unsigned counter, unsigned long long *count) {
    *count = type == 1 && counter == 0 ? card->ecc + trouble("ecc") : 99;
    return strstr(card->name, "GeForce") ? NOT_SUPPORTED : detail(card);
}
int nvmlDeviceGetCudaComputeCapability(Device card, int *major, int *minor) {
    *major = card->major;
    *minor = card->minor;
    return detail(card);
}
int nvmlDeviceGetDisplayActive(Device card, unsigned *active) {
    return tell(card, active, strstr(card->box, "4090") != NULL);
}

int nvmlDeviceGetMigMode(Device card, unsigned *current, unsigned *pending) {
    if (card->mig == NO_MIG) return NOT_SUPPORTED;
    *current = *pending = (unsigned)card->mig;
    return detail(card);
}
int nvmlDeviceGetMaxMigDeviceCount(Device card, unsigned *count) {
    return tell(card, count, card->mig == MIG_ON ? 7 : 0);
}
/* Slice n has the number 2 n, so that there are gaps. */
int nvmlDeviceGetMigDeviceHandleByIndex(Device card, unsigned number, Device *slice) {
    *slice = card + 1 + number / 2;
    if (card->mig != MIG_ON) return INVALID_ARGUMENT;
    if (number % 2 || *slice >= CARDS + COUNT) return NOT_FOUND;
    return is_slice(*slice) && !strcmp((*slice)->box, box()) ? OK : NOT_FOUND;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device slice, Device *card) {
    if (!is_slice(slice)) return INVALID_ARGUMENT;
    for (*card = slice; is_slice(*card);) --*card;
    return OK;
}

int nvmlDeviceGetRemappedRows(Device card, unsigned *corrected, unsigned *not_corrected,
                              unsigned *pending, unsigned *failed) {
    *corrected = *not_corrected = *failed = 0;
    return card->major < 8 ? NOT_SUPPORTED : tell(card, pending, (unsigned)trouble("pending"));
}
int nvmlDeviceGetRetiredPagesPendingStatus(Device card, unsigned *pending) {
    return card->major < 8 ? tell(card, pending, (unsigned)trouble("pending")) : NOT_SUPPORTED;
}
#ifndef OLD_DRIVER
typedef struct {
    unsigned field, scope;
    long long time, latency;
    unsigned type;
    int result;
    unsigned long long value;
} Field;
int nvmlDeviceGetFieldValues(Device card, int count, Field *fields) {
    for (int i = 0; i < count; i++) {
        fields[i].result = fields[i].field == 230 ? detail(card) : NOT_SUPPORTED;
        fields[i].value = trouble("action");
    }
    return OK;
}
#endif

typedef struct {
    Device card;
    unsigned long long type, data;
    unsigned gpu, compute;
} Event;
typedef struct { Device card; } EventSet;

static EventSet listener;
static unsigned long long xids[8];
static unsigned waiting, sets, heard;

int nvmlEventSetCreate(EventSet **set) {
    listener.card = NULL;
    *set = &listener;
    sets++;
    return OK;
}
int nvmlDeviceRegisterEvents(Device card, unsigned long long types, EventSet *set) {
    if (types != 0x8) return INVALID_ARGUMENT;
    set->card = card;
    heard = troubles("xid", NULL, 0);
    return detail(card);
}
#ifndef OLD_DRIVER
int nvmlEventSetWait_v2(EventSet *set, Event *event, unsigned milliseconds) {
    if (milliseconds) return INVALID_ARGUMENT;
    unsigned long long codes[8];
    for (unsigned count = troubles("xid", codes, 8); heard < count && heard < 8;)
        xids[waiting++] = codes[heard++];
    if (!waiting) return TIMEOUT;
    *event = (Event){set->card, 0x8, xids[0], ~0u, ~0u};
    memmove(xids, xids + 1, --waiting * sizeof *xids);
    return OK;
}
#endif
int nvmlEventSetFree(EventSet *set) {
    set->card = NULL;
    sets--;
    return OK;
}
/* For tests: an Xid error happens now; which event sets are not freed; what they listen to. */
void fake_nvml_xid(unsigned code) { xids[waiting++] = code; }
int fake_nvml_sets(void) { return (int)sets; }
int fake_nvml_listens_to(const char *uuid) { return listener.card && !strcmp(listener.card->uuid, uuid); }

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
#ifdef OLD_DRIVER
#define LISTER(kind) nvmlDeviceGet##kind##RunningProcesses_v2
#else
#define LISTER(kind) nvmlDeviceGet##kind##RunningProcesses_v3
#endif
int LISTER(Compute)(Device card, unsigned *count, Process *found) {
    static const Process all[] = {{4242, 9ull << 30, ~0u, ~0u}, {999, ~0ull, ~0u, ~0u}};
    static const Process in_slice[] = {{4242, 2ull << 30, 1, 0}};
    if (card->kind == SLICE) return list(count, found, 1, in_slice);
    return detail(card) ? detail(card) : list(count, found, strcmp(card->box, "busy4090") ? 0 : 2, all);
}
int LISTER(Graphics)(Device card, unsigned *count, Process *found) {
    static const Process all[] = {{1700, 400ull << 20, ~0u, ~0u}, {4242, 9ull << 30, ~0u, ~0u}};
    unsigned size = !strcmp(card->box, "busy4090") ? 2 : !strcmp(card->box, "desktop4090");
    return detail(card) ? detail(card) : list(count, found, size, all);
}
