/* Metrics: what is declared, counted, cleared, and how the page looks. */
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/shm_layout.h"
#include "test.h"

static char page[1 << 20];

static const char *read_page(void)
{
    size_t n = metrics_text(page, sizeof page);
    return n < sizeof page ? page : "";
}

TEST(counts)
{
    CHECK_INT(shm_create(), 0);
    int id = metric_declare("requests_total", "route=\"chat\",status=\"2xx\"", "Requests.", METRIC_COUNTER);
    CHECK(id >= 0);
    CHECK_INT(metric_declare("requests_total", "route=\"chat\",status=\"2xx\"", "Requests.", METRIC_COUNTER), id);
    int other = metric_declare("requests_total", "route=\"chat\",status=\"5xx\"", "Requests.", METRIC_COUNTER);
    CHECK(other != id);
    metric_add(id, 2);
    shm_use_slot(9);
    metric_add(id, 3);
    metric_add(-1, 1);
    CHECK_INT(metric_sum(id), 5);
    CHECK(strstr(read_page(), "# HELP weir_requests_total Requests.\n# TYPE weir_requests_total counter\n"
                              "weir_requests_total{route=\"chat\",status=\"2xx\"} 5\n"
                              "weir_requests_total{route=\"chat\",status=\"5xx\"} 0\n"));
}

TEST(families_stand_together)
{
    CHECK_INT(shm_create(), 0);
    metric_declare("a_total", "x=\"1\"", "A.", METRIC_COUNTER);
    metric_declare("b_total", "", "B.", METRIC_COUNTER);
    metric_declare("a_total", "x=\"2\"", "A.", METRIC_COUNTER);
    const char *text = read_page();
    const char *first = strstr(text, "# TYPE weir_a_total");
    CHECK(first && !strstr(first + 1, "# TYPE weir_a_total"));
    CHECK(strstr(text, "weir_a_total{x=\"1\"} 0\nweir_a_total{x=\"2\"} 0\n"));
    CHECK(strstr(text, "weir_b_total 0\n"));
}

TEST(histograms_are_cumulative)
{
    CHECK_INT(shm_create(), 0);
    int id = metric_declare("latency_seconds", "t=\"x\"", "Latency.", METRIC_HISTOGRAM);
    metric_observe_us(id, 900);
    metric_observe_us(id, 1000);
    metric_observe_us(id, 40000);
    metric_observe_us(id, 400000000);
    const char *text = read_page();
    CHECK(strstr(text, "weir_latency_seconds_bucket{t=\"x\",le=\"0.001\"} 2\n"));
    CHECK(strstr(text, "weir_latency_seconds_bucket{t=\"x\",le=\"0.05\"} 3\n"));
    CHECK(strstr(text, "weir_latency_seconds_bucket{t=\"x\",le=\"300\"} 3\n"));
    CHECK(strstr(text, "weir_latency_seconds_bucket{t=\"x\",le=\"+Inf\"} 4\n"));
    CHECK(strstr(text, "weir_latency_seconds_sum{t=\"x\"} 400.041900\n"));
    CHECK(strstr(text, "weir_latency_seconds_count{t=\"x\"} 4\n"));
    CHECK_INT(metric_sum(id), 4);
    int next = metric_declare("next_total", "", "", METRIC_COUNTER);
    CHECK_INT(metric_sum(next), 0);
}

TEST(labels_are_checked_and_escaped)
{
    char labels[64] = "";
    CHECK_INT(metric_label(labels, sizeof labels, "route", "a\"b\\c\nd"), 0);
    CHECK_INT(metric_label(labels, sizeof labels, "status", "2xx"), 0);
    CHECK_STR(labels, "route=\"a\\\"b\\\\c\\nd\",status=\"2xx\"");
    CHECK(metric_declare("escaped_total", labels, "", METRIC_COUNTER) >= 0);
    CHECK_INT(metric_label(labels, sizeof labels, "long", "0123456789012345678901234567890123456789"), -1);
    CHECK_STR(labels, "route=\"a\\\"b\\\\c\\nd\",status=\"2xx\"");
    static const char *const bad[] = { "a",        "a=",       "a=b",       "a=\"b",    "a=\"b\"c=\"d\"",
                                       "a=\"b\",", "a=\"\n\"", "a=\"\\x\"", "1a=\"b\"", "a=\"b\\" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(metric_declare("bad_total", bad[i], "", METRIC_COUNTER), -1);
    CHECK_INT(metric_declare("bad-name", "", "", METRIC_COUNTER), -1);
    CHECK_INT(metric_declare("", "", "", METRIC_COUNTER), -1);
    CHECK_INT(metric_declare("escaped_total", "route=\"a\\\"b\\\\c\\nd\",status=\"2xx\"", "", METRIC_GAUGE), -1);
}

TEST(a_dead_workers_gauges_go_its_counters_stay)
{
    CHECK_INT(shm_create(), 0);
    int gauge = metric_declare("open", "", "Open.", METRIC_GAUGE);
    int counter = metric_declare("done_total", "", "Done.", METRIC_COUNTER);
    pid_t pid = fork();
    if (pid == 0) {
        shm_use_slot(2);
        metric_add(gauge, 4);
        metric_add(counter, 6);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    CHECK_INT(metric_sum(gauge), 4);
    shm_slot_clear(2);
    CHECK_INT(metric_sum(gauge), 0);
    CHECK_INT(metric_sum(counter), 6);
}

TEST(tells_the_size_it_needs)
{
    char small[10];
    size_t n = metrics_text(small, sizeof small);
    CHECK_INT(metrics_text(page, sizeof page), n);
    CHECK_INT(strlen(page), n);
}

TEST(targets_and_faults_are_on_the_page)
{
    CHECK_INT(shm_create(), 0);
    int id = target_declare("openai/a\"b");
    target_begin(id, 0);
    fault_record("hostile", "alice", 1000);
    const char *text = read_page();
    CHECK(strstr(text, "weir_target_in_flight{target=\"openai/a\\\"b\"} 1\n"));
    CHECK(strstr(text, "weir_plugin_crashes_total{plugin=\"hostile\"} 1\n"));
    CHECK(strstr(text, "weir_plugin_quarantined{plugin=\"hostile\"} 0\n"));
}
