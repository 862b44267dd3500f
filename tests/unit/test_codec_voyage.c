/* The voyage codec: what its pairs don't show, and recorded embeddings. */
#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

static const struct weir_plugin *plugin;

static bool has_plugin(void)
{
    if (!plugin)
        plugin = lab_plugin("voyage");
    return plugin != NULL;
}

#define NEED_PLUGIN                                                                                                    \
    if (!has_plugin())                                                                                                 \
    SKIP("the codec is not built")

static struct weir_str str(const char *s)
{
    return (struct weir_str){ s, strlen(s) };
}

static struct lab *decoded_as(uint32_t operation, const char *body)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
    l->view.operation = operation;
    CHECK(lab_decode_request(l, str(body)) == 0 || l->has_failed);
    return l;
}

static void check_refused(uint32_t operation, const char *body, const char *param)
{
    struct lab *l = decoded_as(operation, body);
    CHECK(l->has_failed);
    CHECK_STR(lab_cstr(l, l->error.param), param);
    lab_end(l);
}

TEST(bad_requests_name_the_field)
{
    NEED_PLUGIN;
    check_refused(WEIR_OP_EMBED, "{\"input\":\"a\"}", "model");
    check_refused(WEIR_OP_EMBED, "{\"model\":\"m\"}", "input");
    check_refused(WEIR_OP_EMBED, "{\"model\":\"m\",\"input\":[]}", "input");
    check_refused(WEIR_OP_EMBED, "{\"model\":\"m\",\"input\":[1]}", "input[0]");
    check_refused(WEIR_OP_EMBED, "{\"model\":\"m\",\"input\":\"a\",\"output_dimension\":0}", "output_dimension");
    check_refused(WEIR_OP_EMBED, "{\"model\":\"m\",\"input\":\"a\",\"truncation\":\"END\"}", "truncation");
    check_refused(WEIR_OP_RERANK, "{\"model\":\"m\",\"documents\":[\"a\"]}", "query");
    check_refused(WEIR_OP_RERANK, "{\"model\":\"m\",\"query\":\"a\"}", "documents");
    check_refused(WEIR_OP_RERANK, "{\"model\":\"m\",\"query\":\"a\",\"documents\":[\"b\"],\"top_k\":1.5}", "top_k");
}

static const char *encoded(struct lab *up, struct conversation *c)
{
    struct weir_out out = { 0 };
    struct scratch s = scratch_enter();
    memset(lab_losses, 0, sizeof(lab_losses));
    conversation_close(c);
    int rc = plugin->codec->encode_request(up->self, &up->call, up->state, &c->view, &out);
    scratch_leave(s);
    const char *text = rc == 0 && out_complete(&out) ? lab_cstr(up, out_bytes(&out)) : "";
    out_free(&out);
    return text;
}

TEST(what_cannot_be_said_is_told_or_refused)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = conversation_new(up->arena, WEIR_LIT("other"), WEIR_OP_EMBED, WEIR_LIT("{}"));
    struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
    struct weir_part *p = conversation_part(c, &m->parts, WEIR_PART_TEXT);
    p->text = WEIR_TEXT("a");
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_INPUT_TYPE, WEIR_LIT("\"clustering\""), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_TRUNCATE, WEIR_LIT("\"start\""), WEIR_NONE);
    CHECK_STR(encoded(up, c), "{\"model\":\"m\",\"input\":[\"a\"],\"truncation\":true}");
    CHECK_INT(lab_losses[WEIR_FIELD_INPUT_TYPE], WEIR_LOSS_DROPPED);
    CHECK_INT(lab_losses[WEIR_FIELD_TRUNCATE], WEIR_LOSS_CHANGED);
    p->kind = WEIR_PART_IMAGE;
    CHECK_STR(encoded(up, c), "");
    CHECK_INT(up->error.error_class, WEIR_ERROR_UNSUPPORTED);
    lab_end(up);
}

static const char *told_to_client(struct lab *client, struct lab *up)
{
    struct weir_out out = { 0 };
    struct scratch s = scratch_enter();
    int rc =
        plugin->codec->encode_answer(client->self, &client->call, client->state, collector_answer(up->collector), &out);
    scratch_leave(s);
    const char *text = rc == 0 && out_complete(&out) ? lab_cstr(client, out_bytes(&out)) : "";
    out_free(&out);
    return text;
}

TEST(ranks_bring_the_documents_of_the_request)
{
    NEED_PLUGIN;
    struct lab *client = decoded_as(
        WEIR_OP_RERANK, "{\"model\":\"m\",\"documents\":[\"a\",\"b\"],\"query\":\"q\",\"return_documents\":true}");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    CHECK_STR(encoded(up, client->conversation), "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\",\"b\"]}");
    CHECK_INT(lab_decode_answer(
                  up, WEIR_FRAMING_JSON,
                  str("{\"data\":[{\"relevance_score\":0.5,\"index\":1},{\"index\":0,\"relevance_score\":1e-3}],"
                      "\"model\":\"m\",\"usage\":{\"total_tokens\":9}}"),
                  0, true),
              0);
    CHECK_STR(
        told_to_client(client, up),
        "{\"object\":\"list\",\"data\":[{\"relevance_score\":0.5,\"index\":1,\"document\":\"b\"},"
        "{\"relevance_score\":1e-3,\"index\":0,\"document\":\"a\"}],\"model\":\"m\",\"usage\":{\"total_tokens\":9}}");
    lab_end(up);
    lab_end(client);
}

TEST(what_is_no_answer_is_broken)
{
    NEED_PLUGIN;
    static const char *const bodies[] = { "{}", "{\"data\":[{}]}", "{\"data\":[{\"embedding\":7,\"index\":0}]}",
                                          "{\"data\":[{\"embedding\":[1],\"index\":-1}]}",
                                          "{\"data\":[{\"embedding\":[1]}" };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct lab *l = lab_begin(plugin, 'e', NULL);
        CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_JSON, str(bodies[i]), 0, true), -1);
        lab_end(l);
    }
}

struct tally {
    int seen, failed;
};

static void check_exchange(void *arg, const struct recording *r, const char *path)
{
    struct tally *t = arg;
    t->seen++;
    struct lab *client = lab_begin(plugin, 'i', NULL);
    client->view.operation = WEIR_OP_EMBED;
    int rc = lab_decode_request(client, r->request);
    struct lab *up = lab_begin(plugin, 'e', client->conversation),
               *again = lab_begin(plugin, 'e', client->conversation);
    rc |= lab_decode_answer(up, WEIR_FRAMING_JSON, r->response, 0, true);
    rc |= lab_decode_answer(again, WEIR_FRAMING_JSON, str(rc == 0 ? told_to_client(client, up) : ""), 0, true);
    if (rc != 0 || strcmp(dump_answer(up), dump_answer(again)) != 0) {
        t->failed++;
        printf("  %s\n", path);
    }
    lab_end(again);
    lab_end(up);
    lab_end(client);
}

TEST(recorded_embeddings)
{
    NEED_PLUGIN;
    struct tally t = { 0, 0 };
    if (recordings_each("voyage", check_exchange, &t) == 0)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    printf("  %d exchanges\n", t.seen);
    CHECK(t.seen > 0);
    CHECK_INT(t.failed, 0);
}
