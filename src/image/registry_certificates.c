#include "image/registry_certificates.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

#define FILE_LIMIT (1 << 20)
#define TOTAL_LIMIT (16 << 20)

void registry_certificates_release(struct registry_certificates *certificates)
{
    free(certificates->authorities);
    free(certificates->certificate);
    free(certificates->key);
    *certificates = (struct registry_certificates){0};
}

static bool ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name), end = strlen(ending);
    return length > end && strcmp(name + length - end, ending) == 0;
}

static int add_authority(struct registry_certificates *certificates, const char *path,
                         struct error *err)
{
    size_t length, used = certificates->length;
    scope_free char *text = file_read_all(AT_FDCWD, path, FILE_LIMIT, &length, err);
    if (!text)
        return -1;
    if (used + length > TOTAL_LIMIT)
        return error_set(err, EFBIG, "the certificates beside %s are too many", path);
    certificates->authorities = memory_resize(certificates->authorities, used + length + 1, 1);
    memcpy(certificates->authorities + used, text, length);
    certificates->authorities[used + length] = '\n';
    certificates->length = used + length + 1;
    return 0;
}

/* NAME.cert must have its NAME.key. */
static int add_certificate(struct registry_certificates *certificates, const char *path,
                           struct error *err)
{
    char *key = memory_format("%.*skey", (int)(strlen(path) - strlen("cert")), path);
    if (access(key, R_OK) < 0) {
        error_set(err, errno, "can't read %s, the key of %s", key, path);
        free(key);
        return -1;
    }
    free(certificates->certificate);
    free(certificates->key);
    certificates->certificate = memory_copy_string(path);
    certificates->key = key;
    return 0;
}

static int read_directory(const char *path, struct registry_certificates *certificates,
                          struct error *err)
{
    scope_closedir DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT || errno == ENOTDIR ? 0
                                                   : error_set(err, errno, "can't open %s", path);
    int status = 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(directory));) {
        scope_free char *file = memory_format("%s/%s", path, entry->d_name);
        if (ends_with(entry->d_name, ".crt"))
            status = add_authority(certificates, file, err);
        else if (ends_with(entry->d_name, ".cert"))
            status = add_certificate(certificates, file, err);
    }
    return status;
}

int registry_certificates_find(const struct registry_config *config, const char *host,
                               struct registry_certificates *certificates, struct error *err)
{
    *certificates = (struct registry_certificates){0};
    for (size_t i = 0; i < config->certificate_count; i++) {
        scope_free char *path = memory_format("%s/%s", config->certificates[i], host);
        if (read_directory(path, certificates, err) < 0)
            return -1;
        if (certificates->authorities || certificates->certificate)
            return 0;
    }
    return 0;
}
