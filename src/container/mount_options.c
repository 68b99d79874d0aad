#include "container/mount_options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/memory.h"

enum option_kind {
    OPTION_NOTHING,
    OPTION_BIND,
    OPTION_REMOUNT,
    OPTION_COPY_UP,
    OPTION_IDMAP,
    OPTION_SET,   /* attribute bits on */
    OPTION_CLEAR, /* attribute bits off */
    OPTION_ATIME, /* one of the exclusive access time modes */
    OPTION_PROPAGATION,
    OPTION_SUPER, /* a flag of the superblock */
};

struct option {
    const char *name;
    enum option_kind kind;
    bool recursive;
    uint64_t bits;
};

/* Sorted by name. `async`, `loud` and their like name the kernel's default. */
static const struct option options_table[] = {
    {"async", OPTION_NOTHING, false, 0},
    {"atime", OPTION_CLEAR, false, MOUNT_ATTR_NOATIME},
    {"bind", OPTION_BIND, false, 0},
    {"defaults", OPTION_NOTHING, false, 0},
    {"dev", OPTION_CLEAR, false, MOUNT_ATTR_NODEV},
    {"diratime", OPTION_CLEAR, false, MOUNT_ATTR_NODIRATIME},
    {"dirsync", OPTION_SUPER, false, 0},
    {"exec", OPTION_CLEAR, false, MOUNT_ATTR_NOEXEC},
    {"idmap", OPTION_IDMAP, false, 0},
    {"iversion", OPTION_SUPER, false, 0},
    {"lazytime", OPTION_SUPER, false, 0},
    {"loud", OPTION_NOTHING, false, 0},
    {"mand", OPTION_NOTHING, false, 0}, /* gone from the kernel in 5.15 */
    {"noatime", OPTION_ATIME, false, MOUNT_ATTR_NOATIME},
    {"nodev", OPTION_SET, false, MOUNT_ATTR_NODEV},
    {"nodiratime", OPTION_SET, false, MOUNT_ATTR_NODIRATIME},
    {"noexec", OPTION_SET, false, MOUNT_ATTR_NOEXEC},
    {"noiversion", OPTION_NOTHING, false, 0},
    {"nolazytime", OPTION_NOTHING, false, 0},
    {"nomand", OPTION_NOTHING, false, 0},
    {"norelatime", OPTION_ATIME, false, MOUNT_ATTR_STRICTATIME},
    {"nostrictatime", OPTION_ATIME, false, MOUNT_ATTR_RELATIME},
    {"nosuid", OPTION_SET, false, MOUNT_ATTR_NOSUID},
    {"nosymfollow", OPTION_SET, false, MOUNT_ATTR_NOSYMFOLLOW},
    {"private", OPTION_PROPAGATION, false, MS_PRIVATE},
    {"ratime", OPTION_CLEAR, true, MOUNT_ATTR_NOATIME},
    {"rbind", OPTION_BIND, true, 0},
    {"rdev", OPTION_CLEAR, true, MOUNT_ATTR_NODEV},
    {"rdiratime", OPTION_CLEAR, true, MOUNT_ATTR_NODIRATIME},
    {"relatime", OPTION_ATIME, false, MOUNT_ATTR_RELATIME},
    {"remount", OPTION_REMOUNT, false, 0},
    {"rexec", OPTION_CLEAR, true, MOUNT_ATTR_NOEXEC},
    {"ridmap", OPTION_IDMAP, true, 0},
    {"rnoatime", OPTION_ATIME, true, MOUNT_ATTR_NOATIME},
    {"rnodev", OPTION_SET, true, MOUNT_ATTR_NODEV},
    {"rnodiratime", OPTION_SET, true, MOUNT_ATTR_NODIRATIME},
    {"rnoexec", OPTION_SET, true, MOUNT_ATTR_NOEXEC},
    {"rnorelatime", OPTION_ATIME, true, MOUNT_ATTR_STRICTATIME},
    {"rnostrictatime", OPTION_ATIME, true, MOUNT_ATTR_RELATIME},
    {"rnosuid", OPTION_SET, true, MOUNT_ATTR_NOSUID},
    {"rnosymfollow", OPTION_SET, true, MOUNT_ATTR_NOSYMFOLLOW},
    {"ro", OPTION_SET, false, MOUNT_ATTR_RDONLY},
    {"rprivate", OPTION_PROPAGATION, true, MS_PRIVATE},
    {"rrelatime", OPTION_ATIME, true, MOUNT_ATTR_RELATIME},
    {"rro", OPTION_SET, true, MOUNT_ATTR_RDONLY},
    {"rrw", OPTION_CLEAR, true, MOUNT_ATTR_RDONLY},
    {"rshared", OPTION_PROPAGATION, true, MS_SHARED},
    {"rslave", OPTION_PROPAGATION, true, MS_SLAVE},
    {"rstrictatime", OPTION_ATIME, true, MOUNT_ATTR_STRICTATIME},
    {"rsuid", OPTION_CLEAR, true, MOUNT_ATTR_NOSUID},
    {"rsymfollow", OPTION_CLEAR, true, MOUNT_ATTR_NOSYMFOLLOW},
    {"runbindable", OPTION_PROPAGATION, true, MS_UNBINDABLE},
    {"rw", OPTION_CLEAR, false, MOUNT_ATTR_RDONLY},
    {"shared", OPTION_PROPAGATION, false, MS_SHARED},
    {"silent", OPTION_NOTHING, false, 0},
    {"slave", OPTION_PROPAGATION, false, MS_SLAVE},
    {"strictatime", OPTION_ATIME, false, MOUNT_ATTR_STRICTATIME},
    {"suid", OPTION_CLEAR, false, MOUNT_ATTR_NOSUID},
    {"symfollow", OPTION_CLEAR, false, MOUNT_ATTR_NOSYMFOLLOW},
    {"sync", OPTION_SUPER, false, 0},
    {"tmpcopyup", OPTION_COPY_UP, false, 0},
    {"unbindable", OPTION_PROPAGATION, false, MS_UNBINDABLE},
};

