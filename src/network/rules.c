/* The nftables table of hull's own: when it must change, and how. libnftables takes 10 ms to load,
 * so it is loaded only then; that nothing has to change is one small question to the kernel. */
#include <dlfcn.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "network/network_internal.h"

struct nftables {
    void *library;
    struct nft_ctx *(*ctx_new)(uint32_t flags);
    void (*ctx_free)(struct nft_ctx *context);
    int (*buffer_error)(struct nft_ctx *context);
    int (*buffer_output)(struct nft_ctx *context);
    int (*run)(struct nft_ctx *context, const char *commands);
    const char *(*error)(struct nft_ctx *context);
    const char *(*output)(struct nft_ctx *context);
};

static int load_library(struct nftables *nftables, struct error *err)
{
    nftables->library = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!nftables->library)
        return error_set(err, 0, "can't load libnftables (install it): %s", dlerror());
    const struct {
        const char *name;
        void *slot;
    } symbols[] = {
        {"nft_ctx_new", &nftables->ctx_new},
        {"nft_ctx_free", &nftables->ctx_free},
        {"nft_ctx_buffer_error", &nftables->buffer_error},
        {"nft_ctx_buffer_output", &nftables->buffer_output},
        {"nft_run_cmd_from_buffer", &nftables->run},
        {"nft_ctx_get_error_buffer", &nftables->error},
        {"nft_ctx_get_output_buffer", &nftables->output},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(nftables->library, symbols[i].name);
        if (!symbol)
            return error_set(err, 0, "libnftables has no %s (install version 1 of it)",
                             symbols[i].name);
        memcpy(symbols[i].slot, &symbol, sizeof symbol);
    }
    return 0;
}

/* *output, unless NULL, is what the commands have printed; the caller frees. */
static int run(const char *commands, char **output, struct error *err)
{
    struct nftables nftables = {0};
    /* Never unloaded: it leaves what it has allocated at exit. */
    if (load_library(&nftables, err) < 0)
        return -1;
    struct nft_ctx *context = nftables.ctx_new(NFT_CTX_DEFAULT);
    if (!context)
        return error_set(err, ENOMEM, "can't use libnftables");
    nftables.buffer_error(context);
    nftables.buffer_output(context);
    int result = nftables.run(context, commands);
    if (result != 0) {
        const char *text = nftables.error(context);
        error_set(err, 0, "can't change nftables' rules: %.*s", text ? (int)strcspn(text, "\n") : 0,
                  text ? text : "");
    } else if (output) {
        const char *text = nftables.output(context);
        *output = memory_copy_string(text ? text : "");
    }
    nftables.ctx_free(context);
    return result != 0 ? -1 : 0;
}

int rules_run(const char *commands, struct error *err)
{
    return run(commands, NULL, err);
}

int rules_list(const char *command, char **text, struct error *err)
{
    return run(command, text, err);
}

static int read_handle(const struct nlmsghdr *answer, void *context, struct error *err)
{
    const struct nlattr *attribute;
    (void)err;
    mnl_attr_for_each(attribute, answer, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attribute) == NFTA_TABLE_HANDLE &&
            mnl_attr_validate(attribute, MNL_TYPE_U64) == 0)
            *(int64_t *)context = (int64_t)be64toh(mnl_attr_get_u64(attribute));
    }
    return 0;
}

/* The table's number, which no later table gets again; 0: there is none. */
static int find_table(const struct networks *networks, int64_t *handle, struct error *err)
{
    scope_netlink struct netlink netlink = {.fd = -1};
    *handle = 0;
    if (netlink_open(&netlink, NETLINK_NETFILTER, err) < 0)
        return -1;
    struct nlmsghdr *message = netlink_begin(&netlink, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE,
                                             0, 0, "look for hull's table");
    struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->nfgen_family = NFPROTO_INET;
    header->version = NFNETLINK_V0;
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, networks->table);
    int result = netlink_query(&netlink, message, read_handle, handle, err);
    return result == 0 || result == -ENOENT ? 0 : -1;
}

int rules_update_locked(struct networks *networks, struct error *err)
{
    int64_t handle;
    scope_free char *text = rules_compose(networks, err);
    if (!text || rules_run(text, err) < 0 || find_table(networks, &handle, err) < 0)
        return -1;
    return database_run(networks->database, err, "UPDATE network SET rules = ?", "i",
                        (long long)handle);
}

int rules_update(struct networks *networks, struct error *err)
{
    scope_close int lock = network_lock(networks, err);
    return lock < 0 ? -1 : rules_update_locked(networks, err);
}

int rules_are_current(struct networks *networks, const struct network_record *network,
                      struct error *err)
{
    int64_t handle;
    if (find_table(networks, &handle, err) < 0)
        return -1;
    return handle != 0 && handle == network->rules;
}

int rules_ensure(struct networks *networks, const struct network_record *network, struct error *err)
{
    int current = rules_are_current(networks, network, err);
    return current != 0 ? (current < 0 ? -1 : 0) : rules_update(networks, err);
}
