/* Kernels from the distribution's packages: downloaded by apt-get, which verifies them, and
 * unpacked beside; nothing is installed, and what is installed isn't looked at. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "vm/image/kernel_internal.h"
#include "vm/image/tool.h"

#define PACKAGES_MAX 8
#define DEPTH_MAX 4
#define UNPACKED "package" /* below the staging directory */

/* Packages that lead to a kernel for virtual machines, the best first: Debian's and Ubuntu's. */
static const char *const known[] = {"linux-image-cloud-amd64", "linux-image-virtual",
                                    "linux-image-amd64", "linux-image-generic"};

struct packages {
    char *names[PACKAGES_MAX];
    size_t count;
};

static void packages_release(struct packages *packages)
{
    for (size_t i = 0; i < packages->count; i++)
        free(packages->names[i]);
}

/* apt-get and dpkg-deb take words that begin with a dash, a = or a / for something else. Debian
 * policy 5.6.1 says what a name is. */
static int check_package(const char *name, struct error *err)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
    if (length < 2 || length > 128 || name[length] || strchr("+.-", *name))
        return error_set(err, 0, "'%.130s' isn't a package's name", name);
    return 0;
}

static int require_apt(struct error *err)
{
    if (tool_exists("apt-get") && tool_exists("apt-cache") && tool_exists("dpkg-deb"))
        return 0;
    return error_set(err, 0,
                     "this distribution has no apt; give a kernel with --file (and --modules)");
}

/* Whether apt knows it: from which it would be installed. */
static bool is_available(const char *package)
{
    scope_free char *output = NULL;
    const char *const argv[] = {"apt-cache", "show", "--no-all-versions", "--", package, NULL};
    const struct tool tool = {.argv = argv, .package = "apt", .output = &output};
    return tool_run(&tool, NULL) == 0 && output && strstr(output, "Filename:");
}

static int choose_package(const char **package, struct error *err)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_available(known[i])) {
            *package = known[i];
            return 0;
        }
    return error_set(
        err, 0, "apt knows no kernel package (run apt-get update, or name one with --package)");
}

static bool has_package(const struct packages *packages, const char *name)
{
    for (size_t i = 0; i < packages->count; i++)
        if (strcmp(packages->names[i], name) == 0)
            return true;
    return false;
}

/* "linux-image-cloud-amd64" is empty and depends on one with the version in its name, whose modules
 * may be in yet another one. */
static bool belongs_to_kernel(const char *name)
{
    return strncmp(name, "linux-image-", 12) == 0 || strncmp(name, "linux-modules-", 14) == 0;
}

static int resolve(struct packages *packages, const char *name, int depth, struct error *err)
{
    scope_free char *output = NULL;
    if (check_package(name, err) < 0)
        return -1;
    if (packages->count == PACKAGES_MAX || depth > DEPTH_MAX)
        return error_set(err, 0, "package %s depends on too many others", packages->names[0]);
    packages->names[packages->count++] = memory_copy_string(name);
    const char *const argv[] = {"apt-cache", "depends", "--important", "--", name, NULL};
    if (tool_run(&(struct tool){.argv = argv, .package = "apt", .output = &output}, err) < 0)
        return -1;
    char *rest = output;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char dependency[160];
        if (sscanf(line, " Depends: %159s", dependency) == 1 && belongs_to_kernel(dependency) &&
            !has_package(packages, dependency) && resolve(packages, dependency, depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

/* As the user that asks, who may write where they go. */
static int download(const struct packages *packages, const char *directory, struct error *err)
{
    const char *argv[PACKAGES_MAX + 8] = {"apt-get",  "-qq", "-o", "APT::Sandbox::User=root",
                                          "download", "--"};
    size_t count = 6;
    for (size_t i = 0; i < packages->count; i++)
        argv[count++] = packages->names[i];
    const struct tool tool = {.argv = argv, .package = "apt", .directory = directory};
    if (tool_run(&tool, err) < 0)
        return error_wrap(err, "can't download %s (run apt-get update)", packages->names[0]);
    return 0;
}

/* Every package that was downloaded into the directory. */
static int unpack_packages(const char *directory, struct error *err)
{
    scope_free char *to = memory_format("%s/" UNPACKED, directory);
    scope_closedir DIR *stream = opendir(directory);
    if (!stream || mkdir(to, 0755) < 0)
        return error_set(err, errno, "can't make %s", to);
    for (struct dirent *entry; (entry = readdir(stream));) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".deb") != 0)
            continue;
        scope_free char *file = memory_format("%s/%s", directory, entry->d_name);
        const char *const argv[] = {"dpkg-deb", "-x", file, to, NULL};
        if (tool_run(&(struct tool){.argv = argv, .package = "dpkg"}, err) < 0)
            return -1;
        unlinkat(dirfd(stream), entry->d_name, 0);
    }
    return 0;
}

