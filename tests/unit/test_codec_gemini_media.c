/* Images and log probabilities in answers: from Gemini to clients of every dialect and from other providers to Gemini's clients,
 * streamed and whole, each read back by the client's own dialect; and who can't say them, tells it. */
#include "codec_lab.h"
#include "test.h"

#define IMAGE "iVBORw0KGgo="
#define PART "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Here:\"},{\"inlineData\":{\"mimeType\":\"image/webp\",\"data\":\"" IMAGE "\"}"
#define ENDING "}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":4," \
               "\"candidatesTokenCount\":9},\"modelVersion\":\"m\",\"responseId\":\"r\"}"
#define PROBABLE                                                                                                       \
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\\u00e9\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"logprobsResult\":{"                \
    "\"chosenCandidates\":[{\"token\":\"Hi\",\"tokenId\":7,\"logProbability\":-0.25},{\"token\":\"\\u00e9\",\"tokenId\":8}],\"topCandidates\":["  \
    "{\"candidates\":[{\"token\":\"Hi\",\"tokenId\":7,\"logProbability\":-0.25},{\"token\":\"Ho\",\"tokenId\":9,\"logProbability\":-2}]},{"      \
    "\"candidates\":[{\"token\":\"\\u00e9\",\"tokenId\":8}]}]}}],\"modelVersion\":\"m\",\"responseId\":\"r\"}"

