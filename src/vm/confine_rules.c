#include "vm/confine_rules.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef __x86_64__
#error "the filters of system calls are x86-64's"
#endif

#define ANY(name)                                                                                  \
    {                                                                                              \
        .call = SYS_##name                                                                         \
    }
#define ONE_OF(name, number, list)                                                                 \
    {                                                                                              \
        .call = SYS_##name, .check = CONFINE_ONE_OF, .argument = (number),                         \
        .count = sizeof(list) / sizeof *(list), .values = (list)                                   \
    }
#define WITHOUT(name, number, bits)                                                                \
    {                                                                                              \
        .call = SYS_##name, .check = CONFINE_WITHOUT, .argument = (number), .mask = (bits)         \
    }
#define WITH(name, number, bits)                                                                   \
    {                                                                                              \
        .call = SYS_##name, .check = CONFINE_WITH, .argument = (number), .mask = (bits)            \
    }
#define FAIL(name, error)                                                                          \
    {                                                                                              \
        .call = SYS_##name, .check = CONFINE_FAIL, .mask = (error)                                 \
    }

/* ---- What any thread does: memory, locks, the clock, the log, and its end ---- */

static const uint32_t names[] = {PR_GET_NAME, PR_SET_NAME};
static const uint32_t abort_signal[] = {SIGABRT};
static const struct confine_rule any_thread[] = {
    ANY(futex),
    ANY(write),
    ANY(writev), /* what musl prints with */
    ANY(read),
    ANY(close),
    ANY(brk),
    ANY(munmap),
    ANY(mremap),
    ANY(madvise),
    /* Memory, but none that can be executed. */
    WITHOUT(mmap, 2, PROT_EXEC),
    WITHOUT(mprotect, 2, PROT_EXEC),
    ANY(clock_gettime),
    ANY(gettimeofday),
    ANY(rt_sigprocmask),
    ANY(rt_sigreturn),
    ANY(restart_syscall),
    ONE_OF(prctl, 0, names),
    ANY(sched_yield),
    ANY(getrandom),
    ANY(exit),
    ANY(exit_group),
    /* abort(), and what takes a vcpu out of the guest: no other process is signalled. */
    ANY(getpid),
    ANY(gettid),
    {.call = SYS_tgkill, .check = CONFINE_SELF, .argument = 0},
    ONE_OF(tkill, 1, abort_signal), /* musl's abort() */
    ANY(sigaltstack),               /* the builds with sanitizers, in each thread */
    ANY(sysinfo),                   /* qsort() asks how much memory there is */
    /* malloc() in many threads looks how many processors there are, and whether memory is
     * overcommitted; that it can't open the file for the latter is nothing to it. */
    ANY(sched_getaffinity),
    FAIL(openat, EACCES)};

/* ---- Devices: on the loop's thread, and on vcpus' ---- */

static const uint32_t device_requests[] = {KVM_IRQ_LINE, KVM_SIGNAL_MSI, KVM_IOEVENTFD,
                                           KVM_SET_USER_MEMORY_REGION, TUNSETOFFLOAD};
static const uint32_t unix_family[] = {AF_UNIX};
static const uint32_t install_filter[] = {SECCOMP_SET_MODE_FILTER};
static const struct confine_rule devices[] = {
    ONE_OF(ioctl, 1, device_requests),
    /* disks */
    ANY(io_uring_enter), ANY(preadv), ANY(pwritev), ANY(pread64), ANY(pwrite64), ANY(fdatasync),
    ANY(fallocate),
    /* networks, sockets, the server of a share */
    ANY(readv), ANY(recvfrom), ANY(sendto), ANY(sendmsg), ANY(recvmsg), ANY(shutdown), ANY(accept4),
    ANY(connect), ONE_OF(socket, 0, unix_family), ANY(epoll_wait), ANY(epoll_pwait), ANY(epoll_ctl),
    ANY(poll),
    /* a disk's worker threads, which are started when there is work. What clone3() asks for lies
     * in memory, where a filter doesn't see it: the C library then takes clone(). */
    WITH(clone, 0, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD), FAIL(clone3, ENOSYS),
    ANY(set_robust_list), ANY(rseq), ONE_OF(seccomp, 0, install_filter)};

