/* What the files of commands share. */
#ifndef HULL_VM_GDB_COMMANDS_INTERNAL_H
#define HULL_VM_GDB_COMMANDS_INTERNAL_H

#include "vm/gdb/commands.h"

#define ALL_VCPUS(target) ((uint32_t)((1ull << (target)->vcpu_count) - 1))

/* ---- commands.c ---- */

void gdb_reply_bytes(struct gdb_session *session, const char *text, size_t length);
/* "" says that a packet isn't known. */
void gdb_reply(struct gdb_session *session, const char *text);
/* An errno value; with status, 0 is OK. */
void gdb_reply_error(struct gdb_session *session, int code);
void gdb_reply_status(struct gdb_session *session, int code);
/* Why the processors stopped last. */
void gdb_reply_stop(struct gdb_session *session);
/* "ADDRESS,LENGTH": where it ends, or NULL. */
const char *gdb_read_range(const char *text, uint64_t *address, uint64_t *length);
/* A thread's id: -1 is all of them, 0 any; else the vcpu's number from 1. */
enum threads { THREADS_NONE, THREADS_ONE, THREADS_ANY, THREADS_ALL };
enum threads gdb_read_thread(const struct gdb_session *session, const char **text, unsigned *vcpu);
const struct engine_operations *gdb_engine_of(const struct gdb_session *session);

/* What packets ask for; text is what follows their name. */

/* ---- commands_data.c ---- */

void gdb_read_all_registers(struct gdb_session *session, const char *text);
void gdb_write_all_registers(struct gdb_session *session, const char *text);
void gdb_read_register(struct gdb_session *session, const char *text);
void gdb_write_register(struct gdb_session *session, const char *text);
void gdb_read_memory(struct gdb_session *session, const char *text);
void gdb_write_memory(struct gdb_session *session, const char *text);
void gdb_write_memory_binary(struct gdb_session *session, const char *text);
void gdb_set_point(struct gdb_session *session, const char *text);
void gdb_remove_point(struct gdb_session *session, const char *text);

/* ---- commands_run.c ---- */

void gdb_resume_all(struct gdb_session *session, const char *text);
void gdb_step(struct gdb_session *session, const char *text);
void gdb_resume_with_signal(struct gdb_session *session, const char *text);
void gdb_resume_some(struct gdb_session *session, const char *text);
void gdb_tell_actions(struct gdb_session *session, const char *text);
void gdb_stop_reason(struct gdb_session *session, const char *text);

#endif
