/* The file's bounds as workers keep them, and what a player says of a recording: what is there as it was, what is not as lacking. */
#include <sys/stat.h>
#include <unistd.h>

#include "../../core/clock.h"
#include "../../core/recording.h"
#include "../../core/shm_layout.h"
#include "../../core/pipeline.h"
#include "test.h"

static const char rule_text[] =
    "{\"headers\":{\"x-a\":\"1\",\"x-none\":null},\"header_names\":[\"x-a\",\"x-b\"],\"shared\":{\"k\":\"\\\"v\\\"\",\"no\":null},"
    "\"tokens\":42,\"complexity\":[0.5,1,2,3,4,5,6,7,8,9,10,11,12],\"named\":{\"c/m\":null},\"candidates\":[],"
    "\"http\":[{\"method\":\"GET\",\"url\":\"http://x/\",\"status\":200,\"body\":\"b\","
    "\"body_sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}]}";

static struct recording_player player;

static void play(bool has_contents)
{
    static json_t *rule;
    if (!rule)
        rule = json_loads(rule_text, 0, NULL);
    player = (struct recording_player){ .rule = rule, .has_contents = has_contents };
    recording_player = &player;
}

static struct weir_str header(const char *name)
{
    static struct arena *arena; /* as long as what comes of it */
    arena = arena ? arena : arena_new();
    struct weir_call call = { .arena = arena };
    return recording_player_tap.header(&call, weir_cstr(name), WEIR_LIT("of now"));
}

TEST(a_header_is_as_it_was_or_lacking)
{
    play(false);
    CHECK(weir_is(header("X-A"), "1") && !header("x-none").n && !header("x-never-there").n);
    CHECK_STR(player.undecidable, "");
    CHECK(!header("x-b").n);
    CHECK_STR(player.undecidable, "the header x-b");
    header("x-a");
    recording_player_tap.content();
    CHECK_STR(player.undecidable, "the header x-b"); /* the first is told */
}

TEST(contents_lack_unless_they_were_recorded)
{
    play(false);
    recording_player_tap.content();
    CHECK(player.undecidable[0]);
    play(true);
    recording_player_tap.content();
    CHECK_STR(player.undecidable, "");
}

TEST(shared_that_nobody_read_is_lacking)
{
    play(false);
    recording_player_tap.shared(WEIR_LIT("k"), WEIR_LIT("1"));
    recording_player_tap.shared(WEIR_LIT("no"), WEIR_NONE);
    CHECK_STR(player.undecidable, "");
    recording_player_tap.shared(WEIR_LIT("other"), WEIR_NONE);
    CHECK_STR(player.undecidable, "shared \"other\"");
}

TEST(figures_are_those_of_the_recording)
{
    struct weir_complexity k;
    play(false);
    CHECK_INT(recording_player_tap.tokens(7), 42);
    CHECK(recording_player_tap.complexity(false, &k) && k.score == 0.5 && k.words == 1 && k.images == 12);
}

TEST(a_target_that_was_unknown_is_unknown_and_one_never_named_is_lacking)
{
    play(false);
    CHECK(!recording_player_tap.candidate(NULL, WEIR_LIT("c/m"), NULL));
    CHECK_STR(player.undecidable, "");
    CHECK(!recording_player_tap.candidate(NULL, WEIR_LIT("d/m"), NULL));
    CHECK_STR(player.undecidable, "the target d/m");
}

TEST(a_fetch_is_found_by_all_that_it_asked)
{
    struct weir_str other = WEIR_LIT("x");
    struct egress_request q = { .method = "GET", .url = "http://x/" };
    play(false);
    CHECK(recording_player_fetch(&q) && !player.undecidable[0]);
    q.body = &other;
    q.n_body = 1;
    CHECK(!recording_player_fetch(&q) && player.undecidable[0]);
    play(false);
    q = (struct egress_request){ .method = "POST", .url = "http://x/" };
    CHECK(!recording_player_fetch(&q) && player.undecidable[0]);
}

TEST(a_recording_ends_by_itself_and_counts_anew)
{
    recording_set("/nowhere/at/all", unix_ms() + 60000, 1000, false);
    CHECK(recording_state().is_on && recording_state().requests == 0);
    recording_set("/nowhere/at/all", unix_ms() - 1, 1000, false);
    CHECK(!recording_state().is_on);
    recording_set("/nowhere/at/all", unix_ms() + 60000, 1000, false);
    recording_set("", 0, 0, false);
    CHECK(!recording_state().is_on);
}
