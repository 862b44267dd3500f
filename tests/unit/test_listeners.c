/* Listening sockets and the state folder: what is opened, kept, refused, and with which words. */
#include <arpa/inet.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/master_parts.h"
#include "test.h"

static char folder[64], why[512];

static void begin(void)
{
    memset(&master, 0, sizeof master);
    snprintf(folder, sizeof folder, "/tmp/weir-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    why[0] = 0;
}

static void end(void)
{
    listeners_unlink();
    state_folder_remove(folder);
    CHECK(access(folder, F_OK) != 0);
}

static struct settings listen_on(const char *first, const char *second)
{
    struct settings s = { .n_listen = second ? 2 : 1 };
    snprintf(s.listen[0], MASTER_SPEC, "%s", first);
    snprintf(s.listen[1], MASTER_SPEC, "%s", second ? second : "");
    return s;
}

TEST(an_ephemeral_port_is_told)
{
    char address[MASTER_SPEC];
    int fds[MASTER_LISTENERS];
    begin();
    struct settings s = listen_on("127.0.0.1:0", NULL);
    CHECK_INT(listeners_open(&s, why, sizeof why), 0);
    listener_address(&master.listeners[0], address, sizeof address);
    CHECK(strncmp(address, "127.0.0.1:", 10) == 0 && strcmp(address, "127.0.0.1:0") != 0);
    CHECK_INT(listeners_of(&s, fds), 1);
    int first = fds[0];
    CHECK_INT(listeners_open(&s, why, sizeof why), 0); /* a reload keeps it */
    CHECK_INT(listeners_of(&s, fds), 1);
    CHECK_INT(fds[0], first);
    struct settings busy = listen_on(address, NULL);
    CHECK_INT(listeners_open(&busy, why, sizeof why), -1);
    CHECK(strstr(why, address) && strstr(why, "in use") && strstr(why, "listen:"));
    end();
}

TEST(all_or_nothing_is_opened)
{
    begin();
    struct settings s = listen_on("127.0.0.1:0", "nonsense");
    CHECK_INT(listeners_open(&s, why, sizeof why), -1);
    CHECK(strstr(why, "nonsense is no address"));
    CHECK_INT(master.n_listeners, 0);
    end();
}

TEST(what_is_no_longer_named_is_closed)
{
    begin();
    char path[MASTER_SPEC];
    snprintf(path, sizeof path, "unix:%s/s", folder);
    struct settings both = listen_on("127.0.0.1:0", path), one = listen_on("127.0.0.1:0", NULL);
    CHECK_INT(listeners_open(&both, why, sizeof why), 0);
    CHECK_INT(access(path + 5, F_OK), 0);
    listeners_close_unused(&one);
    CHECK_INT(master.n_listeners, 1);
    CHECK(access(path + 5, F_OK) != 0);
    end();
}

TEST(unix_sockets)
{
    begin();
    char path[100];
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    int fd = listen_unix(path, 0600, why, sizeof why);
    CHECK(fd >= 0);
    struct stat info;
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0600);
    CHECK_INT(listen_unix(path, 0600, why, sizeof why), -1);
    CHECK(strstr(why, "another program answers"));
    close(fd); /* now it is stale */
    fd = listen_unix(path, 0600, why, sizeof why);
    CHECK(fd >= 0);
    close(fd);
    unlink(path);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fclose(file);
    CHECK_INT(listen_unix(path, 0600, why, sizeof why), -1);
    CHECK(strstr(why, "not a socket"));
    CHECK_INT(listen_unix("/nonexistent/x", 0600, why, sizeof why), -1);
    CHECK(strstr(why, "/nonexistent/x"));
    end();
}

TEST(the_state_folder_is_taken_once)
{
    begin();
    char path[100], gen[128], made[1100];
    snprintf(path, sizeof path, "%s/a/b", folder);
    int lock = state_folder_take(path, "", why, sizeof why);
    CHECK(lock >= 0);
    CHECK_INT(state_folder_take(path, "", why, sizeof why), -1);
    CHECK(strstr(why, "another weir") && strstr(why, path));
    snprintf(master.state_dir, sizeof master.state_dir, "%s", path);
    CHECK_INT(state_folder_make(made, sizeof made, 7, "", why, sizeof why), 0);
    snprintf(gen, sizeof gen, "%s/gen-7", path);
    CHECK_STR(made, gen);
    close(lock); /* killed: the next one clears what it left */
    lock = state_folder_take(path, "", why, sizeof why);
    CHECK(lock >= 0);
    CHECK(access(gen, F_OK) != 0);
    close(lock);
    CHECK_INT(state_folder_take("/proc/nothing", "", why, sizeof why), -1);
    CHECK(strstr(why, "/proc/nothing") && strstr(why, "state:"));
    end();
}

TEST(a_user_that_does_not_exist)
{
    if (geteuid() != 0)
        SKIP("needs root");
    CHECK_INT(state_folder_drop_to("no-such-user-here", why, sizeof why), -1);
    CHECK(strstr(why, "no-such-user-here"));
    CHECK_INT(state_folder_drop_to("", why, sizeof why), 0);
}
