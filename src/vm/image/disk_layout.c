#include "vm/image/disk_layout.h"

#include <endian.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"

#define ALIGNMENT 4096u
#define ENTRY_SIZE 128u
#define ENTRIES_LEAST 128u /* UEFI 5.3.1: at least 16 KiB are reserved for entries */
#define HEADER_SIZE 92u
#define SIZE_MAX_DISK ((uint64_t)1 << 60)

/* UEFI 5.2.3, table 5-4. */
struct mbr_record {
    uint8_t boot_indicator;
    uint8_t start_chs[3];
    uint8_t os_type;
    uint8_t end_chs[3];
    uint32_t starting_lba, size_in_lba;
} __attribute__((packed));

/* UEFI 5.3.2, table 5-5; little-endian. */
struct gpt_header {
    char signature[8];
    uint32_t revision, header_size, header_crc32, reserved;
    uint64_t my_lba, alternate_lba, first_usable_lba, last_usable_lba;
    unsigned char disk_guid[16];
    uint64_t entries_lba;
    uint32_t entries_count, entry_size, entries_crc32;
} __attribute__((packed));

/* UEFI 5.3.3, table 5-6. */
struct gpt_entry {
    unsigned char type_guid[16], unique_guid[16];
    uint64_t first_lba, last_lba, attributes;
    uint16_t name[36];
} __attribute__((packed));

_Static_assert(sizeof(struct gpt_header) == HEADER_SIZE, "as UEFI has it");
_Static_assert(sizeof(struct gpt_entry) == ENTRY_SIZE, "as UEFI has it");
_Static_assert(sizeof(struct mbr_record) == 16, "as UEFI has it");

/* 0fc63daf-8483-4772-8e79-3d69d8477de4, a Linux file system; a GUID's first three parts are
 * little-endian (UEFI, appendix A). */
static const unsigned char linux_type[16] = {0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                             0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4};

#define ATTRIBUTE_READ_ONLY (1ull << 60) /* systemd's Discoverable Partitions Specification */

struct table {
    struct gpt_entry *entries;
    size_t room, used;        /* entries; entries that are partitions */
    uint64_t entries_sectors; /* that room takes */
    uint64_t sectors;         /* of the disk */
    unsigned char identity[16];
};

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static struct disk_extent *add_extent(struct disk_layout *layout, uint64_t offset, uint64_t length)
{
    layout->extents = memory_resize(layout->extents, layout->count + 1, sizeof *layout->extents);
    layout->extents[layout->count] = (struct disk_extent){.offset = offset, .length = length};
    return &layout->extents[layout->count++];
}

static unsigned char *add_bytes(struct disk_layout *layout, uint64_t sector, size_t length)
{
    struct disk_extent *extent = add_extent(layout, sector * DISK_SECTOR, length);
    extent->bytes = memory_allocate(1, length);
    return extent->bytes;
}

static void fill_mbr(unsigned char *sector, const struct table *table)
{
    uint64_t size = table->sectors - 1;
    const struct mbr_record record = {
        .start_chs = {0, 2, 0},
        .os_type = 0xee,
        .end_chs = {0xff, 0xff, 0xff},
        .starting_lba = htole32(1),
        .size_in_lba = htole32(size > UINT32_MAX ? UINT32_MAX : (uint32_t)size),
    };
    memcpy(sector + 446, &record, sizeof record);
    sector[510] = 0x55;
    sector[511] = 0xaa;
}

/* At the disk's beginning or, the backup, at its end. */
static void fill_header(unsigned char *sector, const struct table *table, bool backup)
{
    uint64_t last = table->sectors - 1;
    struct gpt_header header = {
        .revision = htole32(0x00010000),
        .header_size = htole32(HEADER_SIZE),
        .my_lba = htole64(backup ? last : 1),
        .alternate_lba = htole64(backup ? 1 : last),
        .first_usable_lba = htole64(2 + table->entries_sectors),
        .last_usable_lba = htole64(last - table->entries_sectors - 1),
        .entries_lba = htole64(backup ? last - table->entries_sectors : 2),
        .entries_count = htole32((uint32_t)table->room),
        .entry_size = htole32(ENTRY_SIZE),
    };
    memcpy(header.signature, "EFI PART", 8);
    memcpy(header.disk_guid, table->identity, sizeof header.disk_guid);
    header.entries_crc32 =
        htole32((uint32_t)crc32_z(0, (unsigned char *)table->entries, table->room * ENTRY_SIZE));
    header.header_crc32 = htole32((uint32_t)crc32_z(0, (unsigned char *)&header, HEADER_SIZE));
    memcpy(sector, &header, sizeof header);
}

