/* The author's pairs: bytes of the dialect and, beside them, what they mean.
 *
 *      NAME.request.wire   NAME.answer.wire   NAME.stream.wire   NAME.STATUS.error.wire      each with ….canon
 *      NAME.embed.request.wire and so on: of another operation than chat
 *
 * Wire to meaning where the codec reads; meaning to wire where it only writes; where it does both, there and back again.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify_codec.h"

enum { PATHS = 4096 };

struct pair {
    const char *name;         /* of the wire file, for messages */
    char canon_path[PATHS + 300];
    struct weir_str wire, canon; /* canon.p NULL: there is none yet */
};

/* ---- the .canon file ---- */

static bool write_canon(struct codec_test *t, const struct pair *p, struct weir_str text)
{
    FILE *f = fopen(p->canon_path, "wxe");
    bool is_good = f && fwrite(text.p, 1, text.n, f) == text.n;
    if (f)
        is_good &= fclose(f) == 0;
    if (is_good)
        printf("      wrote %s\n", p->canon_path);
    else
        codec_bad(t, "%s can't be written: %s", p->canon_path, strerror(errno));
    return is_good;
}

/* One document, or a document a line. */
static bool check_meaning(struct codec_test *t, const struct pair *p, struct weir_str got, bool is_lines)
{
    if (!p->canon.p && t->v->writes)
        return write_canon(t, p, got);
    if (!p->canon.p) {
        codec_bad(t, "%s has no .canon file: `weir verify-plugin --write` writes it", p->name);
        return false;
    }
    if (is_lines ? codec_same_lines(got, p->canon) : codec_same_json(got, p->canon))
        return true;
    codec_bad(t, "%s means something else than its .canon file says", p->name);
    codec_show("the file says:", p->canon);
    codec_show("the codec says:", got);
    return false;
}

/* ---- requests ---- */

static bool request_there_and_back(struct codec_test *t, const struct pair *p, struct lab *first)
{
    struct weir_out wire = { 0 }, x = { 0 }, y = { 0 };
    struct lab *writer = lab_new(t->plugin, t->self, LAB_EGRESS), *again = lab_new(t->plugin, t->self, LAB_INGRESS);
    bool is_good = lab_encode_request(writer, first->conversation, &wire) == 0;
    lab_is_called(again, writer);
    is_good = is_good && lab_decode_request(again, out_bytes(&wire)) == 0;
    canon_conversation(first->arena, &first->conversation->view, &x);
    if (is_good)
        canon_conversation(again->arena, &again->conversation->view, &y);
    is_good = is_good && codec_same_request(out_bytes(&x), out_bytes(&y));
    if (!is_good) {
        codec_bad(t, "%s changes when it is written and read again", p->name);
        codec_show("before:", out_bytes(&x));
        codec_show("wire:", out_bytes(&wire));
        codec_show("after:", y.n ? out_bytes(&y) : weir_cstr(lab_why(again)));
    }
    lab_free(writer);
    lab_free(again);
    out_free(&wire);
    out_free(&x);
    out_free(&y);
    return is_good;
}

static bool read_request(struct codec_test *t, const struct pair *p)
{
    struct weir_out meaning = { 0 }, pretty = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_INGRESS);
    bool is_good = lab_decode_request(l, p->wire) == 0;
    if (!is_good) {
        codec_bad(t, "%s is refused: %s", p->name, lab_why(l));
    } else {
        canon_conversation(l->arena, &l->conversation->view, &meaning);
        canon_pretty(out_bytes(&meaning), &pretty);
        is_good = check_meaning(t, p, out_bytes(&pretty), false);
        codec_note_request(t, &l->conversation->view, true);
    }
    if (is_good && codec_writes_requests(t->plugin))
        is_good = request_there_and_back(t, p, l);
    lab_free(l);
    out_free(&meaning);
    out_free(&pretty);
    return is_good;
}

/* Only outward: the .canon file is what there is, the wire is what must come of it. */
static bool write_request(struct codec_test *t, const struct pair *p)
{
    struct weir_out out = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    const char *why = "it has no .canon file";
    struct conversation *c = p->canon.p ? parse_conversation(l->arena, "verify", p->canon, &why) : NULL;
    bool is_good = c && lab_encode_request(l, c, &out) == 0;
    if (!is_good) {
        codec_bad(t, "%s: %s", p->name, c ? lab_why(l) : why);
    } else if (!codec_same_json(out_bytes(&out), p->wire)) {
        codec_bad(t, "%s is not what the codec writes for its .canon file", p->name);
        codec_show("the file says:", p->wire);
        codec_show("the codec says:", out_bytes(&out));
        is_good = false;
    } else {
        codec_note_request(t, &c->view, false);
    }
    lab_free(l);
    out_free(&out);
    return is_good;
}

/* ---- answers ---- */

static bool read_answer(struct codec_test *t, const struct pair *p, bool is_whole)
{
    struct weir_out meaning = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct lab_answer answer = { .bytes = p->wire, .cut = p->wire.n, .is_whole = is_whole, .ends_clean = true };
    bool is_good = lab_decode_answer(l, &answer) == 0 && (l->has_ended || l->has_error);
    if (!is_good) {
        codec_bad(t, "%s is not read to its end: %s", p->name, l->broken_rule || l->error.error_class ? lab_why(l) : "no END");
    } else {
        canon_events(l->arena, l->events, &meaning);
        is_good = check_meaning(t, p, out_bytes(&meaning), true);
        codec_note_events(t, l->events, true);
    }
    if (is_good && l->has_ended)
        is_good = (is_whole || codec_cuts(t, p->name, p->wire, false)) && codec_truncations(t, p->name, p->wire, is_whole);
    lab_free(l);
    out_free(&meaning);
    return is_good;
}

