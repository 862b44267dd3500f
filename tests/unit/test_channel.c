/* The master's messages: whole, in order, whatever the sockets take at once. */
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/channel.h"
#include "test.h"

static struct channel a, b;

static void open_pair(void)
{
    int fds[2];
    CHECK_INT(channel_pair(fds), 0);
    channel_open(&a, fds[0]);
    channel_open(&b, fds[1]);
}

static void close_pair(void)
{
    channel_close(&a);
    channel_close(&b);
}

TEST(messages_arrive_in_order)
{
    struct channel_message m;
    open_pair();
    CHECK_INT(channel_send(&a, 1, 7, "hello", 5), 0);
    CHECK_INT(channel_send(&a, 2, 8, NULL, 0), 0);
    CHECK_INT(channel_send(&a, 3, 9, "x", 1), 0);
    CHECK_INT(channel_fill(&b), 0);
    CHECK(channel_next(&b, &m));
    CHECK_INT(m.type, 1);
    CHECK_INT(m.id, 7);
    CHECK_STR(m.p, "hello");
    CHECK(channel_next(&b, &m));
    CHECK_INT(m.type, 2);
    CHECK_INT(m.n, 0);
    CHECK_STR(m.p, "");
    CHECK(channel_next(&b, &m));
    CHECK_STR(m.p, "x");
    CHECK(!channel_next(&b, &m));
    close_pair();
}

TEST(what_the_socket_does_not_take_is_kept)
{
    static char big[3 << 20];
    struct channel_message m = { 0, 0, NULL, 0 };
    open_pair();
    memset(big, 'y', sizeof big);
    CHECK_INT(channel_send(&a, 5, 1, big, sizeof big), 0);
    CHECK(a.out_n > 0);
    for (int turns = 0; turns < 10000 && !channel_next(&b, &m); turns++) {
        CHECK_INT(channel_fill(&b), 0);
        CHECK(channel_flush(&a) >= 0);
    }
    CHECK_INT(m.type, 5);
    CHECK_INT(m.n, sizeof big);
    CHECK(memcmp(m.p, big, sizeof big) == 0);
    CHECK_INT(channel_flush(&a), 0);
    close_pair();
}

TEST(the_end_comes_after_the_last_words)
{
    struct channel_message m;
    open_pair();
    channel_send(&a, 11, 0, "why", 3);
    channel_close(&a);
    CHECK_INT(channel_fill(&b), -1);
    CHECK(channel_next(&b, &m));
    CHECK_STR(m.p, "why");
    CHECK(!channel_next(&b, &m));
    CHECK_INT(channel_send(&b, 1, 0, "x", 1), -1);
    close_pair();
}

TEST(a_child_waits_for_a_message)
{
    struct channel_message m;
    int status;
    open_pair();
    pid_t pid = fork();
    if (pid == 0) {
        channel_close(&a);
        bool got = channel_wait(&b, &m) && m.type == 4 && !channel_wait(&b, &m);
        _exit(got ? 0 : 1);
    }
    channel_send(&a, 4, 0, NULL, 0);
    close_pair();
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

TEST(nonsense_is_not_a_message)
{
    struct channel_message m;
    uint32_t head[3] = { UINT32_MAX, 1, 1 };
    open_pair();
    CHECK(write(a.fd, head, sizeof head) == sizeof head);
    CHECK_INT(channel_fill(&b), 0);
    CHECK(!channel_next(&b, &m));
    close_pair();
}
