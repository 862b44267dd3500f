/* The list of models that a client may use, and one of them. */
#include "anthropic.h"

static void put_member(const struct weir_json_api *j, struct weir_out *out, const char *key, const char *value)
{
    j->key(out, key);
    j->put_str(out, weir_cstr(value));
}

/* Unix time as RFC 3339, without a clock: the days of the civil calendar since 1970. */
static struct weir_str date_of(struct anthropic *o, int64_t s)
{
    int64_t days = s / 86400, left = s % 86400, z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    return o->host->format(o->call, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, (int)month, (int)day,
                           (int)(left / 3600), (int)(left / 60 % 60), (int)(left % 60));
}

static void put_model(struct anthropic *o, struct weir_out *out, const struct weir_model *m)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    put_member(j, out, "type", "model");
    j->key(out, "id");
    j->put_str(out, m->id);
    j->key(out, "display_name");
    j->put_str(out, m->id);
    j->key(out, "created_at");
    j->put_str(out, date_of(o, m->created_s > 0 ? m->created_s : 0));
    j->object_end(out);
}

static void put_id_or_null(const struct weir_json_api *j, struct weir_out *out, const char *key,
                           const struct weir_model *m)
{
    j->key(out, key);
    if (m)
        j->put_str(out, m->id);
    else
        j->put_null(out);
}

int anthropic_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list,
                            struct weir_out *out)
{
    struct anthropic o = anthropic_begin(self, call);
    const struct weir_json_api *j = o.json;
    const struct weir_model *first = NULL, *last = NULL;
    if (list->single) {
        put_model(&o, out, &list->models[0]);
        return 0;
    }
    j->object_begin(out);
    j->key(out, "data");
    j->array_begin(out);
    for (uint32_t i = 0; i < list->n; i++) {
        if (list->models[i].flags & WEIR_MODEL_HIDDEN)
            continue;
        first = first ? first : &list->models[i];
        last = &list->models[i];
        put_model(&o, out, last);
    }
    j->array_end(out);
    j->key(out, "has_more");
    j->put_bool(out, false);
    put_id_or_null(j, out, "first_id", first);
    put_id_or_null(j, out, "last_id", last);
    j->object_end(out);
    return 0;
}
