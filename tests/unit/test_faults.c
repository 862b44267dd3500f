/* Who crashes plugins: poisoned principals, quarantined plugins, probes. */
#include "../../core/shm_layout.h"
#include "test.h"

static const int64_t start_ms = 1000000;

TEST(nothing_crashed)
{
    CHECK_INT(shm_create(), 0);
    CHECK_INT(fault_check("auth", "alice", start_ms), FAULT_NONE);
    CHECK(!fault_is_quarantined("auth"));
    CHECK_INT(fault_crashes("auth"), 0);
}

TEST(two_crashes_poison_the_pair)
{
    CHECK_INT(shm_create(), 0);
    fault_record("x", "alice", start_ms);
    CHECK_INT(fault_check("x", "alice", start_ms + 1), FAULT_NONE);
    CHECK_INT(fault_record("x", "alice", start_ms + 10), FAULT_POISONED);
    CHECK_INT(fault_check("x", "alice", start_ms + 11), FAULT_POISONED);
    CHECK_INT(fault_check("x", "bob", start_ms + 11), FAULT_NONE);
    CHECK_INT(fault_check("y", "alice", start_ms + 11), FAULT_NONE);
    CHECK(!fault_is_quarantined("x"));
    CHECK_INT(fault_check("x", "alice", start_ms + 10 + 60000), FAULT_NONE);
    CHECK_INT(fault_crashes("x"), 2);
}

TEST(crashes_far_apart_poison_nobody)
{
    CHECK_INT(shm_create(), 0);
    fault_record("x", "alice", start_ms);
    fault_record("x", "alice", start_ms + 61000);
    CHECK_INT(fault_check("x", "alice", start_ms + 61001), FAULT_NONE);
    fault_record("x", "bob", start_ms + 200000);
    CHECK(!fault_is_quarantined("x"));
}

TEST(two_principals_quarantine_the_plugin)
{
    CHECK_INT(shm_create(), 0);
    fault_record("x", "alice", start_ms);
    CHECK_INT(fault_record("x", "bob", start_ms + 10), FAULT_QUARANTINED);
    CHECK(fault_is_quarantined("x"));
    CHECK_INT(fault_check("x", "carol", start_ms + 20), FAULT_QUARANTINED);
    CHECK_INT(fault_check("y", "carol", start_ms + 20), FAULT_NONE);
}

TEST(one_worker_probes_and_releases)
{
    CHECK_INT(shm_create(), 0);
    shm_use_slot(1);
    fault_record("x", "alice", start_ms);
    fault_record("x", "bob", start_ms);
    CHECK_INT(fault_check("x", "carol", start_ms + 4999), FAULT_QUARANTINED);
    CHECK_INT(fault_check("x", "carol", start_ms + 5000), FAULT_NONE);
    CHECK_INT(fault_check("x", "erin", start_ms + 5001), FAULT_NONE);
    shm_use_slot(2); /* another worker; and the first one's successor is not the first either */
    CHECK_INT(fault_check("x", "carol", start_ms + 5001), FAULT_QUARANTINED);
    shm_use_slot(1);
    CHECK_INT(fault_check("x", "carol", start_ms + 5001), FAULT_QUARANTINED);
    CHECK(fault_is_quarantined("x"));
    CHECK_INT(fault_check("x", "carol", start_ms + 8000), FAULT_NONE);
    CHECK(!fault_is_quarantined("x"));
    fault_record("x", "dave", start_ms + 100000); /* a relapse needs no second principal */
    CHECK(fault_is_quarantined("x"));
    CHECK_INT(fault_check("x", "carol", start_ms + 109999), FAULT_QUARANTINED);
    CHECK_INT(fault_check("x", "carol", start_ms + 110000), FAULT_NONE);
}

TEST(a_probe_that_crashes_doubles_the_wait)
{
    CHECK_INT(shm_create(), 0);
    fault_record("x", "alice", start_ms);
    fault_record("x", "bob", start_ms);
    CHECK_INT(fault_check("x", "carol", start_ms + 5000), FAULT_NONE);
    fault_record("x", "carol", start_ms + 5100);
    CHECK(fault_is_quarantined("x"));
    CHECK_INT(fault_check("x", "dave", start_ms + 15099), FAULT_QUARANTINED);
    CHECK_INT(fault_check("x", "dave", start_ms + 15100), FAULT_NONE);
}

TEST(long_names_are_cut_the_same_way)
{
    CHECK_INT(shm_create(), 0);
    const char *name = "a-principal-with-a-name-of-more-than-forty-characters";
    char cut[40];
    snprintf(cut, sizeof cut, "%.39s", name);
    fault_record("x", cut, start_ms);
    fault_record("x", cut, start_ms + 1);
    CHECK_INT(fault_check("x", name, start_ms + 2), FAULT_POISONED);
}

TEST(many_pairs_push_out_the_oldest)
{
    CHECK_INT(shm_create(), 0);
    char name[32];
    for (int i = 0; i < FAULT_PAIRS + 10; i++) {
        snprintf(name, sizeof name, "p%d", i);
        fault_record("x", name, start_ms);
        fault_record("x", name, start_ms);
    }
    CHECK_INT(fault_check("x", "p265", start_ms), FAULT_POISONED);
    CHECK_INT(fault_check("x", "p3", start_ms), FAULT_QUARANTINED);
    CHECK_INT(fault_crashes("x"), 2 * (FAULT_PAIRS + 10));
}
