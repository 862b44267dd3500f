// The official Node SDK of OpenAI against weir.
import { KEY, NARROW, TARGETS, TOOL_SCHEMA, URL_OF_WEIR, check, main, raises, sdk, test } from "./client_test.mjs";

const { default: OpenAI } = sdk("openai");
const options = { baseURL: URL_OF_WEIR + "/v1", apiKey: KEY, maxRetries: 0, timeout: 20000 };
const client = new OpenAI(options), narrow = new OpenAI({ ...options, apiKey: NARROW }), wrong = new OpenAI({ ...options, apiKey: "x" });
const messages = [{ role: "user", content: "How do rivers carry sediment?" }];
const tools = [{ type: "function", function: { name: "get_weather", parameters: TOOL_SCHEMA } },
               { type: "function", function: { name: "get_time", parameters: { type: "object", properties: {} } } }];
const ask = (model, more = {}, from = client) => from.chat.completions.create({ model, messages, ...more });

test("answers whole", TARGETS, async (target) => {
  const answer = await ask(target + "/demo");
  check(answer.choices[0].message.content.includes("rivers carry") && answer.choices[0].finish_reason === "stop", answer);
  check(answer.usage.completion_tokens === 20, answer.usage);
});

test("streams the same", TARGETS, async (target) => {
  const whole = (await ask(target + "/demo")).choices[0].message.content;
  let said = "", usage;
  for await (const chunk of await ask(target + "/demo", { stream: true, stream_options: { include_usage: true } })) {
    said += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  check(said === whole, said);
  check(usage.completion_tokens === 20, usage);
});

const flatTools = tools.map((t) => ({ type: "function", strict: false, ...t.function }));
const respond = (model, more = {}) => client.responses.create({ model, input: messages, ...more });

test("responses, whole and streamed", TARGETS, async (target) => {
  const whole = await respond(target + "/demo");
  check(whole.output_text.includes("rivers carry") && whole.status === "completed", whole);
  check(whole.usage.output_tokens === 20, whole.usage);
  const stream = client.responses.stream({ model: target + "/demo", input: messages });
  let said = "", last;
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") said += event.delta;
    last = event.type;
  }
  check(said === whole.output_text && last === "response.completed", said);
  check((await stream.finalResponse()).output_text === said, "final response");
});

test("responses loop with tools", TARGETS, async (target) => {
  const model = target + "/demo?tool=any&calls=2";
  const answer = await client.responses.stream({ model, input: messages, tools: flatTools }).finalResponse();
  const calls = answer.output.filter((x) => x.type === "function_call");
  check(calls.length === 2 && calls[0].name === "get_weather" && JSON.parse(calls[0].arguments), answer.output);
  const results = calls.map((c) => ({ type: "function_call_output", call_id: c.call_id, output: "18 degrees" }));
  const end = await respond(model, { input: [...messages, ...answer.output, ...results], tools: flatTools });
  check(end.output_text.includes("18 degrees"), end.output_text);
});

test("responses errors have their class", TARGETS, async (target) => {
  await raises(OpenAI.RateLimitError, () => respond(target + "/demo?status=429"));
  await raises(OpenAI.BadRequestError, () => respond(target + "/demo", { input: [{ role: "robot", content: "x" }] }));
});

test("loops with tools", TARGETS, async (target) => {
  const model = target + "/demo?tool=get_weather";
  const { message } = (await ask(model, { tools })).choices[0];
  check(message.tool_calls[0].function.name === "get_weather", message);
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "18 degrees" };
  const answer = await ask(model, { tools, messages: [...messages, message, result] });
  check(answer.choices[0].message.content.includes("18 degrees"), answer);
});

test("streams parallel calls", TARGETS, async (target) => {
  const stream = client.chat.completions.stream({ model: target + "/demo?tool=any&calls=2", messages, tools });
  const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0];
  check(message.tool_calls.map((c) => c.function.name).join() === "get_weather,get_time", message);
  message.tool_calls.forEach((c) => JSON.parse(c.function.arguments));
  check(finish_reason === "tool_calls", finish_reason);
});

test("structured output", TARGETS, async (target) => {
  const schema = { type: "object", properties: { name: { type: "string" }, n: { type: "integer" } }, required: ["name", "n"],
                   additionalProperties: false };
  const answer = await ask(target + "/demo", { response_format: { type: "json_schema", json_schema: { name: "x", schema, strict: true } } });
  check(Number.isInteger(JSON.parse(answer.choices[0].message.content).n), answer);
});

test("upstream errors have their class", TARGETS, async (target) => {
  await raises(OpenAI.RateLimitError, () => ask(target + "/demo?status=429"));
  await raises(OpenAI.BadRequestError, () => ask(target + "/demo?status=400"));
  await raises(OpenAI.InternalServerError, () => ask(target + "/demo?status=500"));
  await raises(OpenAI.InternalServerError, () => ask(target + "/demo?status=401"));
});

test("broken streams are never complete", TARGETS, async (target) => {
  for (const fault of ["fin_after=700", "rst_after=700", "garble=4", "error_event=3"]) {
    const read = async () => { for await (const _ of await ask(`${target}/demo?${fault}`, { stream: true })); };
    const error = await read().then(() => null, (e) => e);
    check(error, `${fault}: the stream seemed complete`);
  }
});

test("weir's own errors have their class", [null], async () => {
  const bad = await raises(OpenAI.BadRequestError, () => ask("demo", { temperature: "hot" }));
  check(bad.param === "temperature", bad.message);
  const unknown = await raises(OpenAI.NotFoundError, () => ask("no-such-model"));
  check(unknown.code === "model_not_found", unknown.message);
  await raises(OpenAI.AuthenticationError, () => ask("demo", {}, wrong));
  await raises(OpenAI.PermissionDeniedError, () => ask("simulator/demo", {}, narrow));
});

test("models are listed", [null], async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  check(ids.includes("demo"), ids);
  check((await client.models.retrieve("demo")).id === "demo", "retrieve");
});

await main();
