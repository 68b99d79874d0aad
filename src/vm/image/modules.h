/* The modules that came with a kernel: which there are, which are built in, what each depends on.
 *
 * What there is is read from modules.dep or, where depmod(8) hasn't been run, modules.order; what
 * a module depends on it says itself (its section .modinfo). */
#ifndef HULL_VM_IMAGE_MODULES_H
#define HULL_VM_IMAGE_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"

enum module_presence { MODULE_ABSENT, MODULE_BUILT_IN, MODULE_FILE };

struct module {
    const char *name; /* with '_' for '-', as the kernel has it */
    const char *path; /* below the directory */
    bool is_built_in;
    uint64_t needs; /* bits of those who chose it */
    char *contents; /* of one that is chosen */
    size_t length;
};

struct module_tree {
    const char *directory;
    struct arena arena;
    struct module *modules; /* sorted by name */
    size_t count;
    struct module **chosen; /* each after those it depends on */
    size_t chosen_count;
};

int module_tree_open(struct module_tree *tree, const char *directory, struct error *err);
void module_tree_close(struct module_tree *tree);

struct module *module_find(struct module_tree *tree, const char *name);
enum module_presence module_presence(struct module_tree *tree, const char *name);

/* Chooses the module and, before it, what it depends on; reads them, and notes for all of them who
 * needs them: bit number `need`. Nothing to do for one that is built in. */
int module_choose(struct module_tree *tree, const char *name, unsigned int need, struct error *err);

/* The bytes of a module's file, without compression (.gz, .xz, .zst); the caller frees. */
char *module_read(const char *directory, const char *path, size_t *length, struct error *err);
/* The value of key in a module's .modinfo, in *value with its length; false: it has none. The
 * contents are anybody's. */
bool module_information(const char *contents, size_t length, const char *key, const char **value,
                        size_t *value_length);

#endif
