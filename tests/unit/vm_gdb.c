/* vm/gdb: a debugger at a machine whose processors are toys: over the socket, as GDB speaks. */
#include <elf.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/gdb/commands.h"
#include "vm/gdb/hex.h"
#include "vm/gdb/server.h"
#include "vm/log.h"
#include "vm_gdb_machine.h"

#define MEMORY (16u << 20)
#define CODE "ffff888000001000" /* TOY_START */
#define CODE_PHYSICAL 0x1000
#define WAIT_MS 20000

static struct machine machine;
static struct gdb_server *server;
static struct loop loop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static bool has_ended;
static char directory[] = "/tmp/hull-gdb-XXXXXX", path[64];
static int client = -1;
static char answer[2 * GDB_PACKET_SIZE];

/* ---- The machine, with its loop on a thread of its own ---- */

static void ignore_log(enum vm_log_level level, const char *module, const char *text)
{
    (void)level, (void)module, (void)text;
}

static void *turn(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&lock);
    loop_run(&loop);
    gdb_server_close(server);
    machine_close(&machine);
    __atomic_store_n(&has_ended, true, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
}

/* Opens everything but the machine. */
static void open_place(void)
{
    struct error err;
    vm_log_set_sink(ignore_log);
    strcpy(directory, "/tmp/hull-gdb-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", directory);
    has_ended = false;
    pthread_mutex_lock(&lock);
    assert_int_equal(loop_open(&loop, &err), 0);
    assert_int_equal(loop_share(&loop, &lock, &err), 0);
}

/* With the machine: starts it and the loop, and connects. */
static void start_serving(void)
{
    struct error err;
    server = gdb_server_open(&machine, path, &err);
    assert_non_null(server);
    assert_int_equal(machine_start(&machine, &err), 0);
    pthread_mutex_unlock(&lock);
    assert_int_equal(pthread_create(&thread, NULL, turn, NULL), 0);
    connect_client();
}

static int start_machine(void **state)
{
    /* Four that do nothing, one that stores rax at rbx, and again. */
    const uint8_t code[] = {0x90, 0x90, 0x90, 0x90, TOY_STORE, TOY_AGAIN};
    const struct machine_options options = {
        .vcpus = 2, .memory = MEMORY, .serial_output = -1, .serial_input = -1};
    struct error err;
    (void)state;
    open_place();
    assert_int_equal(machine_open(&machine, &options, &loop, toy_engine_open, &err), 0);
    assert_true(guest_memory_write(&machine.memory, CODE_PHYSICAL, code, sizeof code));
    start_serving();
    return 0;
}

static int stop_machine(void **state)
{
    (void)state;
    if (client < 0)
        return 0;
    pthread_mutex_lock(&lock);
    loop.done = true;
    loop_wake(&loop);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    loop_close(&loop);
    close(client);
    client = -1;
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rmdir(directory), 0);
    return 0;
}

/* ---- The same on KVM, which may be one that interprets kernel mode ---- */

#define KERNEL 0x1000000

struct program {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    uint8_t code[16];
};

/* xor %eax,%eax; 1: inc %rax; mov %eax,0x1000100; jmp 1b: at 0, 2, 5 and 12. */
static const struct program program = {
    .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
               .e_type = ET_EXEC,
               .e_machine = EM_X86_64,
               .e_entry = KERNEL,
               .e_phoff = offsetof(struct program, segment),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 1},
    .segment = {.p_type = PT_LOAD,
                .p_offset = offsetof(struct program, code),
                .p_paddr = KERNEL,
                .p_vaddr = KERNEL,
                .p_filesz = sizeof program.code,
                .p_memsz = 4096},
    .code = {0x31, 0xc0, 0x48, 0xff, 0xc0, 0x89, 0x04, 0x25, 0x00, 0x01, 0x00, 0x01, 0xeb, 0xf4},
};

static int start_kvm(void **state)
{
    const struct machine_options options = {
        .vcpus = 2, .memory = 32u << 20, .serial_output = -1, .serial_input = -1};
    struct error err;
    (void)state;
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        return 0; /* the test skips */
    int kernel = memfd_create("kernel", MFD_CLOEXEC);
    assert_int_equal(pwrite(kernel, &program, sizeof program, 0), sizeof program);
    assert_int_equal(ftruncate(kernel, 8192), 0);
    open_place();
    assert_int_equal(machine_open(&machine, &options, &loop, kvm_engine_open, &err), 0);
    if (machine_boot(&machine, kernel, "kernel", -1, NULL, "", &err) < 0)
        fail_msg("%s", err.text);
    close(kernel);
    start_serving();
    return 0;
}

