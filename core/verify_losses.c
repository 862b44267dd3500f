/* Does a codec's table `says` tell the truth? Settings of a dialect that nobody has go out one by one and are read again, where the
 * codec reads requests; answers end for every reason. lose() may name only what the table calls PARTLY.
 */
#include <stdio.h>

#include "verify_codec.h"

struct field_sample {
    uint32_t field;
    const char *json;
};
static const struct field_sample fields[] = {
    { WEIR_FIELD_MAX_TOKENS, "77" },
    { WEIR_FIELD_TEMPERATURE, "0.5" },
    { WEIR_FIELD_TOP_P, "0.25" },
    { WEIR_FIELD_TOP_K, "7" },
    { WEIR_FIELD_STOP, "[\"the_stop\"]" },
    { WEIR_FIELD_N, "2" },
    { WEIR_FIELD_SEED, "4711" },
    { WEIR_FIELD_FREQUENCY_PENALTY, "0.5" },
    { WEIR_FIELD_PRESENCE_PENALTY, "0.5" },
    { WEIR_FIELD_LOGIT_BIAS, "{\"50256\":-100}" },
    { WEIR_FIELD_LOGPROBS, "true" },
    { WEIR_FIELD_USER, "\"the_user\"" },
    { WEIR_FIELD_METADATA, "{\"k\":\"v\"}" },
    { WEIR_FIELD_REASONING_EFFORT, "\"low\"" },
    { WEIR_FIELD_VERBOSITY, "\"low\"" },
};

static struct conversation *made(struct lab *l, const struct field_sample *s)
{
    const char *why;
    struct weir_str text = arena_printf(l->arena,
                                        "{\"fields\":{\"model\":\"m\",\"%s\":%s},\"messages\":[{\"role\":\"user\","
                                        "\"parts\":[{\"kind\":\"text\",\"text\":\"Hello.\"}]}]}",
                                        feature_name(s->field), s->json);
    return parse_conversation(l->arena, "nobody", text, &why);
}

static bool is_back(struct codec_test *t, const struct field_sample *s, struct weir_str wire, bool *was_read)
{
    struct lab *reader = lab_new(t->plugin, t->self, LAB_INGRESS);
    *was_read = lab_decode_request(reader, wire) == 0;
    struct weir_str json = *was_read ? weir_field(&reader->conversation->view, (enum weir_field)s->field) : WEIR_NONE;
    bool is_same = json.n && codec_same_json(json, weir_cstr(s->json));
    lab_free(reader);
    return is_same;
}

static bool check_field(struct codec_test *t, const struct field_sample *s)
{
    struct weir_out wire = { 0 };
    uint8_t saying = t->plugin->says.saying[s->field];
    struct lab *writer = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct conversation *c = made(writer, s);
    const char *wrong = NULL;
    bool was_read = false;
    codec_step(t, "%s of another dialect", feature_name(s->field));
    bool is_written = c && lab_encode_request(writer, c, &wire) == 0;
    if (is_written && codec_reads_requests(t->plugin)) {
        bool came_back = is_back(t, s, out_bytes(&wire), &was_read);
        if (was_read && !came_back && saying == WEIR_SAYS)
            wrong = "the table `says` it, and it does not come back";
        if (came_back && !saying)
            wrong = "it is written, and the table `says` does not declare it";
    }
    if (!is_written && saying == WEIR_SAYS)
        wrong = "the table `says` it, and it is refused";
    if (wrong)
        codec_bad(t, "%s %s: %s", feature_name(s->field), s->json, wrong);
    lab_free(writer);
    out_free(&wire);
    return !wrong;
}

static void end_answer(struct codec_test *t, uint32_t finish)
{
    static const struct weir_event start = { .size = sizeof start, .kind = WEIR_EVENT_START },
                                   end = { .size = sizeof end, .kind = WEIR_EVENT_END };
    struct weir_event reason = { .size = sizeof reason, .kind = WEIR_EVENT_FINISH, .finish = (uint16_t)finish };
    struct lab_event last = { NULL, end }, middle = { &last, reason }, first = { &middle, start };
    struct weir_out out = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_INGRESS);
    codec_step(t, "an answer that ends for reason %u", finish);
    lab_encode_stream(l, &first, &out);
    lab_free(l);
    out_free(&out);
}

void codec_losses(struct codec_test *t)
{
    bool is_good = true;
    if (!t->plugin->says.is_declared) {
        printf("      no table `says`: weir can't tell what a translation to or from this dialect loses\n");
        return;
    }
    for (size_t i = 0; codec_writes_requests(t->plugin) && i < sizeof fields / sizeof *fields; i++)
        is_good &= check_field(t, &fields[i]);
    for (uint32_t f = WEIR_FINISH_STOP; codec_writes_answers(t->plugin) && f <= WEIR_FINISH_OTHER; f++)
        end_answer(t, f);
    struct features wrong = lab_wrong_losses();
    for (uint32_t i; (i = features_take(&wrong)) < WEIR_FEATURES; is_good = false)
        codec_bad(t, "lose() names %s, which the table `says` does not call PARTLY", feature_name(i));
    if (is_good)
        codec_ok(t, "the table `says` holds for settings and reasons");
}
