"""(dialect, trap, [the tests that hold it]): a test is FILE:NAME, or a golden pair of a provider's folder (see run.py)."""


def unit(name, *tests):
    return [f"tests/unit/{name}.c:{t}" for t in tests]


def golden(provider, *pairs):
    return [f"providers/{provider}/tests/{p}" for p in pairs]


TRAPS = [
    ("cohere", "calls, citations and content are objects in deltas and lists elsewhere", golden("cohere", "calls.stream", "calls.answer", "cited.stream")),
    ("cohere", "the plan before calls is text that is seen, and must come back", unit("test_codec_cohere", "what_was_said_before_a_call_is_its_plan")),
    ("cohere", "a schema stands bare in the response format", unit("test_codec_cohere", "settings_are_said_or_told_to_be_lost")),
    ("cohere", "penalties and temperatures have other bounds", unit("test_codec_cohere", "settings_are_said_or_told_to_be_lost")),
    ("cohere", "a named tool: only that one is sent, and required", unit("test_codec_cohere", "tools_are_named_chosen_and_strict_as_the_dialect_can")),
    ("cohere", "thinking is on unless it is said to be off", unit("test_codec_cohere", "settings_are_said_or_told_to_be_lost")),
    ("cohere", "the finish reason of calls is in the singular", golden("cohere", "calls.answer")),

    ("gemini", "a stream of events has to be asked for", unit("test_gemini", "path_names_the_model")),
    ("gemini", "arguments are an object both ways", unit("test_gemini", "tool_loop")),
    ("gemini", "a result is an object, an error under its own name", unit("test_gemini", "tool_loop", "a_failed_result_is_an_error")),
    ("gemini", "a result names its function, not only its call", unit("test_codec_gemini", "calls_without_ids_get_some_and_results_find_them")),
    ("gemini", "neighbouring turns of one role are one; all results of a step stand in one", unit("test_gemini", "turns_alternate", "tool_loop")),
    ("gemini", "counts of the answer leave thinking out", golden("gemini", "text.answer", "thinking-calls.stream")),
    ("gemini", "signatures must come back where they stood", unit("test_gemini", "own_signatures_return") + ["tests/e2e/test_loops.py:test_every_pair"]),
    ("gemini", "a normal end behind a call is a call's end", golden("gemini", "thinking-calls.stream")),
    ("gemini", "required and named tools are modes", unit("test_gemini", "tools_and_choice")),
    ("gemini", "calls one at a time can't be said", unit("test_gemini", "says_what_is_lost")),
    ("gemini", "lines end in CR LF", unit("test_framer", "sse_with_crlf_at_every_split", "sse_with_crlf_cut_inside_a_line_end_keeps_the_event_whole")),
    ("gemini", "without alt=sse a stream is one JSON array", golden("gemini", "array.answer") + unit("test_codec_gemini", "a_stream_without_sse_is_an_array", "an_array_is_cut_where_its_elements_end")
     + ["tests/e2e/test_gemini.py:test_an_array_comes_piece_by_piece"]),

    ("azure", "the first event has no choices and no id", golden("openai", "azure.stream")),
    ("azure", "an asynchronous filter sends choices without a delta, also behind the end", golden("openai", "azure-filter.stream")),
    ("azure", "tokens come in bursts", unit("test_framer", "sse_events_at_every_split")),
    ("azure", "usage comes last, without choices", unit("test_codec_openai", "unasked_usage_is_taken_out", "usage_in_its_dialects")),
    ("azure", "the filter strikes in the middle of a stream", unit("test_codec_openai", "errors_inside_a_stream")),
    ("azure", "codes of errors are numbers in strings, or stand outside", unit("test_errors", "recorded_errors", "described_errors")),

    ("openai", "parallel calls interleave, and some servers call all of them number 0",
     unit("test_codec_openai", "parallel_calls_interleave", "calls_that_all_have_index_0_are_told_apart")),
    ("openai", "arguments may be no JSON, and stay as they are", unit("test_codec_cross", "cross_openai_to_anthropic") + unit("test_gemini", "tool_loop")),
    ("openai", "a quota that is used up is no rate limit", golden("openai", "quota.429.error", "rate.429.error") + unit("test_codec_openai", "errors_by_class")),
    ("openai", "some efforts are known to some models only", unit("test_codec_openai", "no_effort_only_where_it_is_known")),
    ("openai", "newer models refuse tools together with an effort in chat completions",
     unit("test_codec_openai", "tools_without_an_effort_where_both_are_refused")),
    ("openai", "streams without [DONE]", golden("openai", "no-done.stream")),
    ("openai", "comments between events, CR LF, numbered events", golden("openai", "comments.stream", "crlf.stream", "numbered.stream")),
    ("openai", "blanks before the document", golden("openai", "padded.answer")),
    ("openai", "an error inside a stream that began with 200", golden("openai", "error.stream")),
    ("openai", "errors under detail, message, or as a sentence", golden("openai", "detail.401.error", "detail.422.error", "message.429.error")),
    ("openai", "thinking has several names", unit("test_codec_openai", "thinking_by_all_its_names")),

    ("responses", "a call's id and its item's id are two", golden("responses", "calls.answer") + ["tests/e2e/test_loops.py:test_every_pair"]),
    ("responses", "silence about strictness means strict", golden("responses", "settings.request")),
    ("responses", "200 may say that it failed, or is not complete", golden("responses", "failed.answer", "cut.answer", "failed.stream")),
    ("responses", "there is no [DONE]: only the response's own end ends a stream", unit("test_codec_responses", "only_the_response_ends_a_stream")),
    ("responses", "reasoning must come back before what it led to", ["tests/e2e/test_loops.py:test_every_pair", "tests/e2e/test_loops.py:test_providers_do_refuse"]),

    ("anthropic", "usage is cumulative, and tells the cache apart from the input", unit("test_codec_anthropic", "usage_is_cumulative_and_includes_the_cache")),
    ("anthropic", "one block at a time, though others interleave", unit("test_codec_anthropic", "one_block_at_a_time")),
    ("anthropic", "history with calls must declare their tools", unit("test_codec_anthropic", "history_with_calls_declares_their_tools")),
    ("anthropic", "errors and overloads come inside a stream, too", golden("anthropic", "error.stream") + unit("test_codec_anthropic", "errors_inside_an_answer")),
    ("anthropic", "events and blocks that nobody knows yet", unit("test_codec_anthropic", "blocks_and_deltas_of_tomorrow_pass")),
    ("anthropic", "a thought that was changed, moved or signed by another is refused",
     ["tests/e2e/test_loops.py:test_another_provider_goes_on", "tests/e2e/test_loops.py:test_providers_do_refuse"]),
    ("anthropic", "arguments: nothing is {}, what is no object is wrapped", unit("test_codec_anthropic", "a_foreign_conversation_is_made_fit")),

    ("bedrock", "the model's name is encoded in the path, and signed so", unit("test_codec_bedrock", "the_model_is_encoded_in_the_path", "signatures_are_those_of_amazons_own_signer")),
    ("bedrock", "a session token is a header of its own, and signed", unit("test_codec_bedrock", "a_session_token_is_sent_and_signed")),
    ("bedrock", "the kind of an error stands in a header, with a URL behind it", unit("test_codec_bedrock", "the_header_names_an_errors_type", "errors_tell_their_type_in_a_header")),
    ("bedrock", "exceptions come as messages of a stream", golden("bedrock", "throttled.stream") + unit("test_codec_bedrock", "exceptions_have_their_class")),
    ("bedrock", "framed messages with two checksums", unit("test_framer", "aws_messages_at_every_split", "aws_messages_with_a_flipped_bit")),
    ("bedrock", "the input's count leaves the cache out", unit("test_codec_bedrock", "usage_includes_the_cache")),
    ("bedrock", "Mistral's ids of calls have nine characters", unit("test_codec_bedrock", "mistral_wants_ids_of_nine_characters")),

    ("ollama", "one document a line; an error is a line, and a sentence", golden("ollama", "text.stream") + unit("test_codec_ollama", "an_error_is_a_line")),
    ("ollama", "answers stream unless told otherwise", unit("test_codec_ollama", "an_answer_is_streamed_unless_told_otherwise")),
    ("ollama", "calls without ids", golden("ollama", "no-ids.request") + ["tests/e2e/test_loops.py:test_a_client_without_ids"]),
]

# What stands open: (dialect, trap, why).
OPEN = []
