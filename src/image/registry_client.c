/* hull-registry.so: what the module offers. */
#include "image/registry.h"
#include "image/registry_auth.h"
#include "image/registry_config.h"
#include "image/registry_discover.h"
#include "image/registry_file.h"
#include "image/registry_pull.h"
#include "image/registry_push.h"

static int login(const char *host, struct registry_credentials *credentials, char **plain_path,
                 struct error *err)
{
    scope_registry_config struct registry_config config;
    *plain_path = NULL;
    if (registry_config_load(&config, err) < 0 ||
        registry_auth_check(&config, host, credentials, err) < 0)
        return -1;
    return registry_credentials_store(host, credentials, plain_path, err);
}

extern const struct registry_operations hull_registry_operations;

__attribute__((visibility("default"))) const struct registry_operations hull_registry_operations = {
    .version = HULL_VERSION,
    .find_credentials = registry_credentials_find,
    .release_credentials = registry_credentials_release,
    .login = login,
    .logout = registry_credentials_erase,
    .pull = registry_client_pull,
    .push = registry_client_push,
    .referrers = registry_client_referrers,
    .fetch_file = registry_client_fetch_file,
};
