/* What a translation could not say as it was meant: found here, kept with its attempt, told by a header and the record.
 *
 * Who decides what:
 *   - A codec's table (`says`) and the features that a conversation or an answer uses: what is used and not in the table was
 *     dropped; CHANGED and EMULATED are told as such; of PARTLY the codec tells itself, with lose().
 *   - `on_loss` (of the candidate, else the route, else the configuration) says whether a loss of the request forbids the target.
 *     What the table alone tells is known before the target is tried (candidates.c asks), the rest when the request is encoded.
 *   - Capabilities (`needs`, candidates.c) decide about what can't be left out at all, whatever `on_loss` says: contents, tools,
 *     and what the model behind the target lacks. What is only a setting of the dialect (n, response_format, logprobs) is left
 *     to this file where the codec has a table.
 *   - Losses of an answer are only told: it has been paid for.
 * Towards the client's own dialect nothing is translated: the table is not asked, and lose() may name anything.
 */
#include <stdio.h>

#include "log.h"
#include "pipeline.h"

enum { EXT_MAX = 1000, HEADER_MAX = 1024 };

/* ---- the rule ---- */

enum config_on_loss losses_rule(const struct request *r, const struct candidate *c)
{
    if (c && c->view.flags & WEIR_CANDIDATE_LOSS_ALLOW)
        return CONFIG_LOSS_ALLOW;
    if (c && c->view.flags & WEIR_CANDIDATE_LOSS_WARN)
        return CONFIG_LOSS_WARN;
    if (c && c->view.flags & WEIR_CANDIDATE_LOSS_REFUSE)
        return CONFIG_LOSS_REFUSE;
    if (r->route && r->route->on_loss)
        return r->route->on_loss;
    return worker->config->on_loss ? worker->config->on_loss : CONFIG_LOSS_DEFAULT;
}

/* What changes the meaning of a request when it is left out or said otherwise. */
static bool is_meaning(uint32_t feature)
{
    switch (feature) {
    case WEIR_FEATURE_TOOLS:
    case WEIR_FEATURE_TOOL_OPAQUE:
    case WEIR_FIELD_TOOL_CHOICE:
    case WEIR_FIELD_RESPONSE_FORMAT:
    case WEIR_FIELD_N:
    case WEIR_FIELD_STOP:
    case WEIR_FIELD_MODALITIES:
        return true;
    default:
        return false;
    }
}

static bool is_forbidden(enum config_on_loss rule, uint32_t feature, uint32_t what)
{
    if (what != WEIR_LOSS_DROPPED && what != WEIR_LOSS_CHANGED)
        return false;
    return rule == CONFIG_LOSS_REFUSE || (rule == CONFIG_LOSS_DEFAULT && is_meaning(feature));
}

/* ---- refusing a target ---- */

struct refusal {
    struct request *r;
    struct weir_str words; /* "n (dropped), stop (dropped: …)" */
};

static void refuse_for(struct refusal *f, uint32_t feature, uint32_t what, struct weir_str why)
{
    const char *name = feature_name(feature);
    if (!f->r->lost_feature)
        f->r->lost_feature = name;
    f->words =
        arena_printf(f->r->arena, "%.*s%s%s (%s%s%.*s)", (int)f->words.n, f->words.p ? f->words.p : "",
                     f->words.n ? ", " : "", name, loss_name(what), why.n ? ": " : "", (int)why.n, why.p ? why.p : "");
}

static struct weir_str sentence_of(const struct refusal *f)
{
    return f->words.n ? arena_printf(f->r->arena, "it would lose %.*s", (int)f->words.n, f->words.p) : WEIR_NONE;
}

/* What the candidate's own changes of fields ask for, or no longer ask for. */
static void apply_edits(struct features *used, const struct edit *e)
{
    for (; e; e = e->next) {
        if (e->kind != WEIR_EDIT_FIELD || e->field >= WEIR_FEATURE_NONE)
            continue;
        used->bits[0] &= ~(UINT64_C(1) << e->field);
        if (feature_is_asked(e->field, e->value))
            features_add(used, e->field);
    }
}

static struct features used_by(const struct conversation *c)
{
    struct features used = features_of_fields(&c->view);
    used.bits[0] |= c->content.bits[0];
    used.bits[1] |= c->content.bits[1];
    if (c->unread)
        features_add(&used, WEIR_FEATURE_EXT);
    return used;
}

/* What will be fetched is said, by other means. */
static void forget_media(struct features *used, uint32_t replaced)
{
    if (replaced & WEIR_CAN_IMAGE_URL)
        used->bits[1] &= ~(UINT64_C(1) << (WEIR_FEATURE_IMAGE_URL - 64));
    if (replaced & WEIR_CAN_FILE_URL)
        used->bits[1] &= ~(UINT64_C(1) << (WEIR_FEATURE_FILE_URL - 64));
}