static bool write_answer(struct codec_test *t, const struct pair *p, bool is_whole)
{
    struct weir_out out = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_INGRESS);
    struct lab_event *events = NULL;
    const char *why = "it has no .canon file";
    bool is_parsed = p->canon.p && parse_events(l->arena, p->canon, &events, &why);
    bool is_good = is_parsed && (is_whole ? lab_encode_answer(l, events, &out) : lab_encode_stream(l, events, &out)) == 0;
    if (!is_good) {
        codec_bad(t, "%s: %s", p->name, is_parsed ? lab_why(l) : why);
    } else if (is_whole ? !codec_same_json(out_bytes(&out), p->wire) : !weir_eq(out_bytes(&out), p->wire)) {
        codec_bad(t, "%s is not what the codec writes for its .canon file", p->name);
        codec_show("the file says:", p->wire);
        codec_show("the codec says:", out_bytes(&out));
        is_good = false;
    }
    lab_free(l);
    out_free(&out);
    return is_good;
}

static bool read_error(struct codec_test *t, const struct pair *p, int status)
{
    struct weir_out meaning = { 0 }, pretty = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct weir_error e;
    bool is_good = lab_decode_error(l, status, p->wire, &e) == 0;
    if (!is_good) {
        codec_bad(t, "%s: %s", p->name, lab_why(l));
    } else {
        canon_error(&e, &meaning);
        canon_pretty(out_bytes(&meaning), &pretty);
        is_good = check_meaning(t, p, out_bytes(&pretty), false);
    }
    lab_free(l);
    out_free(&meaning);
    out_free(&pretty);
    return is_good;
}

/* ---- the folder ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* NAME.429.error.wire */
static int status_of(const char *name)
{
    const char *dot = strstr(name, ".error.wire");
    return dot && dot - name >= 4 && dot[-4] == '.' ? atoi(dot - 3) : 500;
}

/* NAME.embed.answer.wire */
static uint32_t operation_of(const char *name)
{
    static const struct {
        const char *part;
        uint32_t operation;
    } parts[] = { { ".embed.", WEIR_OP_EMBED }, { ".rerank.", WEIR_OP_RERANK }, { ".count.", WEIR_OP_COUNT } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(name, parts[i].part))
            return parts[i].operation;
    return WEIR_OP_CHAT;
}

static bool run_pair(struct codec_test *t, const struct pair *p)
{
    bool is_whole = ends_with(p->name, ".answer.wire");
    codec_step(t, "%s", p->name);
    if (ends_with(p->name, ".request.wire")) {
        codec_seed(t, SEED_REQUEST, p->wire);
        return codec_reads_requests(t->plugin) ? read_request(t, p) : write_request(t, p);
    }
    if (ends_with(p->name, ".error.wire")) {
        codec_seed(t, SEED_ERROR, p->wire);
        return !t->plugin->codec.decode_error || read_error(t, p, status_of(p->name));
    }
    codec_seed(t, is_whole ? SEED_ANSWER : SEED_STREAM, p->wire);
    return codec_reads_answers(t->plugin) ? read_answer(t, p, is_whole) : write_answer(t, p, is_whole);
}

static void open_pair(struct codec_test *t, const char *folder, const char *name, bool *is_good)
{
    struct pair p = { .name = name };
    char path[PATHS + 300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(p.canon_path, sizeof p.canon_path, "%s/%.*s.canon", folder, (int)strlen(name) - 5, name);
    char *wire = verify_read(path, &p.wire.n), *canon = verify_read(p.canon_path, &p.canon.n);
    p.wire.p = wire;
    p.canon.p = canon;
    lab_operation(operation_of(name));
    *is_good = wire && run_pair(t, &p);
    lab_operation(WEIR_OP_CHAT);
    if (!wire)
        codec_bad(t, "%s can't be read: %s", path, strerror(errno));
    free(wire);
    free(canon);
}

static int is_wire(const struct dirent *e)
{
    return ends_with(e->d_name, ".request.wire") || ends_with(e->d_name, ".answer.wire") || ends_with(e->d_name, ".stream.wire") ||
           ends_with(e->d_name, ".error.wire");
}

void codec_pairs(struct codec_test *t)
{
    struct dirent **list = NULL;
    char folder[PATHS];
    const char *slash = strrchr(t->v->path, '/');
    snprintf(folder, sizeof folder, "%.*s/tests", slash ? (int)(slash - t->v->path) : 1, slash ? t->v->path : ".");
    if (t->v->tests)
        snprintf(folder, sizeof folder, "%s", t->v->tests);
    int n = scandir(folder, &list, is_wire, alphasort);
    uint32_t n_good = 0;
    for (int i = 0; i < n; i++) {
        bool is_good = false;
        open_pair(t, folder, list[i]->d_name, &is_good);
        n_good += is_good;
        free(list[i]);
    }
    free(list);
    if (n <= 0)
        printf("      no pairs in %s: what the bytes of the dialect mean is not tested\n", folder);
    else if (n_good == (uint32_t)n)
        codec_ok(t, "%d pairs of %s", n, folder);
}