static struct toy_vcpu *toy(unsigned index)
{
    return toy_of(machine.vcpus[index].vcpu);
}

static uint8_t guest_byte(uint64_t physical)
{
    uint8_t byte = 0;
    assert_true(guest_memory_read(&machine.memory, physical, &byte, 1));
    return byte;
}

static void set_guest_byte(uint64_t physical, uint8_t byte)
{
    assert_true(guest_memory_write(&machine.memory, physical, &byte, 1));
}

/* ---- The client ---- */

static void put_bytes(const char *bytes, size_t length)
{
    assert_int_equal(send(client, bytes, length, MSG_NOSIGNAL), length);
}

static void put_packet(const char *payload, size_t length)
{
    char frame[GDB_PACKET_SIZE + 64];
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + (uint8_t)payload[i]);
    int head = snprintf(frame, sizeof frame, "$");
    memcpy(frame + head, payload, length);
    snprintf(frame + head + length, 8, "#%02x", sum);
    put_bytes(frame, length + 4);
}

/* The next byte, or -1 at the connection's end. */
static int get_byte(void)
{
    char byte;
    struct pollfd polled = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, WAIT_MS), 1);
    return recv(client, &byte, 1, 0) == 1 ? (unsigned char)byte : -1;
}

/* The next packet's payload. */
static const char *get_packet(void)
{
    int byte;
    size_t length = 0;
    do {
        byte = get_byte();
        assert_true(byte >= 0);
    } while (byte != '$');
    while ((byte = get_byte()) != '#') {
        assert_true(byte >= 0 && length < sizeof answer - 1);
        answer[length++] = (char)byte;
    }
    answer[length] = '\0';
    get_byte();
    get_byte();
    return answer;
}

static const char *ask(const char *payload)
{
    put_packet(payload, strlen(payload));
    return get_packet();
}

#define assert_answer(payload, expected) assert_string_equal(ask(payload), expected)

/* ---- Before the first instruction; registers ---- */