/* The name of the one thing in the directory that begins so. The caller frees; NULL: none. */
static char *find_beginning(const char *directory, const char *beginning)
{
    scope_closedir DIR *stream = opendir(directory);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (strncmp(entry->d_name, beginning, strlen(beginning)) == 0)
            return memory_copy_string(entry->d_name);
    return NULL;
}

static int take_from_boot(const struct kernel_staging *staging, const char *beginning,
                          const char *name, struct error *err)
{
    scope_free char *boot = memory_format("%s/" UNPACKED "/boot", staging->path);
    scope_free char *found = find_beginning(boot, beginning);
    if (!found)
        return error_set(err, ENOENT, "the package has no %s…", beginning);
    scope_free char *from = memory_format(UNPACKED "/boot/%s", found);
    if (renameat(staging->fd, from, staging->fd, name) < 0)
        return error_set(err, errno, "can't take %s from the package", found);
    return 0;
}

/* Newer releases have /lib in /usr. */
static int take_modules(const struct kernel_staging *staging, struct error *err)
{
    if (mkdirat(staging->fd, "lib", 0755) < 0)
        return error_set(err, errno, "can't make %s/lib", staging->path);
    if (renameat(staging->fd, UNPACKED "/lib/modules", staging->fd, "lib/modules") == 0 ||
        renameat(staging->fd, UNPACKED "/usr/lib/modules", staging->fd, "lib/modules") == 0)
        return 0;
    return errno == ENOENT ? 0 : error_set(err, errno, "can't take the package's modules");
}

static int take(const struct kernel_staging *staging, struct error *err)
{
    struct stat status;
    if (take_from_boot(staging, "vmlinuz-", "vmlinuz", err) < 0 || take_modules(staging, err) < 0)
        return -1;
    if (fstatat(staging->fd, "vmlinuz", &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode))
        return error_set(err, 0, "the package's kernel isn't a file");
    take_from_boot(staging, "config-", "config", NULL); /* those without it boot as well */
    return remove_tree(staging->fd, UNPACKED, NULL, err);
}

/* "package linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64" for people: of the package with the
 * kernel, as apt-get calls its file. */
static char *name_source(const struct packages *packages, const char *directory)
{
    const char *package = packages->names[packages->count - 1];
    for (size_t i = 0; i < packages->count; i++)
        if (strncmp(packages->names[i], "linux-image-", 12) == 0)
            package = packages->names[i];
    scope_free char *beginning = memory_format("%s_", package);
    scope_free char *file = find_beginning(directory, beginning);
    if (file && strlen(file) > 4)
        file[strlen(file) - 4] = '\0';
    return memory_format("package %s", file ? file : package);
}

static int obtain(const struct kernel_staging *staging, const struct packages *packages,
                  const struct warnings *notes, char **source, struct error *err)
{
    warnings_note(notes, "downloading %s", packages->names[packages->count - 1]);
    if (download(packages, staging->path, err) < 0)
        return -1;
    *source = name_source(packages, staging->path);
    warnings_note(notes, "unpacking");
    if (unpack_packages(staging->path, err) < 0 || take(staging, err) < 0)
        return error_wrap(err, "%s", packages->names[0]);
    return 0;
}

int kernel_pull(const char *root, const char *package, const char *name,
                const struct warnings *notes, char **pulled, struct error *err)
{
    __attribute__((cleanup(packages_release))) struct packages packages = {0};
    scope_free char *source = NULL;
    *pulled = NULL;
    if ((name && kernel_check_name(name, err) < 0) || require_apt(err) < 0 ||
        (!package && choose_package(&package, err) < 0) || resolve(&packages, package, 0, err) < 0)
        return -1;
    scope_kernel_staging struct kernel_staging staging = {.store = -1, .fd = -1};
    if (kernel_staging_begin(root, &staging, err) < 0 ||
        obtain(&staging, &packages, notes, &source, err) < 0)
        return -1;
    return kernel_staging_commit(&staging, name, source, pulled, err);
}
