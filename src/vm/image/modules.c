#include "vm/image/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

#define INDEX_LIMIT ((size_t)16 << 20)

static void name_of(const char *path, char *name, size_t size)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t length = strcspn(base, ".");
    if (length >= size)
        length = size - 1;
    for (size_t i = 0; i < length; i++)
        name[i] = base[i] == '-' ? '_' : base[i];
    name[length] = '\0';
}

static void add_module(struct module_tree *tree, const char *path, bool is_built_in)
{
    char name[128];
    name_of(path, name, sizeof name);
    if (!*name)
        return;
    /* Doubled each time that the count is a power of two. */
    if ((tree->count & (tree->count - 1)) == 0)
        tree->modules =
            memory_resize(tree->modules, tree->count ? tree->count * 2 : 1, sizeof *tree->modules);
    tree->modules[tree->count++] = (struct module){.name = arena_copy_string(&tree->arena, name),
                                                   .path = arena_copy_string(&tree->arena, path),
                                                   .is_built_in = is_built_in};
}

/* A path a line; in modules.dep with a colon and what it depends on behind it. False: no such
 * file. */
static bool read_index(struct module_tree *tree, const char *name, bool is_built_in)
{
    scope_free char *path = memory_format("%s/%s", tree->directory, name);
    scope_free char *text = file_read_all(AT_FDCWD, path, INDEX_LIMIT, NULL, NULL);
    char *rest = text, *line;
    while (rest && (line = strsep(&rest, "\n"))) {
        line[strcspn(line, ":")] = '\0';
        add_module(tree, line, is_built_in);
    }
    return text != NULL;
}

/* What is both is built in. */
static int compare(const void *a, const void *b)
{
    const struct module *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order ? order : (int)other->is_built_in - (int)one->is_built_in;
}

int module_tree_open(struct module_tree *tree, const char *directory, struct error *err)
{
    *tree = (struct module_tree){.directory = directory};
    bool has_files = read_index(tree, "modules.dep", false) && tree->count > 0;
    if (!has_files)
        has_files = read_index(tree, "modules.order", false);
    read_index(tree, "modules.builtin", true);
    if (tree->count == 0 || !has_files) {
        module_tree_close(tree);
        return error_set(err, ENOENT,
                         "%s has no modules.dep or modules.order (is it a kernel's directory of "
                         "modules?)",
                         directory);
    }
    qsort(tree->modules, tree->count, sizeof *tree->modules, compare);
    tree->chosen = arena_allocate(&tree->arena, tree->count, sizeof *tree->chosen);
    return 0;
}

void module_tree_close(struct module_tree *tree)
{
    for (size_t i = 0; i < tree->chosen_count; i++)
        free(tree->chosen[i]->contents);
    free(tree->modules);
    arena_release(&tree->arena);
    *tree = (struct module_tree){0};
}

struct module *module_find(struct module_tree *tree, const char *name)
{
    size_t low = 0, high = tree->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(tree->modules[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tree->count && strcmp(tree->modules[low].name, name) == 0 ? &tree->modules[low]
                                                                           : NULL;
}

enum module_presence module_presence(struct module_tree *tree, const char *name)
{
    const struct module *module = module_find(tree, name);
    return !module ? MODULE_ABSENT : module->is_built_in ? MODULE_BUILT_IN : MODULE_FILE;
}

static int choose(struct module_tree *tree, struct module *module, uint64_t need,
                  struct error *err);

/* "a,b-c": each of them. What isn't there is none of ours to judge: the kernel will say. */
static int choose_dependencies(struct module_tree *tree, struct module *module, uint64_t need,
                               struct error *err)
{
    const char *text;
    size_t length;
    if (!module_information(module->contents, module->length, "depends", &text, &length))
        return 0;
    while (length > 0) {
        const char *comma = memchr(text, ',', length);
        size_t count = comma ? (size_t)(comma - text) : length;
        char name[128], given[128];
        if (count > 0 && count < sizeof given) {
            memcpy(given, text, count);
            given[count] = '\0';
            name_of(given, name, sizeof name);
            struct module *other = module_find(tree, name);
            if (!other)
                return error_set(err, ENOENT, "module %s depends on %s, which %s doesn't have",
                                 module->name, name, tree->directory);
            if (choose(tree, other, need, err) < 0)
                return -1;
        }
        text += count + (comma ? 1 : 0);
        length -= count + (comma ? 1 : 0);
    }
    return 0;
}

/* Depth first: no deeper than there are modules, as each is visited once for each need. */
static int choose(struct module_tree *tree, struct module *module, uint64_t need, struct error *err)
{
    if (module->is_built_in || module->needs & need)
        return 0;
    module->needs |= need;
    bool is_new = !module->contents;
    if (is_new)
        module->contents = module_read(tree->directory, module->path, &module->length, err);
    int result = module->contents ? choose_dependencies(tree, module, need, err) : -1;
    if (is_new)
        tree->chosen[tree->chosen_count++] = module;
    return result;
}

int module_choose(struct module_tree *tree, const char *name, unsigned int need, struct error *err)
{
    struct module *module = module_find(tree, name);
    return module ? choose(tree, module, UINT64_C(1) << need, err)
                  : error_set(err, ENOENT, "%s has no module %s", tree->directory, name);
}
