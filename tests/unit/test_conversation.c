/* Edits and the splices they become; what a conversation needs; the walk over its texts. */
#include "../../core/conversation.h"
#include "test.h"

static const char body[] = "{\"model\": \"fast\", \"messages\":[{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"}], \"max_tokens\":5 , \"zzz\":{\"k\":1}}";

static struct weir_str in_body(const char *what)
{
    const char *p = strstr(body, what);
    return (struct weir_str){ p, strlen(what) };
}

static struct conversation *make(struct arena *a, struct weir_part **part)
{
    struct conversation *c = conversation_new(a, WEIR_LIT("openai"), WEIR_OP_CHAT, weir_cstr(body));
    struct weir_str text = in_body("a \\\"b\\\"");
    conversation_set_field(c, WEIR_FIELD_MODEL, in_body("\"fast\""), in_body("\"fast\""));
    conversation_set_field(c, WEIR_FIELD_MAX_TOKENS, in_body("5"), in_body("5"));
    struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
    *part = conversation_part(c, &m->parts, WEIR_PART_TEXT);
    (*part)->text = (struct weir_text){ text.p, (uint32_t)text.n, WEIR_TEXT_ESCAPED };
    conversation_ext(c, WEIR_LIT("zzz"), in_body("{\"k\":1}"), in_body("\"zzz\":{\"k\":1}"));
    conversation_close(c);
    return c;
}

static const char *applied(struct arena *a, const struct edit *edits)
{
    struct splices s = { .arena = a };
    struct weir_str *pieces;
    uint32_t n;
    static char out[512];
    size_t at = 0;
    for (const struct edit *e = edits; e; e = e->next)
        CHECK(splices_place(&s, e, weir_cstr(body)));
    CHECK_INT(splices_apply(&s, weir_cstr(body), &pieces, &n), 0);
    for (uint32_t i = 0; i < n; i++) {
        memcpy(out + at, pieces[i].p, pieces[i].n);
        at += pieces[i].n;
    }
    out[at] = 0;
    return out;
}

TEST(one_edit_changes_its_span_only)
{
    struct arena *a = arena_new();
    struct weir_part *part;
    struct conversation *c = make(a, &part);
    CHECK_STR(applied(a, c->edits), body);
    CHECK_INT(conversation_edit_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"gpt\"")), 0);
    CHECK_STR(applied(a, c->edits), "{\"model\": \"gpt\", \"messages\":[{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"}], \"max_tokens\":5 , \"zzz\":{\"k\":1}}");
    CHECK_INT(conversation_edit_text(c, part, WEIR_LIT("x\ny")), 0);
    CHECK_INT(conversation_edit_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"gpt-2\"")), 0);
    CHECK_STR(applied(a, c->edits), "{\"model\": \"gpt-2\", \"messages\":[{\"role\":\"user\",\"content\":\"x\\ny\"}], \"max_tokens\":5 , \"zzz\":{\"k\":1}}");
    CHECK_INT(conversation_edit_field(c, WEIR_FIELD_MODEL, WEIR_LIT("not json")), -1);
    arena_free(a);
}

TEST(unknown_members_go_with_their_comma)
{
    struct arena *a = arena_new();
    struct weir_part *part;
    struct conversation *c = make(a, &part);
    CHECK_INT(conversation_drop_ext(c), 0);
    CHECK_STR(applied(a, c->edits), "{\"model\": \"fast\", \"messages\":[{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"}], \"max_tokens\":5 }");
    CHECK(c->view.ext == NULL);
    arena_free(a);
}

