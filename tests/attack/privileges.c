/* Prints what privileges it has: "UID EUID EFFECTIVE BOUNDING", the capabilities in hexadecimal.
 * Set-user-ID root in an image, it shows what becomes of that. */
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    unsigned long long bounding = 0;
    if (syscall(SYS_capget, &header, data) < 0)
        return 1;
    for (unsigned int number = 0; number < 64; number++) {
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
            bounding |= 1ULL << number;
    }
    printf("%u %u %llx %llx\n", getuid(), geteuid(),
           (unsigned long long)data[1].effective << 32 | data[0].effective, bounding);
    return 0;
}
