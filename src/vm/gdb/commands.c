#include "vm/gdb/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/gdb/hex.h"
#include "vm/gdb/registers.h"

#define SIGNAL_INTERRUPT 2 /* as the protocol numbers signals */
#define SIGNAL_TRAP 5
#define SIGNAL_ABORT 6
#define ALL_VCPUS(target) ((uint32_t)((1ull << (target)->vcpu_count) - 1))

/* ---- Replies ---- */

static void reply_bytes(struct gdb_session *session, const char *text, size_t length)
{
    gdb_packets_send(&session->packets, text, length);
}

/* "" says that a packet isn't known. */
static void reply(struct gdb_session *session, const char *text)
{
    reply_bytes(session, text, strlen(text));
}

static void reply_error(struct gdb_session *session, int code)
{
    char text[8];
    snprintf(text, sizeof text, "E%02x", code & 0xff);
    reply(session, text);
}

/* OK, or an errno value. */
static void reply_status(struct gdb_session *session, int code)
{
    if (code)
        reply_error(session, code);
    else
        reply(session, "OK");
}

static void reply_stop(struct gdb_session *session)
{
    static const char *const names[] = {"swbreak", "hwbreak", "watch", "rwatch", "awatch"};
    const struct gdb_stop *stop = &session->stop;
    char reason[48] = "";
    if (stop->reason == GDB_STOP_POINT && stop->point >= GDB_POINT_WRITE)
        snprintf(reason, sizeof reason, "%s:%llx;", names[stop->point],
                 (unsigned long long)stop->address);
    else if (stop->reason == GDB_STOP_POINT && session->knows_breakpoints[stop->point])
        snprintf(reason, sizeof reason, "%s:;", names[stop->point]);
    int length = snprintf(session->reply, sizeof session->reply, "T%02x%sthread:%x;",
                          stop->reason == GDB_STOP_INTERRUPT ? SIGNAL_INTERRUPT : SIGNAL_TRAP,
                          reason, stop->vcpu + 1);
    reply_bytes(session, session->reply, (size_t)length);
}

/* ---- Numbers ---- */

/* "ADDRESS,LENGTH", with what must follow; its place, or NULL. */
static const char *read_range(const char *text, uint64_t *address, uint64_t *length)
{
    if (!hex_read_number(&text, address) || *text++ != ',' || !hex_read_number(&text, length))
        return NULL;
    return text;
}

/* A thread's id: -1 is all of them, 0 any; else the vcpu's number from 1. */
enum threads { THREADS_NONE, THREADS_ONE, THREADS_ANY, THREADS_ALL };
static enum threads read_thread(const struct gdb_session *session, const char **text,
                                unsigned *vcpu)
{
    uint64_t number;
    if (strncmp(*text, "-1", 2) == 0) {
        *text += 2;
        return THREADS_ALL;
    }
    if (!hex_read_number(text, &number) || number > session->target->vcpu_count)
        return THREADS_NONE;
    if (number == 0)
        return THREADS_ANY;
    *vcpu = (unsigned)number - 1;
    return THREADS_ONE;
}

/* ---- Registers ---- */

static const struct engine_operations *engine_of(const struct gdb_session *session)
{
    return session->target->vcpus[0]->engine->operations;
}

static bool get_registers(const struct gdb_session *session, struct vcpu_registers *registers)
{
    struct error err;
    return engine_of(session)->get_registers(session->target->vcpus[session->selected], registers,
                                             &err) == 0;
}

/* An engine refuses what a processor can't hold. */
static void set_registers(struct gdb_session *session, const struct vcpu_registers *registers)
{
    struct error err;
    bool is_set = engine_of(session)->set_registers(session->target->vcpus[session->selected],
                                                    registers, &err) == 0;
    reply_status(session, is_set ? 0 : EINVAL);
}

static void read_all_registers(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    (void)text;
    if (!get_registers(session, &registers)) {
        reply_error(session, EIO);
        return;
    }
    const char *end = gdb_registers_write_all(&registers, session->reply);
    reply_bytes(session, session->reply, (size_t)(end - session->reply));
}