static struct conversation *asked_by(struct lab *l, const char *dialect, bool is_stream)
{
    struct conversation *c = conversation_new(l->arena, weir_cstr(dialect), WEIR_OP_CHAT, WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    if (is_stream)
        conversation_set_field(c, WEIR_FIELD_STREAM, WEIR_LIT("true"), WEIR_NONE);
    conversation_part(c, &conversation_message(c, WEIR_ROLE_USER)->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("q");
    return c;
}

/* What `provider` answers, as a client of the dialect `client` gets it. Lifetime: the lab's, which is handed out. */
static struct lab *crossed(const char *provider, const char *client, bool is_stream, const char *answer)
{
    struct lab *down = lab_begin(lab_plugin(client), 'i', NULL);
    down->conversation = asked_by(down, client, is_stream);
    struct lab *up = lab_begin(lab_plugin(provider), 'e', down->conversation);
    memset(lab_losses, 0, sizeof(lab_losses));
    up->encoder = is_stream ? down : NULL;
    CHECK_INT(lab_decode_answer(up, is_stream ? WEIR_FRAMING_SSE : WEIR_FRAMING_JSON, weir_cstr(answer), 0, true), 0);
    if (!is_stream) {
        struct scratch s = scratch_enter();
        CHECK_INT(down->codec->encode_answer(down->self, &down->call, down->state, collector_answer(up->collector), &down->told), 0);
        scratch_leave(s);
    }
    lab_end(up);
    return down;
}

/* The events that the client's dialect reads of what was told. */
static const char *read_back(const struct lab *down, bool is_stream, struct lab **back)
{
    const struct weir_codec *c = down->codec;
    struct lab *l = *back = lab_begin(down->plugin, 'e', down->conversation);
    CHECK_INT(lab_decode_answer(l, (enum weir_framing)(is_stream ? c->stream_framing : c->whole_framing), out_bytes(&down->told), 0, true), 0);
    return lab_cstr(l, out_bytes(&l->log));
}

static const char *told(const struct lab *l)
{
    return lab_cstr((struct lab *)(uintptr_t)l, out_bytes(&l->told));
}

static void image_reaches(const char *client, const char *written)
{
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        const char *answer = is_stream ? "data: " PART ENDING "\r\n\r\n" : PART ENDING;
        struct lab *down = crossed("gemini", client, is_stream, answer), *back;
        CHECK(strstr(told(down), written));
        if (!strstr(told(down), written))
            printf("  %s: %s\n", client, told(down));
        const char *log = read_back(down, is_stream, &back);
        CHECK(strstr(log, IMAGE));
        CHECK(strstr(log, "Here:"));
        lab_end(back);
        lab_end(down);
    }
}

TEST(images_reach_who_can_say_them)
{
    image_reaches("openai", "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/webp;base64," IMAGE "\"},\"index\":0}");
    image_reaches("responses", "\"status\":\"completed\",\"output_format\":\"webp\",\"result\":\"" IMAGE "\"}");
    image_reaches("gemini", "{\"inlineData\":{\"mimeType\":\"image/webp\",\"data\":\"" IMAGE "\"}}");
}

TEST(images_of_others_reach_clients_of_gemini)
{
    const char *want = "{\"inlineData\":{\"mimeType\":\"image/jpeg\",\"data\":\"" IMAGE "\"}}";
    const char *openai = "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x\",\"images\":[{"
                         "\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/jpeg;base64," IMAGE "\"}}]},\"finish_reason\":\"stop\"}]}";
    const char *chunk = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\",\"images\":[{\"type\":\"image_url\","
                        "\"image_url\":{\"url\":\"data:image/jpeg;base64," IMAGE "\"}}]},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    const char *responses = "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"m\",\"output\":[{\"type\":"
                            "\"image_generation_call\",\"id\":\"ig_1\",\"status\":\"completed\",\"output_format\":\"jpeg\",\"result\":\"" IMAGE "\"}]}";
    struct lab *whole = crossed("openai", "gemini", false, openai), *stream = crossed("openai", "gemini", true, chunk),
               *hosted = crossed("responses", "gemini", false, responses);
    CHECK(strstr(told(whole), want));
    CHECK(strstr(told(stream), want));
    CHECK(strstr(told(hosted), want));
    lab_end(whole);
    lab_end(stream);
    lab_end(hosted);
}

TEST(an_image_that_is_a_thought_or_no_image_stays_googles)
{
    struct lab *thought = crossed("gemini", "openai", false, PART ",\"thought\":true" ENDING), *back;
    CHECK(!strstr(told(thought), IMAGE));
    struct lab *own = crossed("gemini", "gemini", false, PART ",\"thought\":true" ENDING);
    CHECK(strstr(told(own), IMAGE) && strstr(told(own), "\"thought\":true"));
    CHECK(strstr(read_back(own, false, &back), "opaque") || strstr(lab_cstr(back, out_bytes(&back->log)), IMAGE));
    lab_end(thought);
    lab_end(back);
    lab_end(own);
}

TEST(a_signed_image_keeps_its_signature_with_its_own)
{
    struct lab *own = crossed("gemini", "gemini", true, "data: " PART ",\"thoughtSignature\":\"c2ln\"" ENDING "\n\n");
    CHECK(strstr(told(own), "\"data\":\"" IMAGE "\"},\"thoughtSignature\":\"c2ln\"}"));
    struct lab *other = crossed("gemini", "openai", false, PART ",\"thoughtSignature\":\"c2ln\"" ENDING);
    CHECK(strstr(told(other), IMAGE));
    CHECK_INT(lab_losses[WEIR_FEATURE_ANSWER_SIGNATURE], WEIR_LOSS_DROPPED);
    lab_end(own);
    lab_end(other);
}

static void probable_reaches(const char *client)
{
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        struct lab *down = crossed("gemini", client, is_stream, is_stream ? "data: " PROBABLE "\r\n\r\n" : PROBABLE), *back;
        const char *log = read_back(down, is_stream, &back);
        const struct weir_answer *a = collector_answer(back->collector);
        const char *first = "[{\"token\":\"Hi\",\"logprob\":-0.25,\"bytes\":[72,105]";
        struct weir_str got = WEIR_NONE;
        for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
            if (b->logprobs.n)
                got = b->logprobs;
        CHECK(got.n && strncmp(got.p, first, strlen(first)) == 0);
        CHECK(strstr(lab_cstr(back, got), "{\"token\":\"Ho\",\"logprob\":-2,\"bytes\":[72,111]"));
        CHECK(strstr(lab_cstr(back, got), "\"logprob\":0,\"bytes\":[195,169]"));
        CHECK_INT(lab_losses[WEIR_FEATURE_ANSWER_LOGPROBS], 0);
        if (!got.n)
            printf("  %s: %s\n%s", client, told(down), log);
        lab_end(back);
        lab_end(down);
    }
}

