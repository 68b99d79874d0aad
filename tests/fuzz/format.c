/* cli/format: whatever the template, it is refused with a position, or fills a text that doesn't
 * depend on anything but it and the value. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char document[] =
    "{\"Name\":\"web\",\"Size\":12,\"Ratio\":0.5,\"Off\":false,\"Nothing\":null,"
    "\"List\":[\"a\",1,null],\"Map\":{\"b\":\"2\",\"a\":{\"c\":[]}},\"Label\":{\"k\":\"v\"},"
    "\"Networks\":{\"n\":{\"IP\":\"1.2.3.4\"}}}";

/* Nested ranges and functions over each other's results may make long texts; that is the user's
 * own wish, but not what is looked for here. */
#define LONGEST 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > LONGEST)
        return 0;
    char text[LONGEST + 1];
    memcpy(text, data, size);
    text[size] = '\0';
    struct error err = {0};
    struct format *format = format_parse(text, &err);
    if (!format) {
        if (strncmp(err.text, "format: line ", 13) != 0)
            abort();
        return 0;
    }
    json_t *value = json_loads(document, 0, NULL);
    char *first = format_make_text(format, value, &err);
    char *second = format_make_text(format, value, NULL);
    if (!first != !second || (first && strcmp(first, second) != 0))
        abort();
    if (!first && strncmp(err.text, "format: line ", 13) != 0)
        abort();
    free(first);
    free(second);
    json_decref(value);
    format_release(format);
    return 0;
}
