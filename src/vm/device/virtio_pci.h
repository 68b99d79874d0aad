/* virtio over PCI (virtio 1.2, 4.1), with MSI-X. */
#ifndef HULL_VM_VIRTIO_PCI_H
#define HULL_VM_VIRTIO_PCI_H

#include "vm/cpu/engine.h"
#include "vm/device/pci.h"
#include "vm/device/virtio_device.h"

struct virtio_pci;

/* Puts an opened device on the PCI bus. The transport is given back with virtio_pci_destroy(), the
 * device is not. NULL after an error. */
struct virtio_pci *virtio_pci_create(struct virtio_device *device, struct pci_bus *bus,
                                     struct engine *engine, struct error *err);
void virtio_pci_destroy(struct virtio_pci *transport);

#endif
