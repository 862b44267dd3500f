/* The operator's log as a reader of standard error sees it; and that a reader who doesn't read holds up nobody.
 */
#include <fcntl.h>
#include <unistd.h>

#include "log.h"
#include "test.h"

static int saved, reader;
static char text[128 * 1024];

static void take_stderr(void)
{
    int ends[2];
    if (pipe(ends) < 0)
        abort();
    saved = dup(2);
    dup2(ends[1], 2);
    close(ends[1]);
    reader = ends[0];
    fcntl(reader, F_SETFL, O_NONBLOCK);
}

static const char *read_all(void)
{
    size_t n = 0;
    ssize_t got;
    while ((got = read(reader, text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    return text;
}

static void give_back_stderr(void)
{
    dup2(saved, 2);
    close(saved);
    close(reader);
}

TEST(a_line)
{
    take_stderr();
    log_set_worker(3);
    LOG_WARN("plugin.crash", "plugin", "auth", "text", "two words", "quote", "a\"b\\c\nd", "none", NULL, "empty", "");
    log_set_worker(-1);
    log_text(LOG_LEVEL_ERROR, "x", "n=%d", 5);
    LOG_DEBUG("never", "a", "b");
    read_all();
    give_back_stderr();
    CHECK(strncmp(text, "ts=20", 5) == 0);
    CHECK(strstr(text, "Z level=warn event=plugin.crash worker=3 plugin=auth text=\"two words\" quote=\"a\\\"b\\\\c\\nd\" none=\"\" empty=\"\"\n"));
    CHECK(strstr(text, " level=error event=x msg=\"n=5\"\n"));
    CHECK(!strstr(text, "never"));
}

TEST(long_values_are_cut)
{
    static char big[10000];
    memset(big, 'x', sizeof(big) - 1);
    take_stderr();
    LOG_INFO("big", "bare", big);
    big[5] = ' ';
    LOG_INFO("big", "quoted", big);
    read_all();
    give_back_stderr();
    const char *second = strchr(text, '\n') + 1;
    CHECK(second - text <= 4096 && strlen(second) <= 4096);
    CHECK(text[strlen(text) - 1] == '\n' && text[strlen(text) - 2] == '"');
}

/* A test that hangs here has found what it looks for. */
TEST(a_full_pipe)
{
    take_stderr();
    for (int i = 0; i < 2000; i++)
        LOG_INFO("fill", "what", "some text that takes room until nothing more goes into the pipe");
    read_all();
    LOG_INFO("after", "a", "b");
    read_all();
    give_back_stderr();
    CHECK(strstr(text, "event=after a=b lost=1"));
}
