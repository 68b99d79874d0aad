#include "image/archive_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY_NAME "libarchive.so.13"

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define ARCHIVE_LIBRARY_NAME(name) {#name, offsetof(struct archive_library, name)},
    ARCHIVE_LIBRARY_FUNCTIONS(ARCHIVE_LIBRARY_NAME)
#undef ARCHIVE_LIBRARY_NAME
};

/* One for the process; why it couldn't be loaded, if so. */
static struct archive_library library;
static char failure[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(failure, sizeof failure, "%s", dlerror());
        return;
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(handle, functions[i].name);
        if (!function) {
            snprintf(failure, sizeof failure, "%s has no function %s", LIBRARY_NAME,
                     functions[i].name);
            return;
        }
        memcpy((char *)&library + functions[i].offset, &function, sizeof function);
    }
}

const struct archive_library *archive_library_load(struct error *err)
{
    pthread_once(&once, load);
    if (!*failure)
        return &library;
    error_set(err, 0,
              "archives need libarchive, which can't be loaded (install the package "
              "libarchive13): %s",
              failure);
    return NULL;
}
