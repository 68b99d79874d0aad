/* Packets that make processors go on. */
#include <errno.h>

#include "vm/gdb/commands_internal.h"
#include "vm/gdb/hex.h"

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
            gdb_reply_error(session, EINVAL);
            return;
        }
        if (gdb_engine_of(session)->get_registers(vcpu, &registers, &err) < 0) {
            gdb_reply_error(session, EIO);
            return;
        }
        registers.rip = address;
        if (gdb_engine_of(session)->set_registers(vcpu, &registers, &err) < 0) {
            gdb_reply_error(session, EINVAL);
            return;
        }
    }
    run(session, session->resumes_one ? one : ALL_VCPUS(session->target), is_step ? one : 0);
}

void gdb_resume_all(struct gdb_session *session, const char *text)
{
    resume(session, text, false);
}

void gdb_step(struct gdb_session *session, const char *text)
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

void gdb_resume_with_signal(struct gdb_session *session, const char *text)
{
    text = skip_signal(text);
    if (text)
        resume(session, text, session->packets.text[0] == 'S');
    else
        gdb_reply_error(session, EINVAL);
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
        enum threads threads = gdb_read_thread(session, &text, &vcpu);
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

void gdb_resume_some(struct gdb_session *session, const char *text)
{
    uint32_t decided = 0, running = 0, stepping = 0;
    const char *action = text;
    while (action && *action)
        action = read_action(session, action, &decided, &running, &stepping);
    if (!action || decided == 0) {
        gdb_reply_error(session, EINVAL);
    } else if (running == 0) { /* they stand already */
        gdb_reply_stop(session);
    } else {
        run(session, running, stepping);
    }
}

void gdb_tell_actions(struct gdb_session *session, const char *text)
{
    (void)text;
    gdb_reply(session, "vCont;c;C;s;S;t");
}

void gdb_stop_reason(struct gdb_session *session, const char *text)
{
    (void)text;
    gdb_reply_stop(session);
}
