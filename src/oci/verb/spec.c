#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "oci/config_default.h"
#include "oci/verb/verb.h"

/* jansson indents with blanks; runc's file has tabs, which people's editors and diffs know. */
static char *indent_with_tabs(const char *text)
{
    char *tabbed = memory_allocate(strlen(text) + 2, 1), *to = tabbed;
    while (*text) {
        size_t blanks = strspn(text, " ");
        memset(to, '\t', blanks / 4);
        to += blanks / 4;
        text += blanks;
        size_t rest = strcspn(text, "\n") + (strchr(text, '\n') != NULL);
        memcpy(to, text, rest);
        to += rest;
        text += rest;
    }
    strcpy(to, "\n");
    return tabbed;
}

int verb_spec(struct verb_context *context, struct error *err)
{
    const char *bundle = command_value(context->line, "bundle");
    scope_free char *path = memory_format("%s/config.json", bundle ? bundle : ".");
    json_t *document = config_default_document(command_given(context->line, "rootless"));
    scope_free char *dumped = json_dumps(document, JSON_INDENT(4));
    json_decref(document);
    scope_free char *text = indent_with_tabs(dumped);
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, 0, "%s exists already (remove it first)", path);
    if (fd < 0)
        return error_set(err, errno, "can't write %s", path);
    if (file_write_all(fd, text, strlen(text)) == 0)
        return 0;
    error_set(err, errno, "can't write %s", path);
    unlink(path);
    return -1;
}