struct weir_str losses_forbid(struct request *r, const struct candidate *c)
{
    const struct plugin *codec = c->provider->codec;
    struct refusal f = { r, WEIR_NONE };
    enum config_on_loss rule = losses_rule(r, c);
    if (!r->conversation || !codec->says.is_declared || codec == r->codec->plugin || rule == CONFIG_LOSS_WARN ||
        rule == CONFIG_LOSS_ALLOW)
        return WEIR_NONE;
    struct features used = used_by(r->conversation);
    apply_edits(&used, c->edits);
    forget_media(&used, media_replaces(c->provider, c->view.capabilities));
    if (fanout_makes(r, c))
        used.bits[0] &= ~(UINT64_C(1) << WEIR_FIELD_N);
    for (uint32_t i; (i = features_take(&used)) < WEIR_FEATURES;) {
        uint32_t what = says_loss(&codec->says, i);
        if (is_forbidden(rule, i, what))
            refuse_for(&f, i, what, WEIR_NONE);
    }
    return sentence_of(&f);
}

/* ---- keeping ---- */

static void keep(struct attempt *a, uint32_t feature, uint32_t what, struct weir_str why)
{
    struct loss *l = arena_alloc(a->arena, sizeof(*l));
    if (!l)
        return;
    *l = (struct loss){ NULL, feature, what, arena_copy(a->arena, why) };
    *(a->last_loss ? &a->last_loss->next : &a->losses) = l;
    a->last_loss = l;
}

static bool is_kept(const struct attempt *a, uint32_t feature, uint32_t what, struct weir_str why)
{
    for (const struct loss *l = a->losses; l; l = l->next)
        if (l->feature == feature && l->what == what && (feature != WEIR_FEATURE_EXT || weir_eq(l->why, why)))
            return true;
    return false;
}

static void keep_once(struct attempt *a, uint32_t feature, uint32_t what, struct weir_str why)
{
    if (!is_kept(a, feature, what, why))
        keep(a, feature, what, why);
}

void losses_keep(struct attempt *a, uint32_t feature, uint32_t what, struct weir_str why)
{
    keep_once(a, feature, what, why);
}

static void keep_undeclared(struct attempt *a, const struct plugin *codec)
{
    keep_once(a, WEIR_FEATURE_NONE, 0,
              arena_printf(a->arena, "the codec %s does not tell what it can say", codec->desc.name));
}

struct ext_keeping {
    struct attempt *a;
    uint32_t n;
};

static void keep_ext(void *arg, struct weir_str path)
{
    struct ext_keeping *k = arg;
    if (k->n++ < EXT_MAX)
        keep(k->a, WEIR_FEATURE_EXT, WEIR_LOSS_DROPPED, path);
}

/* own: the client's dialect is the target's, which knows what its codec knew, and that was written again. */
static void keep_all_ext(struct attempt *a, const struct conversation *c, bool own)
{
    struct ext_keeping k = { a, 0 };
    if (!own)
        features_each_ext(&c->view, a->arena, keep_ext, &k);
    for (const struct weir_ext *x = c->unread; x; x = x->next)
        keep_ext(&k, x->path);
    if (c->has_more_unread)
        keep(a, WEIR_FEATURE_EXT, WEIR_LOSS_DROPPED, WEIR_LIT("and more"));
    if (k.n > EXT_MAX)
        keep(a, WEIR_FEATURE_EXT, WEIR_LOSS_DROPPED, arena_printf(a->arena, "and %u more", k.n - EXT_MAX));
}

/* ---- what codecs tell ---- */

static void note_fault(struct request *r, const struct plugin *codec, uint32_t feature)
{
    const char *name = feature_name(feature);
    struct weir_str what = arena_printf(r->arena, "%s lost %s, which its table does not call PARTLY", codec->desc.name,
                                        name ? name : "a feature that there is not");
    note_add(r, "core", "fault", what);
    LOG_ERROR("codec.loss", "plugin", codec->desc.name, "request", r->id, "what", what.p);
}

/* A field that is there and asks for nothing can't be lost. */
static bool is_neutral(const struct attempt *a, uint32_t feature)
{
    const struct conversation *c = a->edits.own ? a->edits.own : a->call.request->conversation;
    struct weir_str value =
        c && feature < WEIR_FEATURE_NONE ? weir_field(&c->view, (enum weir_field)feature) : WEIR_NONE;
    return value.n && !feature_is_asked(feature, value);
}

void losses_told(struct weir_call *c, uint32_t feature, uint32_t what, struct weir_str why)
{
    struct request *r = c->request;
    struct attempt *a = c->attempt ? c->attempt : r->elected;
    const struct plugin *codec = c->running ? c->running->plugin : NULL;
    if (!a || !codec || is_neutral(a, feature))
        return;
    bool is_known = feature < WEIR_FEATURES && feature_name(feature) && loss_name(what);
    uint8_t saying = is_known ? codec->says.saying[feature] : 0;
    bool may_tell = saying == WEIR_SAYS_PARTLY || saying == WEIR_SAYS; /* an entry's options may take it away */
    bool is_fault = !is_known || (codec->says.is_declared && !a->is_same_dialect && !may_tell);
    if (is_fault && !a->has_told_wrongly)
        note_fault(r, codec, feature);
    a->has_told_wrongly |= is_fault;
    if (is_known)
        keep_once(a, feature, what, why);
}