static void the_machine_waits_before_its_first_instruction(void **state)
{
    struct stat status;
    (void)state;
    assert_answer("?", "T05thread:1;");
    assert_int_equal(toy(0)->executed + toy(1)->executed, 0);
    assert_answer("p10", "00100000"
                         "8088ffff");
    assert_answer("qAttached", "1");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void what_is_not_known_is_answered_by_nothing(void **state)
{
    static const char *const unknown[] = {
        "vMustReplyEmpty",           "qTStatus", "Z9,1000,1", "!", "b", "", "qSupportedX",
        "qXfer:features:write:x:0,1"};
    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_answer(unknown[i], "");
}

static void registers_are_described(void **state)
{
    (void)state;
    assert_non_null(strstr(ask("qSupported:swbreak+;hwbreak+"), "PacketSize=4000;"));
    const char *whole = ask("qXfer:features:read:target.xml:0,3fff");
    assert_int_equal(whole[0], 'l');
    assert_non_null(strstr(whole, "<architecture>i386:x86-64</architecture>"));
    assert_non_null(strstr(whole, "<reg name=\"cr4\" bitsize=\"64\""));
    char first[32];
    snprintf(first, sizeof first, "m%.10s", whole + 1);
    assert_answer("qXfer:features:read:target.xml:0,a", first);
    assert_answer("qXfer:features:read:target.xml:ffffff,a", "l");
    assert_answer("qXfer:features:read:other.xml:0,a", "E00");
    assert_answer("qXfer:features:read:target.xml:0", "E16");
}

static void registers_are_read_and_written(void **state)
{
    (void)state;
    assert_answer("P1=8877665544332211", "OK");
    assert_int_equal(toy(0)->registers.rbx, 0x1122334455667788);
    assert_answer("p1", "8877665544332211");
    char all[2048];
    strcpy(all, ask("g"));
    assert_memory_equal(all + 16, "8877665544332211", 16);
    assert_non_null(strstr(all, "xxxxxxxxxxxxxxxxxxxx")); /* st0: unavailable */
    memmove(all + 1, all, strlen(all) + 1);
    all[0] = 'G';
    memcpy(all + 1, "0100000000000000", 16);
    assert_answer(all, "OK");
    assert_int_equal(toy(0)->registers.rax, 1);
    assert_int_equal(toy(0)->registers.rbx, 0x1122334455667788);
    /* The other processor's are its own. */
    assert_answer("Hg2", "OK");
    assert_answer("p1", "0000000000000000");
}

static void registers_that_cannot_be_are_refused(void **state)
{
    static const char *const wrong[] = {
        "P12=10000000",         /* a selector alone */
        "P1=88",                /* too short */
        "P1=88776655443322119", /* too long */
        "P1",
        "P=0",
        "Pffffffff=00",
        "P18=00000000000000000000",
        "pffff",
        "p",
        "px",
        "G00",
        "G",
        "P2a=0000000001000000" /* CR0 */
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_answer(wrong[i], "E16");
    assert_answer("P12=00000000", "OK"); /* what it is already */
}

/* ---- Memory ---- */

static void memory_is_read_and_written(void **state)
{
    (void)state;
    assert_answer("m" CODE ",6", "90909090"
                                 "88eb");
    assert_answer("Mffff888000001ffe,4:11223344", "OK"); /* over the end of a page */
    assert_answer("mffff888000001ffe,4", "11223344");
    assert_int_equal(guest_byte(0x2001), 0x44);
    put_packet("Xffff888000003000,3:\x7d\x03\x7d\x5d\x01", 25); /* '#', '}', 1 */
    assert_string_equal(get_packet(), "OK");
    assert_answer("mffff888000003000,3", "237d01");
    assert_answer("Xffff888000003000,0:", "OK");
}

static void what_is_no_memory_is_an_error(void **state)
{
    (void)state;
    assert_answer("m0,4", "E0e");
    assert_answer("M0,1:00", "E0e");
    assert_answer("mffff888001000000,1", "E0e");  /* translates to what no memory is at */
    assert_answer("mffff888000004ffe,8", "0000"); /* up to the page that isn't mapped */
    assert_answer("mffffffffffffffff,8", "E0e");
    /* All or nothing. */
    assert_answer("Mffff888000004ffe,4:11111111", "E0e");
    assert_int_equal(guest_byte(0x4fff), 0);
    /* As much as there is room for. */
    assert_int_equal(strlen(ask("mffff888000100000,ffffffffffffffff")), GDB_PACKET_SIZE);
    static const char *const wrong[] = {
        "m",      "m1",      "m1,",    "m1,2,3", "m11112222333344445,1", "M1,1", "M1,2:00",
        "M1,1:0", "M1,1:zz", "X1,2:a", "X1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_answer(wrong[i], "E16");
}

/* ---- Running and stopping ---- */

static void a_breakpoint_stops_and_hides(void **state)
{
    (void)state;
    ask("qSupported:swbreak+;hwbreak+");
    assert_answer("Z0,ffff888000001002,1", "OK");
    assert_answer("Z0,ffff888000001002,1", "OK");
    assert_int_equal(guest_byte(0x1002), TOY_INT3);
    assert_answer("m" CODE ",4", "90909090");
    assert_answer("vCont;c:1", "T05swbreak:;thread:1;");
    assert_answer("p10", "02100000"
                         "8088ffff");
    assert_int_equal(toy(0)->executed, 2);
    /* What the debugger writes is there once the breakpoint has gone. */
    assert_answer("Mffff888000001001,2:9090", "OK");
    assert_int_equal(guest_byte(0x1002), TOY_INT3);
    assert_answer("z0,ffff888000001002,1", "OK");
    assert_int_equal(guest_byte(0x1002), 0x90);
    assert_answer("z0,ffff888000001002,1", "OK");
    assert_answer("Z0,0,1", "E0e");
}

static void a_breakpoint_survives_new_code(void **state)
{
    (void)state;
    assert_answer("Z0,ffff888000001002,1", "OK");
    set_guest_byte(0x1002, 0x91);
    assert_answer("vCont;s:1", "T05thread:1;"); /* renews it */
    assert_int_equal(guest_byte(0x1002), TOY_INT3);
    assert_answer("mffff888000001002,1", "91");
    set_guest_byte(0x1002, 0x92);
    assert_answer("z0,ffff888000001002,1", "OK");
    assert_int_equal(guest_byte(0x1002), 0x92);
}

static void an_int3_of_the_guest_is_the_guests(void **state)
{
    (void)state;
    set_guest_byte(0x1001, TOY_INT3);
    assert_answer("Z0,ffff888000001003,1", "OK");
    assert_answer("vCont;c:1", "T05thread:1;");
    assert_answer("p10", "03100000"
                         "8088ffff");
    assert_int_equal(toy(0)->passed, 1);
}

static void a_step_is_one_instruction_of_one_processor(void **state)
{
    (void)state;
    assert_answer("vCont?", "vCont;c;C;s;S;t");
    assert_answer("vCont;s:1", "T05thread:1;");
    assert_int_equal(toy(0)->executed, 1);
    assert_int_equal(toy(1)->executed, 0);
    assert_answer("Hc2", "OK");
    assert_answer("s", "T05thread:2;");
    assert_int_equal(toy(1)->executed, 1);
    assert_int_equal(toy(0)->executed, 1);
    assert_answer("Hc2", "OK"); /* a stop lets go of it */
    assert_answer("S05;ffff888000001003", "T05thread:2;");
    assert_answer("p10", "04100000"
                         "8088ffff");
    /* The first action that fits counts; the others go on. */
    assert_answer("vCont;S05:2;t:1;c", "T05thread:2;");
    assert_int_equal(toy(0)->executed, 1);
    assert_answer("vCont;t", "T05thread:2;");
    static const char *const wrong[] = {"vCont",   "vCont;", "vCont;x", "vCont;c:9", "vCont;c:1x",
                                        "vCont;C", "vContc", "sx",      "Cx",        "C05x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_answer(wrong[i], "E16");
}

static void hardware_breakpoints_are_four(void **state)
{
    (void)state;
    ask("qSupported:swbreak+;hwbreak+");
    assert_answer("Z1,ffff888000001003,1", "OK");
    assert_answer("vCont;c:2", "T05hwbreak:;thread:2;");
    assert_int_equal(toy(1)->executed, 3);
    assert_int_equal(guest_byte(0x1003), 0x90);
    assert_answer("Z1,1,1", "OK");
    assert_answer("Z1,2,1", "OK");
    assert_answer("Z1,3,1", "OK");
    assert_answer("Z1,4,1", "E1c");
    assert_answer("z1,3,1", "OK");
    assert_answer("Z2,1001,3", "E1c"); /* needs two */
    assert_answer("Z2,1000,8", "OK");
    static const char *const wrong[] = {"Z1,0,1", "Z2,1000,0", "Z2,ffffffffffffffff,8", "Z1",
                                        "Z1,",    "Z1,1",      "Z1,1,1;X1,0",           "Z11,1,1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_answer(wrong[i], "E16");
}

static void a_watchpoint_tells_its_address(void **state)
{
    (void)state;
    assert_answer("P0=4200000000000000", "OK");
    assert_answer("P1=0530000080"
                  "88ffff",
                  "OK");
    assert_answer("Z2,ffff888000003003,6", "OK"); /* 1, 4 and 1 bytes */
    assert_answer("vCont;c:1", "T05watch:ffff888000003003;thread:1;");
    assert_int_equal(guest_byte(0x3005), 0x42);
    assert_answer("z2,ffff888000003003,6", "OK");
    assert_answer("Z3,ffff888000003005,1", "OK");
    assert_answer("c", "T05rwatch:ffff888000003005;thread:1;");
    assert_answer("z3,ffff888000003005,1", "OK");
    assert_answer("Z4,ffff888000003005,1", "OK");
    assert_answer("c", "T05awatch:ffff888000003005;thread:1;");
}

static void an_interrupt_stops_all(void **state)
{
    (void)state;
    put_packet("vCont;c", 7);
    while (__atomic_load_n(&toy(0)->executed, __ATOMIC_RELAXED) < 20 ||
           __atomic_load_n(&toy(1)->executed, __ATOMIC_RELAXED) < 20)
        poll(NULL, 0, 1);
    assert_answer("g", "E10"); /* nobody stands */
    assert_answer("T2", "OK");
    put_bytes("\x03", 1);
    assert_string_equal(get_packet(), "T02thread:1;");
    uint64_t before = toy(0)->executed + toy(1)->executed;
    poll(NULL, 0, 20);
    assert_int_equal(toy(0)->executed + toy(1)->executed, before);
    put_bytes("\x03", 1); /* of what stands: nothing */
    assert_answer("qfThreadInfo", "m1,2");
    assert_answer("qsThreadInfo", "l");
    assert_answer("qThreadExtraInfo,2", "766370752031"); /* vcpu 1 */
    assert_answer("T3", "E03");
    assert_answer("Hg3", "E16");
    assert_answer("Hg0", "OK");
    assert_answer("qC", "QC1");
}

/* ---- The pause, which isn't the debugger's; the end ---- */

static void count_pauses(unsigned expected_pauses, unsigned expected_resumes)
{
    unsigned pauses, resumes;
    toy_engine_pauses(machine.engine, &pauses, &resumes);
    assert_int_equal(pauses, expected_pauses);
    assert_int_equal(resumes, expected_resumes);
}

static void a_pause_and_a_stop_do_not_mix(void **state)
{
    (void)state;
    struct error err;
    assert_answer("?", "T05thread:1;");
    pthread_mutex_lock(&lock);
    count_pauses(1, 0);
    assert_int_equal(machine_pause(&machine, &err), 0);
    count_pauses(1, 0); /* time stands already */
    pthread_mutex_unlock(&lock);
    put_packet("vCont;s:1", 9); /* waits for the pause's end */
    assert_answer("qC", "QC1");
    pthread_mutex_lock(&lock);
    assert_int_equal(toy(0)->executed, 0);
    count_pauses(1, 0);
    assert_int_equal(machine_resume(&machine, &err), 0);
    count_pauses(1, 1);
    pthread_mutex_unlock(&lock);
    assert_string_equal(get_packet(), "T05thread:1;");
    assert_int_equal(toy(0)->executed, 1);
    /* The other way round: resumed, while the debugger still stops it. */
    pthread_mutex_lock(&lock);
    assert_int_equal(machine_pause(&machine, &err), 0);
    assert_int_equal(machine_resume(&machine, &err), 0);
    count_pauses(2, 1);
    pthread_mutex_unlock(&lock);
    assert_answer("p0", "0000000000000000");
    assert_int_equal(toy(0)->executed + toy(1)->executed, 1);
}

static void who_leaves_leaves_no_breakpoint(void **state)
{
    (void)state;
    assert_answer("Z0,ffff888000001002,1", "OK");
    assert_answer("Z1,ffff888000001003,1", "OK");
    assert_answer("D", "OK");
    assert_int_equal(get_byte(), -1);
    close(client);
    while (__atomic_load_n(&toy(0)->executed, __ATOMIC_RELAXED) < 20)
        poll(NULL, 0, 1);
    /* The next one stops the machine, and dies without a word while it runs. */
    connect_client();
    assert_answer("?", "T05thread:1;");
    assert_int_equal(guest_byte(0x1002), 0x90);
    assert_answer("Z0,ffff888000001002,1", "OK");
    assert_answer("vCont;c:1", "T05thread:1;");
    put_packet("vCont;s:1;c:2", 13);
    close(client);
    uint64_t before = __atomic_load_n(&toy(0)->executed, __ATOMIC_RELAXED);
    while (__atomic_load_n(&toy(0)->executed, __ATOMIC_RELAXED) < before + 20)
        poll(NULL, 0, 1);
    pthread_mutex_lock(&lock);
    assert_int_equal(guest_byte(0x1002), 0x90);
    pthread_mutex_unlock(&lock);
}

static void the_end_is_told(void **state)
{
    (void)state;
    set_guest_byte(0x1002, TOY_END);
    assert_answer("c", "X06");
    assert_int_equal(get_byte(), -1);
}

static void a_kill_ends_the_machine(void **state)
{
    (void)state;
    put_packet("k", 1);
    int byte = get_byte();
    assert_true(byte == '+' && get_byte() == -1);
    while (!__atomic_load_n(&has_ended, __ATOMIC_SEQ_CST))
        poll(NULL, 0, 1);
    assert_int_equal(machine.end, MACHINE_STOPPED);
}

/* ---- On KVM ---- */

static void kvm_steps_and_stops_at_its_debug_registers(void **state)
{
    (void)state;
    if (client < 0) {
        print_message("/dev/kvm can't be used\n");
        skip();
    }
    ask("qSupported:swbreak+;hwbreak+");
    assert_answer("p10", "0000000100000000");
    assert_answer("P0=3412000000000000", "OK");
    assert_answer("vCont;s:1", "T05thread:1;");
    assert_answer("p10", "0200000100000000");
    assert_answer("p0", "0000000000000000");
    assert_answer("Z1,100000c,1", "OK");
    assert_answer("vCont;c", "T05hwbreak:;thread:1;");
    assert_answer("p10", "0c00000100000000");
    assert_answer("m1000100,4", "01000000");
    assert_answer("z1,100000c,1", "OK");
    assert_answer("P0=3412000000000000", "OK");
    assert_answer("vCont;s:1", "T05thread:1;");
    assert_answer("Z1,100000c,1", "OK");
    assert_answer("c", "T05hwbreak:;thread:1;");
    assert_answer("m1000100,4", "35120000");
    assert_answer("M1000100,4:00000000", "OK");
    assert_answer("m7fffffff0000,4", "E0e"); /* nothing is mapped there */
    assert_answer("z1,100000c,1", "OK");
    put_packet("c", 1);
    put_bytes("\x03", 1);
    assert_string_equal(get_packet(), "T02thread:1;");
}

/* ---- Frames ---- */

static void a_bad_frame_is_asked_for_again(void **state)
{
    (void)state;
    put_bytes("$qC#00", 6);
    assert_int_equal(get_byte(), '-');
    put_bytes("$qC#zz", 6);
    assert_int_equal(get_byte(), '-');
    put_bytes("noise$abort$qC#b4", 17);
    assert_int_equal(get_byte(), '+');
    assert_string_equal(get_packet(), "QC1");
    put_bytes("-", 1); /* it got lost */
    assert_string_equal(get_packet(), "QC1");
    assert_answer("QStartNoAckMode", "OK");
    put_bytes("+$qC#00", 7);
    for (const char *at = "$QC1"; *at; at++) /* neither '+' nor '-' */
        assert_int_equal(get_byte(), *at);
}

static void a_packet_has_an_end(void **state)
{
    static char much[GDB_PACKET_SIZE + 2];
    (void)state;
    memset(much, 'a', sizeof much);
    put_packet(much, GDB_PACKET_SIZE);
    assert_string_equal(get_packet(), "");
    put_packet(much, GDB_PACKET_SIZE + 1);
    assert_string_equal(get_packet(), "E5a");
    assert_answer("qC", "QC1");
}

/* Many questions at once, of one who doesn't read the answers: they wait, and none is lost. */
static void answers_wait_for_their_reader(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++)
        put_packet("mffff888000100000,2000", 22);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(strlen(get_packet()), GDB_PACKET_SIZE);
}

#define with_machine(test) cmocka_unit_test_setup_teardown(test, start_machine, stop_machine)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_machine(the_machine_waits_before_its_first_instruction),
        with_machine(what_is_not_known_is_answered_by_nothing),
        with_machine(registers_are_described),
        with_machine(registers_are_read_and_written),
        with_machine(registers_that_cannot_be_are_refused),
        with_machine(memory_is_read_and_written),
        with_machine(what_is_no_memory_is_an_error),
        with_machine(a_breakpoint_stops_and_hides),
        with_machine(a_breakpoint_survives_new_code),
        with_machine(an_int3_of_the_guest_is_the_guests),
        with_machine(a_step_is_one_instruction_of_one_processor),
        with_machine(hardware_breakpoints_are_four),
        with_machine(a_watchpoint_tells_its_address),
        with_machine(an_interrupt_stops_all),
        with_machine(a_pause_and_a_stop_do_not_mix),
        with_machine(who_leaves_leaves_no_breakpoint),
        with_machine(the_end_is_told),
        with_machine(a_kill_ends_the_machine),
        cmocka_unit_test_setup_teardown(kvm_steps_and_stops_at_its_debug_registers, start_kvm,
                                        stop_machine),
        with_machine(a_bad_frame_is_asked_for_again),
        with_machine(a_packet_has_an_end),
        with_machine(answers_wait_for_their_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
