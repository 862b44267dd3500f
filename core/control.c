/* The admin socket: a few short HTTP exchanges over a unix socket that only its owner may open.
 *
 * What is in shared memory the master answers itself; what only workers know it asks them, over their control channels,
 * and whoever has not answered within ASK_MS is shown as silent: a hung worker can't hold up the answer. A connection
 * that sends or reads slowly is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "master_parts.h"
#include "recording.h"

enum { CONNECTIONS = 32, HEAD_MAX = 8192, ASK_MS = 500, IDLE_MS = 10 * 1000, RELOAD_MS = 90 * 1000 };

enum conn_state { CONN_NONE = 0, CONN_READING, CONN_ASKING, CONN_RELOADING, CONN_WRITING };

struct conn {
    enum conn_state state;
    int fd;
    int64_t until_ms;
    char head[HEAD_MAX];
    size_t head_n;
    uint32_t id;                    /* of the question to the workers */
    bool wants_calls_only;          /* /debug/requests */
    bool is_asked[SHM_SLOTS];
    char *details[SHM_SLOTS];
    uint32_t n_missing;
    uint32_t ticket;                /* of the reload */
    char *out;
    size_t out_n, out_done;
};
static struct conn conns[CONNECTIONS];
static uint32_t last_id;

/* ---- the socket ---- */

int control_open(const char *path, char *why, size_t n)
{
    if (path[0] == 0 || (master.admin_fd >= 0 && strcmp(path, master.admin_path) == 0))
        return 0;
    int fd = listen_unix(path, 0600, why, n);
    if (fd < 0)
        return -1;
    if (master.admin_fd >= 0) {
        close(master.admin_fd);
        unlink(master.admin_path);
    }
    master.admin_fd = fd;
    snprintf(master.admin_path, sizeof master.admin_path, "%s", path);
    return 0;
}

static void close_conn(struct conn *c)
{
    for (uint32_t i = 0; i < SHM_SLOTS; i++)
        free(c->details[i]);
    free(c->out);
    close(c->fd);
    memset(c, 0, sizeof *c);
    c->fd = -1;
}

void control_close(void)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        if (conns[i].state != CONN_NONE)
            close_conn(&conns[i]);
    if (master.admin_fd < 0)
        return;
    close(master.admin_fd);
    unlink(master.admin_path);
    master.admin_fd = -1;
}

/* ---- answering ---- */

static const char *reason(int status)
{
    return status == 200 ? "OK" : status == 404 ? "Not Found" : status == 405 ? "Method Not Allowed"
         : status == 422 ? "Unprocessable Content" : status == 400 ? "Bad Request" : "Internal Server Error";
}

static void write_on(struct conn *c)
{
    while (c->out_done < c->out_n) {
        ssize_t n = send(c->fd, c->out + c->out_done, c->out_n - c->out_done, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != EINTR)
            break;
        c->out_done += n > 0 ? (size_t)n : 0;
    }
    close_conn(c);
}

