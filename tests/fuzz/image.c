/* Fuzzes the documents of images: names, platforms, manifests, configurations, instructions. The
 * first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/image.h"
#include "image/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool kept)
{
    if (!kept)
        abort();
}

/* What is accepted is written as something that is accepted, and is the same. */
static void read_reference(const char *text, size_t size)
{
    struct reference reference, again;
    struct error err = {0};
    char written[REFERENCE_TEXT_SIZE], once_more[REFERENCE_TEXT_SIZE];
    (void)size;
    if (reference_parse(text, &reference, &err) < 0) {
        promise(err.text[0]);
        return;
    }
    promise(strlen(reference_format(&reference, written)) < sizeof written - 1);
    promise(!strstr(reference.path, "..") && !strchr(written, ' ') && *written != '/');
    promise(reference_parse(written, &again, NULL) == 0);
    promise(strcmp(reference_format(&again, once_more), written) == 0);
    reference_format_familiar(&reference, once_more);
    promise(reference_parse(once_more, &again, NULL) == 0);
    promise(strcmp(reference_format(&again, once_more), written) == 0);
}

static void read_platform(const char *text, size_t size)
{
    struct platform platform, again;
    char written[PLATFORM_TEXT_SIZE];
    (void)size;
    if (platform_parse(text, &platform, NULL) < 0)
        return;
    promise(platform_parse(platform_format(&platform, written), &again, NULL) == 0);
    promise(strcmp(platform.architecture, again.architecture) == 0);
    promise(platform_rank(&platform, &again) > 0);
}

static void read_manifest(const char *bytes, size_t size)
{
    struct image_descriptor config, *layers;
    size_t count;
    struct error err = {0};
    if (image_manifest_parse(bytes, size, &config, &layers, &count, &err) < 0) {
        promise(err.text[0]);
        return;
    }
    promise(count <= IMAGE_LAYERS_MAX && reference_is_digest(config.digest));
    for (size_t i = 0; i < count; i++)
        promise(reference_is_digest(layers[i].digest) && layers[i].size >= 0);
    image_descriptors_free(layers, count);
}

/* A manifest and a configuration, with a NUL between them. */
static void read_image(const char *bytes, size_t size)
{
    struct image_store store = {.fd = -1, .directory = "/nowhere"};
    struct image image = {0};
    struct error err = {0};
    size_t length = strnlen(bytes, size), rest = length < size ? size - length - 1 : 0;
    if (store_image_fill(&store, bytes, length, bytes + size - rest, rest, &image, &err) == 0) {
        struct image_history_entry *entries;
        size_t count;
        promise(image_history(&store, &image, &entries, &count, &err) == 0);
        free(entries);
    } else {
        promise(err.text[0]);
    }
    image_release(&image);
}

static void change_config(const char *text, size_t size)
{
    json_t *config = json_object();
    struct error err = {0};
    (void)size;
    if (image_config_change(config, text, &err) < 0)
        promise(err.text[0]);
    char *written = json_dumps(config, 0);
    promise(written);
    free(written);
    json_decref(config);
}

static void choose_platform(const char *bytes, size_t size)
{
    struct platform host;
    struct error err = {0};
    json_t *manifests = json_loadb(bytes, size, 0, NULL);
    platform_host(&host);
    if (!platform_select(manifests, &host, &err))
        promise(err.text[0]);
    json_decref(manifests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const char *, size_t) = {
        read_reference, read_platform, read_manifest, read_image, change_config, choose_platform};
    if (size == 0)
        return 0;
    char *copy = memory_allocate(size, 1); /* ends with a NUL */
    memcpy(copy, data + 1, size - 1);
    readers[data[0] % 6](copy, size - 1);
    free(copy);
    return 0;
}
