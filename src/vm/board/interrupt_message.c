#include "vm/board/interrupt_message.h"

/* Intel SDM 3A, 11.11.1 and 11.11.2. The redirection hint asks for one of a logical destination's
 * processors, as the delivery mode "lowest priority" does. */
#define ADDRESS_BASE 0xfee00000ull
#define ADDRESS_HINT (1u << 3)
#define ADDRESS_LOGICAL (1u << 2)
#define DATA_LEVEL (1u << 15)

bool interrupt_message_decode(struct interrupt_message *message, uint64_t address, uint32_t data)
{
    if ((address & ~0xfffffull) != ADDRESS_BASE)
        return false;
    *message = (struct interrupt_message){.destination = address >> 12 & 0xff,
                                          .is_logical = address & ADDRESS_LOGICAL,
                                          .delivery = data >> 8 & 7,
                                          .vector = (uint8_t)data,
                                          .is_level = data & DATA_LEVEL};
    if (message->delivery == DELIVERY_FIXED && message->is_logical && (address & ADDRESS_HINT))
        message->delivery = DELIVERY_LOWEST;
    return true;
}
