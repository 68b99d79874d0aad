#include <stdio.h>

#include "network/network_internal.h"

int network_fact_read(struct networks *networks, const char *key, char value[64], struct error *err)
{
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err, "SELECT value FROM network_fact WHERE key = ?", "t", key);
    int found = row ? database_step(networks->database, row, err) : -1;
    snprintf(value, 64, "%s", found == 1 ? database_text(row, 0) : "");
    return found < 0 ? -1 : 0;
}

int network_fact_write(struct networks *networks, const char *key, const char *value,
                       struct error *err)
{
    return database_run(networks->database, err,
                        "INSERT OR REPLACE INTO network_fact VALUES (?, ?)", "tt", key, value);
}
