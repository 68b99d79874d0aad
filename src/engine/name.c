#include "engine/name.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

static const char *const qualities[] = {
    "able",   "amber",  "bold",   "brave",   "breezy", "bright", "brisk",  "calm",
    "clever", "coral",  "crisp",  "daring",  "deft",   "eager",  "early",  "fair",
    "fleet",  "fresh",  "gentle", "golden",  "grand",  "hardy",  "humble", "jolly",
    "keen",   "kind",   "lively", "loyal",   "lucky",  "mellow", "merry",  "mighty",
    "neat",   "nimble", "noble",  "patient", "plain",  "proud",  "quick",  "quiet",
    "ready",  "royal",  "salty",  "serene",  "sharp",  "silent", "silver", "smooth",
    "snug",   "sober",  "solid",  "steady",  "still",  "stout",  "sturdy", "sunny",
    "swift",  "tidy",   "trim",   "true",    "vivid",  "warm",   "wise",   "witty",
};
static const char *const vessels[] = {
    "argosy",   "barge",   "bark",   "barque",  "brig",       "canoe",   "caravel", "carrack",
    "catboat",  "clipper", "cog",    "coracle", "corvette",   "cutter",  "dhow",    "dinghy",
    "dory",     "drifter", "ferry",  "frigate", "galleon",    "galley",  "gig",     "gondola",
    "hoy",      "hulk",    "junk",   "kayak",   "ketch",      "knarr",   "launch",  "lighter",
    "longship", "lugger",  "packet", "pinnace", "pinky",      "pirogue", "polacca", "praam",
    "proa",     "punt",    "raft",   "sampan",  "schooner",   "scow",    "shallop", "skiff",
    "sloop",    "smack",   "snow",   "tartane", "tender",     "trawler", "trireme", "tug",
    "umiak",    "vaka",    "wherry", "whaler",  "windjammer", "xebec",   "yacht",   "yawl",
};

char *name_generate(const char *id, unsigned int attempt)
{
    char digits[9];
    snprintf(digits, sizeof digits, "%.8s", id);
    unsigned long number = strtoul(digits, NULL, 16);
    const char *quality = qualities[number % (sizeof qualities / sizeof *qualities)];
    const char *vessel = vessels[(number >> 8) % (sizeof vessels / sizeof *vessels)];
    return attempt == 0 ? memory_format("%s_%s", quality, vessel)
                        : memory_format("%s_%s%u", quality, vessel, attempt);
}