static void write_all_registers(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    if (!get_registers(session, &registers)) {
        reply_error(session, EIO);
        return;
    }
    for (unsigned i = 0; text && i < gdb_registers_count(); i++)
        text = gdb_registers_read(&registers, i, text);
    if (text && *text == '\0')
        set_registers(session, &registers);
    else
        reply_error(session, EINVAL);
}

static void read_register(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    uint64_t number;
    if (!hex_read_number(&text, &number) || *text || number >= gdb_registers_count()) {
        reply_error(session, EINVAL);
    } else if (!get_registers(session, &registers)) {
        reply_error(session, EIO);
    } else {
        const char *end = gdb_registers_write(&registers, (unsigned)number, session->reply);
        reply_bytes(session, session->reply, (size_t)(end - session->reply));
    }
}

static void write_register(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    uint64_t number;
    if (!hex_read_number(&text, &number) || *text != '=' || number >= gdb_registers_count()) {
        reply_error(session, EINVAL);
        return;
    }
    if (!get_registers(session, &registers)) {
        reply_error(session, EIO);
        return;
    }
    text = gdb_registers_read(&registers, (unsigned)number, text + 1);
    if (text && *text == '\0')
        set_registers(session, &registers);
    else
        reply_error(session, EINVAL);
}

/* ---- Memory ---- */

static void read_memory(struct gdb_session *session, const char *text)
{
    uint64_t address, length;
    text = read_range(text, &address, &length);
    if (!text || *text) {
        reply_error(session, EINVAL);
        return;
    }
    if (length > GDB_PACKET_SIZE / 2)
        length = GDB_PACKET_SIZE / 2;
    size_t count =
        gdb_target_read(session->target, session->selected, address, session->bytes, length);
    if (count == 0 && length > 0) {
        reply_error(session, EFAULT);
        return;
    }
    const char *end = hex_write(session->reply, session->bytes, count);
    reply_bytes(session, session->reply, (size_t)(end - session->reply));
}

static void put_memory(struct gdb_session *session, uint64_t address, const uint8_t *bytes,
                       size_t count)
{
    bool is_memory = gdb_target_write(session->target, session->selected, address, bytes, count);
    reply_status(session, is_memory ? 0 : EFAULT);
}

static void write_memory(struct gdb_session *session, const char *text)
{
    uint64_t address, length;
    text = read_range(text, &address, &length);
    if (!text || *text++ != ':' || strlen(text) / 2 != length || strlen(text) % 2 ||
        !hex_read(text, session->bytes, length))
        reply_error(session, EINVAL);
    else
        put_memory(session, address, session->bytes, length);
}

static void write_memory_binary(struct gdb_session *session, const char *text)
{
    uint64_t address, length;
    const char *end = session->packets.text + session->packets.length;
    text = read_range(text, &address, &length);
    if (!text || *text++ != ':' || (uint64_t)(end - text) != length)
        reply_error(session, EINVAL);
    else
        put_memory(session, address, (const uint8_t *)text, length);
}

/* ---- Running ---- */

static void run(struct gdb_session *session, uint32_t vcpus, uint32_t step)
{
    struct gdb_stop stop;
    if (gdb_target_run(session->target, vcpus, step, &stop)) {
        session->is_running = true;
        return;
    }
    session->is_running = true;
    gdb_session_stopped(session, &stop);
}

/* c, s: all processors go on, or the one that Hc chose. A step is always that one's. */
static void resume(struct gdb_session *session, const char *text, bool is_step)
{
    uint64_t address;
    uint32_t one = 1u << session->resumed;
    if (*text) {
        struct vcpu_registers registers;
        struct vcpu *vcpu = session->target->vcpus[session->resumed];
        struct error err;
        if (!hex_read_number(&text, &address) || *text) {
            reply_error(session, EINVAL);
            return;
        }
        if (engine_of(session)->get_registers(vcpu, &registers, &err) < 0) {
            reply_error(session, EIO);
            return;
        }
        registers.rip = address;
        if (engine_of(session)->set_registers(vcpu, &registers, &err) < 0) {
            reply_error(session, EINVAL);
            return;
        }
    }
    run(session, session->resumes_one ? one : ALL_VCPUS(session->target), is_step ? one : 0);
}

static void resume_all(struct gdb_session *session, const char *text)
{
    resume(session, text, false);
}

