/* A stage is tested where it will live: in a weir of its own, with the settings that were given, behind a unix socket.
 *
 * What that weir serves and what it is asked stands in the SDK (conformance/stage): one configuration, one file per request.
 * A stage may refuse what it likes; it may not crash, hang, break the rules of <weir/plugin.h> or leave anything behind.
 * The rules are the pipeline's to check; here its log is read.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "verify.h"

enum { PATHS = 4096, START_MS = 20000, ANSWER_S = 15, END_MS = 15000, CALM_MS = 5000, TWICE = 2, AT_ONCE = 16, FAULTS_MAX = 6 };

struct rig {
    struct verify *v;
    char folder[64], cases[PATHS], listen[128], admin[128], log[128];
    pid_t pid;
};

struct reply {
    int status;
    char *text; /* head and body, malloc'ed */
    size_t n;
    bool is_whole;
};

static void pause_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

/* ---- the weir ---- */

static void write_config(FILE *out, const struct rig *rig, const char *template)
{
    const struct { const char *word, *text; } words[] = { { "@FOLDER@", rig->folder }, { "@PLUGIN@", rig->v->path },
                                                          { "@NAME@", rig->v->plugin->desc.name }, { "@SETTINGS@", rig->v->settings } };
    for (const char *p = template; *p;) {
        size_t i = 0;
        while (i < 4 && strncmp(p, words[i].word, strlen(words[i].word)) != 0)
            i++;
        fwrite(i < 4 ? words[i].text : p, 1, i < 4 ? strlen(words[i].text) : 1, out);
        p += i < 4 ? strlen(words[i].word) : 1;
    }
}

static int make_config(const struct rig *rig, char *path, size_t n)
{
    char from[PATHS + 16];
    size_t length;
    snprintf(from, sizeof from, "%s/weir.yaml", rig->cases);
    snprintf(path, n, "%s/weir.yaml", rig->folder);
    char *template = verify_read(from, &length);
    FILE *out = template ? fopen(path, "we") : NULL;
    if (!out) {
        verify_bad(rig->v, "%s can't be %s: %s", template ? path : from, template ? "written" : "read", strerror(errno));
        free(template);
        return -1;
    }
    write_config(out, rig, template);
    free(template);
    return fclose(out);
}

