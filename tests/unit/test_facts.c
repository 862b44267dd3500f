/* What is known of models: the table, its prices, what the configuration says of them. */
#include "config_lab.h"

#include <math.h>

static const char table[] = "# a comment\n"
                            "azure\teu/gpt\tchat\t8000\t100\tin=2 out=4\ttools\t-\t-\n"
                            "azure\tgpt\tchat\t8000\t100\tin=1 out=2\ttools,images\tjson_schema\t2026-02-27\n"
                            "groq\tllama\tchat\t131072\t-\tin=1 out=10 cached=0.5 write=1.25 write_1h=2 reasoning=20 "
                            "audio_in=100; >200k: in=3 out=30;"
                            " priority: in=7 out=70 cached=5; priority>200k: in=9 out=90\t-\ttools\t-\n"
                            "openai\tft:gpt-x\tchat\t1000\t10\tin=30 out=50\t-\t-\t-\n"
    "openai\tgpt-x\tchat\t1000\t10\tin=3 out=5\t-\t-\t-\n"
                            "openai\tnothing\tchat\t-\t-\t-\t-\t-\t-\n";

static struct arena *memory;
static char why[200];

static struct facts_table *open_text(const char *text)
{
    if (!memory)
        memory = arena_new();
    return facts_open(memory, weir_cstr(text), why, sizeof why);
}

static struct weir_usage usage(int64_t input, int64_t output)
{
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    u.input = input;
    u.output = output;
    return u;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

TEST(a_model_is_found_by_provider_name_and_region)
{
    struct facts_table *t = open_text(table);
    CHECK(t && facts_count(t) == 6);
    const struct model_facts *f = facts_find(t, "azure", "", WEIR_LIT("gpt"));
    CHECK(f && f->context_tokens == 8000 && f->output_tokens == 100 && f->n_prices == 1);
    CHECK(is_near(f->prices[0].usd[FACTS_INPUT], 1) && f->prices[0].usd[FACTS_CACHED] < 0);
    CHECK(f->can == (WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_URL | WEIR_CAN_IMAGE_INLINE));
    CHECK(f->lacks == WEIR_CAN_JSON_SCHEMA && weir_is(f->shown[3], "2026-02-27"));
    CHECK(f == facts_find(t, "azure", "us", WEIR_LIT("gpt"))); /* no price of that region: the plain one; read once */
    CHECK(is_near(facts_find(t, "azure", "eu", WEIR_LIT("gpt"))->prices[0].usd[FACTS_INPUT], 2));
    CHECK(!facts_find(t, "azure", "", WEIR_LIT("gp")) && !facts_find(t, "azure", "", WEIR_LIT("gpt2")));
    CHECK(!facts_find(t, "zzz", "", WEIR_LIT("gpt")) && !facts_find(NULL, "azure", "", WEIR_LIT("gpt")));
    CHECK(facts_find(t, "openai", "", WEIR_LIT("nothing"))->n_prices == 0);
    CHECK(facts_has_provider(t, WEIR_LIT("groq")) && !facts_has_provider(t, WEIR_LIT("gro")) &&
          !facts_has_provider(t, WEIR_LIT("zz")));
}

TEST(a_tuned_model_is_priced_as_what_it_was_tuned_from)
{
    struct facts_table *t = open_text(table);
    CHECK(facts_find(t, "openai", "", WEIR_LIT("ft:gpt-x:us::1")) == facts_find(t, "openai", "", WEIR_LIT("ft:gpt-x")));
    CHECK(facts_find(t, "openai", "eu", WEIR_LIT("ft:gpt-x:us::1")) && !facts_find(t, "openai", "", WEIR_LIT("ft:gpt-y:us::1")));
    CHECK(!facts_find(t, "openai", "", WEIR_LIT("ft:")) && !facts_find(t, "openai", "", WEIR_LIT("ft::")));
}

TEST(a_table_that_is_not_sorted_is_refused)
{
    CHECK(!open_text("b\tx\tchat\n"
                     "a\tx\tchat\n") &&
          strstr(why, "line 2 is out of order"));
    CHECK(!open_text("a\tx\tchat\na\tx\tchat\n") && strstr(why, "line 2"));
    CHECK(open_text("") && open_text("\n# only\n") && open_text("a\tb"));
    CHECK(facts_find(open_text("a\tb"), "a", "", WEIR_LIT("b"))->context_tokens == -1);
}

TEST(a_call_costs_what_its_tokens_cost)
{
    const struct model_facts *f = facts_find(open_text(table), "groq", "", WEIR_LIT("llama"));
    struct weir_usage u = usage(1000, 100);
    CHECK(f->n_prices == 4 && f->output_tokens == -1);
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u), 2000e-6));
    u.cached_read = 400; /* at half the price */
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u), 1800e-6));
    u.cached_write = 300; /* of them 100 for an hour: 300 plain + 200 + 200 * 1.25 + 100 * 2 */
    u.cached_write_1h = 100;
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u), (300 + 200 + 250 + 200 + 1000) / 1e6));
    u.reasoning = 50; /* at twice the price of the answer */
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u), (300 + 200 + 250 + 200 + 500 + 1000) / 1e6));
    u = usage(1000, 0);
    u.audio_input = 10;
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u), (990 + 1000) / 1e6));
}

