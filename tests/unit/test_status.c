/* How /status is written and shown, and what the admin socket's client says when nobody is there. */
#include "../../core/control.h"
#include "../../core/status.h"
#include "test.h"

static char *shown;

static const char *show(const char *json)
{
    size_t n;
    free(shown);
    FILE *out = open_memstream(&shown, &n);
    status_print(json, out);
    fclose(out);
    return shown;
}

static const char *quote(const char *s)
{
    size_t n;
    free(shown);
    FILE *out = open_memstream(&shown, &n);
    status_put_string(out, s);
    fclose(out);
    return shown;
}

TEST(strings_are_always_json)
{
    CHECK_STR(quote("plain"), "\"plain\"");
    CHECK_STR(quote("a\"b\\c\nd\x01"), "\"a\\\"b\\\\c\\nd\\u0001\"");
    CHECK_STR(quote("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"");
    CHECK_STR(quote("\xff" "a\xc3"), "\"\xef\xbf\xbd" "a\xef\xbf\xbd\"");
    CHECK_STR(quote(NULL), "\"\"");
}

TEST(shows_everything)
{
    const char *text = show(
        "{\"pid\":7,\"state\":\"running\",\"started_ms\":0,\"now_ms\":200000,\"generation\":2,\"config\":\"weir.yaml\","
        "\"hash\":\"0123456789abcdef\",\"restarts\":3,\"last_reload_ok\":false,\"last_reload\":\"weir.yaml:3: no\","
        "\"listen\":[\"127.0.0.1:8080\"],"
        "\"generations\":[{\"number\":2,\"state\":\"live\",\"workers\":2,\"hash\":\"0123456789abcdef\",\"started_ms\":190000}],"
        "\"workers\":[{\"slot\":0,\"pid\":11,\"generation\":2,\"state\":\"serving\",\"connections\":5,\"detail\":{\"calls\":[{\"id\":"
        "\"req-1\",\"ms\":12,\"waits_for\":{\"stage\":\"policy\",\"hook\":\"on_request\",\"what\":\"http\",\"ms\":9}}],"
        "\"plugins\":[{\"name\":\"auth\",\"kind\":\"stage\",\"version\":\"1.0\",\"crashes\":2,\"quarantined\":true}],"
        "\"requests_live\":1,\"requests\":9}},"
        "{\"slot\":1,\"pid\":12,\"generation\":2,\"state\":\"serving\",\"connections\":0,\"silent_ms\":1500,\"in_plugin\":\"bad\","
        "\"detail\":null}],"
        "\"targets\":[{\"name\":\"openai/x\",\"calls\":4,\"failures\":1,\"in_flight\":1,\"latency_ms\":80,\"last_failure_ms\":199000}]}");
    CHECK(strstr(text, "running (pid 7, up 3m)"));
    CHECK(strstr(text, "last reload    failed: weir.yaml:3: no"));
    CHECK(strstr(text, "id=req-1  ms=12  waits_for=policy.on_request: http (9 ms)"));
    CHECK(strstr(text, "silent for 1500 ms, in bad"));
    CHECK(strstr(text, "openai/x"));
    CHECK(strstr(text, "1s ago"));
    CHECK(strstr(text, "QUARANTINED"));
}

TEST(shows_what_it_can)
{
    CHECK_STR(show("not json"), "not json\n");
    CHECK(strstr(show("{}"), "GENERATION"));
    CHECK(strstr(show("{\"workers\":7,\"targets\":{},\"listen\":\"x\"}"), "WORKER"));
}

TEST(nobody_answers)
{
    char *answer = NULL;
    CHECK_INT(control_ask("/nonexistent/admin.sock", "GET /status", &answer), -1);
    CHECK(answer && strstr(answer, "no weir answers at /nonexistent/admin.sock"));
    free(answer);
    char path[300];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    CHECK_INT(control_ask(path, "GET /status", &answer), -1);
    CHECK(answer && strstr(answer, "too long"));
    free(answer);
}
