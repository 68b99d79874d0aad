/* Page numbers, buffers and statistics come from a guest that may say anything: what it gives away
 * is its own memory at most, whatever it names. A page that it names without owning it is its own
 * loss: it reads zeros there afterwards. */
#include "vm/device/virtio_balloon.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/memory/guest_discard.h"

/* Features (5.5.3). */
#define STATISTICS (1ull << 1)
#define DEFLATE_ON_OOM (1ull << 2)
#define FREE_PAGE_HINT (1ull << 3)
#define PAGE_POISON (1ull << 4)
#define REPORTING (1ull << 5)

#define HUGE_PAGE_SIZE (2ull << 20)
#define PAGES_MAX 16384 /* of one request; drivers send 256 to 1024 */
#define TURN_MAX 64     /* requests of a queue before others get a turn */

/* Commands of free page hinting (5.5.6.4.1). */
enum { HINT_STOP = 0, HINT_DONE = 1, HINT_FIRST = 2 };

/* What a queue is for; the driver numbers only those whose feature it took. */
enum role { INFLATE, DEFLATE, STATS, HINTS, REPORTS };

struct config {
    uint32_t pages, actual, hint_command, poison;
};

struct balloon {
    struct virtio_device device;
    struct config config; /* little-endian, as the guest sees it */
    struct virtio_balloon_options options;
    enum role roles[5];
    struct virtqueue_chain chain;
    uint64_t discarded;

    struct loop_timer timer;
    struct virtio_balloon_statistics statistics;
    bool holds_statistics; /* the guest's buffer, given back when the next ones are wanted */
    uint16_t statistics_head;

    struct virtio_balloon_hinting hinting;
    uint32_t last_run;
    bool acknowledge_on_stop;
};

static uint64_t granularity(const struct balloon *balloon)
{
    return balloon->options.huge_pages ? HUGE_PAGE_SIZE : GUEST_PAGE_SIZE;
}