__attribute__((noreturn)) static void become_weir(const struct rig *rig, char *config)
{
    char *argv[] = { (char[]){ "weir" }, (char[]){ "serve" }, (char[]){ "-c" }, config, NULL };
    int log = open(rig->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static int connect_to(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    struct timeval wait = { ANSWER_S, 0 };
    memcpy(to.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool has_ended(struct rig *rig)
{
    if (rig->pid > 0 && waitpid(rig->pid, NULL, WNOHANG) == rig->pid)
        rig->pid = 0;
    return rig->pid == 0;
}

/* What the weir has said, line by line: those that contain both words (all with ""). Returns how many. */
static uint32_t show_log(const struct rig *rig, const char *word, const char *other, bool shows)
{
    size_t n;
    uint32_t found = 0;
    char *text = verify_read(rig->log, &n), *rest = NULL;
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        if (!strstr(line, word) || !strstr(line, other))
            continue;
        if (shows && found++ < 20)
            printf("      | %s\n", line);
        else if (!shows)
            found++;
    }
    free(text);
    return found;
}

static bool is_ready(const struct rig *rig)
{
    char *answer = NULL;
    bool is = control_ask(rig->admin, "GET /status", &answer) == 0 && show_log(rig, "event=generation.live", "", false) > 0;
    free(answer);
    return is;
}

static int start(struct rig *rig)
{
    char config[256];
    if (make_config(rig, config, sizeof config) != 0)
        return -1;
    fflush(stdout);
    rig->pid = fork();
    if (rig->pid == 0)
        become_weir(rig, config);
    for (int ms = 0; ms < START_MS && !has_ended(rig); ms += 20) {
        if (access(rig->admin, F_OK) == 0 && is_ready(rig))
            return 0;
        pause_ms(20);
    }
    verify_bad(rig->v, "a weir with this stage in a route does not start:");
    show_log(rig, "", "", true);
    return -1;
}

/* ---- one request ---- */

/* The file's comments, then request line and headers, an empty line, the body. */
struct script {
    char title[120];
    bool leaves, may_break_off;
    char *wire;
    size_t n;
};

static const char *read_comments(struct script *s, const char *p)
{
    while (*p == '#') {
        size_t n = strcspn(p, "\n");
        if (strncmp(p, "# leaves", n) == 0)
            s->leaves = true;
        else if (strncmp(p, "# may break off", n) == 0)
            s->may_break_off = true;
        else
            snprintf(s->title, sizeof s->title, "%.*s", n > 2 ? (int)n - 2 : 0, p + 2);
        p += n + (p[n] == '\n');
    }
    return p;
}

static bool read_script(struct script *s, const char *path)
{
    size_t n;
    char *text = verify_read(path, &n);
    *s = (struct script){ .wire = NULL };
    if (!text)
        return false;
    const char *p = read_comments(s, text), *body = strstr(p, "\n\n");
    FILE *out = body ? open_memstream(&s->wire, &s->n) : NULL;
    if (out) {
        for (const char *line = p; line < body; line += strcspn(line, "\n") + 1)
            fprintf(out, "%.*s%s\r\n", (int)strcspn(line, "\n"), line, line == p ? " HTTP/1.1" : "");
        fprintf(out, "host: weir\r\nconnection: close\r\ncontent-length: %zu\r\n\r\n%s", strlen(body + 2), body + 2);
        fclose(out);
    }
    free(text);
    return out && s->wire;
}

static size_t content_length(const char *head)
{
    const char *p = strcasestr(head, "\r\ncontent-length:");
    return p ? strtoul(p + 17, NULL, 10) : SIZE_MAX;
}

static void judge(struct reply *r)
{
    char *body = strstr(r->text, "\r\n\r\n");
    r->status = strncmp(r->text, "HTTP/1.1 ", 9) == 0 ? atoi(r->text + 9) : 0;
    if (!body)
        return;
    size_t n = r->n - (size_t)(body + 4 - r->text), promised;
    *body = '\0';
    promised = content_length(r->text);
    *body = '\r';
    r->is_whole = promised != SIZE_MAX ? n == promised : n >= 5 && memcmp(r->text + r->n - 5, "0\r\n\r\n", 5) == 0;
}

static void receive(int fd, struct reply *r)
{
    size_t capacity = 1 << 16;
    time_t end = time(NULL) + ANSWER_S; /* a stream that only pings would go on for ever */
    r->text = malloc(capacity);
    for (ssize_t got = 1; r->text && got > 0 && time(NULL) <= end;) {
        if (capacity - r->n < 4096) {
            char *more = realloc(r->text, capacity *= 2);
            if (!more)
                break;
            r->text = more;
        }
        got = recv(fd, r->text + r->n, capacity - r->n - 1, 0);
        r->n += got > 0 ? (size_t)got : 0;
    }
    if (r->text)
        r->text[r->n] = '\0';
    if (r->text)
        judge(r);
}

static bool ask(const struct rig *rig, const struct script *s, struct reply *r)
{
    char some[64];
    *r = (struct reply){ .status = 0 };
    int fd = connect_to(rig->listen);
    if (fd < 0 || send(fd, s->wire, s->n, MSG_NOSIGNAL) != (ssize_t)s->n) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (s->leaves)
        recv(fd, some, sizeof some, 0);
    else
        receive(fd, r);
    close(fd);
    return true;
}

static const char *header(const struct reply *r, const char *name, char *to, size_t n)
{
    const char *p = r->text ? strcasestr(r->text, name) : NULL;
    snprintf(to, n, "%.*s", p ? (int)strcspn(p + strlen(name), "\r\n") : 0, p ? p + strlen(name) : "");
    return to;
}

/* What is wrong with this answer; NULL: nothing. */
static const char *fault_of(const struct script *s, const struct reply *r, const char *code)
{
    if (s->leaves)
        return NULL;
    if (r->status == 0)
        return "got no answer";
    if (strcmp(code, "plugin_fault") == 0)
        return "the stage broke a rule";
    if (r->status == 504)
        return "the stage did not resume() what it suspended, or held events for ever";
    return r->is_whole || s->may_break_off ? NULL : "the answer broke off";
}

static void run_case(struct rig *rig, const char *path)
{
    struct script s;
    struct reply r = { .status = 0 };
    char code[64] = "";
    if (!read_script(&s, path)) {
        verify_bad(rig->v, "%s can't be read", path);
        return;
    }
    const char *fault = ask(rig, &s, &r) ? fault_of(&s, &r, header(&r, "\r\nx-weir-error: ", code, sizeof code)) : "no connection";
    if (fault)
        verify_bad(rig->v, "%s: %s (status %d%s%s)", s.title, fault, r.status, *code ? ", " : "", code);
    else if (s.leaves)
        verify_ok(rig->v, "%s", s.title);
    else
        verify_ok(rig->v, "%s: %d%s%s", s.title, r.status, *code ? " " : "", code);
    free(s.wire);
    free(r.text);
}

static int is_case(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 5 && strcmp(e->d_name + n - 5, ".http") == 0;
}

static void run_cases(struct rig *rig)
{
    struct dirent **list = NULL;
    char path[PATHS + 300];
    int n = scandir(rig->cases, &list, is_case, alphasort);
    if (n <= 0)
        verify_bad(rig->v, "%s holds no requests: is the SDK complete?", rig->cases);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", rig->cases, list[i]->d_name);
        if (!has_ended(rig) && rig->v->failed < FAULTS_MAX)
            run_case(rig, path);
        free(list[i]);
    }
    free(list);
}

/* Requests that overlap: what belongs to a request must not stand in the stage. */
static void run_at_once(struct rig *rig)
{
    struct script s;
    char path[PATHS + 32];
    int fds[AT_ONCE], n_good = 0;
    snprintf(path, sizeof path, "%s/02-stream.http", rig->cases);
    if (has_ended(rig) || rig->v->failed >= FAULTS_MAX || !read_script(&s, path))
        return;
    for (int i = 0; i < AT_ONCE; i++)
        if ((fds[i] = connect_to(rig->listen)) >= 0)
            send(fds[i], s.wire, s.n, MSG_NOSIGNAL);
    for (int i = 0; i < AT_ONCE; i++) {
        struct reply r = { .status = 0 };
        if (fds[i] >= 0) {
            receive(fds[i], &r);
            close(fds[i]);
        }
        n_good += r.status > 0 && r.is_whole;
        free(r.text);
    }
    free(s.wire);
    if (n_good == AT_ONCE)
        verify_ok(rig->v, "%d streams at once", AT_ONCE);
    else
        verify_bad(rig->v, "%d streams at once: only %d were answered wholly", AT_ONCE, n_good);
}

/* ---- what is left ---- */

static int64_t live_requests(const struct rig *rig)
{
    char *answer = NULL;
    int64_t n = -1;
    json_t *root = control_ask(rig->admin, "GET /status", &answer) == 0 ? json_loads(answer, 0, NULL) : NULL;
    json_t *worker = json_array_get(json_object_get(root, "workers"), 0);
    json_t *detail = json_object_get(worker, "detail");
    if (json_is_object(detail))
        n = json_integer_value(json_object_get(detail, "requests_live"));
    json_decref(root);
    free(answer);
    return n;
}

static void check_calm(struct rig *rig)
{
    int64_t n = -1;
    for (int ms = 0; ms < CALM_MS && n != 0 && !has_ended(rig); ms += 50) {
        n = live_requests(rig);
        if (n != 0)
            pause_ms(50);
    }
    if (n == 0)
        verify_ok(rig->v, "no request is left over");
    else
        verify_bad(rig->v, n < 0 ? "the worker doesn't answer" : "%lld requests are left over, seconds after their clients were gone",
                   (long long)n);
}

/* A loop that stood still in core's own code was a busy machine's doing. */
static void check_log(struct rig *rig)
{
    char own[100];
    snprintf(own, sizeof own, "plugin=%s ", rig->v->plugin->desc.name);
    const struct { const char *word, *other, *means; } checks[] = {
        { "event=plugin.fault", "", "the stage broke rules of <weir/plugin.h>:" },
        { "event=worker.crash", "", "the stage crashed or hung the worker:" },
        { "event=worker.stall", own, "the stage held the worker's loop for too long:" },
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (show_log(rig, checks[i].word, checks[i].other, false) == 0)
            continue;
        verify_bad(rig->v, "%s", checks[i].means);
        show_log(rig, checks[i].word, checks[i].other, true);
    }
}

static void stop(struct rig *rig)
{
    int status = 0;
    if (has_ended(rig)) {
        verify_bad(rig->v, "weir ended by itself:");
        show_log(rig, "", "", true);
        return;
    }
    kill(rig->pid, SIGTERM);
    for (int ms = 0; ms < END_MS; ms += 20) {
        if (waitpid(rig->pid, &status, WNOHANG) == rig->pid) {
            rig->pid = 0;
            break;
        }
        pause_ms(20);
    }
    if (rig->pid == 0 && status == 0) {
        verify_ok(rig->v, "it ends when weir ends");
        return;
    }
    verify_bad(rig->v, "weir does not end cleanly with this stage in it");
    if (rig->pid > 0)
        kill(rig->pid, SIGKILL);
}

static void clean(const struct rig *rig)
{
    static const char *const names[] = { "weir.yaml", "weir.sock", "admin.sock", "log" };
    char path[160];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", rig->folder, names[i]);
        unlink(path);
    }
    DIR *state = NULL;
    snprintf(path, sizeof path, "%s/state", rig->folder);
    if ((state = opendir(path))) {
        for (const struct dirent *e; (e = readdir(state));)
            unlinkat(dirfd(state), e->d_name, 0);
        closedir(state);
    }
    rmdir(path);
    rmdir(rig->folder);
}

void verify_stage(struct verify *v)
{
    struct rig rig = { .v = v, .folder = "/tmp/weir-verify-XXXXXX" };
    snprintf(rig.cases, sizeof rig.cases, "%s/conformance/stage", v->sdk);
    if (!mkdtemp(rig.folder)) {
        verify_bad(v, "no folder can be made in /tmp: %s", strerror(errno));
        return;
    }
    snprintf(rig.listen, sizeof rig.listen, "%s/weir.sock", rig.folder);
    snprintf(rig.admin, sizeof rig.admin, "%s/admin.sock", rig.folder);
    snprintf(rig.log, sizeof rig.log, "%s/log", rig.folder);
    if (start(&rig) == 0) {
        for (int i = 0; i < TWICE; i++) /* the second time meets what the first left in the stage */
            run_cases(&rig);
        run_at_once(&rig);
        check_calm(&rig);
        check_log(&rig);
        stop(&rig);
    }
    if (rig.pid > 0)
        waitpid(rig.pid, NULL, 0);
    clean(&rig);
}
