#include "image/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/memory.h"
#include "base/scope.h"

/* What kernels, distributions and people call Go's architectures. */
static const struct {
    const char *name, *architecture, *variant;
} synonyms[] = {
    {"x86_64", "amd64", ""},
    {"x86-64", "amd64", ""},
    {"aarch64", "arm64", ""},
    {"armhf", "arm", "v7"},
    {"armel", "arm", "v6"},
    {"armv7l", "arm", "v7"},
    {"armv6l", "arm", "v6"},
    {"i386", "386", ""},
    {"i486", "386", ""},
    {"i586", "386", ""},
    {"i686", "386", ""},
    {"x86", "386", ""},
    {"loongarch64", "loong64", ""},
};

static void normalise(struct platform *platform)
{
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++) {
        if (strcmp(platform->architecture, synonyms[i].name) != 0)
            continue;
        strcpy(platform->architecture, synonyms[i].architecture);
        if (!*platform->variant)
            strcpy(platform->variant, synonyms[i].variant);
    }
    char *variant = platform->variant;
    if (isdigit((unsigned char)*variant) && strlen(variant) + 2 < sizeof platform->variant) {
        memmove(variant + 1, variant, strlen(variant) + 1);
        *variant = 'v';
    }
    if (strcmp(platform->architecture, "arm") == 0 && !*variant)
        strcpy(variant, "v7");
    if (strcmp(platform->architecture, "arm64") == 0 && strcmp(variant, "v8") == 0)
        *variant = '\0';
    if (strcmp(platform->architecture, "amd64") == 0 && strcmp(variant, "v1") == 0)
        *variant = '\0';
}

void platform_host(struct platform *platform)
{
    struct utsname name;
    *platform = (struct platform){.os = "linux"};
    if (uname(&name) == 0)
        snprintf(platform->architecture, sizeof platform->architecture, "%.30s", name.machine);
    normalise(platform);
}

static bool take_part(const char **rest, char part[32])
{
    size_t length = strcspn(*rest, "/");
    if (length == 0 || length >= 32)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)(*rest)[i];
        if (!isalnum(c) && !strchr("_.-", c))
            return false;
        part[i] = (char)tolower(c);
    }
    part[length] = '\0';
    *rest += length;
    if (**rest == '/')
        (*rest)++;
    return true;
}

int platform_parse(const char *text, struct platform *platform, struct error *err)
{
    char parts[3][32] = {"", "", ""};
    const char *rest = text;
    int count = 0;
    while (count < 3 && take_part(&rest, parts[count]))
        count++;
    size_t length = strlen(text);
    if (count == 0 || *rest || text[length - 1] == '/')
        return error_set(
            err, 0, "invalid platform '%.100s' (write it as linux/arm64 or linux/arm/v7)", text);
    *platform = (struct platform){.os = "linux"};
    if (count == 1 && strcmp(parts[0], "linux") == 0) {
        platform_host(platform);
        return 0;
    }
    if (count > 1)
        strcpy(platform->os, parts[0]);
    strcpy(platform->architecture, parts[count > 1]);
    strcpy(platform->variant, parts[2]);
    normalise(platform);
    return 0;
}

static void copy_member(const json_t *object, const char *name, char part[32])
{
    const char *text = json_string_value(json_object_get(object, name));
    snprintf(part, 32, "%.31s", text ? text : "");
}

void platform_from_json(const json_t *object, struct platform *platform)
{
    copy_member(object, "os", platform->os);
    copy_member(object, "architecture", platform->architecture);
    copy_member(object, "variant", platform->variant);
    normalise(platform);
}

const char *platform_format(const struct platform *platform, char text[PLATFORM_TEXT_SIZE])
{
    snprintf(text, PLATFORM_TEXT_SIZE, "%s/%s%s%s", platform->os, platform->architecture,
             *platform->variant ? "/" : "", platform->variant);
    return text;
}

/* "v7" → 7; "" → the level that every processor of the architecture has. */
static int variant_level(const char *variant)
{
    if (variant[0] != 'v' || !isdigit((unsigned char)variant[1]))
        return *variant ? -1 : 0;
    return atoi(variant + 1);
}

int platform_rank(const struct platform *wanted, const struct platform *offered)
{
    if (strcmp(wanted->os, offered->os) != 0 ||
        strcmp(wanted->architecture, offered->architecture) != 0)
        return 0;
    if (strcmp(wanted->variant, offered->variant) == 0)
        return 1000;
    int most = variant_level(wanted->variant), level = variant_level(offered->variant);
    if (most < 0 || level < 0)
        return 0;
    /* Without a variant any processor of the kind is meant; else it runs what is older. */
    if (!*wanted->variant)
        return strcmp(wanted->architecture, "arm64") == 0 && level == 8 ? 999 : 0;
    return level < most ? 1 + level : 0;
}

json_t *platform_select(const json_t *manifests, const struct platform *wanted, struct error *err)
{
    json_t *best = NULL, *element;
    int best_rank = 0;
    size_t index;
    char names[400] = "";
    json_array_foreach(manifests, index, element)
    {
        struct platform offered;
        char text[PLATFORM_TEXT_SIZE];
        json_t *described = json_object_get(element, "platform");
        platform_from_json(described, &offered);
        int rank = described ? platform_rank(wanted, &offered) : json_array_size(manifests) == 1;
        if (rank > best_rank) {
            best_rank = rank;
            best = element;
        }
        size_t used = strlen(names);
        if (described && strcmp(offered.os, "unknown") != 0)
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                     platform_format(&offered, text));
    }
    if (!best) {
        char text[PLATFORM_TEXT_SIZE];
        error_set(err, 0, "the image is not there for %s (it is for: %s)",
                  platform_format(wanted, text), *names ? names : "no platform");
    }
    return best;
}