static const uint32_t vcpu_requests[] = {
    KVM_RUN, KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_SET_GUEST_DEBUG,
    KVM_TRANSLATE, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
    /* the board's interrupt controllers */
    KVM_INTERRUPT, KVM_NMI, KVM_SET_VCPU_EVENTS, KVM_GET_MSRS, KVM_SET_MSRS, KVM_GET_TSC_KHZ};
static const uint32_t slack[] = {PR_SET_TIMERSLACK};
static const struct confine_rule vcpu[] = {ONE_OF(ioctl, 1, vcpu_requests), ONE_OF(prctl, 0, slack),
                                           ANY(timer_create), ANY(timer_settime)};

/* The loop's own: pausing, dirty pages, the processors' registers while they stand still; and the
 * end of it all: processes of shares, sockets' names, the terminal as it was. */
static const uint32_t loop_requests[] = {
    KVM_GET_CLOCK, KVM_SET_CLOCK, KVM_GET_DIRTY_LOG,   KVM_GET_REGS,
    KVM_SET_REGS,  KVM_GET_SREGS, KVM_SET_SREGS,       KVM_TRANSLATE,
    TCGETS,        TCSETS,        KVM_SET_GUEST_DEBUG, KVM_CHECK_EXTENSION,
};
static const struct confine_rule loop[] = {ONE_OF(ioctl, 1, loop_requests), ANY(timer_delete),
                                           ANY(unlink), ANY(pidfd_send_signal), ANY(waitid)};

/* Another file for a disk. */
static const uint32_t file_requests[] = {BLKGETSIZE64, BLKPBSZGET};
static const struct confine_rule updates[] = {ANY(openat),
                                              ANY(open),
                                              ANY(openat2),
                                              ANY(fstat),
                                              ANY(newfstatat),
                                              ANY(lseek),
                                              ANY(io_uring_setup),
                                              ANY(io_uring_register),
                                              ANY(eventfd2),
                                              ANY(fcntl),
                                              ONE_OF(ioctl, 1, file_requests)};

/* libslirp, for a guest's connections. /etc/resolv.conf is read, nothing can be written. */
static const uint32_t families[] = {AF_INET, AF_INET6};
static const uint32_t flag_requests[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL};
static const uint32_t socket_requests[] = {FIONREAD, FIONBIO, SIOCGIFINDEX};
static const struct confine_rule user_network[] = {
    ONE_OF(socket, 0, families),
    ANY(bind),
    ANY(listen),
    ANY(accept),
    ANY(setsockopt),
    ANY(getsockopt),
    ANY(getsockname),
    ANY(getpeername),
    ONE_OF(fcntl, 1, flag_requests),
    ONE_OF(ioctl, 1, socket_requests),
    ANY(fstat),
    ANY(newfstatat),
    ANY(lseek),
    WITHOUT(openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)};

/* ---- The other threads ---- */

static const struct confine_rule api[] = {ANY(poll),      ANY(epoll_wait), ANY(epoll_pwait),
                                          ANY(epoll_ctl), ANY(accept4),    ANY(recvfrom),
                                          ANY(sendto),    ANY(sendmsg),    ANY(shutdown)};

static const struct confine_rule worker[] = {ANY(preadv),   ANY(pwritev),   ANY(pread64),
                                             ANY(pwrite64), ANY(fdatasync), ANY(fallocate)};

#define ADD(list)                                                                                  \
    lists[count++] = (struct confine_list)                                                         \
    {                                                                                              \
        (list), sizeof(list) / sizeof *(list)                                                      \
    }

unsigned confine_lists(enum confine_thread kind, unsigned features,
                       struct confine_list lists[CONFINE_LISTS_MAX])
{
    unsigned count = 0;
    bool has_devices = kind == CONFINE_LOOP || kind == CONFINE_VCPU;
    if (kind == CONFINE_VCPU)
        ADD(vcpu);
    if (kind == CONFINE_API)
        ADD(api);
    if (kind == CONFINE_WORKER)
        ADD(worker);
    if (has_devices)
        ADD(devices);
    if (kind == CONFINE_LOOP)
        ADD(loop);
    if (has_devices && (features & CONFINE_USER_NETWORK))
        ADD(user_network);
    if (kind == CONFINE_LOOP && (features & CONFINE_UPDATES))
        ADD(updates);
    ADD(any_thread); /* the last: it refuses */
    return count;
}
