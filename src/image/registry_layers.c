#include "image/registry_layers.h"

#include <string.h>

#include "base/scope.h"
#include "image/digest.h"
#include "image/registry_download.h"
#include "image/registry_lanes.h"

struct job {
    struct image_unpack *unpack; /* to be committed; NULL: the layer is in its place */
    bool ready;
};

struct work {
    const struct registry_layers *layers;
    pthread_mutex_t mutex; /* of all below */
    struct job *jobs;
    size_t committed; /* the jobs whose layers are in their places */
    bool failed;      /* a layer wouldn't into its place */
};

static void name_item(const struct registry_layers *layers, size_t index, char item[13])
{
    snprintf(item, 13, "%.12s", digest_hex(layers->layers[index].digest));
}

/* Puts the layers into their places that are ready and have all those below them in theirs. */
static int commit_ready(struct work *work, struct error *err)
{
    const struct registry_layers *layers = work->layers;
    int status = 0;
    pthread_mutex_lock(&work->mutex);
    while (status == 0 && !work->failed && work->committed < layers->count &&
           work->jobs[work->committed].ready) {
        size_t index = work->committed;
        struct image_unpack *unpack = work->jobs[index].unpack;
        char item[13];
        name_item(layers, index, item);
        work->jobs[index].unpack = NULL;
        if (unpack)
            status = image_unpack_commit(unpack, layers->diff_ids, index, err);
        if (unpack && status == 0)
            image_progress_update(layers->progress, item, IMAGE_PROGRESS_COMPLETE, 0, 0);
        if (status == 0)
            work->committed++;
    }
    work->failed = work->failed || status < 0;
    pthread_mutex_unlock(&work->mutex);
    return status;
}

/* Gets the blob, from the store or the registry, and gives it to unpack (which may be NULL). 1: it
 * went on from what had been left, and that was bad. */
static int get_blob(struct work *work, struct registry_http *http, size_t index,
                    struct image_unpack *unpack, bool *came, struct error *err)
{
    const struct registry_layers *layers = work->layers;
    const struct image_descriptor *layer = &layers->layers[index];
    char item[13];
    name_item(layers, index, item);
    int have = image_blob_have(layers->store, layers->lease, layer->digest, layer->size, err);
    if (have < 0)
        return -1;
    *came = have == 0;
    if (have)
        return unpack ? image_unpack_blob(unpack, layer->digest, err) : 0;
    struct registry_download download = {
        .store = layers->store,
        .lease = layers->lease,
        .session = layers->session,
        .http = http,
        .descriptor = layer,
        .unpack = unpack,
        .progress = layers->progress,
        .item = item,
    };
    if (registry_download(&download, err) == 0)
        return 0;
    return download.resumed && download.damaged ? 1 : -1;
}

/* What is left in the store of a broken download may have been damaged since: then all comes anew.
 */
static int get_layer(struct work *work, struct registry_http *http, size_t index,
                     struct image_unpack **unpack, struct error *err)
{
    const struct registry_layers *layers = work->layers;
    char chain[IMAGE_DIGEST_SIZE], item[13];
    bool came = false;
    int status = 1;
    name_item(layers, index, item);
    image_chain_id(layers->diff_ids, index + 1, chain);
    image_progress_update(layers->progress, item, IMAGE_PROGRESS_WAITING, 0, 0);
    for (int turn = 0; turn < 2 && status == 1; turn++) {
        if (image_unpack_begin(layers->store, layers->lease, chain, layers->diff_ids[index], NULL,
                               layers->progress, item, unpack, err) < 0)
            return -1;
        status = get_blob(work, http, index, *unpack, &came, err);
        if (status == 0 && *unpack)
            status = image_unpack_wait(*unpack, err);
        if (status != 0) {
            image_unpack_abort(*unpack);
            *unpack = NULL;
        }
    }
    if (status == 0 && !*unpack)
        image_progress_update(layers->progress, item,
                              came ? IMAGE_PROGRESS_COMPLETE : IMAGE_PROGRESS_EXISTS, 0, 0);
    return status == 0 ? 0 : -1;
}

static int do_job(void *context, struct registry_http *http, size_t index, struct error *err)
{
    struct work *work = context;
    struct image_unpack *unpack = NULL;
    if (get_layer(work, http, index, &unpack, err) < 0) {
        char item[13];
        name_item(work->layers, index, item);
        image_progress_update(work->layers->progress, item, IMAGE_PROGRESS_FAILED, 0, 0);
        return -1;
    }
    pthread_mutex_lock(&work->mutex);
    work->jobs[index] = (struct job){.unpack = unpack, .ready = true};
    pthread_mutex_unlock(&work->mutex);
    return commit_ready(work, err);
}

int registry_layers_get(const struct registry_layers *layers, struct error *err)
{
    struct work work = {.layers = layers};
    work.jobs = memory_allocate(layers->count, sizeof *work.jobs);
    pthread_mutex_init(&work.mutex, NULL);
    int status = registry_lanes_run(layers->session, layers->count, do_job, &work, err);
    for (size_t i = 0; i < layers->count; i++)
        image_unpack_abort(work.jobs[i].unpack);
    pthread_mutex_destroy(&work.mutex);
    free(work.jobs);
    return status;
}