static void step(struct gdb_session *session, const char *text)
{
    resume(session, text, true);
}

/* "SIGNAL" or "SIGNAL;ADDRESS": a processor has no signals. */
static const char *skip_signal(const char *text)
{
    uint64_t signal;
    if (!hex_read_number(&text, &signal))
        return NULL;
    return *text == ';' ? text + 1 : *text ? NULL : text;
}

static void resume_with_signal(struct gdb_session *session, const char *text)
{
    text = skip_signal(text);
    if (text)
        resume(session, text, session->packets.text[0] == 'S');
    else
        reply_error(session, EINVAL);
}

/* One of vCont's actions, ";c", ";C05:2" …: for the threads that none before it was for. */
static const char *read_action(const struct gdb_session *session, const char *text,
                               uint32_t *decided, uint32_t *running, uint32_t *stepping)
{
    uint64_t signal;
    unsigned vcpu = 0;
    uint32_t whom = ALL_VCPUS(session->target);
    if (*text++ != ';')
        return NULL;
    char action = *text;
    if (action != 'c' && action != 'C' && action != 's' && action != 'S' && action != 't')
        return NULL;
    text++;
    if ((action == 'C' || action == 'S') && !hex_read_number(&text, &signal))
        return NULL;
    if (*text == ':') {
        text++;
        enum threads threads = read_thread(session, &text, &vcpu);
        if (threads == THREADS_NONE)
            return NULL;
        if (threads == THREADS_ONE)
            whom = 1u << vcpu;
        else if (threads == THREADS_ANY)
            whom = 1u << session->selected;
    }
    whom &= ~*decided;
    *decided |= whom;
    *running |= action == 't' ? 0 : whom;
    *stepping |= action == 's' || action == 'S' ? whom : 0;
    return text;
}

static void resume_some(struct gdb_session *session, const char *text)
{
    uint32_t decided = 0, running = 0, stepping = 0;
    const char *action = text;
    while (action && *action)
        action = read_action(session, action, &decided, &running, &stepping);
    if (!action || decided == 0) {
        reply_error(session, EINVAL);
    } else if (running == 0) { /* they stand already */
        reply_stop(session);
    } else {
        run(session, running, stepping);
    }
}

static void tell_actions(struct gdb_session *session, const char *text)
{
    (void)text;
    reply(session, "vCont;c;C;s;S;t");
}

static void stop_reason(struct gdb_session *session, const char *text)
{
    (void)text;
    reply_stop(session);
}

/* ---- Breakpoints ---- */

/* "TYPE,ADDRESS,KIND"; conditions and commands, which follow a ';', weren't offered. */
static void change_point(struct gdb_session *session, const char *text, bool is_set)
{
    uint64_t address, length;
    int type = hex_digit(*text);
    if (type < 0 || type > GDB_POINT_ACCESS) {
        reply(session, "");
        return;
    }
    const char *end = text[1] == ',' ? read_range(text + 2, &address, &length) : NULL;
    if (!end || *end)
        reply_error(session, EINVAL);
    else if (is_set)
        reply_status(session, gdb_target_set_point(session->target, session->selected,
                                                   (enum gdb_point)type, address, length));
    else
        reply_status(session, gdb_target_remove_point(session->target, (enum gdb_point)type,
                                                      address, length));
}

static void set_point(struct gdb_session *session, const char *text)
{
    change_point(session, text, true);
}

static void remove_point(struct gdb_session *session, const char *text)
{
    change_point(session, text, false);
}

/* ---- Threads ---- */

static void select_thread(struct gdb_session *session, const char *text)
{
    char what = *text;
    unsigned vcpu = session->selected;
    enum threads threads = THREADS_NONE;
    if (what == 'g' || what == 'c') {
        text++;
        threads = read_thread(session, &text, &vcpu);
    }
    if (threads == THREADS_NONE || *text) {
        reply_error(session, EINVAL);
        return;
    }
    if (what == 'g') {
        session->selected = vcpu;
    } else {
        session->resumed = vcpu;
        session->resumes_one = threads == THREADS_ONE;
    }
    reply(session, "OK");
}