#define OPTION_COUNT (sizeof options_table / sizeof *options_table)

static int compare_option(const void *name, const void *option)
{
    return strcmp(name, ((const struct option *)option)->name);
}

static const struct option *find_option(const char *name)
{
    return bsearch(name, options_table, OPTION_COUNT, sizeof *options_table, compare_option);
}

/* The access time modes are one field of the attributes: the whole field is cleared first. */
static void set_access_time(struct mount_attr *attributes, uint64_t mode)
{
    attributes->attr_clr |= MOUNT_ATTR__ATIME;
    attributes->attr_set = (attributes->attr_set & ~(uint64_t)MOUNT_ATTR__ATIME) | mode;
}

static void apply_attribute(struct mount_attr *attributes, const struct option *option)
{
    if (option->kind == OPTION_ATIME) {
        set_access_time(attributes, option->bits);
    } else if (option->kind == OPTION_SET) {
        attributes->attr_set |= option->bits;
        attributes->attr_clr &= ~option->bits;
    } else if (option->bits == MOUNT_ATTR_NOATIME) {
        set_access_time(attributes, MOUNT_ATTR_RELATIME);
    } else {
        attributes->attr_set &= ~option->bits;
        attributes->attr_clr |= option->bits;
    }
}

static void apply_option(struct mount_options *options, const struct option *option)
{
    switch (option->kind) {
    case OPTION_NOTHING:
        break;
    case OPTION_BIND:
        options->bind = true;
        options->recursive |= option->recursive;
        break;
    case OPTION_REMOUNT:
        options->remount = true;
        break;
    case OPTION_COPY_UP:
        options->copy_up = true;
        break;
    case OPTION_IDMAP:
        options->idmap = true;
        options->idmap_recursive |= option->recursive;
        break;
    case OPTION_SET:
    case OPTION_CLEAR:
    case OPTION_ATIME:
        apply_attribute(option->recursive ? &options->all : &options->attributes, option);
        break;
    case OPTION_PROPAGATION:
        options->propagation = option->bits;
        options->propagation_recursive = option->recursive;
        break;
    case OPTION_SUPER:
        if (options->super_flag_count < sizeof options->super_flags / sizeof(char *))
            options->super_flags[options->super_flag_count++] = option->name;
        break;
    }
}

int mount_options_parse(struct mount_options *options, const struct config_mount *mount,
                        struct error *err)
{
    memset(options, 0, sizeof *options);
    options->bind = mount->type && strcmp(mount->type, "bind") == 0;
    options->data = memory_allocate(mount->options.count, sizeof *options->data);
    for (size_t i = 0; i < mount->options.count; i++) {
        const struct option *option = find_option(mount->options.items[i]);
        if (option)
            apply_option(options, option);
        else if (*mount->options.items[i])
            options->data[options->data_count++] = mount->options.items[i];
    }
    if (mount->uid_mappings.count > 0)
        options->idmap = true;
    const char *contradiction = NULL;
    if (options->bind && !mount->source)
        contradiction = "a bind mount needs a source";
    else if (options->copy_up && (!mount->type || strcmp(mount->type, "tmpfs") != 0))
        contradiction = "tmpcopyup is for type tmpfs only";
    else if (options->idmap && !options->bind)
        contradiction = "an id-mapped mount must be a bind mount";
    else if (!options->bind && !options->remount && !mount->type)
        contradiction = "it has neither a type nor the option bind";
    if (!contradiction)
        return 0;
    mount_options_release(options);
    return error_set(err, 0, "mount %s: %s", mount->destination, contradiction);
}

void mount_options_release(struct mount_options *options)
{
    free(options->data);
    options->data = NULL;
}

const char *const *mount_option_names(void)
{
    static const char *names[OPTION_COUNT + 1];
    for (size_t i = 0; i < OPTION_COUNT; i++)
        names[i] = options_table[i].name;
    return names;
}

unsigned long mount_propagation_flags(const char *name)
{
    const struct option *option = find_option(name);
    if (!option || option->kind != OPTION_PROPAGATION)
        return 0;
    return option->bits | (option->recursive ? MS_REC : 0);
}
