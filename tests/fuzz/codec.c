/* A codec against broken bytes: each input is taken for a request, a whole answer, a stream cut somewhere, and an error. Built
 * once for every folder of providers/ with that codec's sources, so that the fuzzer sees its branches. What a codec accepts
 * it must be able to write: JSON where the dialect has it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/aws_wire.h"
#include "scratch.h"
#include "verify_codec.h"

extern const struct weir_plugin weir_plugin;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct plugin plugin;
static void *self;

static void begin(void)
{
    plugin.desc = weir_plugin;
    memcpy(&plugin.codec, weir_plugin.codec, weir_plugin.codec->size);
    plugin.path = plugin.origin = "the codec";
    plugin.index = 1;
    self = lab_codec(&plugin);
    if (!self)
        abort();
}

/* What came in goes out again by the same codec. */
static void write_request(struct conversation *c)
{
    struct lab *l = lab_new(&plugin, self, LAB_EGRESS);
    struct weir_out out = { 0 };
    if (lab_encode_request(l, c, &out) == 0 && (out.is_misuse || !codec_is_json(out_bytes(&out))))
        abort();
    out_free(&out);
    lab_free(l);
}

static void request(struct weir_str bytes)
{
    struct lab *l = lab_new(&plugin, self, LAB_INGRESS);
    int rc = lab_decode_request(l, bytes);
    if (rc != 0 && l->error.error_class == WEIR_ERROR_NONE)
        abort(); /* nobody would learn why */
    if (rc == 0 && codec_writes_requests(&plugin))
        write_request(l->conversation);
    lab_free(l);
}

static void write_answer(const struct lab_event *events)
{
    struct lab *l = lab_new(&plugin, self, LAB_INGRESS);
    struct weir_out out = { 0 };
    l->conversation = conversation_new(l->arena, weir_cstr(plugin.desc.name), WEIR_OP_CHAT, WEIR_LIT("{}"));
    if (lab_encode_answer(l, events, &out) == 0 && (out.is_misuse || !codec_is_json(out_bytes(&out))))
        abort();
    out_free(&out);
    lab_free(l);
}

static void answer(struct weir_str bytes, bool is_whole)
{
    struct lab *l = lab_new(&plugin, self, LAB_EGRESS);
    struct lab_answer a = { .bytes = bytes, .cut = bytes.n / 2, .is_whole = is_whole, .ends_clean = true };
    if (lab_decode_answer(l, &a) == 0 && l->has_ended && !l->has_error && codec_writes_answers(&plugin))
        write_answer(l->events);
    lab_free(l);
}

/* Lines "name payload" as messages with right sums, which no fuzzer would find. */
static void summed_answer(struct weir_str lines)
{
    struct weir_out o = { 0 };
    aws_from_lines(lines, &o);
    if (o.n)
        answer(out_bytes(&o), false);
    out_free(&o);
}

static void error(struct weir_str bytes)
{
    struct lab *l = lab_new(&plugin, self, LAB_EGRESS);
    struct weir_error e;
    lab_decode_error(l, 400, bytes, &e);
    lab_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct weir_str bytes = { (const char *)data, n };
    if (!self)
        begin();
    if (codec_reads_requests(&plugin))
        request(bytes);
    if (codec_reads_answers(&plugin)) {
        answer(bytes, true);
        answer(bytes, false);
    }
    if (codec_reads_answers(&plugin) && plugin.codec.stream_framing == WEIR_FRAMING_AWS)
        summed_answer(bytes);
    if (plugin.codec.decode_error)
        error(bytes);
    return 0;
}