TEST(tiers_have_their_own_prices)
{
    const struct model_facts *f = facts_find(open_text(table), "groq", "", WEIR_LIT("llama"));
    struct weir_usage u = usage(200000, 0);
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u), 0.2));
    u.input = 200001;
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u), 0.600003));
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_PRIORITY, &u), 9 * 0.200001));
    u = usage(100, 0);
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_PRIORITY, &u), 700e-6));
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_FLEX, &u), 100e-6)); /* none of its own */
    u.cached_read = 100;
    CHECK(is_near(facts_cost(f->prices, f->n_prices, FACTS_PRIORITY, &u), 500e-6));
}

TEST(what_is_not_known_costs_nothing_that_is_told)
{
    struct weir_usage u = usage(-1, 5);
    const struct model_facts *f = facts_find(open_text(table), "openai", "", WEIR_LIT("gpt-x"));
    CHECK(facts_cost(f->prices, f->n_prices, FACTS_STANDARD, &u) < 0);
    u = usage(5, 5);
    CHECK(facts_cost(NULL, 0, FACTS_STANDARD, &u) < 0);
}

/* ---- in a configuration ---- */

TEST(providers_take_the_table_under_their_own_name_or_what_they_say)
{
    set_up();
    write_file("lib/providers/models.tsv", table);
    const char *said =
        load("providers:\n  groq: { dialect: openai, base_url: 'http://h/v1', auth: none }\n"
             "  mine: { dialect: openai, base_url: 'http://h/v1', auth: none, prices: azure, lacks: [choices] }\n"
             "  other: { dialect: openai, base_url: 'http://h/v1', auth: none }\n"
             "  claude: { dialect: anthropic, auth: none }\n"
             "models:\n  groq/llama: { price: { input: 1, cached: 0.25 }, can: [tools], lacks: [images] }\n"
             "routes: [{ match: { path: /v1/* }, pipeline: [] }]\n");
    CHECK_STR(said, "");
    CHECK(config && config->facts);
    CHECK_STR(config->providers[0]->prices, "groq");
    CHECK_STR(config->providers[1]->prices, "azure");
    CHECK(config->providers[1]->lacks == WEIR_CAN_CHOICES);
    CHECK_STR(config->providers[2]->prices, "openai");
    CHECK(config->providers[3]->prices == NULL);
    const struct config_model *m = config->models[0];
    CHECK(m->n_targets == 1 && m->targets[0].provider == config->providers[0]);
    CHECK_STR(m->targets[0].model, "llama");
    CHECK(is_near(m->price.usd[FACTS_CACHED], 0.25) && m->price.usd[FACTS_OUTPUT] < 0);
    CHECK(m->can == (WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS) && m->lacks & WEIR_CAN_IMAGE_URL);
    unlink(in_folder("lib/providers/models.tsv"));
}

TEST(a_wrong_word_or_half_a_price_is_a_mistake)
{
    const char *said =
        load("providers: { o: { dialect: openai, base_url: 'http://h/v1', auth: none, lacks: [wings] } }\n"
             "models: { m: { targets: [o/x], price: { output: 3 } } }\n"
             "routes: [{ match: { path: /v1/* }, pipeline: [] }]\n");
    CHECK(!config && strstr(said, "there is no capability \"wings\"; there are tools|"));
    CHECK(strstr(said, "a price needs `input`"));
}

TEST(a_broken_table_is_told_with_its_path)
{
    set_up();
    write_file("lib/providers/models.tsv", "b\tx\n"
                                           "a\tx\n");
    const char *said = load("providers: { o: { dialect: openai, base_url: 'http://h/v1', auth: none } }\n"
                            "routes: [{ match: { path: /v1/* }, pipeline: [] }]\n");
    CHECK(!config && strstr(said, "models.tsv can't be read: line 2 is out of order"));
    unlink(in_folder("lib/providers/models.tsv"));
}
