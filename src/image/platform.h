/* Platforms, "linux/arm64/v8": the operating system, processor and its variant that an image is
 * for, named as Go does (OCI image-spec, image index, "platform"). */
#ifndef HULL_IMAGE_PLATFORM_H
#define HULL_IMAGE_PLATFORM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

struct platform {
    char os[32];           /* "linux" */
    char architecture[32]; /* "amd64" */
    char variant[32];      /* "v7"; "" is the architecture's usual one */
};

#define PLATFORM_TEXT_SIZE 100

/* This machine's. */
void platform_host(struct platform *platform);
/* "linux/arm64", "arm64", "linux/arm/v7", and other people's names of the same: x86_64, aarch64,
 * armhf …; the result is normalised (arm64's v8 and amd64's v1 are ""; arm without variant is
 * v7). */
int platform_parse(const char *text, struct platform *platform, struct error *err);
/* From the members os, architecture and variant of a JSON object; normalised. Missing ones are
 * "". */
void platform_from_json(const json_t *object, struct platform *platform);
const char *platform_format(const struct platform *platform, char text[PLATFORM_TEXT_SIZE]);

/* How well what is offered serves who wants: 0 not at all, more is better. A processor of arm/v7
 * also runs v6 and v5. */
int platform_rank(const struct platform *wanted, const struct platform *offered);
/* The element of an index's "manifests" that serves best, or NULL with an error that lists what
 * there is. Attestations (unknown/unknown) are passed over. */
json_t *platform_select(const json_t *manifests, const struct platform *wanted, struct error *err);

#endif