static void is_alive(struct gdb_session *session, const char *text)
{
    unsigned vcpu;
    bool is_there = read_thread(session, &text, &vcpu) == THREADS_ONE && *text == '\0';
    reply_status(session, is_there ? 0 : ESRCH);
}

static void current_thread(struct gdb_session *session, const char *text)
{
    char name[16];
    (void)text;
    snprintf(name, sizeof name, "QC%x", session->selected + 1);
    reply(session, name);
}

static void list_first_threads(struct gdb_session *session, const char *text)
{
    (void)text;
    char *at = session->reply;
    *at++ = 'm';
    for (unsigned i = 0; i < session->target->vcpu_count; i++)
        at += sprintf(at, "%s%x", i ? "," : "", i + 1);
    reply_bytes(session, session->reply, (size_t)(at - session->reply));
}

static void list_more_threads(struct gdb_session *session, const char *text)
{
    (void)text;
    reply(session, "l");
}

static void describe_thread(struct gdb_session *session, const char *text)
{
    unsigned vcpu;
    char name[16];
    if (read_thread(session, &text, &vcpu) != THREADS_ONE || *text) {
        reply_error(session, ESRCH);
        return;
    }
    int length = snprintf(name, sizeof name, "vcpu %u", vcpu);
    const char *end = hex_write(session->reply, name, (size_t)length);
    reply_bytes(session, session->reply, (size_t)(end - session->reply));
}

/* ---- Queries ---- */

static bool has_feature(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ';')) {
        at += *at == ';';
        if (strncmp(at, name, length) == 0 && (at[length] == ';' || at[length] == '\0'))
            return true;
    }
    return false;
}

static void tell_features(struct gdb_session *session, const char *text)
{
    session->knows_breakpoints[GDB_POINT_SOFTWARE] = has_feature(text, "swbreak+");
    session->knows_breakpoints[GDB_POINT_HARDWARE] = has_feature(text, "hwbreak+");
    int length = snprintf(session->reply, sizeof session->reply,
                          "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;"
                          "swbreak+;hwbreak+",
                          GDB_PACKET_SIZE);
    reply_bytes(session, session->reply, (size_t)length);
}

/* "target.xml:OFFSET,LENGTH": 'm' and a part, 'l' and the last one. */
static void describe_registers(struct gdb_session *session, const char *text)
{
    static const char name[] = "target.xml:";
    uint64_t offset, count;
    if (strncmp(text, name, strlen(name)) != 0) {
        reply(session, "E00"); /* an annex that isn't there, as the manual has it */
        return;
    }
    text = read_range(text + strlen(name), &offset, &count);
    if (!text || *text) {
        reply_error(session, EINVAL);
        return;
    }
    if (!session->description)
        session->description = gdb_registers_describe();
    size_t length = strlen(session->description);
    offset = offset < length ? offset : length;
    uint64_t left = length - offset;
    bool is_last = count >= left && left < GDB_PACKET_SIZE;
    count = count < left ? count : left;
    count = count < GDB_PACKET_SIZE - 1 ? count : GDB_PACKET_SIZE - 1;
    session->reply[0] = is_last ? 'l' : 'm';
    memcpy(session->reply + 1, session->description + offset, count);
    reply_bytes(session, session->reply, (size_t)count + 1);
}

static void tell_attached(struct gdb_session *session, const char *text)
{
    (void)text;
    reply(session, "1");
}

/* The acknowledgement of this packet was the last one. */
static void stop_acknowledging(struct gdb_session *session, const char *text)
{
    (void)text;
    reply(session, "OK");
    session->packets.without_acknowledgement = true;
}

/* ---- The end ---- */

/* The breakpoints go before the reply: who has it may look. */
static void detach(struct gdb_session *session, const char *text)
{
    (void)text;
    gdb_target_clear(session->target);
    reply(session, "OK");
    session->is_over = true;
}

static void kill_machine(struct gdb_session *session, const char *text)
{
    (void)text;
    session->is_over = true;
    session->target->operations->kill(session->target);
}

static void kill_process(struct gdb_session *session, const char *text)
{
    reply(session, "OK");
    kill_machine(session, text);
}

/* ---- Packets ---- */

