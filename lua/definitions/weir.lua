---@meta
-- What policies can use, for editors. Made by `make lua-definitions` from the tables in lua/*.c: edit those.

---@alias Verdict Candidates|Denial|Answer|(string|Candidate|Choice)[]|"next"|"retry"

---@class Denial

---@class Answer

---@class Secret
---@operator concat(string): Secret

---What the file of a policy returns; all is optional.
---@class Policy
---@field name string? In messages and records; else the file's name.
---@field on_error "deny"|"pass"|nil What happens if this policy itself fails.
---@field on_request nil|fun(req: Request, cfg: table): Verdict? Before a target is chosen.
---@field on_failure nil|fun(req: Request, attempt: Attempt, cfg: table): Verdict? A target failed and nothing was sent yet.
---@field on_finish nil|fun(req: Request, result: Result, cfg: table) At the end, whatever happened.

---A target with changes that hold for it only.
---@class Choice
---@field [1] string|Candidate The target.
---@field set table? Fields that are set for it.
---@field headers table<string, string>? Headers that it is sent.
---@field timeout { first_token?: number, total?: number }? In seconds.
---@field beyond boolean? Also for keys that may not use it by themselves.
---@field on_loss "warn"|"refuse"|"allow"|nil In place of the route's.
---@field mirror boolean? It does not answer: it gets a copy of the request, and the record says what became of both.
---@field n_calls boolean? Where it gives one choice only, n are made by n calls.

---The request; over when the hook ends.
---@class Request
---@field text fun(self: Request): string Everything that was said, as one text.
---@field texts fun(self: Request): Text[] Every string that a model would read.
---@field prepend_system fun(self: Request, text: string) Puts a text before the system prompt; in on_request.
---@field redact fun(self: Request, expression: string, with?: string|table|function): integer Replaces in all texts what the regular expression finds, and counts it.
---@field id string The request's id, as in the log and in x-weir-request-id.
---@field method string The HTTP method.
---@field path string The path, as asked.
---@field query string What stands behind the question mark.
---@field peer string The caller's address.
---@field dialect string The caller's dialect.
---@field route string The route's name.
---@field bytes integer Bytes of the body.
---@field stream boolean Is a stream wanted?
---@field tokens integer An estimate of the input.
---@field complexity Complexity? How hard the last message of the user looks; nil without messages.
---@field needs table<string, boolean> Capabilities that it needs: tools, image_url, json_schema, thinking …
---@field candidates Candidates The targets as they stand.
---@field principal Principal Who asks.
---@field headers table<string, string> Request headers, in any case; never credentials or cookies.
---@field response_headers table<string, string> Headers of the answer: to be set, in on_request.
---@field messages Message[] What was said.
---@field tools Tool[] The tools that the model may call.
---@field time_left number Seconds until its deadline; math.huge: none.
---@field vars table A table of yours that lasts from on_request to on_finish of this request.
---@field model string? The model, as asked.
---@field stream_usage boolean? Is usage wanted at the stream's end?
---@field max_tokens integer? The most tokens of the answer.
---@field temperature number? Chance in choosing tokens.
---@field top_p number? Chance in choosing tokens.
---@field top_k integer? Chance in choosing tokens.
---@field stop table? Texts that end the answer.
---@field n integer? How many answers.
---@field seed integer? For answers that repeat.
---@field frequency_penalty number? Against repetition.
---@field presence_penalty number? Against repetition.
---@field logit_bias table? By token.
---@field logprobs boolean? Are probabilities wanted?
---@field top_logprobs integer? How many of them.
---@field user string? The caller's own user.
---@field metadata table? The caller's own.
---@field service_tier string? As the provider calls it.
---@field tool_choice string|table|nil auto, none, required, or a tool.
---@field parallel_tools boolean? May it call several tools at once?
---@field response_format string|table|nil The answer's form, as a JSON schema.
---@field reasoning_effort string? low, medium, high …
---@field reasoning_budget integer? Tokens for thinking.
---@field reasoning_visible boolean? Is the thinking wanted?
---@field verbosity string? low, medium or high.
---@field modalities table? text, audio …
---@field dimensions integer? Of vectors.
---@field encoding string? Of vectors.
---@field input_type string? What vectors are for.
---@field truncate string? What to do with long inputs.
---@field top_n integer? How many ranks.
---@field return_documents boolean? Are documents wanted with ranks?

---A list of targets; methods give new lists.
---@class Candidates
---@field where fun(self: Candidates, fields: Fields|(fun(c: Candidate): boolean)): Candidates Those that fit. A list of values: any of them, of tags and capabilities all.
---@field without fun(self: Candidates, fields: Fields): Candidates Those that don't fit.
---@field prefer fun(self: Candidates, fields: Fields): Candidates Those that fit first, the others behind them.
---@field by fun(self: Candidates, field: string|(fun(c: Candidate): number), ...: string): Candidates In order of a field ("-field": falling), then of others; or of what a function says.
---@field cheapest fun(self: Candidates): Candidates A list of the one with the lowest price; empty if the list is.
---@field first fun(self: Candidates, n?: integer): Candidates The first n (1).
---@field names fun(self: Candidates): string[] Their names.

---A target that may answer.
---@class Candidate
---@field name string Provider and model: "openai/gpt-4o-mini".
---@field provider string The provider's name in the configuration.
---@field model string The model, as the provider calls it.
---@field region string Where it runs; "" if nobody said.
---@field dialect string The dialect it speaks.
---@field tags table<integer|string, string|boolean> A list and a set of its tags at once.
---@field price number USD per million tokens, three parts input and one part output; math.huge: unknown.
---@field price_input number USD per million tokens of input.
---@field price_output number USD per million tokens of output.
---@field context number Tokens that it takes; math.huge: unknown.
---@field capabilities table<string, boolean> What it can: tools, image_url, json_schema, thinking …
---@field healthy boolean It can be used, its breaker lets calls in, its key is not refused.
---@field mirror boolean It only gets a copy, as an earlier rule said.
---@field unavailable string? Why it can't be used.
---@field breaker "closed"|"open"|"probing" Its breaker.
---@field latency number Seconds to the first token, a moving average; 0: unknown.
---@field p95 number Seconds to the first token: one answer in twenty begins later.
---@field throughput number Tokens a second, a moving average; 0: unknown.
---@field error_rate number Attempts that failed, 0 to 1, a moving average.
---@field answers number How many answers these figures rest on.
---@field load number Calls running now, of all workers.
---@field left_requests number What is left of the provider's limit; math.huge: unknown.
---@field left_tokens number What is left of the provider's limit; math.huge: unknown.

---Who asks.
---@class Principal
---@field name string The key's name.
---@field team string Its team.
---@field tags table<string, string> Its tags.

---One message.
---@class Message
---@field role "system"|"user"|"assistant"|"tool" Who said it.
---@field text string What was said; may be assigned in on_request if it is one text.
---@field parts Part[] What it is made of.
---@field name string? The speaker's name.

---A part of a message.
---@class Part
---@field kind string text, image, audio, file, tool_call, tool_result, thinking, refusal or opaque.
---@field text string? Its text.
---@field name string? A tool's or a file's name.
---@field id string? The id of a tool call.
---@field media_type string? As in a content-type.
---@field url string? Where it is.
---@field file_id string? Its id at the provider.
---@field data_bytes integer? Bytes of what it holds.
---@field parts Part[]? What is in it.

---A string that a model would read.
---@class Text
---@field text string May be assigned in on_request if it is editable.
---@field where string Where it stands.
---@field editable boolean Can it be changed?

---A tool that the model may call.
---@class Tool
---@field name string? Its name.
---@field description string? What it does.
---@field schema string? Its parameters, as JSON.
---@field raw string? As the caller gave it, if it is no function.

---How hard the last message of the user looks, and the counts it is made of.
---@class Complexity
---@field score number 0 to 1; 0.5 is the middle.
---@field words integer Words.
---@field sentences integer Sentences.
---@field questions integer Questions.
---@field numbers integer Numbers.
---@field maths integer Signs and words of mathematics.
---@field code integer What looks like source code.
---@field conditions integer Words as "if".
---@field negations integer Words as "not".
---@field quantities integer Words as "each".
---@field turns integer Messages.
---@field tools integer Tools.
---@field images integer Images.

---What went wrong.
---@class Attempt
---@field class string rate_limited, overloaded, timeout, context_length, content_policy …
---@field status integer? The HTTP status.
---@field code string? weir's code.
---@field message string? The provider's words.
---@field native string? The provider's own code.
---@field retry_after number? Seconds, if the provider said.
---@field target Candidate? Who failed.

---What became of the request.
---@class Result
---@field class string none if it went well.
---@field status integer? The HTTP status.
---@field code string? The code of the error.
---@field message string? Its words.
---@field native string? The provider's own code.
---@field retry_after number? Seconds.
---@field seconds number How long it took.
---@field usage Usage? Tokens.
---@field record table? The request's record, as the log has it.

---What isn't known is nil.
---@class Usage
---@field input integer? Tokens read.
---@field output integer? Tokens written.
---@field cached_read integer? Of the input, read from the provider's cache.
---@field cached_write integer? Of the input, written to it.
---@field reasoning integer? Of the output, thought.

---A date and time of day.
---@class Date
---@field year integer As 2026.
---@field month integer 1 to 12.
---@field day integer 1 to 31.
---@field hour integer 0 to 23.
---@field minute integer 0 to 59.
---@field second integer 0 to 59.
---@field wday integer 1 is Monday.
---@field weekday string "mon" to "sun".
---@field yday integer 1 to 366.
---@field offset integer Seconds east of UTC.
---@field iso string All of it, as ISO 8601 has it.

---What to ask for.
---@class HttpRequest
---@field url string? Of one of the `hosts`.
---@field method string? GET, or POST with a body.
---@field headers table<string, string|Secret>? What to send.
---@field body string? As it is.
---@field json any A body, as JSON.
---@field timeout number? Seconds (1), at most 30.

---An answer.
---@class Response
---@field status integer The HTTP status.
---@field body string At most `max_body`.
---@field headers table<string, string> Names in small letters.
---@field json any The body decoded; nil if it isn't JSON.

---JSON.
---@class weir.json
---@field encode fun(value: any): string As JSON.
---@field decode fun(text: string): any From JSON; raises if it is none. null is nil in objects and json.null in lists.
---@field array fun(list?: table): table A table that is a list even when it is empty.
---@field null userdata null in a list.
json = {}

---Hashes.
---@class weir.hash
---@field sha256 fun(s: string): string Hexadecimal.
---@field hmac_sha256 fun(key: string, s: string): string Hexadecimal.
---@field share fun(s: string): number A number from 0 to 1 that depends on the text alone.
hash = {}

---Base64.
---@class weir.base64
---@field encode fun(s: string): string With padding.
---@field decode fun(s: string): string? Both alphabets, padded or not; nil if it is not base64.
base64 = {}

---Regular expressions in time linear in the text.
---@class weir.re
---@field find fun(s: string, expression: string, init?: integer): integer?, integer?, ... Begin, end and groups of the first match.
---@field match fun(s: string, expression: string, init?: integer): ... The groups of the first match, or all of it.
---@field test fun(s: string, expression: string): boolean Does it match anywhere?
---@field gsub fun(s: string, expression: string, with: string|table|function, max?: integer): string, integer Replaces matches (%1: a group) and counts them.
---@field gmatch fun(s: string, expression: string): fun(): ... Goes through all matches.
re = {}

---Time.
---@class weir.clock
---@field now fun(): number Seconds since 1970.
---@field monotonic fun(): number Seconds that never go back, from no particular beginning.
---@field date fun(zone?: string, time?: number): Date The date and time of day in a zone (UTC).
---@field between fun(from: string, to: string, zone?: string): boolean Is it now between two times of day, as "08:00"? Also over midnight.
clock = {}

---One bounded table for all workers.
---@class weir.shared
---@field get fun(key: string): any What was set, or nil.
---@field set fun(key: string, value: any, options?: { ttl: number }): boolean Keeps a value (1,000 bytes as JSON) for ttl seconds; nil forgets it. false: the table is full.
---@field incr fun(key: string, by?: integer, options?: { ttl: number }): integer?, string? Adds and returns the sum; nil and why if it can't.
shared = {}

---Requests to the `hosts` of the policy.
---@class weir.http
---@field get fun(url: string|HttpRequest, options?: HttpRequest): Response?, string? Asks one of the `hosts`; nil and why if no answer came.
---@field post fun(request: HttpRequest): Response?, string? As get, with a body.
---@field request fun(request: HttpRequest): Response?, string? With any method.
http = {}

---Puts a note into the request's record. Never put prompts there.
---@type fun(key: string, value: string|number|boolean|Candidate|Candidates)
note = nil

---Puts a tag into the request's record, to group requests by.
---@type fun(key: string, value: string|number|boolean|Candidate|Candidates)
tag = nil

---Writes a line to the operator's log.
---@type fun(text: string)
log = nil

---Refuses the request; it must be returned.
---@type fun(denial: { status?: integer, code?: string, message?: string, retry_after?: number }): Denial
deny = nil

---Answers the request itself; it must be returned.
---@type fun(text: string): Answer
answer = nil

---A number from 0 to 1, or a whole number up to n or from m to n. Seeded per request.
---@type (fun(): number)|(fun(n: integer): integer)|(fun(m: integer, n: integer): integer)
random = nil

---A configured secret, which only headers of http can use.
---@type fun(name: string): Secret
secret = nil

---YAML or JSON of the policy's folder, read again when it changes. Don't change it.
---@type fun(file: string): any
data = nil

---Waits without holding up anybody else; in on_request and on_failure.
---@type fun(seconds: number)
sleep = nil

---A Lua file of the policy's folder or of weir's own library.
---@type fun(name: string): any
require = nil

---What candidates must be, as in list:where{ region = "eu" }.
---@class Fields
---@field name string|string[]|nil
---@field provider string|string[]|nil
---@field model string|string[]|nil
---@field region string|string[]|nil
---@field dialect string|string[]|nil
---@field price number|number[]|nil
---@field price_input number|number[]|nil
---@field price_output number|number[]|nil
---@field context number|number[]|nil
---@field latency number|number[]|nil
---@field p95 number|number[]|nil
---@field throughput number|number[]|nil
---@field error_rate number|number[]|nil
---@field answers number|number[]|nil
---@field load number|number[]|nil
---@field left_requests number|number[]|nil
---@field left_tokens number|number[]|nil
---@field tags string|string[]|nil
---@field capabilities string|string[]|table<string, boolean>|nil
---@field healthy boolean?
