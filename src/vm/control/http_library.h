/* libmicrohttpd, loaded when an API is asked for: it brings a TLS library along, and linking it
 * would cost each machine's start milliseconds and a megabyte, with --no-api too. */
#ifndef HULL_VM_CONTROL_HTTP_LIBRARY_H
#define HULL_VM_CONTROL_HTTP_LIBRARY_H

#include <microhttpd.h>

#include "base/error.h"

struct http_library {
    __typeof__(MHD_start_daemon) *start_daemon;
    __typeof__(MHD_stop_daemon) *stop_daemon;
    __typeof__(MHD_run) *run;
    __typeof__(MHD_get_timeout) *get_timeout;
    __typeof__(MHD_get_daemon_info) *get_daemon_info;
    __typeof__(MHD_create_response_from_buffer) *create_response;
    __typeof__(MHD_add_response_header) *add_header;
    __typeof__(MHD_queue_response) *queue_response;
    __typeof__(MHD_destroy_response) *destroy_response;
    __typeof__(MHD_lookup_connection_value) *lookup_value;
};

/* Loads it, for as long as the process lives. */
int http_library_open(struct http_library *library, struct error *err);

#endif
