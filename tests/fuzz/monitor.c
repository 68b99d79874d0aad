/* Fuzzes what the monitor reads: monitor.json, requests on its socket, detach keys and restart
 * policies. The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "monitor/document.h"
#include "monitor/log_record.h"
#include "monitor/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool kept)
{
    if (!kept)
        abort();
}

static void read_config(const char *text, size_t size)
{
    struct monitor_config config;
    struct error err = {0};
    if (monitor_config_parse(&config, text, size, &err) < 0) {
        promise(err.text[0] && !config.arena.blocks && !config.labels);
        return;
    }
    promise(config.id && *config.runtime == '/' && config.log.max_file >= 1);
    promise(!config.overlay.target || config.overlay.lower.count > 0);
    promise(config.stop_signal >= 1 && config.stop_signal <= 64);
    monitor_config_release(&config);
}

static void read_request(const char *bytes, size_t size)
{
    static struct monitor_packet packet;
    size_t received = size < sizeof packet.header + MONITOR_DATA_SIZE
                          ? size
                          : sizeof packet.header + MONITOR_DATA_SIZE;
    memcpy(&packet.header, bytes,
           received < sizeof packet.header ? received : sizeof packet.header);
    if (received > sizeof packet.header)
        memcpy(packet.data, bytes + sizeof packet.header, received - sizeof packet.header);
    if (protocol_check_request(&packet, size) < 0)
        return;
    promise(size >= sizeof packet.header && packet.length == size - sizeof packet.header);
    promise(packet.header.type >= MONITOR_REQUEST_BEGIN && packet.header.type <= MONITOR_INPUT);
    promise(packet.header.type != MONITOR_REQUEST_RENAME || strlen(packet.data) == packet.length);
}

static void read_words(const char *bytes, size_t size)
{
    char *text = memory_allocate(size + 1, 1);
    unsigned char keys[16];
    struct monitor_restart restart;
    memcpy(text, bytes, size);
    promise(monitor_parse_keys(text, keys, sizeof keys, NULL) <= (int)sizeof keys);
    if (monitor_restart_parse(&restart, text, NULL) == 0)
        promise(restart.maximum_retry_count >= 0);
    free(text);
}

static void write_record(const char *bytes, size_t size)
{
    char *record = memory_allocate(LOG_RECORD_ROOM(size), 1);
    size_t length = log_record_format(record, 1, bytes, size, true, "T", NULL);
    json_t *parsed = json_loadb(record, length, JSON_ALLOW_NUL, NULL);
    promise(parsed && record[length - 1] == '\n');
    json_decref(parsed);
    if (size > 0) {
        size_t whole = log_record_whole_characters(bytes, size);
        promise(whole > 0 && whole <= size);
    }
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const char *, size_t) = {read_config, read_request, read_words,
                                                            write_record};
    if (size == 0)
        return 0;
    readers[data[0] % 4]((const char *)data + 1, size - 1);
    return 0;
}