static int compare_pages(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* Discards pages, neighbours with one call. */
static void discard_pages(struct balloon *balloon, uint32_t *pages, unsigned count)
{
    const struct guest_memory *memory = balloon->device.memory;
    for (unsigned i = 0; i < count; i++)
        pages[i] = le32toh(pages[i]);
    qsort(pages, count, sizeof *pages, compare_pages);
    for (unsigned i = 0; i < count;) {
        uint64_t first = pages[i], last = first;
        while (++i < count && pages[i] <= last + 1)
            last = pages[i];
        uint64_t address = first * GUEST_PAGE_SIZE, left = (last - first + 1) * GUEST_PAGE_SIZE;
        for (uint64_t piece; left > 0; address += piece, left -= piece) {
            piece = left;
            void *host = guest_memory_at_most(memory, address, &piece, true);
            if (!host) { /* no memory: the next page may be */
                balloon->device.malformed++;
                piece = GUEST_PAGE_SIZE;
                continue;
            }
            balloon->discarded += guest_memory_discard(memory, host, piece, granularity(balloon));
            guest_memory_note_write(memory, address, piece);
        }
    }
}

/* False if the driver broke the rules. */
static bool inflate(struct balloon *balloon)
{
    const struct virtqueue_chain *chain = &balloon->chain;
    if (chain->readable_size % 4 || chain->readable_size > 4 * PAGES_MAX)
        return false;
    scope_free uint32_t *pages = memory_allocate(chain->readable_size / 4 + 1, 4);
    uint64_t size =
        virtqueue_copy_from(chain->readable, chain->readable_count, 0, pages, chain->readable_size);
    discard_pages(balloon, pages, (unsigned)(size / 4));
    return true;
}

/* Pages of a list of buffers. Where the guest poisons free pages, they must keep what they hold
 * unless that is zero (5.5.6.5.2, 5.5.6.6.2). */
static void discard_buffers(struct balloon *balloon)
{
    const struct virtqueue_chain *chain = &balloon->chain;
    if (virtio_device_has(&balloon->device, PAGE_POISON) && balloon->config.poison != 0)
        return;
    for (unsigned i = 0; i < chain->writable_count; i++)
        balloon->discarded +=
            guest_memory_discard(balloon->device.memory, chain->writable[i].iov_base,
                                 chain->writable[i].iov_len, granularity(balloon));
}

static void tell_hint_command(struct balloon *balloon, uint32_t command)
{
    balloon->hinting.host_command = command;
    balloon->config.hint_command = htole32(command);
    virtio_device_config_changed(&balloon->device);
}

/* A command of the guest's, or pages of the run that it said it is in. Those of an old run may be
 * in use again. */
static void take_hints(struct balloon *balloon)
{
    struct virtio_balloon_hinting *hinting = &balloon->hinting;
    uint32_t command;
    if (virtqueue_copy_from(balloon->chain.readable, balloon->chain.readable_count, 0, &command,
                            sizeof command) == sizeof command) {
        hinting->guest_command = le32toh(command);
        hinting->guest_command_valid = true;
        if (hinting->guest_command == HINT_STOP && balloon->acknowledge_on_stop &&
            hinting->host_command >= HINT_FIRST)
            tell_hint_command(balloon, HINT_DONE);
    }
    if (hinting->guest_command_valid && hinting->host_command >= HINT_FIRST &&
        hinting->guest_command == hinting->host_command)
        discard_buffers(balloon);
}

/* Statistics are pairs of a tag and a value, without gaps (5.5.6.3). */
static void read_statistics(struct balloon *balloon)
{
    struct __attribute__((packed)) {
        uint16_t tag;
        uint64_t value;
    } entries[2 * BALLOON_TAGS];
    struct virtio_balloon_statistics statistics = {0};
    uint64_t size = virtqueue_copy_from(balloon->chain.readable, balloon->chain.readable_count, 0,
                                        entries, sizeof entries);
    for (unsigned i = 0; i < size / sizeof *entries; i++) {
        unsigned tag = le16toh(entries[i].tag);
        if (tag >= BALLOON_TAGS)
            continue; /* later versions' */
        statistics.present |= 1u << tag;
        statistics.value[tag] = le64toh(entries[i].value);
    }
    balloon->statistics = statistics;
}

static void give_statistics_back(struct balloon *balloon)
{
    for (unsigned i = 0; i < balloon->device.queue_count && balloon->holds_statistics; i++) {
        if (balloon->roles[i] != STATS)
            continue;
        balloon->holds_statistics = false;
        virtqueue_push(&balloon->device.queues[i], balloon->statistics_head, 0);
        virtio_device_interrupt(&balloon->device, i);
    }
}

/* The guest's buffer comes with statistics and stays until others are wanted. */
static void take_statistics(struct balloon *balloon)
{
    read_statistics(balloon);
    give_statistics_back(balloon); /* a driver has one; whoever sends more gets the older back */
    balloon->statistics_head = balloon->chain.head;
    balloon->holds_statistics = true;
}

static void on_timer(struct loop_timer *timer)
{
    struct balloon *balloon = loop_owner(timer, struct balloon, timer);
    give_statistics_back(balloon);
    loop_timer_set(balloon->device.loop, timer, 1000ll * balloon->options.statistics_interval);
}

static void notified(struct virtio_device *device, unsigned index)
{
    struct balloon *balloon = (struct balloon *)device;
    struct virtqueue *queue = &device->queues[index];
    const uint16_t before = queue->next_used;
    enum role role = balloon->roles[index];
    int status = 0;
    bool obeys = true;
    for (unsigned turn = 0; obeys; turn++) {
        if (turn == TURN_MAX) {
            virtio_device_notify(device, index);
            break;
        }
        status = virtqueue_pop(queue, &balloon->chain);
        if (status <= 0)
            break;
        if (role == STATS) {
            take_statistics(balloon);
            continue;
        }
        if (role == INFLATE)
            obeys = inflate(balloon);
        else if (role == HINTS)
            take_hints(balloon);
        else if (role == REPORTS)
            discard_buffers(balloon);
        virtqueue_push(queue, balloon->chain.head, 0); /* deflated pages come back when touched */
    }
    if (queue->next_used != before)
        virtio_device_interrupt(device, index);
    if (status < 0 || !obeys)
        virtio_device_break(device, "put a malformed request into its queue");
}

/* Linux and others number the queues that they have without gaps: without statistics, hints take
 * the third place (5.5.2 as drivers understand it). */
static int activate(struct virtio_device *device, struct error *err)
{
    struct balloon *balloon = (struct balloon *)device;
    static const uint64_t features[] = {
        [STATS] = STATISTICS, [HINTS] = FREE_PAGE_HINT, [REPORTS] = REPORTING};
    unsigned next = 2;
    (void)err;
    balloon->roles[0] = INFLATE;
    balloon->roles[1] = DEFLATE;
    for (unsigned role = STATS; role <= REPORTS; role++) {
        if (virtio_device_has(device, features[role]))
            balloon->roles[next++] = (enum role)role;
    }
    while (next < 5)
        balloon->roles[next++] = DEFLATE;
    if (virtio_device_has(device, STATISTICS))
        loop_timer_set(device->loop, &balloon->timer,
                       1000ll * balloon->options.statistics_interval);
    /* Linux puts its statistics there, and notifies, before it says that it is ready. */
    for (unsigned i = 0; i < device->queue_count; i++)
        virtio_device_notify(device, i);
    return 0;
}

static void reset(struct virtio_device *device)
{
    struct balloon *balloon = (struct balloon *)device;
    loop_timer_cancel(device->loop, &balloon->timer);
    balloon->holds_statistics = false;
    balloon->statistics = (struct virtio_balloon_statistics){0};
    balloon->hinting = (struct virtio_balloon_hinting){0};
    balloon->config.actual = balloon->config.hint_command = balloon->config.poison = 0;
}

/* The driver may write how many pages it gave, and what it fills free pages with. */
static void write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size)
{
    struct balloon *balloon = (struct balloon *)device;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        bool writable =
            (at >= offsetof(struct config, actual) && at < offsetof(struct config, hint_command)) ||
            at >= offsetof(struct config, poison);
        if (writable)
            ((uint8_t *)&balloon->config)[at] = ((const uint8_t *)bytes)[i];
    }
}

