/* The shared memory: slots, breadcrumbs, and that a second mapping finds what the first wrote. */
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/shm_layout.h"
#include "test.h"

TEST(works_without_create)
{
    CHECK(crumb_now != NULL);
    CHECK(shm_is_serving());
    struct crumb before = crumb_enter(3, CRUMB_ON_OPEN, "req-1", "team");
    CHECK_STR(crumb_now->request, "req-1");
    CHECK_STR(crumb_hook_name((enum crumb_hook)crumb_now->hook), "on_open");
    crumb_leave(&before);
    CHECK_INT(crumb_now->plugin, 0);
    CHECK_STR(crumb_now->request, "");
}

TEST(every_hook_has_a_name)
{
    for (int hook = 1; hook < CRUMB_HOOKS; hook++) {
        CHECK(crumb_hook_name((enum crumb_hook)hook) != NULL);
        CHECK(crumb_hook_name((enum crumb_hook)hook)[0] != '-');
    }
    CHECK_STR(crumb_hook_name(CRUMB_ENDPOINT), "endpoint");
    CHECK_STR(crumb_hook_name(CRUMB_SIGN), "sign");
    CHECK_STR(crumb_hook_name((enum crumb_hook)12345), "-");
}

TEST(a_child_writes_into_its_slot)
{
    CHECK_INT(shm_create(), 0);
    shm_slot_prepare(5, 7);
    pid_t pid = fork();
    if (pid == 0) {
        shm_use_slot(5);
        shm_name_plugin(2, "hostile");
        crumb_enter(2, CRUMB_ON_EVENT, "req-9", "alice");
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    const struct shm_slot *slot = &shm_area->slots[5];
    CHECK_INT(slot->generation, 7);
    CHECK_INT(slot->pid, pid);
    CHECK_STR(slot->crumb.request, "req-9");
    CHECK_STR(slot->crumb.principal, "alice");
    CHECK_STR(shm_slot_plugin(slot, slot->crumb.plugin), "hostile");
    CHECK_STR(shm_slot_plugin(slot, 0), "core");
    CHECK_STR(shm_slot_plugin(slot, 9), "plugin 9");
    uint32_t incarnation = slot->incarnation;
    shm_slot_clear(5);
    CHECK_INT(slot->incarnation, incarnation + 1);
    CHECK_INT(slot->state, SHM_FREE);
}

TEST(is_found_again_by_descriptor)
{
    CHECK_INT(shm_create(), 0);
    struct shm *first = shm_area;
    int id = target_declare("a/b");
    target_begin(id, 0);
    CHECK_INT(shm_attach(shm_fd()), 0);
    CHECK(shm_area != first);
    CHECK_STR(target_name(id), "a/b");
    CHECK_INT(target_read(id).in_flight, 1);
    shm_area->layout++;
    CHECK_INT(shm_attach(shm_fd()), -1);
    shm_area->layout--;
}

TEST(a_dead_workers_calls_in_flight_vanish)
{
    CHECK_INT(shm_create(), 0);
    int id = target_declare("openai/gpt-4o");
    shm_use_slot(3);
    target_begin(id, 0);
    target_begin(id, 0);
    target_end(id, true, 0);
    shm_use_slot(4);
    target_begin(id, 0);
    CHECK_INT(target_read(id).in_flight, 2);
    shm_slot_clear(3);
    CHECK_INT(target_read(id).in_flight, 1);
    CHECK_INT(target_read(id).calls, 1);
    CHECK_INT(target_read(id).failures, 1);
    CHECK(target_read(id).last_failure_ms > 1600000000000);
}

TEST(the_average_follows)
{
    int id = target_declare("x/y");
    CHECK_INT(target_read(id).latency_ms, 0);
    target_begin(id, 0);
    target_end(id, false, 400);
    CHECK_INT(target_read(id).latency_ms, 400);
    for (int i = 0; i < 60; i++)
        target_end(id, false, 100);
    CHECK(target_read(id).latency_ms >= 100 && target_read(id).latency_ms < 104);
    CHECK_INT(target_read(-1).calls, 0);
    target_end(-1, false, 1);
}

TEST(names_agree_over_processes)
{
    enum { CHILDREN = 4, NAMES = 100 };
    CHECK_INT(shm_create(), 0);
    for (int child = 0; child < CHILDREN; child++)
        if (fork() == 0) {
            shm_use_slot((uint32_t)child);
            for (int i = 0; i < NAMES; i++) {
                char name[32];
                snprintf(name, sizeof name, "p/m%d", (i * 7 + child * 13) % NAMES);
                int id = target_declare(name);
                if (id < 0 || strcmp(target_name(id), name) != 0)
                    _exit(1);
            }
            _exit(0);
        }
    for (int child = 0, status; child < CHILDREN; child++)
        CHECK(wait(&status) > 0 && status == 0);
    CHECK_INT(target_count(), NAMES);
    for (int i = 0; i < NAMES; i++)
        for (int j = 0; j < i; j++)
            CHECK(strcmp(target_name(i), target_name(j)) != 0);
    CHECK(shm_area->target_names.n_records <= NAMES + CHILDREN);
}

TEST(a_full_table_says_so)
{
    CHECK_INT(shm_create(), 0);
    char name[512];
    for (int i = 0; i < TARGETS_MAX; i++) {
        snprintf(name, sizeof name, "p/m%d", i);
        CHECK_INT(target_declare(name), i);
    }
    CHECK_INT(target_declare("one/more"), -1);
    CHECK_INT(target_declare("p/m1023"), 1023);
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    CHECK_INT(target_declare(name), -1);
}
