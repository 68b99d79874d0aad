#include "vm/control/http_library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY_NAME "libmicrohttpd.so.12"

static const struct {
    const char *name;
    size_t offset; /* of the function pointer in struct http_library */
} functions[] = {
    {"MHD_start_daemon", offsetof(struct http_library, start_daemon)},
    {"MHD_stop_daemon", offsetof(struct http_library, stop_daemon)},
    {"MHD_run", offsetof(struct http_library, run)},
    {"MHD_get_timeout", offsetof(struct http_library, get_timeout)},
    {"MHD_get_daemon_info", offsetof(struct http_library, get_daemon_info)},
    {"MHD_create_response_from_buffer", offsetof(struct http_library, create_response)},
    {"MHD_add_response_header", offsetof(struct http_library, add_header)},
    {"MHD_queue_response", offsetof(struct http_library, queue_response)},
    {"MHD_destroy_response", offsetof(struct http_library, destroy_response)},
    {"MHD_lookup_connection_value", offsetof(struct http_library, lookup_value)},
};

int http_library_open(struct http_library *library, struct error *err)
{
    /* Never closed: the libraries it brings along don't stand that. */
    void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        return error_set(err, 0,
                         "the API needs libmicrohttpd, which can't be loaded (install the package "
                         "libmicrohttpd12, or use --no-api): %s",
                         dlerror());
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(handle, functions[i].name);
        if (function)
            memcpy((char *)library + functions[i].offset, &function, sizeof function);
        else
            status = error_set(err, 0, "libmicrohttpd has no %s", functions[i].name);
    }
    dlclose(handle);
    return status;
}