static const struct command {
    const char *name;
    void (*serve)(struct gdb_session *session, const char *text); /* what follows the name */
    bool has_separator; /* between name and text: ':' or ','; or there is no text */
    bool while_running; /* needs no processor that stands */
} commands[] = {
    {.name = "qSupported", tell_features, .has_separator = true, .while_running = true},
    {.name = "qXfer:features:read",
     describe_registers,
     .has_separator = true,
     .while_running = true},
    {.name = "QStartNoAckMode", stop_acknowledging, .has_separator = true, .while_running = true},
    {.name = "qAttached", tell_attached, .has_separator = true, .while_running = true},
    {.name = "qfThreadInfo", list_first_threads, .has_separator = true, .while_running = true},
    {.name = "qsThreadInfo", list_more_threads, .has_separator = true, .while_running = true},
    {.name = "qThreadExtraInfo", describe_thread, .has_separator = true, .while_running = true},
    {.name = "qC", current_thread, .has_separator = true, .while_running = true},
    {.name = "vCont?", tell_actions, .while_running = true},
    {.name = "vCont", resume_some},
    {.name = "vKill", kill_process, .has_separator = true, .while_running = true},
    {.name = "?", stop_reason},
    {.name = "g", read_all_registers},
    {.name = "G", write_all_registers},
    {.name = "p", read_register},
    {.name = "P", write_register},
    {.name = "m", read_memory},
    {.name = "M", write_memory},
    {.name = "X", write_memory_binary},
    {.name = "c", resume_all},
    {.name = "s", step},
    {.name = "C", resume_with_signal},
    {.name = "S", resume_with_signal},
    {.name = "Z", set_point},
    {.name = "z", remove_point},
    {.name = "H", select_thread, .while_running = true},
    {.name = "T", is_alive, .while_running = true},
    {.name = "D", detach},
    {.name = "k", kill_machine, .while_running = true},
};

static const char *match(const struct command *command, const char *text)
{
    size_t length = strlen(command->name);
    if (strncmp(text, command->name, length) != 0)
        return NULL;
    text += length;
    if (!command->has_separator || *text == '\0')
        return text;
    return *text == ':' || *text == ',' || *text == ';' ? text + 1 : NULL;
}

static void interrupt(struct gdb_session *session)
{
    if (session->is_running)
        session->target->operations->stop(session->target);
}

static void serve(struct gdb_session *session)
{
    const char *text = session->packets.text;
    if (session->is_running && strncmp(text, "vCont;t", 7) == 0) {
        interrupt(session);
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *rest = match(&commands[i], text);
        if (!rest)
            continue;
        if (session->is_running && !commands[i].while_running)
            reply_error(session, EBUSY);
        else
            commands[i].serve(session, rest);
        return;
    }
    reply(session, "");
}

size_t gdb_session_take(struct gdb_session *session, const uint8_t *bytes, size_t count)
{
    size_t used;
    switch (gdb_packets_take(&session->packets, bytes, count, &used)) {
    case GDB_NOTHING:
        break;
    case GDB_INTERRUPT:
        interrupt(session);
        break;
    case GDB_TOO_LONG:
        reply_error(session, EMSGSIZE);
        break;
    case GDB_PACKET:
        serve(session);
        break;
    }
    return used;
}

void gdb_session_stopped(struct gdb_session *session, const struct gdb_stop *stop)
{
    bool was_running = session->is_running;
    session->stop = *stop;
    session->selected = session->resumed = stop->vcpu;
    session->resumes_one = false;
    session->is_running = false;
    if (was_running)
        reply_stop(session);
}

void gdb_session_ended(struct gdb_session *session, bool is_fault)
{
    char text[4];
    /* Who doesn't wait for it learns it from the end of the connection. */
    if (!session->is_running)
        return;
    session->is_running = false;
    snprintf(text, sizeof text, "%c%02x", is_fault ? 'X' : 'W', is_fault ? SIGNAL_ABORT : 0);
    reply(session, text);
}

void gdb_session_open(struct gdb_session *session, struct gdb_target *target)
{
    *session = (struct gdb_session){.target = target, .stop = {.reason = GDB_STOP_ATTACHED}};
}

void gdb_session_close(struct gdb_session *session)
{
    free(session->description);
    session->description = NULL;
}