static void fill_entry(struct gpt_entry *entry, const struct disk_partition *partition,
                       uint64_t first, uint64_t sectors, size_t number)
{
    char name[36];
    memcpy(entry->type_guid, linux_type, sizeof linux_type);
    memcpy(entry->unique_guid, partition->identity, sizeof entry->unique_guid);
    entry->first_lba = htole64(first);
    entry->last_lba = htole64(first + sectors - 1);
    entry->attributes = htole64(ATTRIBUTE_READ_ONLY);
    int length = snprintf(name, sizeof name, "layer-%zu", number);
    for (int i = 0; i < length; i++)
        entry->name[i] = htole16((uint16_t)name[i]);
}

/* The disk is another one when any of its partitions is, or is elsewhere. */
static void mix_identity(unsigned char *identity, const unsigned char *part)
{
    unsigned char carry = 0;
    for (int i = 0; i < 16; i++) {
        identity[i] = (unsigned char)(identity[i] * 33 + part[i] + carry);
        carry = identity[i];
    }
    /* RFC 9562, sections 4.1 and 5.8: what is in it is of our choosing. */
    identity[7] = (unsigned char)((identity[7] & 0x0f) | 0x80);
    identity[8] = (unsigned char)((identity[8] & 0x3f) | 0x80);
}

/* Places the partitions and fills the table's entries. */
static int place(struct disk_layout *layout, struct table *table,
                 const struct disk_partition *partitions, struct error *err)
{
    uint64_t at = round_up((2 + table->entries_sectors) * DISK_SECTOR, ALIGNMENT);
    for (size_t i = 0; i < table->used; i++) {
        const struct disk_partition *partition = &partitions[i];
        if (partition->size == 0 || partition->size > SIZE_MAX_DISK ||
            at > SIZE_MAX_DISK - partition->size)
            return error_set(err, 0, "%s, of %llu bytes, can't be a partition", partition->path,
                             (unsigned long long)partition->size);
        struct disk_extent *extent = add_extent(layout, at, partition->size);
        extent->path = memory_copy_string(partition->path);
        uint64_t length = round_up(partition->size, ALIGNMENT);
        fill_entry(&table->entries[i], partition, at / DISK_SECTOR, length / DISK_SECTOR, i + 1);
        mix_identity(table->identity, partition->identity);
        at += length;
    }
    layout->size = round_up(at + (table->entries_sectors + 1) * DISK_SECTOR, ALIGNMENT);
    table->sectors = layout->size / DISK_SECTOR;
    return 0;
}

int disk_layout_make(struct disk_layout *layout, const struct disk_partition *partitions,
                     size_t count, struct error *err)
{
    *layout = (struct disk_layout){0};
    if (count > DISK_PARTITIONS_MAX)
        return error_set(err, 0, "the image has %zu layers; a virtual machine's disk holds %d",
                         count, DISK_PARTITIONS_MAX);
    struct table table = {.used = count, .room = count > ENTRIES_LEAST ? count : ENTRIES_LEAST};
    table.entries_sectors = round_up(table.room * ENTRY_SIZE, DISK_SECTOR) / DISK_SECTOR;
    table.room = table.entries_sectors * DISK_SECTOR / ENTRY_SIZE;
    table.entries = memory_allocate(table.room, ENTRY_SIZE);
    mix_identity(table.identity, linux_type);
    /* Their contents depend on where the partitions come to be. */
    size_t entries_used = count * ENTRY_SIZE;
    unsigned char *head = add_bytes(layout, 0, 2 * DISK_SECTOR + entries_used);
    int status = place(layout, &table, partitions, err);
    if (status == 0) {
        memcpy(head + 2 * DISK_SECTOR, table.entries, entries_used);
        fill_mbr(head, &table);
        fill_header(head + DISK_SECTOR, &table, false);
        if (entries_used > 0) {
            unsigned char *entries =
                add_bytes(layout, table.sectors - 1 - table.entries_sectors, entries_used);
            memcpy(entries, table.entries, entries_used);
        }
        fill_header(add_bytes(layout, table.sectors - 1, DISK_SECTOR), &table, true);
    }
    free(table.entries);
    if (status < 0)
        disk_layout_release(layout);
    return status;
}

void disk_layout_release(struct disk_layout *layout)
{
    for (size_t i = 0; i < layout->count; i++) {
        free(layout->extents[i].path);
        free(layout->extents[i].bytes);
    }
    free(layout->extents);
    *layout = (struct disk_layout){0};
}
