/* A driver for tests of the block device: opened with a disk that needs the driver's loop, and with
 * requests as Linux makes them: a header, data, and a byte for the status. */
#ifndef HULL_TESTS_VM_BLOCK_DRIVER_H
#define HULL_TESTS_VM_BLOCK_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "vm/device/virtio_block.h"
#include "vm_driver.h"

enum {
    BLOCK_IN = 0,
    BLOCK_OUT = 1,
    BLOCK_FLUSH = 4,
    BLOCK_GET_ID = 8,
    BLOCK_DISCARD = 11,
    BLOCK_ZEROES = 13
};
enum { BLOCK_OK = 0, BLOCK_IOERR = 1, BLOCK_UNSUPPORTED = 2, BLOCK_NO_ANSWER = 0xee };

#define BLOCK_DATA (DRIVER_BUFFERS + 0x10000) /* one 64 KiB buffer for each slot of a request */
#define BLOCK_DATA_SIZE 0x10000u

static void block_interrupt_queue(void *transport, unsigned queue)
{
    ((struct driver *)transport)->queue_interrupts[queue]++;
}

static void block_interrupt_config(void *transport)
{
    ((struct driver *)transport)->config_interrupts++;
}

static const struct virtio_transport_operations block_transport = {block_interrupt_queue,
                                                                   block_interrupt_config};

/* First of all: the loop, for the disk. */
static inline void block_driver_begin(struct driver *driver)
{
    *driver = (struct driver){0};
    assert_int_equal(loop_open(&driver->loop, NULL), 0);
}

static inline void block_driver_open(struct driver *driver, struct virtio_device *device,
                                     uint64_t features)
{
    struct error err = {0};
    driver->device = device;
    assert_int_equal(guest_memory_add(&driver->memory, 0, DRIVER_MEMORY_SIZE, false, false, &err),
                     0);
    assert_int_equal(virtio_device_open(device, &driver->memory, &driver->loop, &err), 0);
    device->transport_operations = &block_transport;
    device->transport = driver;
    driver_start(driver, features);
}

/* Where the request of a slot (0 to 4) has its header, status and data. */
static inline uint64_t block_header_at(unsigned slot)
{
    return DRIVER_BUFFERS + slot * 64;
}
static inline uint8_t *block_status(struct driver *driver, unsigned slot)
{
    return driver_at(driver, block_header_at(slot) + 32);
}
static inline uint64_t block_data_at(unsigned slot)
{
    return BLOCK_DATA + slot * BLOCK_DATA_SIZE;
}
static inline uint8_t *block_data(struct driver *driver, unsigned slot)
{
    return driver_at(driver, block_data_at(slot));
}

/* Puts a request of the slot into the queue, without telling the device. */
static inline void block_add(struct driver *driver, unsigned queue, unsigned slot, uint32_t type,
                             uint64_t sector, uint32_t size)
{
    bool from_disk = type == BLOCK_IN || type == BLOCK_GET_ID;
    const struct driver_part parts[] = {{block_header_at(slot), 16, false},
                                        {block_data_at(slot), size, from_disk},
                                        {block_header_at(slot) + 32, 1, true}};
    uint8_t *header = driver_at(driver, block_header_at(slot));
    memset(header, 0, 16);
    memcpy(header, &type, 4);
    memcpy(header + 8, &sector, 8);
    *block_status(driver, slot) = BLOCK_NO_ANSWER;
    driver_add(driver, queue, (uint16_t)(slot * 3), parts, 3);
}

/* Turns the loop until a request is given back, for at most some seconds; returns its slot. */
static inline unsigned block_wait(struct driver *driver, unsigned queue, uint32_t *written)
{
    uint32_t head;
    int64_t deadline = loop_now() + 10000;
    while (!driver_take(driver, queue, &head, written)) {
        assert_true(loop_now() < deadline);
        driver_turn(driver, 1);
    }
    return head / 3;
}

/* Makes one request and waits for it; its status. */
static inline uint8_t block_do(struct driver *driver, uint32_t type, uint64_t sector, uint32_t size)
{
    uint32_t written;
    block_add(driver, 0, 0, type, sector, size);
    virtio_device_notify(driver->device, 0);
    assert_int_equal(block_wait(driver, 0, &written), 0);
    uint8_t status = *block_status(driver, 0);
    assert_int_equal(written, status == BLOCK_OK && type == BLOCK_IN ? size + 1
                              : status == BLOCK_OK && type == BLOCK_GET_ID
                                  ? (size < 20 ? size : 20) + 1
                                  : 1);
    return status;
}

static inline void block_put_segment(uint8_t *at, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    memcpy(at, &sector, 8);
    memcpy(at + 8, &sectors, 4);
    memcpy(at + 12, &flags, 4);
}

#endif
