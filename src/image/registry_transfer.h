/* One exchange of registry_http_send(), before redirections: what goes and what comes, with
 * libcurl. */
#ifndef HULL_IMAGE_REGISTRY_TRANSFER_H
#define HULL_IMAGE_REGISTRY_TRANSFER_H

#include "image/registry_http.h"

/* Sends the request to url (the request's own, or where that was redirected to), whose authority is
 * http->certified. As registry_http_send() otherwise; the response is added to. */
int registry_transfer(struct registry_http *http, const struct registry_http_request *request,
                      const char *url, struct registry_http_response *response, struct error *err);

#endif
