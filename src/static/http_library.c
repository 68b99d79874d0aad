/* libmicrohttpd for a program that is linked statically: it is in it. */
#include "vm/control/http_library.h"

int http_library_open(struct http_library *library, struct error *err)
{
    (void)err;
    *library = (struct http_library){.start_daemon = MHD_start_daemon,
                                     .stop_daemon = MHD_stop_daemon,
                                     .run = MHD_run,
                                     .get_timeout = MHD_get_timeout,
                                     .get_daemon_info = MHD_get_daemon_info,
                                     .create_response = MHD_create_response_from_buffer,
                                     .add_header = MHD_add_response_header,
                                     .queue_response = MHD_queue_response,
                                     .destroy_response = MHD_destroy_response,
                                     .lookup_value = MHD_lookup_connection_value};
    return 0;
}