static void release(struct virtio_device *device)
{
    free(device);
}

static const struct virtio_operations operations = {.type = VIRTIO_BALLOON,
                                                    .name = "balloon",
                                                    .write_config = write_config,
                                                    .activate = activate,
                                                    .reset = reset,
                                                    .notified = notified,
                                                    .release = release};

struct virtio_device *virtio_balloon_create(const char *id,
                                            const struct virtio_balloon_options *options)
{
    struct balloon *balloon = memory_allocate(1, sizeof *balloon);
    bool statistics = options->statistics_interval > 0;
    balloon->options = *options;
    balloon->config.pages = htole32(options->pages);
    balloon->timer.expired = on_timer;
    balloon->last_run = HINT_DONE;
    balloon->device = (struct virtio_device){
        .operations = &operations,
        .id = id,
        .features = (statistics ? STATISTICS : 0) | (options->deflate_on_oom ? DEFLATE_ON_OOM : 0) |
                    (options->hinting ? FREE_PAGE_HINT : 0) |
                    (options->hinting || options->reporting ? PAGE_POISON : 0) |
                    (options->reporting ? REPORTING : 0),
        .queue_count = 2u + statistics + options->hinting + options->reporting,
        .config = &balloon->config,
        .config_size = sizeof balloon->config};
    return &balloon->device;
}

void virtio_balloon_set_pages(struct virtio_device *device, uint32_t pages)
{
    struct balloon *balloon = (struct balloon *)device;
    balloon->config.pages = htole32(pages);
    virtio_device_config_changed(device);
}

uint32_t virtio_balloon_pages(const struct virtio_device *device)
{
    return le32toh(((const struct balloon *)device)->config.pages);
}

uint32_t virtio_balloon_actual(const struct virtio_device *device)
{
    return le32toh(((const struct balloon *)device)->config.actual);
}

int virtio_balloon_statistics(const struct virtio_device *device,
                              struct virtio_balloon_statistics *statistics, struct error *err)
{
    const struct balloon *balloon = (const struct balloon *)device;
    if (balloon->options.statistics_interval == 0)
        return error_set(err, 0, "the balloon was made without statistics");
    *statistics = balloon->statistics;
    return 0;
}

int virtio_balloon_set_interval(struct virtio_device *device, unsigned seconds, struct error *err)
{
    struct balloon *balloon = (struct balloon *)device;
    if ((balloon->options.statistics_interval == 0) != (seconds == 0))
        return error_set(err, 0, "a balloon's statistics can't be switched on or off later");
    balloon->options.statistics_interval = seconds;
    if (balloon->timer.armed)
        loop_timer_set(device->loop, &balloon->timer, 1000ll * seconds);
    return 0;
}

unsigned virtio_balloon_interval(const struct virtio_device *device)
{
    return ((const struct balloon *)device)->options.statistics_interval;
}

static int check_hinting(const struct virtio_device *device, struct error *err)
{
    if (!((const struct balloon *)device)->options.hinting)
        return error_set(err, 0, "the balloon was made without free page hinting");
    if (!device->active || !virtio_device_has(device, FREE_PAGE_HINT))
        return error_set(err, 0, "the guest's balloon driver is not there or can't give hints");
    return 0;
}

int virtio_balloon_hinting_start(struct virtio_device *device, bool acknowledge_on_stop,
                                 struct error *err)
{
    struct balloon *balloon = (struct balloon *)device;
    if (check_hinting(device, err) < 0)
        return -1;
    balloon->acknowledge_on_stop = acknowledge_on_stop;
    balloon->last_run = balloon->last_run == UINT32_MAX ? HINT_FIRST : balloon->last_run + 1;
    tell_hint_command(balloon, balloon->last_run);
    return 0;
}

int virtio_balloon_hinting_stop(struct virtio_device *device, struct error *err)
{
    if (check_hinting(device, err) < 0)
        return -1;
    tell_hint_command((struct balloon *)device, HINT_DONE);
    return 0;
}

int virtio_balloon_hinting_status(const struct virtio_device *device,
                                  struct virtio_balloon_hinting *status, struct error *err)
{
    if (check_hinting(device, err) < 0)
        return -1;
    *status = ((const struct balloon *)device)->hinting;
    return 0;
}

uint64_t virtio_balloon_discarded(const struct virtio_device *device)
{
    return ((const struct balloon *)device)->discarded;
}
