/* Fuzzes what a debugger's client sends: bytes in pieces, at a machine of two processors that keeps
 * stopping. The first byte is the size of the pieces, the second when it stops. */
#include <stdlib.h>
#include <string.h>

#include "vm/gdb/commands.h"
#include "vm/log.h"
#include "vm_gdb_machine.h"

#define MEMORY_SIZE (1u << 20)
#define VCPUS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzzed {
    struct gdb_target target;
    struct engine *engine;
    bool is_running, is_killed;
    uint32_t vcpus; /* that run */
};

static void promise(bool kept)
{
    if (!kept)
        abort();
}

static void ignore_log(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

static void run(struct gdb_target *target, uint32_t vcpus)
{
    struct fuzzed *fuzzed = (struct fuzzed *)(void *)target;
    promise(!fuzzed->is_running && vcpus != 0 && vcpus >> VCPUS == 0);
    fuzzed->is_running = true;
    fuzzed->vcpus = vcpus;
}

static void stop(struct gdb_target *target)
{
    promise(((struct fuzzed *)(void *)target)->is_running);
}

static void kill(struct gdb_target *target)
{
    ((struct fuzzed *)(void *)target)->is_killed = true;
}

/* The processors execute a little, and stop for what happens or for nothing. */
static void let_run(struct fuzzed *fuzzed, struct gdb_session *session)
{
    struct gdb_stop why = {.reason = GDB_STOP_INTERRUPT};
    if (!fuzzed->is_running)
        return;
    for (unsigned i = 0; i < VCPUS; i++) {
        struct toy_vcpu *toy = toy_of(fuzzed->target.vcpus[i]);
        enum vcpu_exit reason = VCPU_INTERRUPTED;
        for (unsigned n = 0; fuzzed->vcpus >> i & 1 && n < 8 && reason == VCPU_INTERRUPTED; n++)
            reason = toy_execute(toy);
        if (reason == VCPU_DEBUG)
            gdb_target_happened(&fuzzed->target, &toy->vcpu);
    }
    fuzzed->is_running = false;
    gdb_target_take_pending(&fuzzed->target, &why);
    gdb_session_stopped(session, &why);
}

static void converse(struct fuzzed *fuzzed, const uint8_t *data, size_t size)
{
    struct gdb_session *session = malloc(sizeof *session);
    size_t piece = size > 0 ? data[0] + 1U : 1, runs = size > 1 ? data[1] % 8U : 0, turns = 0;
    size_t at = size < 2 ? size : 2;
    promise(session != NULL);
    gdb_session_open(session, &fuzzed->target);
    while (at < size && !session->is_over) {
        size_t count = size - at < piece ? size - at : piece;
        size_t used = gdb_session_take(session, data + at, count);
        promise(used > 0 && used <= count);
        promise(session->packets.output_length <= sizeof session->packets.output);
        gdb_packets_sent(&session->packets, session->packets.output_length);
        at += used;
        if (turns++ % 8 >= runs) {
            let_run(fuzzed, session);
            gdb_packets_sent(&session->packets, session->packets.output_length);
        }
        promise(session->is_running == fuzzed->is_running);
    }
    gdb_session_ended(session, false);
    gdb_session_close(session);
    free(session);
}

/* What nobody wrote to is as it was, once the debugger has gone. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_memory memory = {0};
    struct engine_board board = {NULL, NULL};
    struct fuzzed fuzzed = {0};
    const struct cpuid *none = NULL;
    const struct gdb_target_operations operations = {run, stop, kill};
    vm_log_set_sink(ignore_log);
    promise(guest_memory_add(&memory, 0, MEMORY_SIZE, false, false, NULL) == 0);
    fuzzed.engine = toy_engine_open(&(struct engine_options){.vcpus = VCPUS}, &board, NULL);
    const struct engine_operations *engine = fuzzed.engine->operations;
    promise(engine->map_memory(fuzzed.engine, 0, &memory.regions[0], false, NULL) == 0);
    memset(guest_memory_at(&memory, 0x1000, 0x1000), TOY_NEXT, 0x1000);
    fuzzed.target =
        (struct gdb_target){.operations = &operations, .memory = &memory, .vcpu_count = VCPUS};
    for (unsigned i = 0; i < VCPUS; i++)
        fuzzed.target.vcpus[i] = engine->create_vcpu(fuzzed.engine, i, none, NULL);
    converse(&fuzzed, data, size);
    gdb_target_clear(&fuzzed.target);
    promise(fuzzed.target.breakpoint_count == 0);
    for (unsigned i = 0; i < VCPUS; i++)
        engine->close_vcpu(fuzzed.target.vcpus[i]);
    engine->close(fuzzed.engine);
    guest_memory_release(&memory);
    return 0;
}
