// The official Node SDK of Anthropic against weir.
import { KEY, NARROW, TARGETS, TOOL_SCHEMA, URL_OF_WEIR, check, main, raises, sdk, test } from "./client_test.mjs";

const { default: Anthropic } = sdk("@anthropic-ai/sdk");
const options = { baseURL: URL_OF_WEIR, apiKey: KEY, maxRetries: 0, timeout: 20000 };
const client = new Anthropic(options), narrow = new Anthropic({ ...options, apiKey: NARROW });
const wrong = new Anthropic({ ...options, apiKey: "x" });
const messages = [{ role: "user", content: "How do rivers carry sediment?" }];
const tools = [{ name: "get_weather", input_schema: TOOL_SCHEMA },
               { name: "get_time", input_schema: { type: "object", properties: {} } }];
const ask = (model, more = {}, from = client) => from.messages.create({ model, max_tokens: 200, messages, ...more });
const final = (model, more = {}) => client.messages.stream({ model, max_tokens: 200, messages, ...more }).finalMessage();
const textOf = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");

test("answers whole", TARGETS, async (target) => {
  const message = await ask(target + "/demo");
  check(textOf(message).includes("rivers carry") && message.stop_reason === "end_turn", message);
  check(message.usage.output_tokens === 20 && message.usage.input_tokens > 0, message.usage);
});

test("streams the same", TARGETS, async (target) => {
  const whole = await ask(target + "/demo"), streamed = await final(target + "/demo");
  check(textOf(streamed) === textOf(whole) && streamed.usage.output_tokens === 20, streamed);
});

test("loops with tools", TARGETS, async (target) => {
  const model = target + "/demo?tool=get_weather", message = await ask(model, { tools });
  const call = message.content.find((b) => b.type === "tool_use");
  check(call.name === "get_weather" && message.stop_reason === "tool_use", message);
  const result = { type: "tool_result", tool_use_id: call.id, content: "18 degrees" };
  const turns = [...messages, { role: "assistant", content: message.content }, { role: "user", content: [result] }];
  check(textOf(await ask(model, { tools, messages: turns })).includes("18 degrees"), "the result");
});

test("streams parallel calls", TARGETS, async (target) => {
  const message = await final(target + "/demo?tool=any&calls=2", { tools });
  const calls = message.content.filter((b) => b.type === "tool_use");
  check(calls.map((c) => c.name).join() === "get_weather,get_time" && message.stop_reason === "tool_use", message);
});

test("upstream errors have their class", TARGETS, async (target) => {
  await raises(Anthropic.RateLimitError, () => ask(target + "/demo?status=429"));
  await raises(Anthropic.BadRequestError, () => ask(target + "/demo?status=400"));
  await raises(Anthropic.InternalServerError, () => ask(target + "/demo?status=500"));
  await raises(Anthropic.InternalServerError, () => ask(target + "/demo?status=401"));
});

test("broken streams are never complete", TARGETS, async (target) => {
  for (const fault of ["fin_after=700", "rst_after=700", "garble=4", "error_event=3"]) {
    const error = await final(`${target}/demo?${fault}`).then(() => null, (e) => e);
    check(error, `${fault}: the stream seemed complete`);
  }
});

test("weir's own errors have their class", [null], async () => {
  const bad = await raises(Anthropic.BadRequestError, () => ask("demo", { temperature: "hot" }));
  check(bad.message.includes("temperature"), bad.message);
  await raises(Anthropic.NotFoundError, () => ask("no-such-model"));
  await raises(Anthropic.AuthenticationError, () => ask("demo", {}, wrong));
  await raises(Anthropic.PermissionDeniedError, () => ask("simulator/demo", {}, narrow));
});

await main();
