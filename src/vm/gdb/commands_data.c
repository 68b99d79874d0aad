/* What packets do to the state of a processor that stands: registers, memory, breakpoints. */
#include <errno.h>
#include <string.h>

#include "vm/gdb/commands_internal.h"
#include "vm/gdb/hex.h"
#include "vm/gdb/registers.h"

/* ---- Registers ---- */

static bool get_registers(const struct gdb_session *session, struct vcpu_registers *registers)
{
    struct error err;
    return gdb_engine_of(session)->get_registers(session->target->vcpus[session->selected],
                                                 registers, &err) == 0;
}

/* An engine refuses what a processor can't hold. */
static void set_registers(struct gdb_session *session, const struct vcpu_registers *registers)
{
    struct error err;
    bool is_set = gdb_engine_of(session)->set_registers(session->target->vcpus[session->selected],
                                                        registers, &err) == 0;
    gdb_reply_status(session, is_set ? 0 : EINVAL);
}

void gdb_read_all_registers(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    (void)text;
    if (!get_registers(session, &registers)) {
        gdb_reply_error(session, EIO);
        return;
    }
    const char *end = gdb_registers_write_all(&registers, session->reply);
    gdb_reply_bytes(session, session->reply, (size_t)(end - session->reply));
}

void gdb_write_all_registers(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    if (!get_registers(session, &registers)) {
        gdb_reply_error(session, EIO);
        return;
    }
    for (unsigned i = 0; text && i < gdb_registers_count(); i++)
        text = gdb_registers_read(&registers, i, text);
    if (text && *text == '\0')
        set_registers(session, &registers);
    else
        gdb_reply_error(session, EINVAL);
}

void gdb_read_register(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    uint64_t number;
    if (!hex_read_number(&text, &number) || *text || number >= gdb_registers_count()) {
        gdb_reply_error(session, EINVAL);
    } else if (!get_registers(session, &registers)) {
        gdb_reply_error(session, EIO);
    } else {
        const char *end = gdb_registers_write(&registers, (unsigned)number, session->reply);
        gdb_reply_bytes(session, session->reply, (size_t)(end - session->reply));
    }
}

void gdb_write_register(struct gdb_session *session, const char *text)
{
    struct vcpu_registers registers;
    uint64_t number;
    if (!hex_read_number(&text, &number) || *text != '=' || number >= gdb_registers_count()) {
        gdb_reply_error(session, EINVAL);
        return;
    }
    if (!get_registers(session, &registers)) {
        gdb_reply_error(session, EIO);
        return;
    }
    text = gdb_registers_read(&registers, (unsigned)number, text + 1);
    if (text && *text == '\0')
        set_registers(session, &registers);
    else
        gdb_reply_error(session, EINVAL);
}

/* ---- Memory ---- */

void gdb_read_memory(struct gdb_session *session, const char *text)
{
    uint64_t address, length;
    text = gdb_read_range(text, &address, &length);
    if (!text || *text) {
        gdb_reply_error(session, EINVAL);
        return;
    }
    if (length > GDB_PACKET_SIZE / 2)
        length = GDB_PACKET_SIZE / 2;
    size_t count =
        gdb_target_read(session->target, session->selected, address, session->bytes, length);
    if (count == 0 && length > 0) {
        gdb_reply_error(session, EFAULT);
        return;
    }
    const char *end = hex_write(session->reply, session->bytes, count);
    gdb_reply_bytes(session, session->reply, (size_t)(end - session->reply));
}

static void put_memory(struct gdb_session *session, uint64_t address, const uint8_t *bytes,
                       size_t count)
{
    bool is_memory = gdb_target_write(session->target, session->selected, address, bytes, count);
    gdb_reply_status(session, is_memory ? 0 : EFAULT);
}

void gdb_write_memory(struct gdb_session *session, const char *text)
{
    uint64_t address, length;
    text = gdb_read_range(text, &address, &length);
    if (!text || *text++ != ':' || strlen(text) / 2 != length || strlen(text) % 2 ||
        !hex_read(text, session->bytes, length))
        gdb_reply_error(session, EINVAL);
    else
        put_memory(session, address, session->bytes, length);
}

void gdb_write_memory_binary(struct gdb_session *session, const char *text)
{
    uint64_t address, length;
    const char *end = session->packets.text + session->packets.length;
    text = gdb_read_range(text, &address, &length);
    if (!text || *text++ != ':' || (uint64_t)(end - text) != length)
        gdb_reply_error(session, EINVAL);
    else
        put_memory(session, address, (const uint8_t *)text, length);
}

/* ---- Breakpoints ---- */

/* "TYPE,ADDRESS,KIND"; conditions and commands, which follow a ';', weren't offered. */
static void change_point(struct gdb_session *session, const char *text, bool is_set)
{
    uint64_t address, length;
    int type = hex_digit(*text);
    if (type < 0 || type > GDB_POINT_ACCESS) {
        gdb_reply(session, "");
        return;
    }
    const char *end = text[1] == ',' ? gdb_read_range(text + 2, &address, &length) : NULL;
    if (!end || *end)
        gdb_reply_error(session, EINVAL);
    else if (is_set)
        gdb_reply_status(session, gdb_target_set_point(session->target, session->selected,
                                                       (enum gdb_point)type, address, length));
    else
        gdb_reply_status(session, gdb_target_remove_point(session->target, (enum gdb_point)type,
                                                          address, length));
}

void gdb_set_point(struct gdb_session *session, const char *text)
{
    change_point(session, text, true);
}

void gdb_remove_point(struct gdb_session *session, const char *text)
{
    change_point(session, text, false);
}
