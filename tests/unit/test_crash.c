/* What a dying worker leaves behind, and who is blamed. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/crash.h"
#include "../../core/shm_layout.h"
#include "test.h"

static volatile int *nowhere;

static void die(int how)
{
    if (how == SIGSEGV)
        *nowhere = 1;
    if (how == SIGABRT)
        abort();
    if (how == SIGILL)
        __builtin_trap();
    if (how > 0)
        kill(getpid(), how);
    _exit(3);
}

/* A worker in slot 6, in a hook of plugin 4, that ends in this way: its status. */
static int end_of_worker(int how)
{
    int status;
    shm_slot_prepare(6, 1);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        shm_use_slot(6);
        crash_handler_install();
        crash_note_modules();
        shm_name_plugin(4, "hostile");
        crumb_enter(4, CRUMB_ON_EVENT, "req-1", "alice");
        die(how);
    }
    waitpid(pid, &status, 0);
    crash_report(6, pid, status, NULL);
    return status;
}

static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#else
    return false;
#endif
}

static void check_signal(int how)
{
    CHECK_INT(shm_create(), 0);
    int status = end_of_worker(how);
    const struct shm_slot *slot = &shm_area->slots[6];
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == how);
    CHECK_INT(slot->crash.signal, how);
    CHECK(slot->crash.n_frames > 2);
    CHECK(slot->n_modules > 2);
    CHECK_STR(slot->crumb.request, "req-1");
    CHECK_INT(fault_crashes("hostile"), 1);
}

TEST(signals_are_written_down)
{
    if (is_sanitized())
        SKIP("the sanitizer has handlers of its own");
    check_signal(SIGSEGV);
    check_signal(SIGABRT);
    check_signal(SIGILL);
    check_signal(SIGBUS);
    check_signal(SIGFPE);
    check_signal(SIGSYS);
}

TEST(an_exit_is_the_plugins_fault_too)
{
    CHECK_INT(shm_create(), 0);
    CHECK_INT(WEXITSTATUS(end_of_worker(0)), 3);
    CHECK_INT(fault_crashes("hostile"), 1);
}

TEST(a_kill_from_outside_blames_nobody)
{
    CHECK_INT(shm_create(), 0);
    CHECK_INT(WTERMSIG(end_of_worker(SIGKILL)), SIGKILL);
    CHECK_INT(fault_crashes("hostile"), 0);
    CHECK_INT(shm_area->slots[6].crash.signal, 0);
}