/* ---- a request ---- */

struct weir_str losses_of_request(struct attempt *a)
{
    struct request *r = a->call.request;
    const struct plugin *codec = a->codec->plugin;
    const struct conversation *c = a->edits.own ? a->edits.own : r->conversation;
    struct features used = used_by(c);
    struct refusal f = { r, WEIR_NONE };
    enum config_on_loss rule = losses_rule(r, a->target);
    if (a->is_same_dialect) {
        if (a->encoded)
            keep_all_ext(a, c, true);
        return WEIR_NONE;
    }
    if (!codec->says.is_declared && (used.bits[0] || used.bits[1]))
        keep_undeclared(a, codec);
    for (uint32_t i; codec->says.is_declared && (i = features_take(&used)) < WEIR_FEATURES;) {
        uint32_t what = says_loss(&codec->says, i);
        if (what && i == WEIR_FEATURE_EXT)
            keep_all_ext(a, c, false);
        else if (what)
            keep_once(a, i, what, WEIR_NONE);
    }
    for (const struct loss *l = a->losses; l; l = l->next)
        if (is_forbidden(rule, l->feature, l->what))
            refuse_for(&f, l->feature, l->what, l->why);
    return sentence_of(&f);
}

/* ---- an answer ---- */

void losses_of_event(struct attempt *a, const struct weir_event *e)
{
    const struct plugin *codec = a->call.request->codec->plugin;
    if (!a->target)
        return;
    if (a->is_same_dialect) {
        if (e->kind == WEIR_EVENT_DELTA && e->delta_kind == WEIR_DELTA_EXT)
            features_add(&a->answer_used, WEIR_FEATURE_ANSWER_EXT);
        return;
    }
    struct features used = features_of_event(&a->answer_order, e);
    for (int i = 0; i < 2; i++) {
        uint64_t had = a->answer_used.bits[i];
        a->answer_used.bits[i] |= used.bits[i];
        used.bits[i] &= ~had;
    }
    if (!codec->says.is_declared && (used.bits[0] || used.bits[1]))
        keep_undeclared(a, codec);
    for (uint32_t i; codec->says.is_declared && (i = features_take(&used)) < WEIR_FEATURES;) {
        uint32_t what = says_loss(&codec->says, i);
        if (what)
            keep_once(a, i, what, WEIR_NONE);
    }
}

void losses_of_document(struct attempt *a)
{
    if (a->is_same_dialect && features_have(&a->answer_used, WEIR_FEATURE_ANSWER_EXT))
        keep_once(a, WEIR_FEATURE_ANSWER_EXT, WEIR_LOSS_DROPPED, WEIR_LIT("the answer was changed on its way"));
}

/* ---- telling ---- */

/* One entry per feature: unknown members are many, and all called "ext". */
static bool is_first_of(const struct attempt *a, const struct loss *l)
{
    for (const struct loss *k = a->losses; k != l; k = k->next)
        if (k->feature == l->feature && k->what == l->what)
            return false;
    return true;
}

struct weir_str losses_header(const struct attempt *a)
{
    struct request *r = a->call.request;
    enum { ROOM_FOR_MORE = 16 };
    char *text = a->losses && losses_rule(r, a->target) != CONFIG_LOSS_ALLOW ? arena_alloc(r->arena, HEADER_MAX) : NULL;
    size_t n = 0;
    uint32_t more = 0, n_ext = 0;
    for (const struct loss *l = a->losses; text && l; l = l->next) {
        if ((l->feature == WEIR_FEATURE_EXT && n_ext++) || (l->feature != WEIR_FEATURE_EXT && !is_first_of(a, l)))
            continue;
        char one[96];
        int len =
            l->what ? snprintf(one, sizeof(one), "%s%s=%s", n ? ", " : "", feature_name(l->feature), loss_name(l->what))
                    : snprintf(one, sizeof(one), "%sundeclared", n ? ", " : "");
        if (more || n + (size_t)len > HEADER_MAX - ROOM_FOR_MORE) {
            more++;
            continue;
        }
        memcpy(text + n, one, (size_t)len);
        n += (size_t)len;
    }
    if (more)
        n += (size_t)snprintf(text + n, HEADER_MAX - n, ", +%u", more);
    return (struct weir_str){ text, n };
}

static void put(struct weir_out *o, const char *key, struct weir_str value)
{
    if (!value.n)
        return;
    json_key(o, key);
    json_put_str(o, value);
}

void losses_write(const struct attempt *a, struct weir_out *o)
{
    if (!a->losses)
        return;
    json_key(o, "losses");
    json_array_begin(o);
    for (const struct loss *l = a->losses; l; l = l->next) {
        json_object_begin(o);
        put(o, "feature", weir_cstr(l->what ? feature_name(l->feature) : "undeclared"));
        put(o, "what", weir_cstr(l->what ? loss_name(l->what) : "undeclared"));
        put(o, "why", l->why);
        if (a->target)
            put(o, "target", a->target->view.name);
        json_object_end(o);
    }
    json_array_end(o);
}