static void answer(struct conn *c, int status, const char *type, const char *body, size_t n)
{
    FILE *out = open_memstream(&c->out, &c->out_n);
    if (!out) {
        close_conn(c);
        return;
    }
    fprintf(out, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n", status, reason(status), type, n);
    fputs("cache-control: no-store\r\nconnection: close\r\n\r\n", out);
    fwrite(body, 1, n, out);
    fclose(out);
    c->state = CONN_WRITING;
    c->until_ms = master_now_ms() + IDLE_MS;
    write_on(c);
}

static void answer_text(struct conn *c, int status, const char *text)
{
    answer(c, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void answer_metrics(struct conn *c)
{
    size_t capacity = metrics_text(NULL, 0) + 65536;
    char *text = malloc(capacity);
    size_t n = text ? metrics_text(text, capacity) : 0;
    if (text)
        answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", text, n < capacity ? n : capacity - 1);
    else
        close_conn(c);
    free(text);
}

/* ---- asking the workers ---- */

static void finish_asking(struct conn *c)
{
    char *text = c->wants_calls_only ? control_requests_json(c->details) : control_status_json(c->details);
    if (text)
        answer(c, 200, "application/json", text, strlen(text));
    else
        close_conn(c);
    free(text);
}

static void ask_workers(struct conn *c, bool wants_calls_only)
{
    c->state = CONN_ASKING;
    c->until_ms = master_now_ms() + ASK_MS;
    c->id = ++last_id;
    c->wants_calls_only = wants_calls_only;
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++) {
            struct process *p = &master.generations[i].workers[k];
            bool is_asked = p->state == PROCESS_READY && channel_send(&p->channel, CHANNEL_STATUS, c->id, NULL, 0) == 0;
            c->is_asked[p->slot] = is_asked;
            c->n_missing += is_asked;
        }
    if (c->n_missing == 0)
        finish_asking(c);
}

static void answer_came(struct conn *c, uint32_t slot, char *text)
{
    if (c->state != CONN_ASKING || !c->is_asked[slot])
        return;
    c->is_asked[slot] = false;
    c->details[slot] = text;
    if (--c->n_missing == 0)
        finish_asking(c);
}

void control_answered(struct process *p, uint32_t id, const char *json, size_t n)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        if (conns[i].state == CONN_ASKING && conns[i].id == id && conns[i].is_asked[p->slot])
            answer_came(&conns[i], p->slot, strndup(json, n));
}

void control_process_gone(const struct process *p)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        answer_came(&conns[i], p->slot, NULL);
}

/* ---- reload ---- */

static void begin_reload(struct conn *c)
{
    if (master.phase != MASTER_RUNNING) {
        answer_text(c, 422, "weir is about to end: nothing is reloaded\n");
        return;
    }
    c->state = CONN_RELOADING;
    c->until_ms = master_now_ms() + RELOAD_MS;
    c->ticket = master_reload();
}

static void answer_reload(struct conn *c)
{
    char text[MASTER_TEXT + 64];
    const struct generation *live = generation_live();
    size_t length = strlen(master.reload_text);
    const char *newline = length && master.reload_text[length - 1] != '\n' ? "\n" : "";
    if (master.was_reload_ok)
        snprintf(text, sizeof text, "%s%sgeneration %u is live\n", master.reload_text, newline,
                 live ? live->number : 0);
    else
        snprintf(text, sizeof text, "%s%snothing has changed: generation %u goes on\n", master.reload_text, newline,
                 live ? live->number : 0);
    answer_text(c, master.was_reload_ok ? 200 : 422, text);
}

void control_reloaded(void)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        if (conns[i].state == CONN_RELOADING && master.reloads_done >= conns[i].ticket)
            answer_reload(&conns[i]);
}

/* ---- recording ---- */

/* Where it goes to is written in hex: a path may hold anything. false: that is none. */
static bool read_path(const char *hex, char *to, size_t n)
{
    unsigned byte;
    size_t k = 0;
    for (; hex[2 * k] && hex[2 * k] != ' ' && k + 1 < n; k++) {
        if (sscanf(hex + 2 * k, "%2x", &byte) != 1 || !byte)
            return false;
        to[k] = (char)byte;
    }
    to[k] = 0;
    return k && hex[2 * k] == ' ';
}

static void begin_record(struct conn *c)
{
    char path[RECORDING_PATH], text[RECORDING_PATH + 128];
    const char *query = strchr(c->head, '?'), *hex = query ? strstr(query, "&file=") : NULL;
    int64_t until_ms;
    uint64_t max;
    int contents;
    if (!hex || sscanf(query, "?until_ms=%" SCNd64 "&max=%" SCNu64 "&contents=%d", &until_ms, &max, &contents) != 3 ||
        !read_path(hex + 6, path, sizeof(path)) || path[0] != '/') {
        answer_text(c, 400, "this is no recording that could begin: use `weir record`\n");
        return;
    }
    int fd = recording_state().is_on ? -1 : open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        if (recording_state().is_on)
            snprintf(text, sizeof(text), "another recording is under way: one at a time\n");
        else
            snprintf(text, sizeof(text), "the weir that runs can't write to %s: %s\n", path, strerror(errno));
        answer_text(c, 422, text);
        return;
    }
    close(fd);
    recording_set(path, until_ms, max, contents != 0);
    answer_text(c, 200, "recording\n");
}