TEST(log_probabilities_reach_who_can_say_them)
{
    probable_reaches("openai");
    probable_reaches("responses");
    probable_reaches("ollama");
    probable_reaches("gemini");
}

TEST(numbers_of_tokens_stay_with_their_own)
{
    struct lab *own = crossed("gemini", "gemini", false, PROBABLE), *other = crossed("gemini", "openai", false, PROBABLE);
    CHECK(strstr(told(own), "\"chosenCandidates\":[{\"token\":\"Hi\",\"tokenId\":7,\"logProbability\":-0.25}"));
    CHECK(!strstr(told(other), "tokenId"));
    lab_end(own);
    lab_end(other);
}

TEST(log_probabilities_of_others_become_googles)
{
    const char *answer = "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"logprobs\":{"
                         "\"content\":[{\"token\":\"Hi\",\"logprob\":-0.5,\"bytes\":[72,105],\"top_logprobs\":[{\"token\":\"Ho\",\"logprob\":-1,"
                         "\"bytes\":null}]}]},\"finish_reason\":\"stop\"}]}";
    struct lab *l = crossed("openai", "gemini", false, answer);
    CHECK(strstr(told(l), "\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"Hi\",\"logProbability\":-0.5}],\"topCandidates\":[{"
                          "\"candidates\":[{\"token\":\"Ho\",\"logProbability\":-1}]}]}"));
    CHECK_INT(lab_losses[WEIR_FEATURE_ANSWER_LOGPROBS], 0);
    lab_end(l);
    const char *part = "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"logprobs\":{"
                       "\"content\":[{\"token\":\"\\\\xe2\\\\x80\",\"logprob\":-0.5,\"bytes\":[226,128],\"top_logprobs\":[]}]},"
                       "\"finish_reason\":\"stop\"}]}";
    l = crossed("openai", "gemini", false, part);
    CHECK_INT(lab_losses[WEIR_FEATURE_ANSWER_LOGPROBS], WEIR_LOSS_CHANGED);
    lab_end(l);
}

TEST(log_probabilities_are_asked_for)
{
    struct lab *up = lab_begin(lab_plugin("gemini"), 'e', NULL);
    struct conversation *c = up->conversation = asked_by(up, "openai", false);
    struct weir_out body = { 0 };
    memset(lab_losses, 0, sizeof(lab_losses));
    conversation_set_field(c, WEIR_FIELD_TOP_LOGPROBS, WEIR_LIT("3"), WEIR_NONE);
    struct scratch s = scratch_enter();
    CHECK_INT(up->codec->encode_request(up->self, &up->call, up->state, &c->view, &body), 0);
    CHECK(!strstr(lab_cstr(up, out_bytes(&body)), "ogprobs"));
    CHECK_INT(lab_losses[WEIR_FIELD_TOP_LOGPROBS], WEIR_LOSS_DROPPED);
    out_reset(&body, 0);
    conversation_set_field(c, WEIR_FIELD_LOGPROBS, WEIR_LIT("true"), WEIR_NONE);
    CHECK_INT(up->codec->encode_request(up->self, &up->call, up->state, &c->view, &body), 0);
    CHECK(strstr(lab_cstr(up, out_bytes(&body)), "\"responseLogprobs\":true,\"logprobs\":3"));
    scratch_leave(s);
    out_free(&body);
    lab_end(up);
}

TEST(an_answer_may_be_asked_for_again)
{
    struct lab *up = lab_begin(lab_plugin("gemini"), 'e', NULL);
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON, WEIR_LIT(PROBABLE), 0, true), 0);
    size_t n = collector_answer(up->collector)->blocks->logprobs.n;
    CHECK_INT(collector_answer(up->collector)->blocks->logprobs.n, n);
    lab_end(up);
}