TEST(an_attempts_edits_leave_the_request_alone)
{
    struct arena *a = arena_new(), *attempt = arena_new();
    struct weir_part *part;
    struct conversation *c = make(a, &part);
    struct conversation_edits e = { 0 };
    CHECK_INT(attempt_edit_field(c, &e, attempt, WEIR_FIELD_MAX_TOKENS, WEIR_LIT("77")), 0);
    CHECK_INT(attempt_edit_text(c, &e, attempt, part, WEIR_LIT("mine")), 0);
    CHECK_INT(attempt_prepend_system(c, &e, attempt, WEIR_LIT("be kind")), 0);
    CHECK(weir_is(weir_field(&e.own->view, WEIR_FIELD_MAX_TOKENS), "77"));
    CHECK(weir_is(weir_field(&c->view, WEIR_FIELD_MAX_TOKENS), "5"));
    CHECK_INT(e.own->view.n_messages, 2);
    CHECK_INT(c->view.n_messages, 1);
    CHECK_INT(e.own->view.messages->role, WEIR_ROLE_SYSTEM);
    struct weir_part *own = e.own->view.messages->next->parts;
    CHECK(own != part && own->text.n == 4);
    CHECK_INT(part->text.form, WEIR_TEXT_ESCAPED);
    /* a further edit finds the attempt's part behind the prepended message, by either view */
    CHECK_INT(attempt_edit_text(c, &e, attempt, part, WEIR_LIT("again")), 0);
    CHECK(own->text.n == 5);
    CHECK_INT(attempt_edit_text(c, &e, attempt, own, WEIR_LIT("third!")), 0);
    CHECK(own->text.n == 6);
    arena_free(attempt);
    arena_free(a);
}

TEST(what_is_prepended_last_stands_first)
{
    struct arena *a = arena_new();
    struct splices s = { .arena = a };
    struct weir_str *pieces;
    uint32_t n;
    splices_add(&s, 1, 0, WEIR_LIT("first,"));
    splices_add(&s, 1, 0, WEIR_LIT("second,"));
    CHECK_INT(splices_apply(&s, weir_cstr(body), &pieces, &n), 0);
    CHECK(n == 4 && weir_is(pieces[1], "second,") && weir_is(pieces[2], "first,"));
    arena_free(a);
}

TEST(many_parts_in_turns_cost_no_walk)
{
    struct arena *a = arena_new();
    struct weir_part *part;
    struct conversation *c = make(a, &part);
    struct weir_message *m = conversation_message(c, WEIR_ROLE_TOOL);
    for (int i = 0; i < 200000; i++) { /* takes minutes if each walks the list */
        struct weir_part *result = conversation_part(c, &m->parts, WEIR_PART_TOOL_RESULT);
        CHECK(conversation_part(c, &result->parts, WEIR_PART_TEXT) != NULL);
    }
    int count = 0;
    for (const struct weir_part *p = m->parts; p; p = p->next)
        count += p->parts && !p->parts->next;
    CHECK_INT(count, 200000);
    arena_free(a);
}

TEST(overlapping_splices_are_refused)
{
    struct arena *a = arena_new();
    struct splices s = { .arena = a };
    struct weir_str *pieces;
    uint32_t n;
    splices_add(&s, 2, 5, WEIR_LIT("x"));
    splices_add(&s, 4, 5, WEIR_LIT("y"));
    CHECK_INT(splices_apply(&s, weir_cstr(body), &pieces, &n), -1);
    s.n = 0;
    splices_add(&s, sizeof(body), 5, WEIR_LIT("x"));
    CHECK_INT(splices_apply(&s, weir_cstr(body), &pieces, &n), -1);
    arena_free(a);
}

TEST(needs_follow_from_the_views)
{
    struct arena *a = arena_new();
    struct weir_part *part;
    struct conversation *c = make(a, &part);
    CHECK_INT(c->view.needs, 0);
    part->kind = WEIR_PART_IMAGE;
    part->url = WEIR_LIT("https://x/y.png");
    conversation_set_field(c, WEIR_FIELD_N, WEIR_LIT("2"), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_STREAM, WEIR_LIT("true"), WEIR_NONE);
    conversation_close(c);
    CHECK_INT(c->view.needs, WEIR_CAN_IMAGE_URL | WEIR_CAN_CHOICES | WEIR_CAN_STREAM);
    arena_free(a);
}

static bool gather(void *arg, struct weir_str where, const struct weir_text *t, struct weir_part *part)
{
    char *to = arg;
    snprintf(to + strlen(to), 256 - strlen(to), "%.*s=%.*s%s;", (int)where.n, where.p, (int)t->n, t->p, part ? "!" : "");
    return true;
}

TEST(every_text_is_walked_also_unknown_ones)
{
    char seen[256] = "";
    struct arena *a = arena_new();
    struct weir_part *part;
    struct conversation *c = make(a, &part);
    conversation_texts(c, a, gather, seen);
    CHECK_STR(seen, "messages[0].content[0]=a \\\"b\\\"!;settings=\"fast\";settings=5;zzz={\"k\":1};");
    arena_free(a);
}