static void control_record(struct conn *c, bool begins, bool ends)
{
    char text[200];
    if (begins) {
        begin_record(c);
        return;
    }
    if (ends)
        recording_set("", 0, 0, false);
    struct recording_state s = recording_state();
    snprintf(text, sizeof(text), "{\"is_on\":%s,\"requests\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"dropped\":%" PRIu64 "}\n",
             s.is_on ? "true" : "false", s.requests, s.bytes, s.dropped);
    answer(c, 200, "application/json", text, strlen(text));
}

/* ---- requests ---- */

static void dispatch(struct conn *c)
{
    static const struct { const char *method, *path; } pages[] = {
        { "GET", "/metrics" }, { "GET", "/status" }, { "GET", "/debug/requests" }, { "POST", "/reload" },
        { "POST", "/record" },
        { "POST", "/record/stop" },
        { "GET", "/record/state" },
    };
    char method[16], path[128];
    int page = -1;
    if (sscanf(c->head, "%15s %127[^ ?]", method, path) != 2) {
        answer_text(c, 400, "this is no HTTP request\n");
        return;
    }
    for (int i = 0; i < 7; i++)
        page = strcmp(path, pages[i].path) == 0 ? i : page;
    if (page < 0)
        answer_text(c, 404, "there is GET /metrics, GET /status, GET /debug/requests, POST /reload, POST /record, POST /record/stop and "
                            "GET /record/state\n");
    else if (strcmp(method, pages[page].method))
        answer_text(c, 405, pages[page].method[0] == 'P' ? "use POST\n" : "use GET\n");
    else if (page == 0)
        answer_metrics(c);
    else if (page == 3)
        begin_reload(c);
    else if (page >= 4)
        control_record(c, page == 4, page == 5);
    else
        ask_workers(c, page == 2);
}

/* A peer that closes its side after the question (nc) still gets its answer, one that is gone shows when it is
 * written. */
static void read_on(struct conn *c)
{
    ssize_t n = recv(c->fd, c->head + c->head_n, sizeof c->head - 1 - c->head_n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_conn(c);
        return;
    }
    c->head_n += (size_t)n;
    c->head[c->head_n] = 0;
    if (strstr(c->head, "\r\n\r\n") || strstr(c->head, "\n\n"))
        dispatch(c);
    else if (c->head_n == sizeof c->head - 1)
        answer_text(c, 400, "the head of this request is too large\n");
}

static void accept_one(void)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct conn *c = &conns[i];
        if (c->state != CONN_NONE)
            continue;
        int fd = accept4(master.admin_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        memset(c, 0, sizeof *c);
        c->fd = fd;
        c->state = CONN_READING;
        c->until_ms = master_now_ms() + IDLE_MS;
        return;
    }
}

/* ---- the master's loop ---- */

static bool has_room(void)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        if (conns[i].state == CONN_NONE)
            return true;
    return false;
}

uint32_t control_poll(struct pollfd *fds, uint32_t capacity)
{
    uint32_t n = 0;
    if (master.admin_fd >= 0 && capacity > 0 && has_room())
        fds[n++] = (struct pollfd){ master.admin_fd, POLLIN, 0 };
    for (uint32_t i = 0; i < CONNECTIONS && n < capacity; i++)
        if (conns[i].state == CONN_READING || conns[i].state == CONN_WRITING)
            fds[n++] = (struct pollfd){ conns[i].fd, conns[i].state == CONN_READING ? POLLIN : POLLOUT, 0 };
    return n;
}

static void handle_conn(int fd)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct conn *c = &conns[i];
        if (c->state == CONN_NONE || c->fd != fd)
            continue;
        if (c->state == CONN_READING)
            read_on(c);
        else if (c->state == CONN_WRITING)
            write_on(c);
        return;
    }
}

void control_handle(const struct pollfd *fds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!fds[i].revents)
            continue;
        if (fds[i].fd == master.admin_fd)
            accept_one();
        else
            handle_conn(fds[i].fd);
    }
}

void control_tick(int64_t now_ms)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct conn *c = &conns[i];
        if (c->state == CONN_NONE || now_ms < c->until_ms)
            continue;
        if (c->state == CONN_ASKING)
            finish_asking(c);
        else
            close_conn(c);
    }
}
