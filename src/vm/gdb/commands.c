#include "vm/gdb/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/gdb/commands_internal.h"
#include "vm/gdb/hex.h"
#include "vm/gdb/registers.h"

#define SIGNAL_INTERRUPT 2 /* as the protocol numbers signals */
#define SIGNAL_TRAP 5
#define SIGNAL_ABORT 6

/* ---- Replies ---- */

void gdb_reply_bytes(struct gdb_session *session, const char *text, size_t length)
{
    gdb_packets_send(&session->packets, text, length);
}

/* "" says that a packet isn't known. */
void gdb_reply(struct gdb_session *session, const char *text)
{
    gdb_reply_bytes(session, text, strlen(text));
}

void gdb_reply_error(struct gdb_session *session, int code)
{
    char text[8];
    snprintf(text, sizeof text, "E%02x", code & 0xff);
    gdb_reply(session, text);
}

/* OK, or an errno value. */
void gdb_reply_status(struct gdb_session *session, int code)
{
    if (code)
        gdb_reply_error(session, code);
    else
        gdb_reply(session, "OK");
}

void gdb_reply_stop(struct gdb_session *session)
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
    gdb_reply_bytes(session, session->reply, (size_t)length);
}

/* ---- Numbers ---- */

/* "ADDRESS,LENGTH", with what must follow; its place, or NULL. */
const char *gdb_read_range(const char *text, uint64_t *address, uint64_t *length)
{
    if (!hex_read_number(&text, address) || *text++ != ',' || !hex_read_number(&text, length))
        return NULL;
    return text;
}

enum threads gdb_read_thread(const struct gdb_session *session, const char **text, unsigned *vcpu)
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

const struct engine_operations *gdb_engine_of(const struct gdb_session *session)
{
    return session->target->vcpus[0]->engine->operations;
}

/* ---- Threads ---- */

static void select_thread(struct gdb_session *session, const char *text)
{
    char what = *text;
    unsigned vcpu = session->selected;
    enum threads threads = THREADS_NONE;
    if (what == 'g' || what == 'c') {
        text++;
        threads = gdb_read_thread(session, &text, &vcpu);
    }
    if (threads == THREADS_NONE || *text) {
        gdb_reply_error(session, EINVAL);
        return;
    }
    if (what == 'g') {
        session->selected = vcpu;
    } else {
        session->resumed = vcpu;
        session->resumes_one = threads == THREADS_ONE;
    }
    gdb_reply(session, "OK");
}

static void is_alive(struct gdb_session *session, const char *text)
{
    unsigned vcpu;
    bool is_there = gdb_read_thread(session, &text, &vcpu) == THREADS_ONE && *text == '\0';
    gdb_reply_status(session, is_there ? 0 : ESRCH);
}

static void current_thread(struct gdb_session *session, const char *text)
{
    char name[16];
    (void)text;
    snprintf(name, sizeof name, "QC%x", session->selected + 1);
    gdb_reply(session, name);
}

static void list_first_threads(struct gdb_session *session, const char *text)
{
    (void)text;
    char *at = session->reply;
    *at++ = 'm';
    for (unsigned i = 0; i < session->target->vcpu_count; i++)
        at += sprintf(at, "%s%x", i ? "," : "", i + 1);
    gdb_reply_bytes(session, session->reply, (size_t)(at - session->reply));
}

static void list_more_threads(struct gdb_session *session, const char *text)
{
    (void)text;
    gdb_reply(session, "l");
}

static void describe_thread(struct gdb_session *session, const char *text)
{
    unsigned vcpu;
    char name[16];
    if (gdb_read_thread(session, &text, &vcpu) != THREADS_ONE || *text) {
        gdb_reply_error(session, ESRCH);
        return;
    }
    int length = snprintf(name, sizeof name, "vcpu %u", vcpu);
    const char *end = hex_write(session->reply, name, (size_t)length);
    gdb_reply_bytes(session, session->reply, (size_t)(end - session->reply));
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
    gdb_reply_bytes(session, session->reply, (size_t)length);
}

/* "target.xml:OFFSET,LENGTH": 'm' and a part, 'l' and the last one. */
static void describe_registers(struct gdb_session *session, const char *text)
{
    static const char name[] = "target.xml:";
    uint64_t offset, count;
    if (strncmp(text, name, strlen(name)) != 0) {
        gdb_reply(session, "E00"); /* an annex that isn't there, as the manual has it */
        return;
    }
    text = gdb_read_range(text + strlen(name), &offset, &count);
    if (!text || *text) {
        gdb_reply_error(session, EINVAL);
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
    gdb_reply_bytes(session, session->reply, (size_t)count + 1);
}

static void tell_attached(struct gdb_session *session, const char *text)
{
    (void)text;
    gdb_reply(session, "1");
}

/* The acknowledgement of this packet was the last one. */
static void stop_acknowledging(struct gdb_session *session, const char *text)
{
    (void)text;
    gdb_reply(session, "OK");
    session->packets.without_acknowledgement = true;
}

/* ---- The end ---- */

/* The breakpoints go before the reply: who has it may look. */
static void detach(struct gdb_session *session, const char *text)
{
    (void)text;
    gdb_target_clear(session->target);
    gdb_reply(session, "OK");
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
    gdb_reply(session, "OK");
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
    {.name = "vCont?", gdb_tell_actions, .while_running = true},
    {.name = "vCont", gdb_resume_some},
    {.name = "vKill", kill_process, .has_separator = true, .while_running = true},
    {.name = "?", gdb_stop_reason},
    {.name = "g", gdb_read_all_registers},
    {.name = "G", gdb_write_all_registers},
    {.name = "p", gdb_read_register},
    {.name = "P", gdb_write_register},
    {.name = "m", gdb_read_memory},
    {.name = "M", gdb_write_memory},
    {.name = "X", gdb_write_memory_binary},
    {.name = "c", gdb_resume_all},
    {.name = "s", gdb_step},
    {.name = "C", gdb_resume_with_signal},
    {.name = "S", gdb_resume_with_signal},
    {.name = "Z", gdb_set_point},
    {.name = "z", gdb_remove_point},
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
            gdb_reply_error(session, EBUSY);
        else
            commands[i].serve(session, rest);
        return;
    }
    gdb_reply(session, "");
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
        gdb_reply_error(session, EMSGSIZE);
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
        gdb_reply_stop(session);
}

void gdb_session_ended(struct gdb_session *session, bool is_fault)
{
    char text[4];
    /* Who doesn't wait for it learns it from the end of the connection. */
    if (!session->is_running)
        return;
    session->is_running = false;
    snprintf(text, sizeof text, "%c%02x", is_fault ? 'X' : 'W', is_fault ? SIGNAL_ABORT : 0);
    gdb_reply(session, text);
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
